"""Parse one DAG file the way Airflow does, in a process of its own, and say what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
DAGS = PROJECT / "dags"
HEAVY = ("great_expectations", "numpy", "pandas", "pyarrow", "scipy")
ENVIRONMENT = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
_PROBE = """
import json, sys, time
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
began = time.perf_counter()
bag = DagBag(sys.argv[1], bundle_path=sys.argv[2])
seconds = time.perf_counter() - began
heavy = [name for name in sys.argv[3].split(",") if name in sys.modules]
dags = [
    {
        "dag_id": dag.dag_id, "file": dag.fileloc, "doc": dag.doc_md or "", "catchup": dag.catchup,
        "tasks": {t.task_id: {"owner": t.owner, "retries": t.retries, "after": sorted(t.upstream_task_ids),
                  "teardown": t.is_teardown, "outlets": [o.name for o in t.outlets], "rule": t.trigger_rule.value,
                  "longest": t.execution_timeout and t.execution_timeout.total_seconds()} for t in dag.tasks},
        "serialized": DagSerialization.to_dict(dag),
    }
    for dag in bag.dags.values()
]
print("RESULT" + json.dumps({"dags": dags, "errors": bag.import_errors, "heavy": heavy, "seconds": seconds}))
"""


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What Airflow found in a DAG file."""

    dags: list[dict[str, Any]]
    errors: dict[str, str]
    heavy: list[str]
    """Modules imported that have no business in parsing."""
    seconds: float
    """How long the file took, Airflow's own imports left out."""

    @property
    def ids(self) -> list[str]:
        return [dag["dag_id"] for dag in self.dags]


def parse(file: Path, home: Path, **environment: str) -> Parsed:
    """Parse the file in a fresh process; AssertionError if that process died."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(file), str(file.parent), ",".join(HEAVY)],
        env=os.environ | ENVIRONMENT | {"AIRFLOW_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    result = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert result, f"{file.name} ended the process that parsed it ({done.returncode}):\n{done.stderr[-3000:]}"
    return Parsed(**json.loads(result[0].removeprefix("RESULT")))
