"""Settings: secrets and places from the environment (``DISTRICT_...``), the district's facts from one YAML file."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from district.calendar.model import Administration, CalendarRules, SchoolYear, check_known

PROJECT = Path(__file__).resolve().parents[2]


class SettingsError(ValueError):
    """A setting is missing or wrong: names it and says what to do."""


class School(BaseModel):
    """A school of the district, by the SIS's id."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    school_id: str
    name: str = ""
    groups: tuple[str, ...] = ()
    """Names under which the calendar speaks of several schools at once."""


class District(BaseModel):
    """The district's facts: ``include/settings/district.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    timezone: str = "America/Los_Angeles"
    roles: dict[str, tuple[str, ...]]
    """Mail addresses by role; a data set's owner is one of these roles."""
    schools: tuple[School, ...] = ()
    school_years: tuple[SchoolYear, ...] = ()
    administrations: tuple[Administration, ...] = ()
    calendar: CalendarRules = CalendarRules()

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        known = [name for school in self.schools for name in (school.school_id, *school.groups)]
        named = [name for year in self.school_years for dates in year.schools for name in dates.schools]
        check_known(named, known, "a school year names the unknown school or group")
        for school in ("", *(school.school_id for school in self.schools)):
            who = f" of school {school}" if school else ""
            years = self.years_of(school)
            for before, after in pairwise(years):
                if after.turning_day <= before.last_day:
                    raise ValueError(
                        f"school year {after.end_year}{who} begins on {after.turning_day}, "
                        f"and {before.end_year} ends on {before.last_day}; no school has two years at once"
                    )
            if [year.status for year in years].count("current") > 1:
                raise ValueError(f"two school years{who} have the status current; leave it to one")
        return self

    @cached_property
    def _own_years(self) -> dict[str, tuple[SchoolYear, ...]]:
        """The school years of each school for which one is different."""
        different = {name for year in self.school_years for dates in year.schools for name in dates.schools}
        own = [school for school in self.schools if different & {school.school_id, *school.groups}]
        return {school.school_id: _in_order(_as_at(year, school) for year in self.school_years) for school in own}

    @cached_property
    def _common_years(self) -> tuple[SchoolYear, ...]:
        return _in_order(self.school_years)

    def years_of(self, school_id: str = "") -> tuple[SchoolYear, ...]:
        """A school's years in order; the district's own for a school that the file does not name, and for none."""
        return self._own_years.get(school_id, self._common_years)

    @property
    def calendars(self) -> tuple[str, ...]:
        """One school for each calendar that there is: '' for the district's, and those that differ from it."""
        return ("", *self._own_years)

    def today(self) -> datetime.date:
        """Today's date in the district's own time zone."""
        return datetime.datetime.now(ZoneInfo(self.timezone)).date()


class Settings(BaseSettings):
    """Places, secrets and addresses, each from the environment variable ``DISTRICT_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="DISTRICT_", frozen=True)

    database_url: SecretStr = Field(default=SecretStr(""))
    """SQLAlchemy URL of the district's database (not Airflow's)."""
    drop_folder: Path = PROJECT / ".demo" / "drop"
    """The folder in which the SIS, the vendors and the state put their files."""
    landed_folder: Path = PROJECT / ".demo" / "landed"
    """Where an untouched copy of every delivery is kept, readable by this system alone."""
    dags_folder: Path = PROJECT / "dags"
    """The DAG files; a data set is a file here."""
    expectations_folder: Path = PROJECT / "expectations"
    """The suites, one JSON file per data set."""
    layouts_folder: Path = PROJECT / "include" / "layouts"
    """Further layouts, one folder per data set."""
    crosswalks_folder: Path = PROJECT / "include" / "crosswalks"
    """The code sets as first seeded; the live crosswalk is a table."""
    file: Path = PROJECT / "include" / "settings" / "district.yaml"
    """The YAML file with the district's facts."""
    stable_seconds: float = 30.0
    """An arriving file must keep its size this long before it is read."""
    poll_seconds: float = 300.0
    """How often a night's extract that has not arrived is looked for."""
    deadline: datetime.time = datetime.time(5, 0)
    """Local time by which a night's extract must have arrived."""
    smtp_host: str = "localhost"
    """The district's mail server."""
    smtp_port: int = 25
    """Its port."""
    smtp_user: str = ""
    """Who signs in at the mail server; empty: nobody does."""
    smtp_password: SecretStr = SecretStr("")
    """The password for it."""
    smtp_starttls: bool = False
    """Whether the connection is encrypted by STARTTLS before anything is sent."""
    smtp_timeout: float = 20.0
    """Seconds after which a silent mail server is given up; the mail waits."""
    mail_from: str = "imports@district.invalid"
    """The sender's address of every mail."""
    ui_url: str = "http://localhost:8080"
    """Where mails point to."""

    @property
    def district(self) -> District:
        """The district's facts, read once per process."""
        return _read_district(self.file)


def _in_order(years: Iterable[SchoolYear]) -> tuple[SchoolYear, ...]:
    return tuple(sorted(years, key=lambda year: year.first_day))


def _as_at(year: SchoolYear, school: School) -> SchoolYear:
    """The year as it is at a school: what is said of the school itself goes before what is said of its groups."""
    for names in ({school.school_id}, set(school.groups)):
        for dates in year.schools:
            if names & set(dates.schools):
                return year.of(dates)
    return year


@lru_cache(maxsize=4)
def _read_district(path: Path) -> District:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return District.model_validate(content)
    except OSError:
        raise SettingsError(f"{path} cannot be read; set DISTRICT_FILE to the district's settings file.") from None
    except yaml.YAMLError:
        raise SettingsError(f"{path} is not valid YAML; compare it with include/settings/district.yaml.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{path}: {f'{place}: ' if place else ''}{said}.") from None


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "DISTRICT_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"The environment variable {name}: {first['msg']}.") from None
