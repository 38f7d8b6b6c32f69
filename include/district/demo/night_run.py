"""Runs a night through Airflow's scheduler and shows how far it is."""

from __future__ import annotations

import filecmp
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from district.demo.airflow_api import AirflowApi
from district.demo.nights import Night
from district.demo.place import DemoFailed

ENDED = ("success", "failed")
MARKS = {
    "success": "[green]done[/]", "running": "[bold cyan]running[/]", "queued": "queued", "scheduled": "queued",
    "failed": "[red]failed[/]", "upstream_failed": "[dim]-[/]", "skipped": "[dim]skipped[/]",
    "up_for_retry": "[yellow]tries again[/]", "up_for_reschedule": "[yellow]waits for its file[/]",
    "awaiting_input": "[yellow]waits for a person[/]",
}  # fmt: skip


@dataclass
class NightRunner:
    """Starts and watches the DAG runs of a night.

    ``check`` raises when a program has stopped; ``remember`` keeps the run ids, so that a second start goes on with
    them. A night that shows no change for ``patience`` seconds is given up.
    """

    api: AirflowApi
    console: Console
    check: Callable[[], None]
    remember: Callable[[Mapping[str, str]], None]
    patience: float = 900.0
    _shown: dict[str, dict[str, str]] = field(default_factory=dict, init=False)
    _ended: dict[str, str] = field(default_factory=dict, init=False)
    _told: set[str] = field(default_factory=set, init=False)

    def run(self, night: Night, drop: Path, known: Mapping[str, str]) -> dict[str, str]:
        """The night's extracts arrive, its DAGs run, then its digest goes out; gives the run id of each DAG."""
        deliver(night.folder, drop)
        wanted = {run.dataset: run.partition for run in night.expected}
        dags = self._wait_for_dags(set(wanted))
        runs = dict(known)
        # Those that no other data set starts, one after another in the order of their schedules; the last one and
        # those that follow their parents by themselves are then waited for together.
        roots = [name for name in wanted if not _follows(dags[name])]
        for name in roots:
            self._trigger(name, wanted[name], runs)
            if name != roots[-1]:
                runs = self._watch({name: wanted[name]}, runs)
        runs = self._watch(wanted, runs)
        digest = [name for name, dag in dags.items() if "digest" in {tag["name"] for tag in dag["tags"]}]
        for name in digest:
            self._trigger(name, night.night, runs)
        return self._watch(dict.fromkeys(digest, night.night), runs)

    def _trigger(self, name: str, partition: str, runs: dict[str, str]) -> None:
        if name not in runs:
            runs[name] = self.api.trigger(name, partition)
            self.remember(runs)

    def _wait_for_dags(self, names: set[str]) -> dict[str, dict[str, Any]]:
        deadline = time.monotonic() + 120
        missing = names
        while time.monotonic() < deadline:
            self.check()
            dags = {dag["dag_id"]: dag for dag in self.api.dags()}
            missing = names - dags.keys()
            if not missing:
                return dags
            broken = self.api.import_errors()
            if broken:
                stack = "\n\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in broken)
                raise DemoFailed(f"Airflow cannot read every DAG file; mend this and start again:\n{stack}")
            time.sleep(0.5)
        raise DemoFailed(f"Airflow did not find the DAGs {', '.join(sorted(missing))}; are their files in dags/?")

    def _watch(self, wanted: Mapping[str, str], runs: Mapping[str, str]) -> dict[str, str]:
        """Waits until the runs of all wanted DAGs have ended."""
        found = dict(runs)
        self._shown, self._ended = {name: {} for name in wanted}, {}
        changed = time.monotonic()
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while len(self._ended) < len(wanted):
                self.check()
                before = str(self._shown)
                for name in wanted.keys() - self._ended.keys():
                    self._look(name, wanted[name], found)
                if before != str(self._shown):
                    changed = time.monotonic()
                    if self.console.is_terminal:
                        live.update(self._progress(), refresh=True)
                if time.monotonic() - changed > self.patience:
                    raise DemoFailed(self._stuck())
                time.sleep(1.0)
        self.remember(found)
        return found

    def _look(self, name: str, partition: str, found: dict[str, str]) -> None:
        run = next((run for run in self.api.runs(name) if _is(run, partition, found.get(name))), None)
        if run is None:
            self._shown[name] = {"": "waits for its parents"}
            return
        found[name] = run["dag_run_id"]
        tasks = sorted(self.api.tasks(name, found[name]), key=lambda task: task["start_date"] or "~")
        self._shown[name] = {task["task_id"]: task["state"] or "waiting" for task in tasks}
        if run["state"] in ENDED:
            self._ended[name] = run["state"]
            if name in self._told:
                return
            self._told.add(name)
            failed = [task for task, state in self._shown[name].items() if state == "failed"]
            self.console.print(f"  {name}: {'done' if not failed else 'ended early, at ' + ', '.join(failed)}")

    def _progress(self) -> Table:
        table = Table(box=None, padding=(0, 2), show_header=False)
        for name, tasks in self._shown.items():
            marks = "  ".join(f"{task} {MARKS.get(state, f'[dim]{state}[/]')}" for task, state in tasks.items())
            table.add_row(f"  {name}", marks)
        return table

    def _stuck(self) -> str:
        states = "; ".join(
            f"{name}: {', '.join(f'{task} {state}' for task, state in tasks.items()) or 'not started'}"
            for name, tasks in self._shown.items()
            if name not in self._ended
        )
        return (
            f"Nothing changed for {self.patience:.0f} s ({states}). Look at the task's log in the UI, or in "
            "logs/airflow/ of the demo's folder, and start again: what is done is kept."
        )


def deliver(folder: Path, drop: Path) -> None:
    """Puts a night's extracts into the drop folder, each under its name only once it is whole.

    One that has the name of an earlier night's takes its place, as the state's next file of an administration does.
    """
    if not folder.is_dir():
        raise DemoFailed(f"{folder} is missing; remove the demo's folder with `make clean-demo` and start again.")
    for path in sorted(folder.iterdir()):
        arrived = drop / path.name
        if not arrived.exists() or not filecmp.cmp(path, arrived, shallow=False):
            part = drop / f"{path.name}.part"
            shutil.copyfile(path, part)
            part.replace(arrived)


def _follows(dag: Mapping[str, Any]) -> bool:
    """Whether the DAG starts by itself when its parents are done."""
    return "Asset" in (dag["timetable_summary"] or "")


def _is(run: Mapping[str, Any], partition: str, run_id: str | None) -> bool:
    return bool(run["dag_run_id"] == run_id if run_id else run["partition_key"] == partition)
