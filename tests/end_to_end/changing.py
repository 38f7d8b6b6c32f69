"""A semester change, live: the nightly imports step aside, two people are asked, and then all is as before."""

from __future__ import annotations

import datetime
import json
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from live import Live, drop

from district.demo.airflow_api import ApiFailed
from district.settings import settings
from district.synthetic import generate

PERSON, SECOND = "data.person", "technology.lead"
REASON = "Compared with the registrar's lists."
NIGHTLY = ("enrollment", "attendance", "transcripts")
CHANGING = ("enrollment", "attendance")


@dataclass(kw_only=True)
class Changed:
    """What the nights brought."""

    before: str
    inside: str
    after: str
    """The nights, by their dates."""
    aside: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The nightly runs that stepped aside."""
    waiting: dict[str, str] = field(default_factory=dict)
    """Of the data set that waits: its tasks while enrollment waits for people."""
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    confirmed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The required actions of both people, by data set."""
    rows_while_asked: int = 0
    rows_before: int = 0
    refused: str = ""
    """What Airflow said to the first person, who wanted to confirm as well."""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The runs of the semester change, once they have ended."""
    back: dict[str, Any] = field(default_factory=dict)
    """Enrollment's nightly run of the night after."""


def bring_semester_change(live: Live, folder: Path) -> Changed:
    """A night before, one of the change, and the one after it."""
    facts = settings().district
    year = facts.years_of()[-1]
    begin = year.terms[1].begin
    days = sorted([*year.school_days_around(begin, before=3, after=4), begin])
    generate(folder, size=1_000, seed=3, nights=len(days), first_night=min(days))
    nights = list(json.loads((folder / "expected.json").read_text())["nights"])
    told = Changed(before=nights[0], inside=nights[1], after=nights[-1])
    _deliver(live, folder / "night_1")
    live.ended("enrollment", live.trigger("enrollment", told.before))
    for name in NIGHTLY[1:]:
        live.followed(name, told.before)
    told.rows_before = _standing(live)
    _deliver(live, folder / "night_2")
    told.aside["enrollment"] = live.ended("enrollment", live.trigger("enrollment", told.inside))
    told.aside |= {name: live.followed(name, told.inside) for name in NIGHTLY[1:]}
    runs = {name: live.trigger(f"{name}_semester_change", told.inside) for name in CHANGING}
    for name in CHANGING:
        dag = f"{name}_semester_change"
        told.asked[name] = wait_for_question(live, dag, runs[name], "acknowledge")
        if name == "enrollment":
            told.waiting = live.until("attendance to wait", lambda: _waiting(live, runs["attendance"]))
            told.rows_while_asked = _standing(live)
        form = _form(told.asked[name])
        settle(live, dag, runs[name], "acknowledge", PERSON, "Acknowledge", form)
        told.confirmed[name] = wait_for_question(live, dag, runs[name], "confirm")
        if name == "enrollment":
            told.refused = _refused(live, dag, runs[name])
        settle(live, dag, runs[name], "confirm", SECOND, "Confirm", {"reason": REASON})
        told.runs[name] = live.ended(dag, runs[name])
    for older in live.place.drop.iterdir():
        older.unlink()
    _deliver(live, folder / f"night_{len(nights)}")
    told.back = live.ended("enrollment", live.trigger("enrollment", told.after))
    return told


def _deliver(live: Live, night: Path) -> None:
    for file in night.iterdir():
        if file.is_file() and file.name.startswith(NIGHTLY):
            drop(file, live)


def wait_for_question(live: Live, dag: str, run_id: str, task_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        task = live.tasks(dag, run_id)[task_id]
        assert task["state"] not in ("failed", "upstream_failed", "skipped"), (task_id, task["state"])
        if task["state"] != "awaiting_input":
            return None
        quoted = urllib.parse.quote(run_id, safe="")
        return live.ask("GET", f"dags/{dag}/dagRuns/{quoted}/taskInstances/{task_id}/-1/hitlDetails")

    return live.until(f"the question {task_id} of {dag}", look)


def _waiting(live: Live, run_id: str) -> dict[str, str] | None:
    """The tasks of attendance, once it has looked for enrollment in vain."""
    states = live.states("attendance_semester_change", run_id)
    return states if states["extract"] == "up_for_reschedule" else None


def _form(asked: dict[str, Any]) -> dict[str, Any]:
    """The form of an acknowledgement, filled in."""
    rules = [name for name in asked["params"] if "." in name]
    until = str(settings().district.today() + datetime.timedelta(days=60))
    return {**dict.fromkeys(rules, REASON), "until": until, "growth": 10}


def settle(live: Live, dag: str, run_id: str, task_id: str, person: str, choice: str, form: dict[str, Any]) -> None:
    """Answers, and again if it is asked again.

    Airflow may take the end of the process that asked for the end of the task, where the answer comes within a second:
    then the next try asks anew, since the record holds nothing yet.
    """
    answered: set[int] = set()

    def look() -> bool:
        task = live.tasks(dag, run_id)[task_id]
        if task["state"] == "awaiting_input" and task["try_number"] not in answered:
            answered.add(task["try_number"])
            live.airflow.api(person).answer(dag, run_id, task_id, choice, **form)
        return task["state"] in ("success", "skipped")

    live.until(f"{task_id} of {dag} to end", look)


def _refused(live: Live, dag: str, run_id: str) -> str:
    try:
        live.airflow.api(PERSON).answer(dag, run_id, "confirm", "Confirm", reason=REASON)
    except ApiFailed as refused:
        return str(refused)
    return ""


def _standing(live: Live) -> int:
    (row,) = live.rows("select max(import_run_id) as newest from district.enrollment")
    return int(row["newest"])
