"""Where a run stands in Airflow's UI, for mails and questions."""

from __future__ import annotations

import urllib.parse

from district.run import RunKind
from district.settings import settings


def run_url(dag: str, run_key: str) -> str:
    """The page of a run that Airflow started; its run key is Airflow's own id."""
    return f"{settings().ui_url}/dags/{dag}/runs/{urllib.parse.quote(run_key, safe='')}"


def question_url(dag: str, run_key: str, task: str = "review") -> str:
    """The page on which a person answers what a task of the run asks."""
    return f"{run_url(dag, run_key)}/tasks/{task}/required_actions"


def dag_of(dataset: str, kind: RunKind) -> str:
    """The DAG whose runs are of that kind."""
    return f"{dataset}_semester_change" if kind == "semester_change" else dataset
