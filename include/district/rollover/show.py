"""The readiness as people read it: on a terminal, in Airflow, in a mail. Counts, schools and codes, never a child."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from district.counted import are, counted
from district.rollover.checks import GRADES
from district.rollover.readiness import PARTS, Line, Readiness

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 25


def headline(found: Readiness) -> str:
    """The readiness in one sentence."""
    open_points = len([line for line in found.checklist if line.part])
    ready = len([score for score in found.schools.values() if score == 1])
    return (
        f"School year {found.school_year} is {found.score:.0%} ready: {ready} of "
        f"{counted(len(found.schools), 'school')} {'has' if ready == 1 else 'have'} everything, "
        f"{are(open_points, 'point')} open."
    )


def as_markdown(found: Readiness, shown: int = SHOWN) -> str:
    """The checklist for Airflow: a run's note, and the body of the question whether to turn the year."""
    lines = [
        f"**{headline(found)}**",
        "",
        "| school | ready | " + " | ".join(PARTS) + " |",
        "|---|---:|---:|---:|---:|",
    ]
    worst = sorted(found.schools.items(), key=lambda item: (item[1], item[0]))
    for school, score in worst[:shown]:
        parts = " | ".join(f"{found.part(school, part):.0%}" for part in PARTS)
        lines.append(f"| {school} | {score:.0%} | {parts} |")
    lines += _more(len(worst), shown, "school")
    if found.checklist:
        lines += ["", *(f"- {point(line)}" for line in found.checklist[:shown])]
        lines += _more(len(found.checklist), shown, "point", ": `district readiness`")
    return "\n".join(lines)


def as_text(found: Readiness, shown: int = SHOWN) -> str:
    """The checklist for a mail."""
    return "\n".join(
        [
            headline(found),
            "",
            *(f"- {point(line)}" for line in found.checklist[:shown]),
            *_more(len(found.checklist), shown, "point", ": `district readiness`"),
        ]
    )


def point(line: Line) -> str:
    """A point of the checklist."""
    return f"School {line.school_id}, {line.check}, {line.missing:,} missing: {line.what} ({line.owner})"


def print_readiness(found: Readiness, console: Console | None = None) -> None:
    """The schools with their scores, the checklist and the promotion matrix on a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console as NewConsole
    from rich.markup import escape
    from rich.table import Table

    console = console or NewConsole()
    console.print(headline(found))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for name in ("school", "ready", *PARTS):
        table.add_column(name, justify="left" if name == "school" else "right", no_wrap=True)
    for school, score in sorted(found.schools.items()):
        style = "green" if score == 1 else "yellow"
        parts = (f"{found.part(school, part):.0%}" for part in PARTS)
        table.add_row(escape(school), f"[{style}]{score:.0%}[/]", *parts)
    console.print(table)
    if found.checklist:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1))
        for name in ("school", "check", "missing", "what to do", "owner"):
            table.add_column(name, justify="right" if name == "missing" else "left", no_wrap=name == "missing")
        for line in found.checklist:
            table.add_row(escape(line.school_id), line.check, f"{line.missing:,}", escape(line.what), line.owner)
        console.print(table)
    _print_promotion(found, console)


def _print_promotion(found: Readiness, console: Console) -> None:
    """How many children of each grade come in which, over all schools."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = promotion(found)
    if not rows:
        return
    table = Table(title="Promotion", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for name in ("grade", "same", "next", "other", "not enrolled"):
        table.add_column(name, justify="left" if name == "grade" else "right", no_wrap=True)
    for grade, counts in rows.items():
        table.add_row(grade or "(none)", *(f"{counts[name]:,}" for name in ("same", "next", "other", "")))
    console.print(table)


def promotion(found: Readiness) -> dict[str, Counter[str]]:
    """Children of each grade by where they come next year: same, next, other, or '' for nowhere."""
    known = {grade: {grade: "same", after: "next"} for grade, after in zip(GRADES, (*GRADES[1:], None), strict=True)}
    rows: dict[str, Counter[str]] = {}
    for (_, grade, then), children in sorted(found.counted.matrix.items()):
        where = known.get(grade, {}).get(then, "other") if then else ""
        rows.setdefault(grade, Counter())[where] += children
    order = {grade: place for place, grade in enumerate(GRADES)}
    return dict(sorted(rows.items(), key=lambda item: order.get(item[0], len(order))))


def _more(count: int, shown: int, what: str, where: str = "") -> list[str]:
    return ["", f"and {counted(count - shown, f'more {what}')}{where}"] if count > shown else []
