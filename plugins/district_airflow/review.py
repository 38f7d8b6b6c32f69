"""The person's task: a required action in Airflow that asks about what a gate holds, and writes the answer down."""

from __future__ import annotations

import datetime
import logging
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import ExceptionRetryPolicy, Param, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from district.links import run_url
from district.run import ImportStopped
from district.settings import settings
from district_airflow.tasks import leave_note, said

if TYPE_CHECKING:
    from airflow.sdk import Context

    from district.dataset import Dataset
    from district.review.holds import Review

CHOICES = {"Approve": "approve", "Load without the held schools": "without", "Reject": "reject"}
"""What a person may choose, and what the record calls it."""
REFUSED = "refused"

log = logging.getLogger(__name__)


class AnswerRefused(AirflowException):
    """Somebody answered who may not, or gave no reason: the next try asks again."""


class ReviewOperator(HITLOperator):
    """Asks a person where something is held; otherwise skips itself.

    What counts is the record in the district's database, which the load reads in its own transaction; the answer in
    Airflow only leads to it. An answer that is refused ends the try, and the next one asks again and says why.
    """

    def __init__(self, *, dataset: Dataset, **options: Any) -> None:
        reason = Param(
            "", type="string", title="Reason", description="Why. It is kept with your name; name no student."
        )
        again = RetryRule(exception=AnswerRefused, action=RetryAction.RETRY, retry_delay=datetime.timedelta(0))
        super().__init__(
            subject=f"{dataset.name}: held",
            options=list(CHOICES),
            params={"reason": reason},
            execution_timeout=None,  # it waits as long as the hold
            retries=10_000,  # as often as somebody answers who may not
            retry_policy=ExceptionRetryPolicy(rules=[again]),
            retry_delay=datetime.timedelta(seconds=30),
            retry_exponential_backoff=0,
            **options,
        )
        self.dataset = dataset

    def execute(self, context: Context) -> Any:
        """Asks, unless it is decided, or nothing is held.

        Raises:
            AirflowSkipException: nothing waits for a person. AirflowFailException: nobody answered in time.
        """
        from district.review.holds import waiting
        from district.review.outcome import outcome_of

        run_key = context["run_id"]
        said(expire_holds, run_key)
        outcome = said(lambda: outcome_of(self.dataset, run_key), run_key)
        review = said(lambda: waiting(self.dataset, run_key), run_key)
        if review is not None:
            self._ask(review, context)
        if outcome is None:
            raise AirflowSkipException("Nothing waits for a person.")
        leave_note(self.dataset, context["ti"], run_key)
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
        what = "the delivery" if WHOLE in review.held else f"{schools} {'school' if schools == 1 else 'schools'}"
        self.subject = f"{self.dataset.name} {review.partition}: {what} held"
        refused = context["task_state_store"].get(REFUSED)
        told = [f"**The last answer was refused.** {refused}"] if refused else []
        self.body = "\n\n".join([*told, as_markdown(review), self._terms(context["run_id"])])
        self.assigned_users = [{"id": name, "name": name} for name in assignable(self.dataset)]
        self.response_timeout = review.expires_at - datetime.datetime.now(datetime.UTC)
        super().execute(context)
        raise AssertionError("It waits by an exception.")

    def _terms(self, run_key: str) -> str:
        people = settings().district.deciders(self.dataset.owner)
        who = ", ".join(people) or f"nobody yet: add who has the role {self.dataset.owner} to `people` in the settings"
        return (
            f"May decide: {who}. A reason is needed, and kept with your name; without one this comes back. "
            f"[The run]({run_url(self.dataset.name, run_key)})"
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Writes the answer down, where it is one; after the hold's time, ends it.

        Raises:
            AnswerRefused: the record does not take it; the next try asks again.
        """
        from district.review.decisions import NotAllowed, decide

        if event.get("error_type") == "timeout":
            return self.execute(context)
        answer = super().execute_complete(context, event)
        person = (answer["responded_by_user"] or {}).get("name", "")
        choice = CHOICES[answer["chosen_options"][0]]
        role = settings().district.role_of(person, self.dataset.owner)
        reason = str(answer["params_input"].get("reason", ""))
        run_key, refused = context["run_id"], ""

        def record() -> str:
            try:
                decide(self.dataset, run_key, choice=choice, person=person, role=role, reason=reason)
            except NotAllowed as not_allowed:
                return str(not_allowed)
            return ""

        refused = said(record, run_key)
        if refused:
            context["task_state_store"].set(REFUSED, f"{person}: {refused}")
            raise AnswerRefused(f"{person}: {refused}")
        leave_note(self.dataset, context["ti"], run_key)
        return {"choice": choice, "person": person}


def assignable(dataset: Dataset) -> list[str]:
    """Those to whom Airflow restricts the answer; nobody, which means all, where it does not know people by name."""
    from airflow.sdk.configuration import conf

    by_name = ("PeopleFabAuthManager", "SimpleAuthManager")
    named = conf.get("core", "auth_manager").endswith(by_name)
    return settings().district.deciders(dataset.owner) if named else []


def expire_holds() -> None:
    """Ends what nobody decided about in time, and reminds by mail; a mail that cannot be sent now waits."""
    from district.database import engine
    from district.notify.mail import send_waiting
    from district.review.holds import expire

    with engine().begin() as connection:
        expired = expire(connection)
    if expired:
        try:
            send_waiting()
        except ImportStopped as stopped:
            log.warning("%s", stopped)
