"""A running district of one's own: PostgreSQL, mail catcher and Airflow's processes in a throw-away folder."""

from __future__ import annotations

import contextlib
import dataclasses
import email
import email.policy
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import psutil
from sqlalchemy import NullPool, create_engine, text

from district.database import migrate as migrate_district
from district.demo.airflow_api import AirflowApi
from district.demo.airflow_processes import (
    COMPONENTS,
    Airflow,
    configure,
    create_administrator,
    create_people,
    migrate,
    start_component,
    wait_healthy,
)
from district.demo.night_run import ENDED, deliver
from district.demo.nights import COUNTS, NightRun, read_runs
from district.demo.place import Place
from district.demo.postgres import Server, ensure_database, remove_server, start_server
from district.demo.processes import Processes, log_end, start
from district.settings import PROJECT

PATIENCE = 240.0
# What a district edits; copied, so that a fifth data set can be dropped in.
EDITED = ("dags", "expectations")
FACTS = PROJECT / "include" / "settings" / "district.yaml"
Seen = TypeVar("Seen")


@dataclass(frozen=True, kw_only=True)
class Live:
    """All that runs, and ways to ask it, none of which goes round the front door."""

    place: Place
    server: Server
    airflow: Airflow
    processes: Processes

    @cached_property
    def api(self) -> AirflowApi:
        """The REST API; signed in once, which is dear."""
        return self.airflow.api()

    @property
    def dags(self) -> Path:
        """Airflow's DAG folder."""
        return self.place.root / "dags"

    @property
    def facts(self) -> Path:
        """The settings file."""
        return self.place.root / FACTS.name

    @property
    def expectations(self) -> Path:
        """The suites."""
        return self.place.root / "expectations"

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Airflow's REST API."""
        return self.api._signed(method, f"/api/v2/{path}", body)

    def trigger(self, dag: str, partition: str) -> str:
        """Starts a DAG; its run id."""
        return self.api.trigger(dag, partition)

    def clear(self, dag: str, run_id: str, task: str) -> None:
        """Clears a task and all behind it, as a person does in the UI."""
        wanted = {"dag_run_id": run_id, "task_ids": [task], "include_downstream": True, "only_failed": False}
        self.ask("POST", f"dags/{dag}/clearTaskInstances", {"dry_run": False, **wanted})

    def question(self, dag: str, run_id: str) -> dict[str, Any]:
        """What a run's required action asks."""
        quoted = urllib.parse.quote(run_id, safe="")
        return self.ask("GET", f"dags/{dag}/dagRuns/{quoted}/taskInstances/review/-1/hitlDetails")

    def kill(self, *names: str) -> None:
        """Kills programs and whatever they started, as a power cut does."""
        for running in [each for each in self.processes.started if each.name in names]:
            self.processes.started.remove(running)
            process = psutil.Process(running.popen.pid)
            for member in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            running.popen.wait(10)

    def start(self, *names: str) -> None:
        """Starts components of Airflow again."""
        for name in names:
            start_component(self.airflow, self.processes, name)

    def command(self, *arguments: str) -> str:
        """An `airflow` command, as IT staff type it."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments], env=dict(self.airflow.environment),
            capture_output=True, text=True, timeout=120, check=False, start_new_session=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def until(self, what: str, look: Callable[[], Seen | None], patience: float = PATIENCE) -> Seen:
        """Looks again and again until there is something to see."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            self.processes.check()
            seen = look()
            if seen:
                return seen
            time.sleep(0.3)
        newest = max((self.place.logs / "airflow").rglob("*.log"), key=lambda path: path.stat().st_mtime)
        raise AssertionError(f"Waited {patience:.0f} s for {what}.\n{self._unfinished()}\n{log_end(newest)}")

    def _unfinished(self) -> str:
        """What has not ended, and how its tasks stand."""
        runs = [(dag["dag_id"], run) for dag in self.api.dags() for run in self.api.runs(dag["dag_id"])]
        return "\n".join(
            f"{dag} {run['dag_run_id']} is {run['state']}: {self.states(dag, run['dag_run_id'])}"
            for dag, run in runs
            if run["state"] not in ENDED
        )

    def runs(self, dag: str, partition: str) -> list[dict[str, Any]]:
        """A DAG's runs for a partition, newest first."""
        return [run for run in self.api.runs(dag) if run["partition_key"] == partition]

    def run(self, dag: str, run_id: str) -> dict[str, Any]:
        """One run, its note included."""
        return self.ask("GET", f"dags/{dag}/dagRuns/{urllib.parse.quote(run_id, safe='')}")

    def ended(self, dag: str, run_id: str) -> dict[str, Any]:
        """The run, once it has ended and its note is written."""

        def look() -> dict[str, Any] | None:
            run = self.run(dag, run_id)
            return run if run["state"] in ENDED else None

        return self.until(f"the end of {dag} {run_id}", look)

    def followed(self, dag: str, partition: str, besides: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The run that Airflow itself started for a partition, once it has ended."""

        runs = self.until(f"a run of {dag} for {partition}", lambda: self.new_runs(dag, partition, besides))
        return self.ended(dag, runs[0]["dag_run_id"])

    def new_runs(self, dag: str, partition: str, besides: frozenset[str]) -> list[dict[str, Any]]:
        """A DAG's runs for a partition, but for those already known."""
        return [run for run in self.runs(dag, partition) if run["dag_run_id"] not in besides]

    def tasks(self, dag: str, run_id: str) -> dict[str, dict[str, Any]]:
        """A run's tasks by name."""
        return {task["task_id"]: task for task in self.api.tasks(dag, run_id)}

    def states(self, dag: str, run_id: str) -> dict[str, str]:
        """The states of a run's tasks by name."""
        return {name: task["state"] for name, task in self.tasks(dag, run_id).items()}

    def logged(self, dag: str, run_id: str) -> NightRun:
        """What the import log holds of a run."""
        (found,) = read_runs(self.url, {dag: run_id})
        return found

    @property
    def url(self) -> str:
        """The district's database, as the importer sees it."""
        return self.server.url("district", role="district")

    def rows(self, query: str, **values: Any) -> list[Mapping[str, Any]]:
        """Asks the district's database."""
        with create_engine(self.url, poolclass=NullPool).connect() as connection:
            return list(connection.execute(text(query), values).mappings())

    def table_hash(self, dataset: str, where: str = "true", **values: Any) -> str:
        """A digest of a table's rows, every column of them."""
        query = "select md5(coalesce(string_agg(t::text, chr(10) order by t::text), '')) as digest "
        return str(self.rows(f"{query} from district.{dataset} t where {where}", **values)[0]["digest"])

    @staticmethod
    def text(mail: EmailMessage) -> str:
        """A mail's plain part."""
        part = mail.get_body(("plain",))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")

    def mails(self) -> list[EmailMessage]:
        """All mails that were sent, oldest first."""
        files = sorted(self.place.mail.glob("*.eml"))
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in files]


