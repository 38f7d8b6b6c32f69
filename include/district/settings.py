"""Settings: secrets and places from the environment (``DISTRICT_...``), the district's facts from one YAML file."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from district.calendar.model import Label
from district.calendar.whole import DistrictCalendar

PROJECT = Path(__file__).resolve().parents[2]
DATA_PERSON = "data_person"
"""The role that may decide about every data set."""


def roles_for(owner: str) -> tuple[str, ...]:
    """The roles that may decide about a data set of this owner's."""
    return tuple(dict.fromkeys((owner, DATA_PERSON)))


class SettingsError(ValueError):
    """A setting is missing or wrong: names it and says what to do."""


class District(DistrictCalendar):
    """The district's facts: ``include/settings/district.yaml``."""

    name: Label
    timezone: Label = "America/Los_Angeles"
    roles: dict[Label, tuple[Label, ...]]
    """Mail addresses by role; a data set's owner is one of these roles."""
    people: dict[Label, tuple[Label, ...]] = Field(default_factory=dict)
    """Roles by the name with which somebody signs in to Airflow: who may decide about what is held."""

    @field_validator("timezone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            raise ValueError(f"{name} is no time zone; give one such as America/Los_Angeles") from None
        return name

    @model_validator(mode="after")
    def _know_every_role(self) -> Self:
        for person, roles in self.people.items():
            for role in roles:
                if role not in self.roles:
                    raise ValueError(f"{person} has the role {role}, which is not among the roles above")
        return self

    def role_of(self, person: str, roles: Collection[str]) -> str:
        """The first of these roles that a person has; empty where there is none."""
        held = self.people.get(person, ())
        return next((role for role in roles if role in held), "")

    def deciders(self, roles: Collection[str]) -> list[str]:
        """Those who have one of these roles, by the name with which they sign in."""
        return [person for person in self.people if self.role_of(person, roles)]

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
    confirm_deadline: datetime.time = datetime.time(20, 0)
    """Local time by which the new warnings of a semester change must be acknowledged, and it must be confirmed."""
    stable_seconds: float = Field(default=30.0, ge=0, le=3600)
    """An arriving file must keep its size this long before it is read; an hour at most."""
    poll_seconds: float = Field(default=300.0, ge=1, le=86_400)
    """How often a night's extract that has not arrived is looked for; once a second to once a day."""
    deadline: datetime.time = datetime.time(5, 0)
    """Local time by which a night's extract must have arrived."""
    first_load: Literal["load", "hold"] = "hold"
    """Whether the very first load of a table waits until a person has approved it as the baseline."""
    hold_hours: float = Field(default=24.0, gt=0, le=744)
    """Hours that a hold waits for a decision, and that a load may rely on one; a month (744) at most."""
    ready_share: float = Field(default=0.98, ge=0, le=1)
    """Share of a school year's readiness below which it turns only if the data person says so expressly."""
    smtp_host: str = "localhost"
    """The district's mail server."""
    smtp_port: int = Field(default=25, ge=1, le=65_535)
    """Its port."""
    smtp_user: str = ""
    """Who signs in at the mail server; empty: nobody does."""
    smtp_password: SecretStr = SecretStr("")
    """The password for it."""
    smtp_starttls: bool = False
    """Whether the connection is encrypted by STARTTLS before anything is sent."""
    smtp_timeout: float = Field(default=20.0, gt=0, le=600)
    """Seconds after which a silent mail server is given up, 600 at most; the mail waits."""
    mail_from: str = "imports@district.invalid"
    """The sender's address of every mail."""
    ui_url: str = "http://localhost:8080"
    """Where mails point to."""

    @property
    def district(self) -> District:
        """The district's facts, read once per process."""
        return _read_district(self.file)


# What pydantic says in Python's words.
_PLAIN = {
    "tuple_type": "A list should stand here",
    "model_type": "Entries should stand here, each a name, a colon and a value",
    "dict_type": "Entries should stand here, each a name, a colon and a value",
    "extra_forbidden": "There is no entry of that name; look for a slip in its spelling",
}


class _Loader(yaml.SafeLoader):
    """YAML in which no key silently takes the place of another, and what looks like a date and is none is text."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} stands twice; join the two", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, ArithmeticError, AttributeError):
            if not isinstance(node, yaml.ScalarNode):
                raise
            # The model knows which entry it is, and what should stand there.
            return node.value


@lru_cache(maxsize=4)
def _read_district(path: Path) -> District:
    try:
        return District.model_validate(_content_of(path))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = _PLAIN.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        slip = f"{path}: {f'{place}: ' if place else ''}{said}."
    raise SettingsError(" ".join(slip.split()))


def _content_of(path: Path) -> Any:
    try:
        text = path.read_bytes().decode("utf-8")
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except OSError:
        slip = f"{path} cannot be read; set DISTRICT_FILE to the district's settings file."
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        slip = f"{path}, line {line}: a letter is not written in UTF-8; save the file as UTF-8."
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        slip = f"{path}, line {line}: a control character stands there; remove it."
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        slip = f"{path}, line {line}: {error.problem}. Compare it with include/settings/district.yaml."
    except RecursionError:
        slip = f"{path}: it is nested too deeply; compare it with include/settings/district.yaml."
    raise SettingsError(" ".join(slip.split()))


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "DISTRICT_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"The environment variable {name}: {first['msg']}.") from None
