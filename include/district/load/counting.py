"""Counting: what a run's findings come to in each school, and what earlier nights lead to expect of it."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, Row, Text, and_, case, cast, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on

from district.dataset import Dataset
from district.import_log import judged_as, speaks_for
from district.review.holds import held_schools
from district.review.tables import UNLISTED, WHOLE, decision, school_change
from district.tables import finding_table, import_issue, import_run, staging_table

SCHOOL = "school_id"
# The nights whose median is what usually comes, and the fewest that have one.
USUAL_NIGHTS = 10
FEWEST_NIGHTS = 3
# A date of last year is compared with the nearest night of this many days around it: last year's was a weekend.
AROUND = datetime.timedelta(days=7)
_READ = school_change.c.new + school_change.c.changed + school_change.c.unchanged + school_change.c.rejected


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the findings come to in one school."""

    rejected: int = 0
    superseded: int = 0
    orphans: int = 0
    unknown_codes: int = 0
    new_codes: int = 0


def school_of(rows: Any, schools: Collection[str] | None) -> ColumnElement[str]:
    """The school of a row; ``UNLISTED`` where it is none of these, ``WHOLE`` where the data set tells none apart.

    What stands in a school's place need not be one: a name may have slid into the column, and must not be told.
    """
    if schools is None:
        return cast(WHOLE, Text)
    return case((rows.c[SCHOOL].in_(schools), rows.c[SCHOOL]), else_=UNLISTED)


def found_by_school(
    connection: Connection, dataset: Dataset, run_id: int, last: Row[Any] | None, schools: Collection[str] | None
) -> dict[str, Found]:
    """The staged rows in which something was found, by school; a row of none of these ``schools`` counts to none.

    A code is new that the ``last`` load of the same rows did not know of. Where that load held a school, nobody has
    accepted its codes; and where there was none, there is nothing that could be new.
    """
    findings, staged = finding_table(dataset, run_id), staging_table(dataset, run_id)
    coded = findings.c.rule_id.in_([f"{dataset.name}.{column.name}.code" for column in dataset.coded])
    known, held = _known_codes(connection, last), held_schools(connection, last.id) if last is not None else frozenset()
    fresh = coded & ~or_(
        findings.c.rule_id.in_([rule_id for rule_id, cause in known if not cause]),
        tuple_(findings.c.rule_id, findings.c.cause).in_(known),
    )
    rows = (
        select(
            findings.c.row_no,
            func.bool_or(findings.c.fate == "reject").label("rejected"),
            func.bool_or(findings.c.fate == "supersede").label("superseded"),
            func.bool_or(findings.c.rule_id.startswith(f"{dataset.name}.parent.")).label("orphan"),
            func.bool_or(coded).label("code"),
            func.bool_or(fresh).label("fresh"),
        )
        .group_by(findings.c.row_no)
        .subquery()
    )
    found = rows.c
    school = school_of(staged, schools)
    query = select(
        school,
        func.count().filter(found.rejected),
        func.count().filter(found.superseded, ~found.rejected),
        func.count().filter(found.orphan),
        func.count().filter(found.code),
        func.count().filter(found.fresh),
    ).select_from(rows.join(staged, staged.c.row_no == found.row_no))
    return {
        name: Found(
            rejected=rejected,
            superseded=superseded,
            orphans=orphans,
            unknown_codes=codes,
            new_codes=0 if last is None else codes if name in held else new,
        )
        for name, rejected, superseded, orphans, codes, new in connection.execute(query.group_by(school))
    }


def _known_codes(connection: Connection, last: Row[Any] | None) -> list[tuple[str, str]]:
    """Rule and code of the unknown codes that a load has told of; without a code where they were told of as a sum."""
    if last is None:
        return []
    query = select(import_issue.c.rule_id, import_issue.c.cause).where(
        import_issue.c.import_run_id == last.id, import_issue.c.rule_id.endswith(".code")
    )
    return [(rule_id, cause) for rule_id, cause in connection.execute(query)]


def usual_counts(connection: Connection, dataset: Dataset, run: Row[Any]) -> dict[str, int]:
    """How many rows of each school usually come: the median of the last nights that loaded them.

    A load that a person let a school through for is a new beginning of that school: what came before it is no measure
    any more. A release and the run whose held rows it loads are one night.
    """
    same = and_(
        speaks_for(dataset, run.partition, run.scope), import_run.c.state == "loaded", import_run.c.id != run.id
    )
    school = school_change.c.school_id
    let_through = func.jsonb_exists(decision.c.schools, school) | func.jsonb_exists(decision.c.schools, WHOLE)
    begins = (
        select(func.max(import_run.c.id))
        .join(decision, decision.c.used_by == import_run.c.id)
        .where(same, decision.c.kind == "review", let_through)
        .correlate(school_change)
    )
    nights = _nights(dataset)
    night = nights.c.night
    loads = (
        select(school, night, _READ.label("read"))
        .ext(distinct_on(school, night))
        .select_from(school_change.join(import_run))
        .join(nights, nights.c.id == import_run.c.id)
        .where(same, ~school_change.c.held, import_run.c.id >= func.coalesce(begins.scalar_subquery(), 0))
        .order_by(school, night, import_run.c.id.desc())
        .subquery()
    )
    newest = func.row_number().over(partition_by=loads.c.school_id, order_by=loads.c.night.desc())
    last = select(loads.c.school_id, loads.c.read, newest.label("nth")).subquery()
    median = func.percentile_disc(0.5).within_group(last.c.read)
    query = select(last.c.school_id, median).where(last.c.nth <= USUAL_NIGHTS).group_by(last.c.school_id)
    return {str(school): int(rows) for school, rows in connection.execute(query.having(func.count() >= FEWEST_NIGHTS))}


def _nights(dataset: Dataset) -> CTE:
    """Each run with the one that it, or the release that it releases in its turn, began with."""
    own = select(import_run.c.id, import_run.c.id.label("night")).where(
        import_run.c.dataset == dataset.name, import_run.c.about_id.is_(None)
    )
    nights = own.cte("nights", recursive=True)
    return nights.union_all(select(import_run.c.id, nights.c.night).join(nights, import_run.c.about_id == nights.c.id))


def counts_of_last_year(connection: Connection, dataset: Dataset, run: Row[Any]) -> dict[str, int]:
    """How many rows of each school came about this date a year ago; a rehearsal's were not those of that night."""
    if dataset.partition != "night" or judged_as(connection, run) == "rehearsal":
        return {}
    day = run.night - datetime.timedelta(days=365)
    distance = func.abs(import_run.c.night - day)
    nearest = func.row_number().over(
        partition_by=school_change.c.school_id, order_by=(distance, import_run.c.id.desc())
    )
    nights = (
        select(school_change.c.school_id, _READ.label("read"), nearest.label("nth"))
        .join(import_run)
        .where(
            import_run.c.dataset == dataset.name,
            import_run.c.state == "loaded",
            ~import_run.c.unnoticed,
            ~school_change.c.held,
            import_run.c.night.between(day - AROUND, day + AROUND),
        )
        .subquery()
    )
    query = select(nights.c.school_id, nights.c.read).where(nights.c.nth == 1)
    return {str(school): int(rows) for school, rows in connection.execute(query)}
