"""What a person reads on a terminal: a run and its issues, and the newest runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from sqlalchemy import Connection, Row, and_, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from district import import_log
from district.catalog import find_dataset
from district.database import engine
from district.dataset import Dataset
from district.issues import issues_of, rules_of
from district.notify.mail import refused_mails
from district.review.decisions import told_of_release
from district.review.holds import all_waiting, changes_of, held_schools
from district.review.outcome import find_outcome, release_of
from district.review.preview import print_preview
from district.settings import settings
from district.tables import import_run
from district.validate.rules import WORDS

# The headings, and where one breaks on a narrow terminal.
COLUMNS = {
    "read": "pro-cessed",
    "rejected": "re-jected",
    "held": "held",
    "warnings": "warn-ings",
    "inserted": "in-serted",
    "updated": "up-dated",
    "unchanged": "un-changed",
    "withdrawn": "with-drawn",
}
# Columns of text that the whole headings take.
WIDE = 116
# Issues that a note names.
NOTED = 5
STATE_STYLES = {
    "loaded": "green",
    "unchanged": "green",
    "validated": "cyan",
    "held": "yellow",
    "undone": "yellow",
    "restored": "cyan",
}
SEVERITY_STYLES = {"critical": "red", "warning": "yellow", "info": "dim"}


def print_runs(console: Console, runs: Iterable[Any], title: str = "") -> None:
    """The table of runs, which have the counts as attributes."""
    wide = console.width >= WIDE
    table = RichTable(title=title or None, title_justify="left", box=SIMPLE_HEAD, padding=(0, int(wide), 0, 0))
    table.add_column("run", justify="right", no_wrap=True)
    table.add_column("data set", no_wrap=True)
    for name in COLUMNS.values():
        heading = name.replace("-", "" if wide else "-\n")
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for run in runs:
        style = STATE_STYLES.get(run.state, "red")
        what = run.dataset if run.partition == str(run.night) else f"{run.dataset}\n{run.partition}"
        what += "\n(released)" if run.kind == "release" else ""
        counts = [f"{getattr(run, each):,}" for each in COLUMNS]
        table.add_row(str(run.id), escape(what), *counts, f"[{style}]{run.state}[/]")
    # A line that is too long looks bad; a number without its last digits is wrong.
    needed = console.measure(table, options=console.options.update(width=500)).maximum
    table.width = needed if needed > console.width else None
    console.print(table, crop=False)


def print_run(dataset: Dataset, run_key: str, console: Console | None = None) -> None:
    """A run's counts, what it would do or did to each school, and its issues with what to do about each."""
    console = console or Console()
    with engine().connect() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        if run is None:
            return
        issues = issues_of(connection, run.id)
        schools, held = changes_of(connection, run.id), held_schools(connection, run.id)
    print_runs(console, [run])
    if len(schools) > 1:
        print_preview(console, schools, held)
    _print_issues(console, run, issues)


