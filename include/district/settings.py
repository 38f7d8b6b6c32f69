"""Settings: secrets and places from the environment (``DISTRICT_...``), the district's facts from one YAML file."""

from __future__ import annotations

import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from district.calendar.whole import DistrictCalendar

PROJECT = Path(__file__).resolve().parents[2]
DATA_PERSON = "data_person"
"""The role that may decide about every data set."""


class SettingsError(ValueError):
    """A setting is missing or wrong: names it and says what to do."""


class District(DistrictCalendar):
    """The district's facts: ``include/settings/district.yaml``."""

    name: str
    timezone: str = "America/Los_Angeles"
    roles: dict[str, tuple[str, ...]]
    """Mail addresses by role; a data set's owner is one of these roles."""
    people: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Roles by the name with which somebody signs in to Airflow: who may decide about what is held."""

    @model_validator(mode="after")
    def _know_every_role(self) -> Self:
        for person, roles in self.people.items():
            for role in roles:
                if role not in self.roles:
                    raise ValueError(f"{person} has the role {role}, which is not among the roles above")
        return self

    def role_of(self, person: str, owner: str) -> str:
        """The role by which a person may decide about a data set of ``owner``'s; empty where there is none."""
        held = self.people.get(person, ())
        return next((role for role in (owner, DATA_PERSON) if role in held), "")

    def deciders(self, owner: str) -> list[str]:
        """Those who may decide about a data set of ``owner``'s, by the name with which they sign in."""
        return [person for person in self.people if self.role_of(person, owner)]

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
    sign_off_deadline: datetime.time = datetime.time(20, 0)
    """Local time by which the new warnings of a semester change must be acknowledged, and it must be signed off."""
    stable_seconds: float = 30.0
    """An arriving file must keep its size this long before it is read."""
    poll_seconds: float = 300.0
    """How often a night's extract that has not arrived is looked for."""
    deadline: datetime.time = datetime.time(5, 0)
    """Local time by which a night's extract must have arrived."""
    first_load: Literal["load", "hold"] = "hold"
    """Whether the very first load of a table waits until a person has approved it as the baseline."""
    hold_hours: float = Field(default=24.0, gt=0)
    """Hours that a hold waits for a decision, and that a load may rely on one."""
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
