"""What a rollover is judged by, counted per school in a few queries: children, grades, ids, codes. Counts only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB, distinct_on

from district.dataset import Dataset
from district.load.schools import known_schools
from district.review.tables import school_change
from district.tables import crosswalk, import_run, target_table

GRADES = ("PK", "TK", "KG", *(f"{grade:02d}" for grade in range(1, 13)))
"""Standard grade levels in the order in which children go through them; after the last they graduate."""
STAYED = "End of school year"
"""The standard exit type of an enrollment that merely ended with the year."""
GRADUATED = "Graduated"


@dataclass(kw_only=True)
class Counted:
    """What was counted of the year that ends and the one that comes, by school."""

    matrix: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Children by this year's school, grade and next year's grade; '' for those without an enrollment."""
    rows: Counter[str] = field(default_factory=Counter)
    """Enrollments of this year."""
    open: Counter[str] = field(default_factory=Counter)
    """Of these, those that have not ended."""
    coming: Counter[str] = field(default_factory=Counter)
    """Enrollments of next year."""
    without_state_id: Counter[str] = field(default_factory=Counter)
    reused: Counter[str] = field(default_factory=Counter)
    """Next year's children whose number belonged to a child with another birth date."""
    sent: Counter[str] = field(default_factory=Counter)
    """Rows of the newest rehearsal."""
    rejected: Counter[str] = field(default_factory=Counter)
    unknown_codes: Counter[str] = field(default_factory=Counter)
    """Of the rejected rows, those with a code that nobody has mapped for next year."""
    held: Counter[str] = field(default_factory=Counter)
    """Rows that wait because their school is held."""
    codes: Counter[str] = field(default_factory=Counter)
    """Codes that the school uses this year."""
    ending: Counter[str] = field(default_factory=Counter)
    """Of these, those without an entry in the crosswalk for next year."""
    ending_codes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Their names, as ``column code``; those of personal columns are only counted."""

    @property
    def schools(self) -> frozenset[str]:
        """Every school that has or sends rows of either year; a name in the school's column is none, and not told."""
        return known_schools(self.rows + self.coming + self.sent)


def count(connection: Connection, enrollment: Dataset, ending: int, coming: int) -> Counted:
    """Counts all that the checks ask for; ``ending`` and ``coming`` are the two school years."""
    found = Counted()
    _count_children(connection, enrollment, ending, coming, found)
    _count_coming(connection, enrollment, coming, found)
    _count_sent(connection, enrollment, coming, found)
    _count_codes(connection, enrollment, ending, coming, found)
    return found


def _count_children(connection: Connection, enrollment: Dataset, ending: int, coming: int, found: Counted) -> None:
    table = target_table(enrollment)
    standing = table.c.withdrawn_at.is_(None)
    columns = [table.c[name] for name in ("student_id", "school_id", "grade_level")]
    newest = (table.c.student_id, table.c.entry_date.desc(), table.c.school_id)

    def last_of(year: int, *where: Any) -> Any:
        query = select(*columns).where(standing, table.c.school_year == year, *where)
        return query.ext(distinct_on(table.c.student_id)).order_by(*newest)

    there = or_(table.c.exit_date.is_(None), table.c.exit_type.in_((STAYED, GRADUATED)))
    now, then = last_of(ending, there).subquery("now"), last_of(coming).subquery("then")
    matrix = select(now.c.school_id, now.c.grade_level, func.coalesce(then.c.grade_level, ""), func.count())
    matrix = matrix.select_from(now.outerjoin(then, now.c.student_id == then.c.student_id))
    for school, grade, next_grade, children in connection.execute(matrix.group_by(*matrix.selected_columns[:3])):
        found.matrix[school, grade or "", next_grade] = children
    totals = select(table.c.school_id, func.count(), func.count().filter(table.c.exit_date.is_(None)))
    for school, rows, still_open in connection.execute(
        totals.where(standing, table.c.school_year == ending).group_by(table.c.school_id)
    ):
        found.rows[school], found.open[school] = rows, still_open


def _count_coming(connection: Connection, enrollment: Dataset, coming: int, found: Counted) -> None:
    table = target_table(enrollment)
    earlier = table.alias("earlier")
    other = and_(
        earlier.c.student_id == table.c.student_id,
        earlier.c.school_year < coming,
        earlier.c.withdrawn_at.is_(None),
        earlier.c.birth_date != table.c.birth_date,
    )
    reused = func.count().filter(select(literal(1)).where(other).exists())
    query = select(table.c.school_id, func.count(), func.count().filter(table.c.state_student_id.is_(None)), reused)
    query = query.where(table.c.withdrawn_at.is_(None), table.c.school_year == coming).group_by(table.c.school_id)
    for school, rows, without, again in connection.execute(query):
        found.coming[school], found.without_state_id[school], found.reused[school] = rows, without, again


def _count_sent(connection: Connection, enrollment: Dataset, coming: int, found: Counted) -> None:
    """What the newest judged delivery of the coming year held, and what of it did not load."""
    judged = select(func.max(import_run.c.id)).where(
        import_run.c.dataset == enrollment.name,
        import_run.c.scope == literal([[str(coming)]], JSONB),
        import_run.c.state.in_(("loaded", "held")),
        import_run.c.id.in_(select(school_change.c.import_run_id)),
    )
    change = school_change.c
    for row in connection.execute(select(school_change).where(change.import_run_id == judged.scalar_subquery())):
        school = row.school_id
        found.sent[school] = row.new + row.changed + row.unchanged + row.rejected
        found.rejected[school], found.unknown_codes[school] = row.rejected, row.unknown_codes
        found.held[school] = row.new + row.changed if row.held else 0


def _count_codes(connection: Connection, enrollment: Dataset, ending: int, coming: int, found: Counted) -> None:
    table = target_table(enrollment)
    for column in enrollment.coded:
        code = table.c[column.name]
        mapped = select(literal(1)).where(
            crosswalk.c.code_set == column.code_set,
            crosswalk.c.source_system == enrollment.layout.source,
            crosswalk.c.local_code == code,
            literal(coming).between(crosswalk.c.school_year_from, crosswalk.c.school_year_to),
        )
        query = select(table.c.school_id, code.label("code"), (~mapped.exists()).label("ends"))
        query = query.where(table.c.withdrawn_at.is_(None), table.c.school_year == ending, code.is_not(None))
        for school, used, ends in connection.execute(query.group_by(table.c.school_id, code)):
            found.codes[school] += 1
            found.ending[school] += ends
            if ends and not column.personal:
                found.ending_codes[school].add(f"{column.name} {used}")


def is_usual(grade: str, next_grade: str) -> bool:
    """Whether a child may go from one grade to another over a summer: on to the next, or once more in the same."""
    if grade not in GRADES or next_grade not in GRADES:
        return True  # an ungraded child, or one beyond school
    steps = GRADES.index(next_grade) - GRADES.index(grade)
    return steps in (0, 1) or (grade, next_grade) == ("PK", "KG")


def by_school(matrix: Counter[tuple[str, str, str]], school: str) -> Iterator[tuple[str, str, int]]:
    """A school's part of the promotion matrix."""
    return ((grade, then, children) for (name, grade, then), children in matrix.items() if name == school)
