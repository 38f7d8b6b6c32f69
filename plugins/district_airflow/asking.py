"""Tasks that ask a person: who may answer, until when, and what becomes of an answer that does not count.

What counts is the record in the district's database, which the load reads in its own transaction; the answer in Airflow
only leads to it. An answer that is refused ends the try, and the next one asks again and says why.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import ExceptionRetryPolicy, Param, RetryAction, RetryRule
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowException

from district_airflow.tasks import said

if TYPE_CHECKING:
    from airflow.sdk import Context

REFUSED, SHOWN = "refused", "shown"


class AnswerRefused(AirflowException):
    """Somebody answered who may not, or gave no reason: the next try asks again."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What somebody answered."""

    person: str
    option: str
    fields: dict[str, str]
    run_id: int
    shown: str
    """The import run that the question was about, and the mark of what it showed."""


def reason_field(title: str = "Reason") -> Param:
    """A form's field for a reason; it has a default, or Airflow would fail the task, and is asked for all the same."""
    return Param("", type="string", title=title, description="Why. It is kept with your name; name no student.")


class AskingOperator(HITLOperator):
    """A required action; says when it is asked what it asks, and takes answers until they count."""

    def __init__(self, *, subject: str, options: Collection[str], **more: Any) -> None:
        again = RetryRule(exception=AnswerRefused, action=RetryAction.RETRY, retry_delay=datetime.timedelta(0))
        super().__init__(
            subject=subject,
            options=list(options),
            execution_timeout=None,  # it waits as long as people may answer
            retries=10_000,  # as often as somebody answers who may not
            retry_policy=ExceptionRetryPolicy(rules=[again]),
            retry_delay=datetime.timedelta(seconds=30),
            retry_exponential_backoff=0,
            **more,
        )

    def ask(
        self,
        context: Context,
        *,
        subject: str,
        body: list[str],
        people: Collection[str],
        until: datetime.datetime,
        run_id: int = 0,
        shown: str = "",
        fields: dict[str, Param] | None = None,
    ) -> NoReturn:
        """Waits for an answer of one of these people, whom Airflow knows by the name with which they sign in.

        The answer is about this import run and what is ``shown`` of it, by its mark, whatever it has become by then.
        """
        store = context["task_state_store"]
        store.set(SHOWN, f"{run_id} {shown}")
        self.subject = subject
        told = []
        if refused := store.get(REFUSED):
            told = [f"**The last answer was refused.** {refused}"]
            # Told once: the store outlives this question, and the task may be cleared to ask another.
            store.delete(REFUSED)
        self.body = "\n\n".join([*told, *body])
        self.assigned_users = [{"id": name, "name": name} for name in (people if knows_people() else ())]
        self.response_timeout = until - datetime.datetime.now(datetime.UTC)
        if fields is not None:
            self.params = ParamsDict(fields)
        super().execute(context)
        raise AssertionError("It waits by an exception.")

    def answer_of(self, context: Context, event: dict[str, Any]) -> Answer:
        """The answer that ended the wait."""
        # The form was made when it was asked; what its fields may hold is the record's to judge.
        self.params = ParamsDict({name: Param(value) for name, value in (event.get("params_input") or {}).items()})
        answer = super().execute_complete(context, event)
        person = (answer["responded_by_user"] or {}).get("name", "")
        fields = {name: str(value or "") for name, value in answer["params_input"].items()}
        run_id, _, shown = (context["task_state_store"].get(SHOWN) or "0 ").partition(" ")
        option = answer["chosen_options"][0]
        return Answer(person=person, option=option, fields=fields, run_id=int(run_id), shown=shown)

    def record(self, context: Context, person: str, write: Callable[[], None]) -> None:
        """Writes the answer down.

        Raises:
            AnswerRefused: the record does not take it; the next try asks again.
        """
        from district.run import NotAllowed

        def written() -> str:
            try:
                write()
            except NotAllowed as not_allowed:
                return str(not_allowed)
            return ""

        refused = said(written, context["run_id"])
        if refused:
            context["task_state_store"].set(REFUSED, f"{person}: {refused}")
            raise AnswerRefused(f"{person}: {refused}")


def knows_people() -> bool:
    """Whether Airflow's own restriction of an answer goes by names; if not, the record alone decides who may."""
    from airflow.sdk.configuration import conf

    return bool(conf.get("core", "auth_manager").endswith(("PeopleFabAuthManager", "SimpleAuthManager")))
