"""The end of a school year in the synthetic district: what its SIS sends, and what stands in the table."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from district import pipeline
from district.calendar.record import recorded_calendar
from district.calendar.standing import statuses
from district.catalog import find_dataset
from district.database import engine
from district.dataset import Dataset
from district.rollover.readiness import Readiness, assess
from district.rollover.rehearsal import rehearse
from district.run import RunSummary
from district.settings import PROJECT, settings

ONE_DAY = datetime.timedelta(days=1)
_FACTS = PROJECT / "include" / "settings" / "district.yaml"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A district whose school year ends, with the next one's extracts ready, and at 60 %."""

    whole: Path
    half: Path
    place: Path
    patch: pytest.MonkeyPatch

    @property
    def nights(self) -> list[datetime.date]:
        """The last night of the year, that of its closing, and one in the year after."""
        return [datetime.date.fromisoformat(night) for night in read(self.whole / "expected.json")["nights"]]

    @property
    def year(self) -> int:
        """The school year that comes."""
        return int(read(self.whole / "rollover.json")["school_year"])

    @property
    def first_day(self) -> datetime.date:
        return next(y.first_day for y in settings().district.school_years if y.end_year == self.year)

    def set_calendar(self, folder: Path) -> None:
        """Adds to the settings file what the next year's folder has for it."""
        content = yaml.safe_load(_FACTS.read_text(encoding="utf-8"))
        (added,) = folder.glob("next_year/*.yaml")
        for name, values in yaml.safe_load(added.read_text(encoding="utf-8")).items():
            content[name] += values
        written = json.dumps(content, default=str)
        # A process reads a settings file once: another content has another name.
        path = self.place / f"district-{hashlib.sha256(written.encode()).hexdigest()[:8]}.yaml"
        path.write_text(written, encoding="utf-8")
        self.patch.setenv("DISTRICT_FILE", str(path))
        settings.cache_clear()

    def send(self, path: Path, *, to: str = "") -> Path:
        """Puts a file where the SIS puts it, in place of the one before; each is newer than the last."""
        folder = settings().drop_folder / to
        folder.mkdir(exist_ok=True)
        for older in folder.glob("enrollment_*"):
            older.unlink()
        sent = Path(shutil.copyfile(path, folder / path.name))
        os.utime(sent, (time.time(),) * 2)
        return sent

    def rehearse(self, folder: Path, night: datetime.date, run_key: str = "rehearsal") -> RunSummary:
        """Sends the next year's file and its calendar, and rehearses it."""
        self.set_calendar(folder)
        self.send(next_year(folder), to="next_year")
        (run,) = rehearse(night, run_key=run_key)
        return run

    def ready(self, night: datetime.date) -> Readiness:
        with engine().connect() as connection:
            return assess(connection, self.year, night)

    def status(self, year: int, night: datetime.date) -> str:
        with engine().connect() as connection:
            return statuses(recorded_calendar(connection), "", night)[year]


def next_year(folder: Path) -> Path:
    """The next year's extract."""
    (path,) = folder.glob("next_year/enrollment_*.csv")
    return path


def extract_of(folder: Path) -> Path:
    """A night's extract of enrollment."""
    (path,) = folder.glob("enrollment_*.csv")
    return path


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def enrollment() -> Dataset:
    return find_dataset("enrollment", settings().dags_folder)


def imported(night: datetime.date, run_key: str, file: Path | None = None) -> RunSummary:
    """The night's import of enrollment, or one by hand."""
    run = pipeline.extract(enrollment(), partition=str(night), run_key=run_key, file=file)
    if run.state != "unchanged":
        pipeline.validate(enrollment(), run_key=run_key)
        run = pipeline.load(enrollment(), run_key=run_key)
    pipeline.close(enrollment(), run_key=run_key)
    return run


def hash_of(year: int) -> str:
    """A digest of every row of a school year, withdrawn ones and where each came from included."""
    query = text("select t::text from district.enrollment t where school_year = :year order by 1")
    with engine().connect() as connection:
        rows = connection.execute(query, {"year": year}).scalars().all()
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def rows(query: str, **values: Any) -> list[dict[str, Any]]:
    """A query's rows."""
    with engine().connect() as connection:
        return [dict(row._mapping) for row in connection.execute(text(query), values)]


@contextmanager
def turning(whole: Path, half: Path, place: Path, url: str) -> Iterator[Turn]:
    """The settings of this process are those of such a district in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "DATABASE_URL": url,
            "DROP_FOLDER": place / "drop",
            "LANDED_FOLDER": place / "landed",
            "STABLE_SECONDS": 0,
            "FIRST_LOAD": "load",
            "SMTP_PORT": 1,
        }.items():
            patch.setenv(f"DISTRICT_{name}", str(value))
        settings.cache_clear()
        settings().drop_folder.mkdir(exist_ok=True)
        yield Turn(whole=whole, half=half, place=place, patch=patch)
    settings.cache_clear()
