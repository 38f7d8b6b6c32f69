"""The night's one mail about all data sets."""

from __future__ import annotations

from airflow.sdk import DAG, get_current_context, task

from district.settings import settings
from district_airflow.imports import declared_in, task_defaults
from district_airflow.timetables import NightTimetable


def digest_dag(*, schedule: str = "0 6 * * *", doc_md: str | None = None) -> DAG:
    """The DAG that sends the digest of a night at ``schedule``, in the district's time zone."""
    district = settings().district
    with DAG(
        "nightly_digest",
        schedule=NightTimetable(schedule, timezone=district.timezone),
        doc_md=doc_md,
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=1,
        tags={"digest"},
        # Eight more tries within an hour: a mail server that restarts in the morning costs nobody the digest.
        default_args=task_defaults("technology_lead") | {"retries": 8},
    ) as dag:

        @task
        def send() -> int:
            """Send the night's digest; returns how many mails went out."""
            from district.notify.mail import send_digest
            from district_airflow.tasks import said

            run = get_current_context()["dag_run"]
            night = run.partition_key or settings().district.today().isoformat()
            return said(lambda: send_digest(night), run.run_id)

        send()

    dag.fileloc = str(declared_in())
    return dag
