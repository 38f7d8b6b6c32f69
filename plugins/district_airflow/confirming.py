"""The people of a semester change: each new warning is acknowledged, and a second person confirms the load."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from district.counted import are, counted
from district.settings import roles_for, settings
from district_airflow import tasks
from district_airflow.asking import Answer, AskingOperator, reason_field

if TYPE_CHECKING:
    from airflow.sdk import Context

    from district.dataset import Dataset
    from district.semester_change.question import Pending

# An acknowledgement is proposed for so long: it ends before the next semester change.
PROPOSED = datetime.timedelta(days=30)
UNTIL, GROWTH = "until", "growth"
CONFIRM, REJECT = "Confirm", "Reject"

log = logging.getLogger(__name__)


class AcknowledgeOperator(AskingOperator):
    """Asks for a reason for each new warning, until none is left; skips itself where none is new."""

    def __init__(self, *, dataset: Dataset, **options: Any) -> None:
        super().__init__(subject=f"{dataset.name}: new warnings", options=["Acknowledge"], **options)
        self.dataset = dataset

    def execute(self, context: Context) -> NoReturn:
        """Asks, while a warning is new.

        Raises:
            AirflowSkipException: none is.
        """
        waiting = _pending(self.dataset, context)
        if waiting is None or not waiting.new:
            raise AirflowSkipException("No warning is new.")
        today = settings().district.today()
        fields = {each.rule_id: reason_field(f"{each.title} ({counted(each.rows, 'row')})") for each in waiting.new}
        fields[UNTIL] = Param(str(today + PROPOSED), type="string", format="date", title="Known until")
        fields[GROWTH] = Param(0, type="integer", minimum=0, maximum=100, title="May grow by so many percent")
        subject = f"{are(len(waiting.new), 'new warning')} to be acknowledged"
        _ask_by_mail(waiting, [self.dataset.owner], "acknowledge", subject)
        self.ask(
            context,
            subject=f"{self.dataset.name} {waiting.run.partition}: {subject}",
            body=[_warnings(waiting)],
            people=settings().district.deciders(roles_for(self.dataset.owner)),
            until=waiting.until,
            fields=fields,
            run_id=waiting.run.id,
            shown=waiting.shown,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Writes down what was acknowledged, and asks again for what was not.

        Raises:
            AnswerRefused: the record does not take it. AirflowFailException: nobody answered in time.
        """
        if event.get("error_type") == "timeout":
            _give_up(self.dataset, context, "Nobody acknowledged the new warnings in time.", "semester_change.warnings")
        answer = self.answer_of(context, event)
        waiting = _pending(self.dataset, context)
        role = settings().district.role_of(answer.person, roles_for(self.dataset.owner))
        self.record(context, answer.person, lambda: _acknowledge(self.dataset, waiting, answer, role))
        return {"person": answer.person}


