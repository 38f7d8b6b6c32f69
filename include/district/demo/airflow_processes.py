"""Airflow's own processes for the demo: settings by environment, migration, users, four components."""

from __future__ import annotations

import base64
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from district.demo.airflow_api import AirflowApi, ApiFailed
from district.demo.place import DemoFailed, Place
from district.demo.postgres import Server, installed_programs
from district.demo.processes import Processes, log_end, start
from district.settings import PROJECT

COMPONENTS = ("scheduler", "dag-processor", "triggerer", "api-server")
# As /monitor/health names them.
HEALTH = {"metadatabase": "metadata database", "scheduler": "scheduler", "dag_processor": "DAG processor",
          "triggerer": "triggerer"}  # fmt: skip
USER = "admin"
# Who else signs in, and what Airflow lets them do. What they may decide stands in the district's settings file.
PEOPLE = {"data.person": "Op", "assessment.lead": "Op", "technology.lead": "Op", "viewer": "Viewer"}
AUTH_MANAGER = "district_airflow.people.PeopleFabAuthManager"


@dataclass(frozen=True, kw_only=True)
class Airflow:
    """Airflow on this folder: its environment and where its UI is."""

    place: Place
    environment: Mapping[str, str]
    ui_port: int

    @property
    def ui_url(self) -> str:
        """The address for a browser."""
        return f"http://localhost:{self.ui_port}"

    @property
    def password(self) -> str:
        """The administrator's generated password."""
        return self.password_of(USER)

    def password_of(self, user: str) -> str:
        """A user's generated password, the same at every start."""
        name = "password" if user == USER else f"password_{user}"
        return str(self.place.recall(name, lambda: secrets.token_urlsafe(12)))

    def api(self, user: str = USER) -> AirflowApi:
        """The REST API as one of the demo's users."""
        return AirflowApi(f"http://127.0.0.1:{self.ui_port}", user=user, password=self.password_of(user))


def configure(place: Place, server: Server, *, smtp_port: int, settings: Mapping[str, str]) -> Airflow:
    """Everything Airflow needs to know, in environment variables; nothing of the caller's own Airflow is read."""
    ui = place.port("ui", 8080)
    fernet = place.recall("fernet_key", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    airflow = {
        "core__executor": "LocalExecutor",
        "core__parallelism": str(max(2, os.cpu_count() or 2)),
        "core__dags_folder": PROJECT / "dags",
        "core__plugins_folder": PROJECT / "plugins",
        "core__load_examples": False,
        "core__auth_manager": AUTH_MANAGER,
        "core__fernet_key": fernet,
        "core__execution_api_server_url": f"http://127.0.0.1:{ui}/execution/",
        "core__dags_are_paused_at_creation": False,
        "database__sql_alchemy_conn": server.url("airflow", role="airflow"),
        "database__load_default_connections": False,
        "api__secret_key": place.secret("api_secret"),
        "api__host": "127.0.0.1",
        "api__port": ui,
        "api__base_url": f"http://localhost:{ui}",
        "api__workers": 1,
        "api_auth__jwt_secret": place.secret("jwt_secret"),
        "logging__base_log_folder": place.logs / "airflow",
        "logging__worker_log_server_port": place.port("worker_logs", 8793),
        "logging__trigger_log_server_port": place.port("trigger_logs", 8794),
        "scheduler__mp_start_method": "forkserver",
        "scheduler__mp_forkserver_preload": "district_airflow.preload",
        # A demo that was killed goes on with the next start, not five minutes after it.
        "scheduler__task_instance_heartbeat_timeout": 60,
        "dag_processor__refresh_interval": 5,
        "dag_processor__min_file_process_interval": 10,
        "dag_processor__parsing_processes": 2,
    }
    district = {
        "database_url": server.url("district", role="district"),
        "drop_folder": place.drop,
        "landed_folder": place.landed,
        "smtp_host": "127.0.0.1",
        "smtp_port": smtp_port,
        "ui_url": f"http://localhost:{ui}",
        "stable_seconds": 1,
        "first_load": "load",  # nobody has to approve a demo's baseline
    } | dict(settings)
    environment = {
        name: value
        for name, value in os.environ.items()
        # The first keeps Python from saving compiled modules, which every start would then pay for again.
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith(("AIRFLOW_", "DISTRICT_", "_AIRFLOW_"))
    }
    environment["AIRFLOW_HOME"] = str(place.airflow)
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    environment |= {f"AIRFLOW__{name.upper()}": str(value) for name, value in airflow.items()}
    environment |= {f"DISTRICT_{name.upper()}": str(value) for name, value in district.items()}
    for folder in (place.airflow, place.drop, place.landed, place.mail):
        folder.mkdir(mode=0o700, exist_ok=True)
    return Airflow(place=place, environment=environment, ui_port=ui)


def write_environment(airflow: Airflow, server: Server) -> None:
    """The file that a person's own shell sources to work with this demo."""
    shown = {
        name: value for name, value in airflow.environment.items() if name.startswith(("AIRFLOW_", "DISTRICT_"))
    } | server.psql("district", role="district")
    programs = shlex.quote(os.pathsep.join((str(Path(sys.executable).parent), str(installed_programs()))))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(shown.items())]
    lines.append(f'export PATH={programs}:"$PATH"')
    airflow.place.write(airflow.place.environment, "\n".join(lines) + "\n")


