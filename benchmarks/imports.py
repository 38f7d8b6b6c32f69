"""What importing costs: each task, in a process forked as the LocalExecutor forks it, and the DAG folder's parsing."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DAGS = HERE.parent / "dags"
ROUNDS = 5
RUNNER = "airflow.sdk.execution_time.task_runner"
STEP = (RUNNER, "district_airflow.tasks", "district.pipeline")
ARROW = ("pyarrow.compute", "pyarrow.csv")
RULES = ("pandas", "great_expectations")
EVERYTHING = (*STEP, *ARROW, *RULES, "district.notify.mail")
NEEDS = {
    "extract": (*STEP, *ARROW),
    "validate": (*STEP, *ARROW, *RULES),
    "validate, no rule of Great Expectations": STEP,
    "load": STEP,
    "notify": (*STEP, "district.notify.mail"),
}
# What a worker has imported before its first task: forked by the scheduler, or by a fork server that preloads.
SCHEDULER = (
    "airflow.jobs.scheduler_job_runner",
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
)
PRELOADED = ("district_airflow.preload",)
# The LocalExecutor freezes the garbage collector before it forks, as the preload does.
_FORK = """
import gc, json, os, resource, sys
from importlib import import_module
worker, needed, rounds = sys.argv[1].split(","), sys.argv[2].split(","), int(sys.argv[3])
for name in worker:
    import_module(name)
gc.freeze()
for _ in range(rounds):
    sys.stdout.flush()
    if not os.fork():
        for name in needed:
            import_module(name)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print("RESULT", json.dumps(used.ru_utime + used.ru_stime), flush=True)
        os._exit(0)
    os.wait()
"""
# Collected first: a full collection of Airflow's own objects takes longer than a parse, and falls anywhere.
_PARSE = """
import gc, json, sys, time
from airflow.dag_processing.dagbag import DagBag
for _ in range(2):
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    bag = DagBag(sys.argv[1], bundle_path=sys.argv[1])
    print("RESULT", json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))
    assert bag.dags and not bag.import_errors, bag.import_errors
"""


def main() -> None:
    """Measures, prints two tables, writes ``imports.json``."""
    tasks = {}
    everything = forked(SCHEDULER, EVERYTHING)
    for task, needed in NEEDS.items():
        tasks[task] = {
            "everything": everything,
            "as needed": forked(SCHEDULER, needed),
            "preloaded": forked(PRELOADED, needed),
        }
    parsing = parse_times()
    (HERE / "imports.json").write_text(json.dumps({"tasks": tasks, "parsing": parsing}, indent=2) + "\n")
    print(f"CPU seconds that a task's process spends on imports, medians of {ROUNDS}")
    print(f"{'':42}{'everything':>12}{'as needed':>12}{'preloaded':>12}")
    for task, figures in tasks.items():
        print(f"{task:42}" + "".join(f"{seconds:12.2f}" for seconds in figures.values()))
    print("\nSeconds to parse all files of dags/ in one process, Airflow's own imports left out")
    for name, figures in parsing.items():
        print(f"{name:42}{figures['wall']:12.2f} ({figures['cpu']:.2f} CPU)")


def forked(worker: tuple[str, ...], needed: tuple[str, ...]) -> float:
    """CPU seconds, fork included, that a child of a process with ``worker`` imported takes to import ``needed``."""
    lines = output(_FORK, ",".join(worker), ",".join(needed), str(ROUNDS))
    return round(statistics.median(json.loads(line) for line in lines), 3)


def parse_times() -> dict[str, dict[str, float]]:
    """The folder's first and second parse; the first also where no module has been compiled yet."""
    with tempfile.TemporaryDirectory() as empty:
        uncompiled = output(_PARSE, str(DAGS), PYTHONPYCACHEPREFIX=empty)[0]
    cold, warm = output(_PARSE, str(DAGS))
    found = {"cold, nothing compiled": uncompiled, "cold": cold, "warm": warm}
    return {name: {kind: round(s, 3) for kind, s in json.loads(line).items()} for name, line in found.items()}


def output(code: str, *arguments: str, **environment: str) -> list[str]:
    """The JSON lines that a fresh Python with an Airflow home of its own prints."""
    with tempfile.TemporaryDirectory(prefix="airflow-home-") as home:
        settings: dict[str, Any] = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(HERE.parent / "plugins"),
            **environment,
        }
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=os.environ | settings, stdout=subprocess.PIPE, text=True,
            check=True,
        )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]  # Airflow logs to the same place
    return [line.removeprefix("RESULT") for line in found]


if __name__ == "__main__":
    main()
