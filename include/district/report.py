"""What a person reads on a terminal: a run and its issues, and the newest runs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from sqlalchemy import Row, and_, select
from sqlalchemy.dialects.postgresql import distinct_on

from district import import_log
from district.database import engine
from district.dataset import Dataset
from district.issues import issues_of, rules_of
from district.notify.mail import refused_mails
from district.tables import import_run
from district.validate.rules import WORDS

COLUMNS = {
    "read": "processed",
    "rejected": "rejected",
    "warnings": "warnings",
    "inserted": "inserted",
    "updated": "updated",
    "unchanged": "unchanged",
    "withdrawn": "withdrawn",
}
# Issues that a note names.
NOTED = 5
STATE_STYLES = {"loaded": "green", "unchanged": "green", "validated": "cyan", "held": "yellow"}
SEVERITY_STYLES = {"critical": "red", "warning": "yellow", "info": "dim"}


def run_table(title: str = "") -> RichTable:
    """An empty table of runs."""
    table = RichTable(title=title or None, title_justify="left", header_style="bold")
    table.add_column("data set", no_wrap=True)
    for name in COLUMNS.values():
        table.add_column(name, justify="right")
    # On a narrow terminal the titles are cut, the outcome is not.
    table.add_column("state", no_wrap=True, min_width=9)
    return table


def add_run(table: RichTable, run: Any) -> None:
    """A line of the table of runs; ``run`` has the counts as attributes."""
    style = STATE_STYLES.get(run.state, "red")
    counts = [f"{getattr(run, name):,}" for name in COLUMNS]
    table.add_row(run.dataset, *counts, f"[{style}]{run.state}[/]")


def print_run(dataset: Dataset, run_key: str, console: Console | None = None) -> None:
    """A run's counts, and its issues with what to do about each."""
    console = console or Console()
    with engine().connect() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        if run is None:
            return
        issues = issues_of(connection, run.id)
    table = run_table()
    add_run(table, run)
    console.print(table)
    _print_issues(console, issues)


def _print_issues(console: Console, issues: list[Row[Any]]) -> None:
    if not issues:
        console.print("No errors, no warnings.")
        return
    table = RichTable(header_style="bold", show_lines=False)
    for name, justify in (
        ("", "left"),
        ("rows", "right"),
        ("issue", "left"),
        ("first line", "right"),
        ("what to do", "left"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for issue in issues:
        word, style = WORDS[issue.severity], SEVERITY_STYLES[issue.severity]
        # A code or a header may hold what a terminal would take for markup.
        what = escape(f"{issue.title}: {issue.cause}" if issue.cause else issue.title)
        first = str(issue.first_line or "")
        table.add_row(
            f"[{style}]{word}[/]", f"{issue.rows:,}", f"{what}\n[dim]{issue.rule_id}[/]", first, escape(issue.fix)
        )
    console.print(table)


def print_status(nights: int, dataset: str = "", console: Console | None = None) -> None:
    """The newest run of each data set of the last nights; of one data set, with all its issues."""
    console = console or Console()
    with engine().connect() as connection:
        counted = ~import_run.c.unnoticed
        mine = and_(counted, import_run.c.dataset == dataset) if dataset else counted
        recent = select(import_run.c.night).where(mine).distinct().order_by(import_run.c.night.desc()).limit(nights)
        newest = (
            select(import_run)
            .where(mine, import_run.c.night.in_(recent))
            .ext(distinct_on(import_run.c.night, import_run.c.dataset, import_run.c.partition))
            .order_by(import_run.c.night, import_run.c.dataset, import_run.c.partition, import_run.c.id.desc())
        )
        runs = list(connection.execute(newest))
        issues = {run.id: issues_of(connection, run.id) for run in runs if dataset}
    print_refused(console)
    if not runs and dataset:
        console.print(f"No import of {dataset} has run yet; `district status` shows what has.")
        return
    if not runs:
        console.print("No import has run yet. `make demo` shows one; `district import DATASET FILE` imports a file.")
        return
    for night in sorted({run.night for run in runs}):
        table = run_table(f"Night of {night}")
        stopped = [run for run in runs if run.night == night and run.reason]
        for run in runs:
            if run.night == night:
                add_run(table, run)
        console.print(table)
        for run in stopped:
            console.print(escape(f"{run.dataset}: {run.reason}"))
        for run in runs:
            if dataset and run.night == night:
                _print_issues(console, issues[run.id])


def print_refused(console: Console | None = None) -> int:
    """Names the mails that the server will not take, and what to mend; returns how many there are."""
    console = console or Console()
    with engine().connect() as connection:
        refused = refused_mails(connection)
    for mail in refused:
        why = f"{mail.last_error}, then run `district resend`"
        console.print(escape(f"Mail not sent ({mail.subject}): {why}."))
    return len(refused)


def note(dataset: Dataset, run_key: str) -> str:
    """The run in a few lines of Markdown, for Airflow's UI."""
    with engine().connect() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        if run is None:
            return "No import run yet."
        issues = rules_of(connection, run.id)
    counts = " · ".join(f"{name} {run._mapping[name]:,}" for name in import_log.COUNTS if name != "superseded")
    parts = [f"**{run.state.upper()}** {run.partition}: {counts.replace('read', 'processed', 1)}", run.reason]
    lines = [f"- **{each.word}**, {each.rows:,} {each.noun}: {each.title}. {each.fix}" for each in issues[:NOTED]]
    more = len(issues) - NOTED
    parts.append("\n".join(lines + [f"- and {more} more: `district status {dataset.name}`"] * (more > 0)))
    return "\n\n".join(part for part in parts if part)
