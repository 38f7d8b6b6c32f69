"""What the executor's workers import once: it is there for the tasks, safe to fork, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parsing import ENVIRONMENT, HEAVY

_THREADS = 'len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1'
_PROBE = f"import os, sys; import {{module}}; print({_THREADS}, *sys.modules)"


def imported(module: str, home: Path) -> tuple[int, set[str]]:
    """Threads and modules of a process of Airflow that has imported one."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(module=module)],
        env=os.environ | ENVIRONMENT | {"AIRFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    threads, *modules = done.stdout.splitlines()[-1].split()
    return int(threads), set(modules)


def test_a_worker_has_what_its_tasks_need_and_one_thread(tmp_path: Path) -> None:
    """A process with a second thread may leave a lock taken in what is forked from it."""
    threads, modules = imported("district_airflow.preload", tmp_path)
    assert set(HEAVY) | {"psycopg2", "airflow.sdk.execution_time.task_runner"} <= modules
    assert not [name for name in modules if name.split(".")[0] == "district"], "code that a running worker would keep"
    assert threads == 1


@pytest.mark.parametrize("module", ["district_plugin", "district_airflow.tasks", "district_airflow.imports"])
def test_no_other_process_imports_it(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["AIRFLOW__CORE__PLUGINS_FOLDER"])
    _, modules = imported(module, tmp_path)
    assert not modules & {*HEAVY, "district_airflow.preload"}
