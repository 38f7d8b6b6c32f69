"""The semester change of a data set: the steps of a night, judged more strictly, and two people before the load."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task, teardown

from district.dataset import Dataset, DatasetError
from district_airflow import tasks
from district_airflow.confirming import AcknowledgeOperator, ConfirmOperator
from district_airflow.imports import check_owner, declared_in, task_defaults
from district_airflow.review import ReviewOperator
from district_airflow.timetables import semester_changes


def semester_change_dag(dataset: Dataset, *, schedule: str = "0 2 * * *", doc_md: str | None = None) -> DAG:
    """The DAG of a data set's semester changes, to be called in ``dags/<data set>.py`` below its ``import_dag``.

    It runs at ``schedule``, a cron expression, on the nights that the calendar has around each new term; on these the
    nightly import steps aside. DatasetError where the data set's partition is no night: nothing of it changes then.
    """
    if dataset.partition != "night":
        raise DatasetError(
            f"Data set {dataset.name}: it is imported by {dataset.partition}, which no semester changes; "
            "remove semester_change_dag."
        )
    check_owner(dataset)
    tasks.with_semester_change.add(dataset.name)
    with DAG(
        f"{dataset.name}_semester_change",
        schedule=semester_changes(schedule),
        doc_md=doc_md,
        catchup=False,
        is_paused_upon_creation=False,
        tags={"semester change", dataset.owner},
        default_args=task_defaults(dataset.owner),
    ) as dag:

        @task
        def extract() -> dict[str, Any]:
            """Find the night's file, once the data sets that this one depends on have loaded."""
            return tasks.extract(dataset, "semester_change")

        @task
        def validate() -> dict[str, Any]:
            """Judge every row by the suite with what comes on top, and what the load would do to each school."""
            return tasks.validate(dataset)

        @task(max_active_tis_per_dag=1)
        def load() -> dict[str, Any]:
            """Change the table, if the record says that two people have let it through."""
            return tasks.load(dataset)

        @teardown
        @task
        def notify() -> dict[str, Any]:
            """Tell people; runs whatever happened before. The nightly imports of the night have stepped aside."""
            return tasks.notify(dataset, tells=False)

        @task(max_active_tis_per_dag=1)
        def release() -> dict[str, Any]:
            """Load what was held, where a person said so."""
            return tasks.release(dataset, tells=False)

        acknowledge = AcknowledgeOperator(task_id="acknowledge", dataset=dataset)
        # Asked also where no warning is new, and so nothing was to be acknowledged.
        confirm = ConfirmOperator(task_id="confirm", dataset=dataset, trigger_rule="none_failed")
        loaded = load()
        extract() >> validate() >> acknowledge >> confirm >> loaded >> notify()
        loaded >> ReviewOperator(task_id="review", dataset=dataset) >> release()

    dag.fileloc = str(declared_in())
    return dag