def _print_issues(console: Console, run: Row[Any], issues: list[Row[Any]], title: str = "") -> None:
    if not issues:
        # A run that stopped was not judged to its end; its reason is told.
        if not run.reason:
            console.print("No errors, no warnings.")
        return
    table = RichTable(title=title or None, title_justify="left", header_style="bold", show_lines=False)
    for name, justify in (
        ("", "left"),
        ("rows", "right"),
        ("issue", "left"),
        ("first line", "right"),
        ("what to do", "left"),
    ):
        number = justify == "right"
        table.add_column(name, justify="right" if number else "left", no_wrap=number, overflow="fold")
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
    """The newest run of each data set of its last nights; of one data set, with all its issues.

    Raises:
        UnknownDataset: there is no such data set, and never was.
    """
    console = console or Console()
    with engine().connect() as connection:
        counted = ~import_run.c.unnoticed
        mine = and_(counted, import_run.c.dataset == dataset) if dataset else counted
        # Each data set's own nights: an administration comes on other nights than an extract.
        nth = func.dense_rank().over(partition_by=import_run.c.dataset, order_by=import_run.c.night.desc())
        ranked = select(import_run.c.id, nth.label("nth")).where(mine).subquery()
        newest = (
            select(import_run)
            .where(import_run.c.id.in_(select(ranked.c.id).where(ranked.c.nth <= nights)))
            .ext(distinct_on(import_run.c.night, import_run.c.dataset, import_run.c.partition))
            .order_by(import_run.c.night, import_run.c.dataset, import_run.c.partition, import_run.c.id.desc())
        )
        runs = list(connection.execute(newest))
        issues = {run.id: issues_of(connection, run.id) for run in runs if dataset}
        decided = {run.id: told_of_release(connection, run.id) for run in runs if run.kind == "release"}
    print_refused(console)
    if not runs and dataset:
        find_dataset(dataset, settings().dags_folder)
        console.print(f"No import of {dataset} has run yet; `district status` shows what has.")
        return
    if not runs:
        console.print("No import has run yet. `make demo` shows one; `district import DATASET FILE` imports a file.")
        return
    for night in sorted({run.night for run in runs}):
        tonight = [run for run in runs if run.night == night]
        print_runs(console, tonight, f"Night of {night}")
        for run in tonight:
            if run.reason:
                console.print(escape(f"{run.dataset}: {told(run.reason, run.rule_id)}"))
            if decided.get(run.id):
                console.print(escape(f"{run.dataset}: {decided[run.id]}"))
        for run in tonight:
            if dataset:
                _print_issues(console, run, issues[run.id], run.partition)


def told(reason: str, rule_id: str) -> str:
    """Why a run stopped, with the verdict under which the pages explain it."""
    return f"{reason} ({rule_id})" if rule_id else reason


def print_waiting(console: Console | None = None) -> None:
    """Whatever waits for a person's decision, with its preview and how to decide from here."""
    console = console or Console()
    reviews = all_waiting()
    for review in reviews:
        what = "nothing of it has loaded" if review.state == "held" else "the other schools have loaded"
        title = f"{review.dataset} of {review.partition}, run {review.run_id}, from {review.file_name}: {what}."
        console.print(escape(title), style="bold")
        for reason in review.reasons:
            console.print(escape(f"  {told(str(reason), reason.rule_id)}"))
        print_preview(console, review.schools, review.held)
        console.print(f"Until {review.expires_at.astimezone():%Y-%m-%d %H:%M}:", highlight=False)
        choices = "|".join(review.choices)
        hint = f"district decide {review.dataset} {review.run_id} {choices} --shown {review.shown}"
        hint += ' --person NAME --reason "WHY"'
        console.print(escape(f"  {hint}\n"), highlight=False, soft_wrap=True)
    if not reviews:
        console.print("Nothing waits for a decision.")


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
        parts = [_counts(run), *_then(connection, run)]
    parts.append(run.reason)
    lines = [f"{each.line}. {each.fix}" for each in issues[:NOTED]]
    more = len(issues) - NOTED
    parts.append("\n".join(lines + [f"- and {more} more: `district status {dataset.name}`"] * (more > 0)))
    return "\n\n".join(part for part in parts if part)


def _counts(run: Row[Any]) -> str:
    counts = " · ".join(f"{name} {run._mapping[name]:,}" for name in import_log.COUNTS if name != "superseded")
    return f"**{run.state.upper()}** {run.partition} (run {run.id}): {counts.replace('read', 'processed', 1)}"


def _then(connection: Connection, run: Row[Any]) -> Iterator[str]:
    """What became of what a run held: a person's word, its release, and what became of what that held."""
    outcome, released = find_outcome(connection, run.id), release_of(connection, run)
    if outcome is not None:
        yield outcome.sentence
    if released is not None:
        yield f"Then released: {_counts(released)}"
        yield from _then(connection, released)
