"""What tests of holds share: a night on which a school has lost half of its rows, and what people say to it."""

from __future__ import annotations

from typing import Any

from district import pipeline
from district.run import Held
from importing import CHILDREN, CLUBS, FTE_RULE, Outcome, Place, children, clubs, csv_bytes, decide

# The second of the two schools of the first night has lost half of its rows; the first has a new child.
HALF = [row for row in children(41) if row["school_id"] == "0100" or int(row["student_id"]) > 7000020]

# The other way round.
OTHER_HALF = [row for row in children(41) if row["school_id"] == "0101" or int(row["student_id"]) > 7000020]

# A rule of the suite that holds the delivery as a whole.
TOO_FEW = {
    "type": "expect_table_row_count_to_be_between",
    "kwargs": {"min_value": 100},
    "meta": FTE_RULE["meta"] | {"rule_id": "children.rows", "title": "Too few rows", "on_fail": "hold"},
}

KEY = "night-2"


def half_missing(place: Place, *, run_key: str = KEY, **how: Any) -> Outcome:
    return place.night(csv_bytes(HALF), run_key=run_key, **{"night": "2026-11-20", **how})


def say(run_key: str = KEY, **how: Any) -> None:
    said = {"choice": "approve", "person": "Pat", "role": "data_person", "reason": "The school was split."} | how
    decide(CHILDREN, run_key, **said)


def of_school(place: Place, school: str) -> set[str]:
    return {row["student_id"] for row in place.standing().values() if row["school_id"] == school}


def states(place: Place) -> list[str]:
    return [row["state"] for row in place.rows("select state from import_log.hold order by id")]


def released(run_key: str = KEY) -> str:
    """What a release comes to: its state, or the rule by which it is refused."""
    try:
        return pipeline.release(CHILDREN, run_key=run_key).state
    except Held as held:
        return held.rule_id


TAMPERED = {
    "no record": "delete from import_log.hold; delete from import_log.decision",
    "another file": "update import_log.decision set sha256 = repeat('0', 64)",
    "another data set": "update import_log.decision set dataset = 'parents'",
    "expired": "update import_log.decision set expires_at = now() - interval '1 second'",
    "a role that may not": "update import_log.decision set role = 'technology_lead'",
    "nobody": "update import_log.decision set person = ' '",
    "no reason": "update import_log.decision set reason = E' \\n'",
    "rejected": "update import_log.decision set choice = 'reject'",
    "another kind": "update import_log.decision set kind = 'undo'",
    "used by another run": "update import_log.decision set used_by = 1",
    "of rows that were judged otherwise": "update import_log.decision set rules = ''",
    "a school in place of schools": "update import_log.decision set schools = '\"0101\"'",
    "a number in place of schools": "update import_log.decision set schools = '5'",
    "schools within schools": "update import_log.decision set schools = '[[\"0101\"]]'",
    "nothing in place of schools": "update import_log.decision set schools = 'null'",
    "about another hold": "update import_log.hold set decision_id = null",
}


def clubs_of(place: Place, numbers: list[int], *, age: float = 7200, **how: Any) -> Outcome:
    place.drop(clubs(*numbers), "clubs_1.csv", age=age)
    return place.run(CLUBS, **how)