def differing(expected: Mapping[str, Any], run: NightRun, **more: int) -> dict[str, Any]:
    """The counts in which a run is not as expected.json has it, plus ``more``: name -> (expected, real)."""
    wanted = {"read": expected["processed"], **expected}
    found = {name: (wanted[name] + more.get(name, 0), getattr(run, name)) for name in COUNTS}
    found["state"] = (expected["state"], run.state)
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def drop(file: Path, live: Live, *, content: bytes | None = None) -> None:
    """A sender writes a file under another name and renames it once it is whole."""
    part = live.place.drop / f"{file.name}.part"
    part.write_bytes(file.read_bytes() if content is None else content)
    part.replace(live.place.drop / file.name)


@contextlib.contextmanager
def live_district(**settings: str) -> Iterator[Live]:
    """Starts it all on free ports, with the project's own DAGs and suites; nothing of it is left at the end.

    ``settings`` are the importer's own, where others than the demo's are wanted.
    """
    with tempfile.TemporaryDirectory(prefix="district-live-", dir="/tmp") as folder:
        place = Place(Path(folder))
        processes = Processes()
        for port in ("ui", "smtp", "worker_logs", "trigger_logs"):
            place.remember(f"port_{port}", 0)  # any free one
        for name in EDITED:
            shutil.copytree(PROJECT / name, place.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(FACTS, place.root / FACTS.name)
        try:
            yield _started(place, processes, settings)
        finally:
            processes.stop_all()
            remove_server(place.root)


def _started(place: Place, processes: Processes, settings: Mapping[str, str]) -> Live:
    server = start_server(place.root, log=place.logs / "postgres.log", settings={"fsync": "off"})
    processes.add(server.running)
    for name in ("airflow", "district"):
        ensure_database(server, name)
    migrate_district(server.url("district", role="district"))
    port = place.port("smtp", 0)
    catcher = [sys.executable, "-m", "district.demo.mail_catcher", "--port", str(port), "--folder", str(place.mail)]
    processes.add(start("mail catcher", catcher, log=place.logs / "mail-catcher.log", environment={"PATH": ""}))
    folders = {f"{name}_folder": place.root / name for name in EDITED}
    edited = {name: str(path) for name, path in {**folders, "file": place.root / FACTS.name}.items()}
    airflow = configure(place, server, smtp_port=port, settings={**edited, **settings})
    environment = {**airflow.environment, "AIRFLOW__CORE__DAGS_FOLDER": str(folders["dags_folder"])}
    airflow = dataclasses.replace(airflow, environment=environment)
    migrate(airflow)
    for name in COMPONENTS[:-1]:
        start_component(airflow, processes, name)
    create_administrator(airflow)
    start_component(airflow, processes, COMPONENTS[-1])
    wait_healthy(airflow, processes)
    create_people(airflow)
    return Live(place=place, server=server, airflow=airflow, processes=processes)


__all__ = ["Live", "deliver", "differing", "drop", "live_district"]
