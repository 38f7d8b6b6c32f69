"""The turn of the school year: rehearsed apart, judged by school, turned by a person; closed years are amended."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from databases import TEMPLATE, copied_database, copy_database
from district import pipeline
from district.calendar.record import recorded_calendar
from district.calendar.standing import statuses
from district.catalog import find_dataset
from district.database import engine
from district.dataset import Dataset
from district.demo.postgres import Server
from district.review.decisions import decide
from district.review.holds import waiting
from district.rollover.readiness import Readiness, assess, record
from district.rollover.rehearsal import rehearsal_key, rehearse
from district.rollover.turning import turn_year, waiting_turn
from district.run import Aside, Held, NotAllowed, Refused, RunSummary
from district.settings import PROJECT, settings
from district.synthetic import generate_rollover

LAST_NIGHT = "last_night"
PERSON = {"person": "Rita Moss", "role": "data_person"}


@dataclass(kw_only=True)
class Turn:
    """A district at the end of a school year, with the next one's extracts."""

    folder: Path
    half: Path
    """The same at 60 % readiness."""

    @cached_property
    def told(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "rollover.json").read_text())
        return content

    @property
    def drop(self) -> Path:
        return settings().drop_folder

    @property
    def enrollment(self) -> Dataset:
        return find_dataset("enrollment", settings().dags_folder)

    @property
    def nights(self) -> list[datetime.date]:
        """The last night of the year, that of its closing, and one in the year after."""
        content = json.loads((self.folder / "expected.json").read_text())
        return [datetime.date.fromisoformat(night) for night in content["nights"]]

    @property
    def year(self) -> int:
        return int(self.told["school_year"])

    def first_day(self) -> datetime.date:
        return next(y.first_day for y in settings().district.school_years if y.end_year == self.year)

    def calendar(self, folder: Path, **closing: Any) -> None:
        """Puts the next year's calendar, as a folder has it, into the settings file."""
        content = yaml.safe_load((PROJECT / "include" / "settings" / "district.yaml").read_text())
        content["school_years"][-1].update(closing)
        for name, added in yaml.safe_load(next(folder.glob("next_year/*.yaml")).read_text()).items():
            content[name] += added
        # A file of another name, because a process reads each only once.
        path = settings().drop_folder.parent / f"district-{hashlib.sha256(repr(content).encode()).hexdigest()}.yaml"
        path.write_text(yaml.safe_dump(content))
        self.monkeypatch.setenv("DISTRICT_FILE", str(path))
        settings.cache_clear()

    monkeypatch: pytest.MonkeyPatch

    def send(self, path: Path, *, to: str = "") -> None:
        """Puts a file where the SIS puts it, in place of the one that was there."""
        folder = self.drop / to
        folder.mkdir(exist_ok=True)
        for older in folder.glob("enrollment_*"):
            older.unlink()
        shutil.copy(path, folder)

    def rehearse(self, folder: Path, night: datetime.date, run_key: str) -> RunSummary:
        self.calendar(folder)
        self.send(next(folder.glob("next_year/enrollment_*")), to="next_year")
        (run,) = rehearse(night, run_key=run_key)
        return run

    def ready(self, night: datetime.date) -> Readiness:
        with engine().connect() as connection:
            return assess(connection, self.year, night)

    def hash_of(self, year: int) -> str:
        """A digest of every row of a school year, and of where it came from."""
        query = text("select t::text from district.enrollment t where school_year = :year order by 1")
        with engine().connect() as connection:
            rows = connection.execute(query, {"year": year}).scalars().all()
        assert rows
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def statuses(self, night: datetime.date) -> dict[int, str]:
        with engine().connect() as connection:
            found = statuses(recorded_calendar(connection), "", night)
        return {self.year - 1: found[self.year - 1], self.year: found[self.year]}


def imported(dataset: Dataset, night: datetime.date, run_key: str, file: Path | None = None) -> RunSummary:
    pipeline.extract(dataset, partition=str(night), run_key=run_key, file=file)
    pipeline.validate(dataset, run_key=run_key)
    return pipeline.load(dataset, run_key=run_key)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folders = tmp_path_factory.mktemp("ready"), tmp_path_factory.mktemp("half")
    for folder, readiness in zip(folders, (1.0, 0.6), strict=True):
        generate_rollover(folder, readiness=readiness)
    return folders


@pytest.fixture
def turn(
    migrated: Server, written: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> Iterator[Turn]:
    """The last night of the year has loaded."""
    (tmp_path / "drop").mkdir()
    for name, value in {
        "DATABASE_URL": database_url,
        "DROP_FOLDER": tmp_path / "drop",
        "LANDED_FOLDER": tmp_path / "landed",
        "STABLE_SECONDS": 0,
        "FIRST_LOAD": "load",
    }.items():
        monkeypatch.setenv(f"DISTRICT_{name}", str(value))
    settings.cache_clear()
    turn = Turn(folder=written[0], half=written[1], monkeypatch=monkeypatch)
    turn.send(next(turn.folder.glob("night_1/enrollment_*")))
    imported(turn.enrollment, turn.nights[0], "last night")
    yield turn
    settings.cache_clear()


def test_a_rehearsal_goes_from_sixty_to_a_hundred(turn: Turn) -> None:
    night = turn.nights[0]
    before = turn.hash_of(turn.year - 1)
    run = turn.rehearse(turn.half, night, "first")
    found = turn.ready(night)
    from district.rollover.show import print_readiness
    print(run); print_readiness(found); print(turn.told["schools"]); print(json.loads((turn.half/"rollover.json").read_text()))
    run = turn.rehearse(turn.folder, night + datetime.timedelta(days=1), "second")
    found = turn.ready(night)
    print(run); print_readiness(found)
    assert turn.hash_of(turn.year - 1) == before
    assert 0
