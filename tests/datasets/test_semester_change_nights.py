"""A semester change of a synthetic district, from the night before to the night after, by the project's own suites."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from district.catalog import read_datasets
from district.database import engine
from district.dataset import Dataset
from district.import_log import find_run
from district.pipeline import close, extract, load, validate
from district.review.acknowledgements import acknowledge, new_warnings
from district.run import Aside, Held, NotArrived
from district.semester_change.confirmation import confirm
from district.semester_change.question import pending
from district.settings import settings
from district.synthetic import generate

NAMES = ("enrollment", "attendance", "transcripts")


@pytest.fixture
def drop(district_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty drop folder, beside an empty database."""
    folder = tmp_path / "drop"
    folder.mkdir()
    monkeypatch.setenv("DISTRICT_DROP_FOLDER", str(folder))
    monkeypatch.setenv("DISTRICT_LANDED_FOLDER", str(tmp_path / "landed"))
    monkeypatch.setenv("DISTRICT_STABLE_SECONDS", "0")
    monkeypatch.setenv("DISTRICT_FIRST_LOAD", "load")
    settings.cache_clear()
    return folder


def nightly(dataset: Dataset, night: str) -> str:
    """The nightly import of a data set that has semester changes; its state."""
    key = f"nightly-{night}"
    try:
        extract(dataset, partition=night, run_key=key, steps_aside=True)
        validate(dataset, run_key=key)
        return load(dataset, run_key=key).state
    except Aside:
        return "aside"
    finally:
        close(dataset, run_key=key)


def changed(dataset: Dataset, night: str) -> tuple[str, list[str]]:
    """The semester change of a data set: two people do what they are asked; the state, and what was acknowledged."""
    key = f"change-{night}"
    extract(dataset, partition=night, run_key=key, kind="semester_change")
    validate(dataset, run_key=key)
    with pytest.raises(Held) as stopped:
        load(dataset, run_key=key)
    with engine().connect() as connection:
        run = find_run(connection, dataset, key)
        assert run is not None
        new = new_warnings(connection, dataset, run)
    assert stopped.value.rule_id == f"semester_change.{'warnings' if new else 'confirmation'}"
    until = settings().district.today() + datetime.timedelta(days=60)
    for each in new:
        about: Any = {"person": "data.person", "role": "data_person", "reason": "Looked at with the registrar."}
        acknowledge(dataset, each.rule_id, expires_on=until, ceiling=2 * each.rows + 20, **about)
    lead: Any = {"person": "technology.lead", "role": "technology_lead", "reason": "Compared with the SIS."}
    asked = pending(dataset, key)
    assert asked is not None
    confirm(dataset, run.id, choice="approve", shown=asked.shown, **lead)
    summary = load(dataset, run_key=key)
    close(dataset, run_key=key)
    assert summary.read == summary.loaded + summary.rejected + summary.superseded + summary.held
    return summary.state, [each.rule_id for each in new]


def test_from_the_night_before_to_the_night_after(drop: Path, tmp_path: Path) -> None:
    year = settings().district.years_of()[-1]
    begin = year.terms[1].begin
    days = [*year.school_days_around(begin, before=3, after=4), begin]
    district = tmp_path / "district"
    generate(district, size=1_000, seed=3, nights=len(days), first_night=min(days))
    expected = json.loads((district / "expected.json").read_text())
    datasets = read_datasets(settings().dags_folder)
    told: dict[str, dict[str, Any]] = {}
    for number, (night, runs) in enumerate(expected["nights"].items(), start=1):
        for older in drop.iterdir():
            older.unlink()
        for name in NAMES:
            shutil.copy(district / f"night_{number}" / runs[name]["file"], drop)
        told[night] = {name: nightly(datasets[name], night) for name in NAMES}
        if "aside" in told[night].values():
            with pytest.raises(NotArrived, match="has not loaded yet; it waits for people"):
                extract(datasets["attendance"], partition=night, run_key=f"change-{night}", kind="semester_change")
            told[night] = {name: changed(datasets[name], night) for name in NAMES}
    nights = list(told)
    assert [set(told[night].values()) for night in (nights[0], nights[-1])] == [{"loaded"}, {"loaded"}]
    inside = [told[night] for night in nights[1:-1]]
    assert len(inside) == 6
    assert all(state == "loaded" for night in inside for state, _ in night.values())
    # Known since the first night, but for what the first night of the new term brings: a term's marks at once.
    assert [night["transcripts"][1] for night in inside] == [[], [], ["transcripts.semester.unusual"], [], [], []]
    assert all(new == [] for night in inside[1:] for name in NAMES[:2] for new in [night[name][1]])
    query = text("select count(*) filter (where kind = 'semester_change' and state = 'loaded') as loaded, "
                 "count(*) filter (where state = 'aside') as aside from import_log.import_run")  # fmt: skip
    with engine().connect() as connection:
        assert connection.execute(query).one() == (18, 18)
