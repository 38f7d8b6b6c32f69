"""The turn of the school year: rehearse next year's extracts, tell how ready it is, and ask whether the year turns."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from district.settings import DATA_PERSON, settings
from district_airflow.asking import AskingOperator, reason_field
from district_airflow.imports import declared_in, task_defaults
from district_airflow.tasks import said
from district_airflow.timetables import NightTimetable

if TYPE_CHECKING:
    from airflow.sdk import Context

    from district.rollover.readiness import Readiness

TURN, TURN_ALL_THE_SAME, NOT_YET = "Turn the year", "Turn it although it is not ready", "Not yet"
# Asked again the next night, with that night's readiness.
ASKED = datetime.timedelta(hours=20)


def rollover_dag(*, schedule: str = "30 3 * * *", doc_md: str | None = None) -> DAG:
    """The DAG of the school year's turn; ``schedule`` is a cron expression in the district's time zone.

    On nights on which the calendar rehearses no school year, it skips.
    """
    with DAG(
        "school_year_rollover",
        schedule=NightTimetable(schedule, timezone=settings().district.timezone),
        doc_md=doc_md,
        catchup=False,
        is_paused_upon_creation=False,
        tags={"rollover", DATA_PERSON},
        default_args=task_defaults(DATA_PERSON),
    ) as dag:

        @task(max_active_tis_per_dag=1)
        def rehearse() -> list[dict[str, Any]]:
            """Import next year's extracts beside the current year's, through the same rules and gates."""
            from district.rollover.rehearsal import rehearse

            context = get_current_context()
            key, night = context["run_id"], night_of(context)
            return [each.as_dict() for each in said(lambda: rehearse(night, run_key=key), key)]

        # A rehearsal that failed says so; how ready the year is, is told all the same.
        @task(trigger_rule="none_skipped")
        def readiness() -> dict[str, float]:
            """Judge every school's readiness, and mail it to the owners when it has changed."""
            from district.rollover.telling import note, tell_readiness

            context = get_current_context()
            found = said(lambda: tell_readiness(night_of(context)), context["run_id"])
            context["ti"].xcom_push("note", note(found))
            return found.schools

        rehearse() >> readiness() >> TurnOperator(task_id="turn")

    dag.fileloc = str(declared_in())
    return dag


class TurnOperator(AskingOperator):
    """Asks the data person whether a rehearsed school year turns, from its day on; otherwise skips itself."""

    def __init__(self, **options: Any) -> None:
        params = {"reason": reason_field("Who said that the year begins, and what is still missing")}
        super().__init__(
            subject="Turn the school year", options=[TURN, TURN_ALL_THE_SAME, NOT_YET], params=params, **options
        )

    def execute(self, context: Context) -> Any:
        """Asks with the checklist, once the year's day has come.

        Raises:
            AirflowSkipException: no year waits, or its day has not come.
        """
        from district.rollover.show import as_markdown

        found = _waiting(context)
        if found is None:
            raise AirflowSkipException("No school year is to be turned tonight.")
        people = settings().district.deciders([DATA_PERSON])
        self.options = [TURN if found.ready else TURN_ALL_THE_SAME, NOT_YET]
        terms = (
            "Turning makes it the current school year from tonight on, and changes no row. "
            f"May decide: {', '.join(people) or 'nobody yet: see `people` in the settings'}. A reason is needed."
        )
        self.ask(
            context,
            subject=f"School year {found.school_year}, {found.score:.0%} ready: turn it?",
            body=[as_markdown(found), terms],
            people=people,
            until=datetime.datetime.now(datetime.UTC) + ASKED,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Turns the year, where that is the answer.

        Raises:
            AnswerRefused: the record does not take it. AirflowSkipException: not yet, or nobody answered.
        """
        from district.rollover.turning import turn_year

        if event.get("error_type") == "timeout":
            raise AirflowSkipException("Nobody answered; it is asked again next night.")
        answer = self.answer_of(context, event)
        if answer.option == NOT_YET:
            raise AirflowSkipException(f"{answer.person}: not yet. It is asked again next night.")
        found = _waiting(context)
        if found is None:
            raise AirflowSkipException("The school year has been turned meanwhile.")
        role = settings().district.role_of(answer.person, [DATA_PERSON])

        def turn() -> None:
            turn_year(
                found.school_year,
                night=night_of(context),
                person=answer.person,
                role=role,
                reason=answer.fields.get("reason", ""),
                although_not_ready=answer.option == TURN_ALL_THE_SAME,
            )

        self.record(context, answer.person, turn)
        told = f"**School year {found.school_year} has begun**, turned by {answer.person} ({role})."
        context["ti"].xcom_push("note", told)
        return {"school_year": found.school_year, "person": answer.person}


def _waiting(context: Context) -> Readiness | None:
    """What there is for the year that may be turned tonight; None where none may."""
    from district.database import engine
    from district.rollover.readiness import assess
    from district.rollover.turning import waiting_turn

    night = night_of(context)

    def look() -> Readiness | None:
        with engine().connect() as connection:
            year = waiting_turn(connection, night)
            return assess(connection, year, night) if year is not None else None

    return said(look, context["run_id"])


def night_of(context: Context) -> datetime.date:
    """The night that a run is for: its partition key, or today where somebody started it without one."""
    key = context["dag_run"].partition_key
    return datetime.date.fromisoformat(key) if key else settings().district.today()
