"""Undo from Airflow's UI: a person triggers the DAG, names a run and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from district.settings import roles_for, settings
from district_airflow.imports import declared_in, task_defaults

if TYPE_CHECKING:
    from district.load.undo import Undone

_PARAMS = {
    "run": Param(
        type="integer",
        minimum=1,
        title="Run to undo",
        description="Its number in the import log: it stands in the note of the data set's run.",
    ),
    "reason": Param(
        type="string",
        minLength=1,
        title="Reason",
        description="Why the load is taken back. It stands in the import log and in the digest: name no child.",
    ),
    "keep_later": Param(
        default=False,
        type="boolean",
        title="Leave rows that later loads touched",
        description="Off: if there is any such row, nothing is undone.",
    ),
}


def undo_dag(*, doc_md: str | None = None) -> DAG:
    """The DAG that undoes a load for whoever triggers it, if that person may decide about the data set."""
    with DAG(
        "undo_import",
        schedule=None,
        doc_md=doc_md,
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=1,
        tags={"undo"},
        params=_PARAMS,
        default_args=task_defaults("data_person"),
    ) as dag:

        @task
        def undo() -> dict[str, int]:
            """Undo the load; returns counts of rows, and leaves them, or the refusal, as the run's note."""
            from district_airflow.tasks import said

            context = get_current_context()
            run, params, ti = context["dag_run"], context["params"], context["ti"]
            try:
                done = said(lambda: undo_as(run.triggering_user_name or "", params, run.run_id), run.run_id)
            except AirflowFailException as refusal:
                ti.xcom_push("note", f"**NOT UNDONE**: {refusal}")
                raise
            ti.xcom_push("note", f"**UNDONE**: {done.told}")
            return {"run": done.id, "set_back": done.set_back, "removed": done.removed, "left": done.left}

        undo()

    dag.fileloc = str(declared_in())
    return dag


def undo_as(person: str, params: dict[str, Any], run_id: str) -> Undone:
    """Undoes a load by the name of who asked for it in Airflow; the same Airflow run undoes once.

    Raises:
        NotUndone: that person may not decide about the data set, or the run cannot be undone.
    """
    from district.catalog import find_dataset
    from district.load.undo import dataset_of, undo

    dataset = find_dataset(dataset_of(params["run"]), settings().dags_folder)
    return undo(
        dataset,
        params["run"],
        person=person,
        role=settings().district.role_of(person, roles_for(dataset.owner)),
        reason=params["reason"],
        keep_later=params["keep_later"],
        run_key=f"undo-{run_id}",
    )
