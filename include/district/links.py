"""Where a run stands in Airflow's UI, for mails and questions."""

from __future__ import annotations

import urllib.parse

from district.settings import settings


def run_url(dataset: str, run_key: str) -> str:
    """The page of a run that Airflow started; its run key is Airflow's own id."""
    return f"{settings().ui_url}/dags/{dataset}/runs/{urllib.parse.quote(run_key, safe='')}"


def question_url(dataset: str, run_key: str) -> str:
    """The page on which a person decides about what the run holds."""
    return f"{run_url(dataset, run_key)}/tasks/review/required_actions"
