"""What people are asked at a semester change, in counts alone: which warnings are new, and what the load would do."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from district import import_log
from district.counted import counted
from district.database import engine
from district.dataset import Dataset
from district.issues import RuleIssue, rules_of
from district.notify.mail import Question, queue_question, send_waiting
from district.review.acknowledgements import NewWarning, acknowledged_by, new_warnings
from district.review.holds import changes_of
from district.review.judgement import SchoolChange
from district.review.preview import schools_as_markdown
from district.review.shown import mark_of
from district.run import ImportStopped
from district.semester_change.confirmation import asks, confirmed_by
from district.settings import settings

ISSUES_SHOWN = 10
# Whoever starts a run of a past night by hand has so long to answer.
SHORTEST = datetime.timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A run of a semester change that waits for people."""

    run: Row[Any]
    shown: str
    """The mark of what the questions tell; an answer to another is refused."""
    new: tuple[NewWarning, ...]
    acknowledged: dict[str, str]
    """By rule id: who has acknowledged the warning."""
    confirmed_by: str
    """Who has confirmed; empty while nobody has."""
    schools: tuple[SchoolChange, ...]
    issues: tuple[RuleIssue, ...]

    @property
    def until(self) -> datetime.datetime:
        """Until when people may answer."""
        zone = ZoneInfo(settings().district.timezone)
        deadline = datetime.datetime.combine(self.run.night, settings().confirm_deadline, tzinfo=zone)
        return max(deadline, datetime.datetime.now(datetime.UTC) + SHORTEST)


def pending(dataset: Dataset, run_key: str) -> Pending | None:
    """The newest run under a key, where it waits for people; None where it has loaded, or is over."""
    with engine().connect() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        if run is None or not asks(run):
            return None
        return Pending(
            run=run,
            shown=mark_of(connection, run),
            new=new_warnings(connection, dataset, run),
            acknowledged=acknowledged_by(connection, dataset, run),
            confirmed_by=confirmed_by(connection, dataset, run),
            schools=changes_of(connection, run.id),
            issues=tuple(rules_of(connection, run.id)),
        )


def warnings_as_markdown(waiting: Pending) -> str:
    """The new warnings, as the body of a required action."""
    asked = "Acknowledge each new warning with a reason, or have it mended in the SIS and the extract sent again."
    told = [
        f"- **{each.title}**: {counted(each.rows, 'row')} (`{each.rule_id}`). {each.why} {each.fix}"
        for each in waiting.new
    ]
    return "\n".join([f"{_about(waiting)} {asked}", "", *told, "", *schools_as_markdown(waiting.schools)])


def change_as_markdown(waiting: Pending) -> str:
    """What a second person confirms, as the body of a required action."""
    lines = [
        f"{_about(waiting)} What the load would do:",
        "",
        *schools_as_markdown(waiting.schools),
        "",
        *[each.line for each in waiting.issues[:ISSUES_SHOWN]],
        *[f"- `{rule_id}` acknowledged by {person}" for rule_id, person in sorted(waiting.acknowledged.items())],
        "",
        "Compare it with the SIS. After *Reject* the table keeps the rows that it has, and the next night asks again.",
    ]
    return "\n".join(lines)


def _about(waiting: Pending) -> str:
    return f"**{waiting.run.dataset}** of {waiting.run.partition}, semester change."


def ask_by_mail(waiting: Pending, roles: list[str], question: Question) -> str:
    """Queues and sends the mail that asks; once for each question of a run. Returns why it waits, where it does."""
    with engine().begin() as connection:
        queue_question(connection, waiting.run.id, roles, question)
    try:
        send_waiting()
    except ImportStopped as stopped:
        return str(stopped)
    return ""
