"""Past administrations are imported beside a night that goes on: by Airflow's command line and by its REST API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from live import Live, deliver, drop
from nights import CHILDREN, District, Told, begin_again

from district.demo.nights import NightRun
from district.settings import settings

DATASET = "state_assessments"
BY_COMMAND, BETWEEN, BY_REST = "2023-24_spring", "2024-25_fall", "2024-25_spring"


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """An administration that was imported later, and digests of the rows that are none of its business."""

    administration: str
    logged: NightRun
    others: tuple[str, str]
    beside: list[str]
    """The DAGs whose nightly runs went on when it began."""


@dataclass(frozen=True, kw_only=True)
class MendedNight:
    """The refused night with the right file, and the administration that was imported beside it."""

    told: Told
    backfill: Backfill


def mend_and_backfill(live: Live, district: District, refused: Told) -> MendedNight:
    """The right enrollment arrives and its `extract` is cleared; beside what follows, an administration is imported."""
    night, told = district.nights[1], Told()
    deliver(district.folder / "past", live.place.drop)
    drop(district.extract(2, "enrollment"), live)
    seen = {child: frozenset(run["dag_run_id"] for run in live.runs(child, night)) for child in CHILDREN}
    mended = refused.runs["enrollment"]["dag_run_id"]
    begin_again(live, "enrollment", mended)
    going_on = ("enrollment", *CHILDREN)
    backfill = _beside(live, BY_COMMAND, going_on, lambda: _command(live, BY_COMMAND, BY_COMMAND))
    told.add(live, "enrollment", live.ended("enrollment", mended))
    for child in CHILDREN:
        told.add(live, child, live.followed(child, night, seen[child]))
    return MendedNight(told=told, backfill=backfill)


def backfill_by_rest(live: Live, district: District) -> Backfill:
    """An administration is imported while scores of the current one are, and those that follow enrollment."""
    live.until("the end of the first backfill", lambda: _idle(live))
    drop(district.extract(3, DATASET), live)
    scores = live.trigger(DATASET, _current(district))
    live.until("the scores to begin", lambda: live.run(DATASET, scores)["state"] == "running")
    beside = (DATASET, *CHILDREN)
    backfill = _beside(live, BY_REST, beside, lambda: _rest(live, BY_REST), but=_current(district))
    assert live.ended(DATASET, scores)["state"] == "success"
    return backfill


def _current(district: District) -> str:
    return str(district.expected["nights"][district.nights[0]][DATASET]["partition"])


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Both backfills once more, with the administration between them: digests of the rows, and what was logged."""

    before: str
    after: str
    logged: dict[str, NightRun]


def repeat(live: Live) -> Repeated:
    """One command for the whole time, runs that succeeded included."""
    others = "administration <> :between"
    live.until("the end of the second backfill", lambda: _idle(live))
    before = live.table_hash(DATASET, others, between=BETWEEN)
    imports = len(live.rows("select id from import_log.import_run"))
    _command(live, BY_COMMAND, BY_REST, "--reprocess-behavior", "completed")
    wanted = (BY_COMMAND, BETWEEN, BY_REST)
    query = "select id from import_log.import_run where finished_at is not null"
    live.until("three imports", lambda: len(live.rows(query)) == imports + len(wanted))
    runs = {each: live.followed(DATASET, each)["dag_run_id"] for each in wanted}
    logged = {each: live.logged(DATASET, run_id) for each, run_id in runs.items()}
    return Repeated(before=before, after=live.table_hash(DATASET, others, between=BETWEEN), logged=logged)


def _beside(
    live: Live, administration: str, dags: tuple[str, ...], begin: Callable[[], None], but: str = ""
) -> Backfill:
    """Imports an administration; ``but`` names the one that a nightly run is changing at the same time."""
    others, values = "administration not in (:mine, :but)", {"mine": administration, "but": but}
    before = live.table_hash(DATASET, others, **values)
    begin()
    run = live.followed(DATASET, administration)
    beside = [dag for dag in dags if any(_overlap(run, other) for other in live.api.runs(dag))]
    after = live.table_hash(DATASET, others, **values)
    logged = live.logged(DATASET, run["dag_run_id"])
    return Backfill(administration=administration, logged=logged, others=(before, after), beside=beside)


def _overlap(run: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two runs went on at the same time; a run that has not ended is still going on."""
    if run["dag_run_id"] == other["dag_run_id"] or not other["start_date"]:
        return False
    return other["start_date"] <= run["end_date"] and (other["end_date"] or "~") >= run["start_date"]


def _command(live: Live, first: str, last: str, *options: str) -> None:
    dates = ("--from-date", _testing_began(first), "--to-date", _testing_began(last))
    live.command("backfill", "create", "--dag-id", DATASET, *dates, *options)


def _rest(live: Live, administration: str) -> None:
    day = f"{_testing_began(administration)}T00:00:00Z"
    options = {"max_active_runs": 2, "reprocess_behavior": "none", "run_backwards": False, "dag_run_conf": {}}
    live.ask("POST", "backfills", {"dag_id": DATASET, "from_date": day, "to_date": day, **options})


def _testing_began(administration: str) -> str:
    (each,) = (each for each in settings().district.administrations if each.key == administration)
    return each.test_begin.isoformat()


def _idle(live: Live) -> bool:
    """A DAG has one backfill at a time, and Airflow takes half a minute to see that one is done."""
    return all(each["completed_at"] for each in live.ask("GET", f"backfills?dag_id={DATASET}")["backfills"])
