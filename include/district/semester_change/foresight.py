"""What a load would do to each school is looked at before anybody confirms it: the checks of a semester change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Row

from district.calendar.strictness import gate_for
from district.database import engine
from district.dataset import Dataset
from district.import_log import update_run
from district.issues import count_warnings, record_issue
from district.load.batch import Batch
from district.load.deciding import Decider
from district.review.holds import record_changes
from district.review.judgement import Judgement, SchoolChange
from district.validate.rules import Rule

# Of a school's rows: so many may go at a semester change, or so large a share, unseen.
FEW_ROWS, SMALL_SHARE = 50, 0.05
# The rows that came, beside those of the last nights and of a year ago, when the same term began.
USUAL_SHARE, LAST_YEAR_SHARE = 0.05, 0.15


def foresee(dataset: Dataset, run: Row[Any], last: Row[Any] | None) -> None:
    """Writes down what the load would do to each school, and warns of what a semester change gets wrong."""
    share = gate_for(dataset, run.night).updated
    with engine().connect() as connection, connection.begin() as transaction:
        schools = Decider(Batch(connection, dataset, run)).changes(last, share=share).schools
        transaction.rollback()
    with engine().begin() as connection:
        record_changes(connection, run.id, schools, Judgement(reasons=(), held=frozenset(), whole=False))
        for rule, school, rows in judge_schools(dataset, schools):
            record_issue(
                connection, dataset, run.id, rule, rows=rows, first_line=None, stage="validate", cause=school.school_id
            )
        update_run(connection, run.id, warnings=count_warnings(connection, run.id))


def judge_schools(dataset: Dataset, schools: Iterable[SchoolChange]) -> Iterator[tuple[Rule, SchoolChange, int]]:
    """The warnings of a semester change that follow from counts: the rule, the school, and how many rows."""
    rules = change_rules(dataset)
    for school in schools:
        usual, last_year = (_difference(school.read, before) for before in (school.usual, school.last_year))
        for name, rows, unseen in (
            ("vanished", school.gone, min(FEW_ROWS, SMALL_SHARE * school.standing)),
            ("new_codes", school.new_codes, 0),
            ("unusual", usual, max(FEW_ROWS, USUAL_SHARE * school.usual)),
            ("last_year", last_year, max(FEW_ROWS, LAST_YEAR_SHARE * school.last_year)),
        ):
            if rows > unseen:
                yield rules[name], school, rows


def _difference(now: int, before: int) -> int:
    """Rows more or fewer than before, 0 where nobody knows how many there were."""
    return abs(now - before) if before else 0


def change_rules(dataset: Dataset) -> dict[str, Rule]:
    """The rules on counts that every data set has at semester change, by the last part of their ids."""
    told = {
        "vanished": ("Rows of a school vanish at the semester change",
                     "Find out whether the SIS ended or deleted them; sections are ended, never deleted."),
        "new_codes": ("A school uses codes that nobody has mapped, and did not before",
                      "Map the code in the crosswalk, or correct it in the SIS, before the new term begins."),
        "unusual": ("A school sends another number of rows than in the last ten nights",
                    "Compare it with the SIS: a term may be missing at this school, or sent twice."),
        "last_year": ("A school sends another number of rows than a year ago",
                      "Compare it with last year's semester change; say what is different this year."),
    }  # fmt: skip
    return {
        name: Rule(
            rule_id=f"{dataset.name}.semester.{name}",
            severity="warning",
            title=title,
            fix=fix,
            owner=dataset.owner,
            on_fail="report",
        )
        for name, (title, fix) in told.items()
    }
