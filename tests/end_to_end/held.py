"""A night on which two schools' rows are wrong: they are held, the others load, people answer, and one load follows."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from live import Live, deliver
from nights import CHILDREN, District, Told

from district.demo.airflow_api import ApiFailed
from district.synthetic import Mishap

PERSON, OTHER = "data.person", "assessment.lead"
REASON = "Both schools checked; the annex closed."
MISHAPS = (
    Mishap(kind="lunch_code_typo", school_id="0101", night=4),
    Mishap(kind="half_missing", school_id="0102", night=4),
)


@dataclass(frozen=True, kw_only=True)
class HeldNight:
    """What the night brought, in its order."""

    night: str
    run_id: str
    standing_before: dict[str, int]
    standing_while_held: dict[str, int]
    standing_after: dict[str, int]
    asked: dict[str, Any]
    """The required action."""
    mails: list[EmailMessage]
    """All that went out while the question stood, the digest last."""
    told: Told
    """Those that wait for enrollment, while it is held."""
    refused: str
    """What Airflow said to somebody without the role."""
    asked_again: dict[str, Any]
    """The required action after an answer without a reason."""
    run: dict[str, Any]
    """The run at its end."""
    followers: dict[str, dict[str, Any]]
    """The runs of those that wait for enrollment, after the release."""


def bring_wrong_schools(live: Live, district: District) -> HeldNight:
    """Two schools are held; scheduler and triggerer are killed while a person is asked."""
    night = district.nights[3]
    known = {child: frozenset(run["dag_run_id"] for run in live.api.runs(child)) for child in CHILDREN}
    before, mails, told = _standing(live), len(live.mails()), Told()
    deliver(district.night(4), live.place.drop)
    run_id = live.trigger("enrollment", night)
    asked = wait_for_question(live, "enrollment", run_id)
    for child in CHILDREN:
        told.add(live, child, live.followed(child, night, known[child]))
        known[child] |= {told.runs[child]["dag_run_id"]}
    live.ended("nightly_digest", live.trigger("nightly_digest", night))
    sent, held = live.mails()[mails:], _standing(live)
    refused = _refused(live, run_id)
    live.airflow.api(PERSON).answer("enrollment", run_id, "review", "Approve", reason=" ")
    asked_again = wait_for_question(live, "enrollment", run_id, tries=2)
    live.kill("scheduler", "triggerer")
    live.airflow.api(PERSON).answer("enrollment", run_id, "review", "Approve", reason=REASON)
    live.start("scheduler", "triggerer")
    run = live.ended("enrollment", run_id)
    followers = {child: _next_run(live, child, night, known[child]) for child in CHILDREN}
    return HeldNight(
        night=night,
        run_id=run_id,
        standing_before=before,
        standing_while_held=held,
        standing_after=_standing(live),
        asked=asked,
        mails=sent,
        told=told,
        refused=refused,
        asked_again=asked_again,
        run=run,
        followers=followers,
    )


def wait_for_question(live: Live, dag: str, run_id: str, *, tries: int = 1) -> dict[str, Any]:
    """The required action of a run, once somebody can answer it."""

    def look() -> dict[str, Any] | None:
        task = live.tasks(dag, run_id)["review"]
        assert task["state"] not in ("failed", "skipped"), task["state"]
        asked = task["state"] == "awaiting_input" and task["try_number"] >= tries
        return live.question(dag, run_id) if asked else None

    return live.until(f"the question of {dag} {run_id}", look)


def _next_run(live: Live, dag: str, night: str, known: frozenset[str]) -> dict[str, Any]:
    return live.until(f"another run of {dag}", lambda: live.new_runs(dag, night, known))[0]


def _refused(live: Live, run_id: str) -> str:
    try:
        live.airflow.api(OTHER).answer("enrollment", run_id, "review", "Approve", reason=REASON)
    except ApiFailed as refused:
        return str(refused)
    return ""


def _standing(live: Live) -> dict[str, int]:
    """Enrollments that stand, by school."""
    query = "select school_id, count(*) as rows from district.enrollment where withdrawn_at is null group by 1"
    return {row["school_id"]: row["rows"] for row in live.rows(query)}
