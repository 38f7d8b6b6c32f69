"""The thin Airflow side: data sets become DAGs. What is imported lies in ``district``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from district_airflow.digest import digest_dag
    from district_airflow.imports import import_dag
    from district_airflow.rollover import rollover_dag
    from district_airflow.semester_change import semester_change_dag
    from district_airflow.timetables import administrations
    from district_airflow.undo import undo_dag

__all__ = ["administrations", "digest_dag", "import_dag", "rollover_dag", "semester_change_dag", "undo_dag"]

# Looked up when first used: the plugin is read by every Airflow process, and most of them build no DAG.
_HOMES = {
    "administrations": "timetables",
    "digest_dag": "digest",
    "import_dag": "imports",
    "rollover_dag": "rollover",
    "semester_change_dag": "semester_change",
    "undo_dag": "undo",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"district_airflow has no {name}; it offers {', '.join(__all__)}.")
    return getattr(import_module(f"district_airflow.{_HOMES[name]}"), name)
