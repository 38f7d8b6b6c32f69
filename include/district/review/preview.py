"""The preview: what a load would do to each school, and why it is held, for a terminal and for Airflow's UI."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from district.review.holds import Review
from district.review.judgement import SchoolChange
from district.review.tables import WHOLE

if TYPE_CHECKING:
    from rich.console import Console

# Schools and issues that are shown; the others are counted.
SHOWN = 25
ISSUES_SHOWN = 5
_COLUMNS = ("standing", "new", "changed", "unchanged", "gone", "rejected")


def as_markdown(review: Review) -> str:
    """The review as the body of a required action in Airflow."""
    what = "Nothing of it has loaded." if review.state == "held" else "The other schools have loaded."
    until = f"{review.expires_at:%Y-%m-%d %H:%M %Z}"
    lines = [
        f"**{review.dataset}** of {review.partition}, from `{review.file_name}`. {what}",
        "",
        "**Why it is held**",
        "",
        *[f"- {reason} (`{reason.rule_id}`)" for reason in review.reasons[:SHOWN]],
        *_more(len(review.reasons), SHOWN, "reasons"),
        "",
        *schools_as_markdown(review.schools, review.held),
    ]
    if review.issues:
        lines += ["", "**Its issues with the most rows**", ""]
        lines += [each.line for each in review.issues[:ISSUES_SHOWN]]
    approve = "Approve loads what is held"
    if "without" in review.choices:
        approve += "; without loads all but the schools that are marked"
    lines += ["", f"{approve}; reject keeps the rows that the table has. Undecided by {until}, they are kept too."]
    lines += [
        "",
        f"Delivery `{review.sha256[:12]}`, run {review.run_id}; `district status {review.dataset}` tells more.",
    ]
    return "\n".join(lines)


def schools_as_markdown(schools: Collection[SchoolChange], held: Collection[str] = frozenset()) -> list[str]:
    """What a load would do to each school, as the lines of a table."""
    lines = ["| school | " + " | ".join(_COLUMNS) + " | |", "|---|" + "---:|" * len(_COLUMNS) + "---|"]
    for name, school, mark in _table(schools, held):
        lines.append(f"| {name} | " + " | ".join(f"{getattr(school, each):,}" for each in _COLUMNS) + f" | {mark} |")
    return lines + _more(len(schools), SHOWN, "schools")


def print_preview(console: Console, schools: Collection[SchoolChange], held: Collection[str]) -> None:
    """The same table of schools on a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("school", no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for name, school, mark in _table(schools, held):
        table.add_row(escape(name), *(f"{getattr(school, each):,}" for each in _COLUMNS), f"[yellow]{mark}[/]")
    console.print(table)
    for line in _more(len(schools), SHOWN, "schools"):
        console.print(line)


def _table(schools: Collection[SchoolChange], held: Collection[str]) -> list[tuple[str, SchoolChange, str]]:
    """Each school's name, counts and mark: those that are held first, then those of which most would change."""
    order = sorted(
        schools, key=lambda each: (each.school_id not in held, -(each.gone + each.new + each.changed), each.school_id)
    )
    return [
        (each.school_id or "(other schools)", each, "held" if each.school_id in held or held == {WHOLE} else "")
        for each in order[:SHOWN]
    ]


def _more(count: int, shown: int, what: str) -> list[str]:
    return ["", f"and {count - shown:,} more {what}"] if count > shown else []