class ConfirmOperator(AskingOperator):
    """Asks a second person to confirm what the load would do; skips itself where nothing is to be loaded."""

    def __init__(self, *, dataset: Dataset, **options: Any) -> None:
        super().__init__(
            subject=f"{dataset.name}: confirmation",
            options=[CONFIRM, REJECT],
            params={"reason": reason_field("What you have compared it with, or why not")},
            **options,
        )
        self.dataset = dataset

    def execute(self, context: Context) -> Any:
        """Asks, unless somebody has confirmed.

        Raises:
            AirflowSkipException: nothing is to be loaded.
        """
        from district.semester_change.confirmation import confirming_roles

        waiting = _pending(self.dataset, context)
        if waiting is None:
            raise AirflowSkipException("Nothing is to be confirmed.")
        if waiting.confirmed_by:
            return {"person": waiting.confirmed_by}
        return self._ask(context, waiting, confirming_roles(self.dataset))

    def _ask(self, context: Context, waiting: Pending, roles: Collection[str]) -> NoReturn:
        known = set(waiting.acknowledged.values())
        people = [name for name in settings().district.deciders(roles) if name not in known]
        may = f"May confirm: {', '.join(people) or 'nobody yet: see `people` in the settings'}."
        _ask_by_mail(waiting, roles, "confirm", "it is to be confirmed by a second person")
        self.ask(
            context,
            subject=f"{self.dataset.name} {waiting.run.partition}: semester change to be confirmed",
            body=[_change(waiting), may],
            people=people,
            until=waiting.until,
            run_id=waiting.run.id,
            shown=waiting.shown,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Writes the confirmation down.

        Raises:
            AnswerRefused: the record does not take it. AirflowSkipException: it was rejected.
            AirflowFailException: nobody answered in time.
        """
        from district.semester_change.confirmation import confirm, confirming_role

        if event.get("error_type") == "timeout":
            _give_up(self.dataset, context, "Nobody confirmed it in time.", "semester_change.confirmation")
        answer = self.answer_of(context, event)
        role = confirming_role(answer.person, self.dataset)
        choice = "approve" if answer.option == CONFIRM else "reject"
        said = {"person": answer.person, "role": role, "reason": answer.fields.get("reason", "")}
        about: Any = {"choice": choice, "shown": answer.shown, **said}
        self.record(context, answer.person, lambda: confirm(self.dataset, answer.run_id, **about))
        if choice == "reject":
            raise AirflowSkipException(f"{answer.person} did not confirm. Nothing was changed.")
        return {"person": answer.person}


def _pending(dataset: Dataset, context: Context) -> Pending | None:
    from district.semester_change.question import pending

    run_key = context["run_id"]
    return tasks.said(lambda: pending(dataset, run_key), run_key)


def _warnings(waiting: Pending) -> str:
    from district.semester_change.question import warnings_as_markdown

    return warnings_as_markdown(waiting)


def _change(waiting: Pending) -> str:
    from district.semester_change.question import change_as_markdown

    return change_as_markdown(waiting)


def _ask_by_mail(waiting: Pending, roles: Collection[str], task_id: str, subject: str) -> None:
    from district.notify.mail import Question
    from district.semester_change.question import ask_by_mail

    question = Question(task=task_id, subject=subject)
    failed = tasks.said(lambda: ask_by_mail(waiting, list(roles), question), waiting.run.run_key)
    if failed:
        log.warning("%s", failed)


def _acknowledge(dataset: Dataset, waiting: Pending | None, answer: Answer, role: str) -> None:
    """Records what the form acknowledges; NotAllowed names what is left, or wrong."""
    from district.review.acknowledgements import acknowledge
    from district.run import NotAllowed

    if waiting is None or waiting.shown != answer.shown:
        raise NotAllowed(f"{dataset.name}: what was shown has changed. Look at it again, then answer.")
    try:
        until = datetime.date.fromisoformat(answer.fields.get(UNTIL, ""))
        growth = int(answer.fields.get(GROWTH) or 0)
    except ValueError:
        raise NotAllowed("Give the day as 2027-01-31, and the growth as a number.") from None
    told = [each for each in waiting.new if answer.fields.get(each.rule_id, "").strip()]
    for each in told:
        ceiling = each.rows + each.rows * growth // 100
        about: Any = {"person": answer.person, "role": role, "reason": answer.fields[each.rule_id]}
        acknowledge(dataset, each.rule_id, expires_on=until, ceiling=ceiling, **about)
    left = len(waiting.new) - len(told)
    if left:
        raise NotAllowed(f"{len(told)} acknowledged, {left} still without a reason.")


def _give_up(dataset: Dataset, context: Context, what: str, rule_id: str) -> None:
    from district.semester_change.confirmation import give_up

    run_key = context["run_id"]
    tasks.said(lambda: give_up(dataset, run_key, what, rule_id), run_key)
    raise AirflowFailException(f"{what} Nothing was changed.")