def migrate(airflow: Airflow) -> None:
    """Creates or upgrades Airflow's tables; nothing to do where this version did it already."""
    from importlib.metadata import version

    current = version("apache-airflow-core")
    if airflow.place.recall("migrated", str) != current:
        _run(airflow, "db", "migrate")
        airflow.place.remember("migrated", current)


def create_administrator(airflow: Airflow) -> None:
    """The user who may do everything; the password goes in by a pipe, so that no process list shows it."""
    if airflow.place.recall("user", str) == USER:
        return
    who = ("--username", USER, "--role", "Admin", "--email", f"{USER}@district.invalid")
    names = ("--firstname", "Demo", "--lastname", "Administrator")
    _run(airflow, "users", "create", *who, *names, answers=f"{airflow.password}\n{airflow.password}\n")
    airflow.place.remember("user", USER)


def create_people(airflow: Airflow) -> None:
    """The others, by the REST API, which takes a tenth of the command's time."""
    api = airflow.api()
    for user, role in PEOPLE.items():
        if not airflow.place.recall(f"user_{user}", bool):
            api.create_user(user, role, airflow.password_of(user))
            airflow.place.remember(f"user_{user}", True)


def start_component(airflow: Airflow, processes: Processes, name: str) -> None:
    """Starts one of COMPONENTS."""
    log = airflow.place.logs / f"{name}.log"
    log.unlink(missing_ok=True)
    processes.add(start(name, [sys.executable, "-m", "airflow", name], log=log, environment=airflow.environment))


def wait_healthy(airflow: Airflow, processes: Processes, *, patience: float = 300.0) -> None:
    """Waits until every component reports itself healthy; says at once which one stopped."""
    deadline = time.monotonic() + patience
    missing = list(HEALTH.values())
    while time.monotonic() < deadline:
        processes.check()
        try:
            health = airflow.api().health()
            missing = [name for key, name in HEALTH.items() if (health.get(key) or {}).get("status") != "healthy"]
        except ApiFailed:
            missing = ["api-server"]
        if not missing:
            return
        time.sleep(0.5)
    raise DemoFailed(
        f"After {patience:.0f} s Airflow still waits for: {', '.join(missing)}. Its logs are in "
        f"{airflow.place.logs}. On a slow machine start again: what is done is kept."
    )


def _run(airflow: Airflow, *arguments: str, answers: str = "") -> None:
    log = airflow.place.logs / f"airflow-{'-'.join(arguments[:2])}.log"
    airflow.place.logs.mkdir(mode=0o700, exist_ok=True)
    command: Sequence[str] = (sys.executable, "-m", "airflow", *arguments)
    with log.open("wb") as output:
        code = subprocess.run(
            command, env=dict(airflow.environment), stdout=output, stderr=subprocess.STDOUT, input=answers.encode(),
            start_new_session=True, check=False,
        ).returncode  # fmt: skip
    if code:
        raise DemoFailed(f"`airflow {' '.join(arguments[:2])}` failed (exit status {code}). {log_end(log)}")
