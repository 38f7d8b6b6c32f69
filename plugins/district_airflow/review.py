"""The person's task: a required action in Airflow that asks about what a gate holds, and writes the answer down."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from district.counted import counted
from district.links import run_url
from district.run import ImportStopped
from district.settings import roles_for, settings
from district_airflow.asking import AskingOperator, reason_field
from district_airflow.tasks import leave_note, said

if TYPE_CHECKING:
    from airflow.sdk import Context

    from district.dataset import Dataset
    from district.review.holds import Review

CHOICES = {"Approve": "approve", "Load without the held schools": "without", "Reject": "reject"}
"""What a person may choose, and what the record calls it."""

log = logging.getLogger(__name__)


class ReviewOperator(AskingOperator):
    """Asks a person where something is held; otherwise skips itself."""

    def __init__(self, *, dataset: Dataset, **options: Any) -> None:
        subject = f"{dataset.name}: held"
        super().__init__(subject=subject, options=CHOICES, params={"reason": reason_field()}, **options)
        self.dataset = dataset

    def execute(self, context: Context) -> Any:
        """Asks, unless it is decided, or nothing is held.

        Raises:
            AirflowSkipException: nothing waits for a person. AirflowFailException: nobody answered in time.
        """
        from district.review.holds import waiting
        from district.review.outcome import asked_key, outcome_of

        run_key = context["run_id"]
        said(expire_holds, run_key)
        run_key = said(lambda: asked_key(self.dataset, run_key), run_key)
        outcome = said(lambda: outcome_of(self.dataset, run_key), run_key)
        review = said(lambda: waiting(self.dataset, run_key), run_key)
        if review is not None:
            self._ask(review, context)
        if outcome is None:
            raise AirflowSkipException("Nothing waits for a person.")
        leave_note(self.dataset, context["ti"], context["run_id"])
        if outcome.state == "superseded":
            raise AirflowSkipException(outcome.sentence)
        if outcome.state == "expired":
            raise AirflowFailException(outcome.sentence)
        return {"choice": outcome.choice, "person": outcome.person}  # the task was cleared after the answer

    def _ask(self, review: Review, context: Context) -> NoReturn:
        from district.review.preview import as_markdown
        from district.review.tables import WHOLE

        self.options = [label for label, choice in CHOICES.items() if choice in review.choices]
        schools = len(review.held - {WHOLE})
        what = "the delivery" if WHOLE in review.held else f"{counted(schools, 'school')}"
        self.ask(
            context,
            subject=f"{self.dataset.name} {review.partition}: {what} held",
            body=[as_markdown(review), self._terms(context)],
            people=settings().district.deciders(roles_for(self.dataset.owner)),
            until=review.expires_at,
            run_id=review.run_id,
            shown=review.shown,
        )

    def _terms(self, context: Context) -> str:
        people = settings().district.deciders(roles_for(self.dataset.owner))
        who = ", ".join(people) or f"nobody yet: add who has the role {self.dataset.owner} to `people` in the settings"
        run = context["dag_run"]
        return (
            f"May decide: {who}. A reason is needed, and kept with your name; without one this comes back. "
            f"[The run]({run_url(run.dag_id, run.run_id)})"
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Writes the answer down, where it is one; after the hold's time, ends it.

        Raises:
            AnswerRefused: the record does not take it; the next try asks again.
        """
        from district.review.decisions import decide

        if event.get("error_type") == "timeout":
            return self.execute(context)
        answer = self.answer_of(context, event)
        choice = CHOICES[answer.option]
        role = settings().district.role_of(answer.person, roles_for(self.dataset.owner))
        about: Any = {
            "shown": answer.shown,
            "choice": choice,
            "person": answer.person,
            "role": role,
            "reason": answer.fields.get("reason", ""),
        }
        self.record(context, answer.person, lambda: decide(self.dataset, answer.run_id, **about))
        leave_note(self.dataset, context["ti"], context["run_id"])
        return {"choice": choice, "person": answer.person}


def expire_holds() -> None:
    """Ends what nobody decided about or released in time, by mail; a mail that cannot be sent now waits."""
    from district.database import engine
    from district.notify.mail import remind, send_waiting

    with engine().begin() as connection:
        reminded = remind(connection)
    if reminded:
        try:
            send_waiting()
        except ImportStopped as stopped:
            log.warning("%s", stopped)
