"""`district demo`: two nights of a synthetic district through real Airflow into a real PostgreSQL."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from district.demo.airflow_api import ApiFailed
from district.demo.airflow_processes import (
    COMPONENTS,
    USER,
    Airflow,
    configure,
    create_user,
    migrate,
    start_component,
    wait_healthy,
)
from district.demo.memory import PeakMemory
from district.demo.night_run import NightRunner, deliver
from district.demo.nights import Night, differences, night_table, read_nights, read_runs
from district.demo.place import DemoFailed, Place
from district.demo.postgres import Server, ServerFailed, ensure_database, start_server
from district.demo.processes import Processes, ProcessStopped, run_guarded, start
from district.settings import PROJECT

SEED = 7
TABLE_WIDTH = 104  # seven-digit counts in every column


def run_demo(exit_after: bool = False, *, size: str | int = "small", folder: Path = PROJECT / ".demo") -> int:
    """Runs the demo and gives its exit status: 0 when both nights came out as ``expected.json`` says.

    Without ``exit_after`` the UI stays up until Ctrl-C. However it ends, nothing that it started goes on running.
    """
    return run_guarded(lambda: _run(exit_after, size, folder))


def _run(exit_after: bool, size: str | int, folder: Path) -> int:
    console = Console(highlight=False)
    console.width = max(console.width, TABLE_WIDTH)
    demo = Demo(console=console, processes=Processes())
    try:
        wrong = demo.play(Place(folder.resolve()), size)
        if not exit_after:
            demo.stay()
    except (DemoFailed, ServerFailed, ProcessStopped, ApiFailed) as error:
        demo.console.print(f"\n[bold red]The demo stopped.[/] {error}", markup=True, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        demo.console.print("\nInterrupted; what is done is kept, and the next start goes on from there.")
        return 130
    finally:
        demo.console.print("Stopping everything.")
        demo.processes.stop_all()
    return 1 if wrong else 0


@dataclass
class Demo:
    """One start of the demo."""

    console: Console
    processes: Processes
    begun: float = field(default_factory=time.monotonic)
    memory: PeakMemory = field(default_factory=PeakMemory)

    def play(self, place: Place, size: str | int) -> list[str]:
        """Starts everything, runs the nights that were not run yet, and shows all; gives the cells that differ."""
        place.lock()
        with self._step("Synthetic district"):
            self._generate(place, size)
        with self._step("PostgreSQL"):
            server = self._start_postgres(place)
        port = self._start_mail_catcher(place)
        airflow = configure(place, server, smtp_port=port, settings={})
        with self._step("Airflow"):
            self._start_airflow(airflow)
        self.memory.start()
        deliver(place.district / "past", place.drop)
        nights = read_nights(place.district)
        wrong = [difference for night in nights for difference in self._night(airflow, server, night)]
        self._where_to_look(airflow, server)
        self.memory.sample()
        self.console.print(
            f"\n{time.monotonic() - self.begun:.0f} s since the start; memory at its peak: {self.memory}",
            soft_wrap=True,
        )
        if wrong:
            self.console.print("[bold red]Not what expected.json says:[/]\n  " + "\n  ".join(wrong))
        else:
            self.console.print("[green]Every night is what expected.json says.[/]")
        return wrong

    def stay(self) -> None:
        """Until Ctrl-C, or until something stops by itself."""
        self.console.print("\nThe UI stays up until Ctrl-C.")
        try:
            while True:
                self.processes.check()
                time.sleep(1)
        except KeyboardInterrupt:
            self.console.print()

    def _generate(self, place: Place, size: str | int) -> None:
        from district.synthetic import generate

        if place.recall("size", lambda: size) != size:
            raise DemoFailed(
                f"{place.root} holds a district of size {place.recall('size', str)}. Start with that size, "
                "or remove it first: make clean-demo."
            )
        if not (place.district / "expected.json").exists():
            generate(place.district, size=size, seed=SEED, nights=2)

    def _start_postgres(self, place: Place) -> Server:
        server = start_server(place.root, log=place.logs / "postgres.log")
        self.processes.add(server.running)
        if server.fresh:
            place.forget_but("size")
        for name in ("airflow", "district"):
            ensure_database(server, name)
        from district.database import migrate as migrate_district

        migrate_district(server.url("district", role="district"))
        if server.folder.parent != place.root:
            self.console.print(
                f"  Started by root: PostgreSQL runs as `nobody` on {server.folder}, outside of {place.root}, "
                "so that no folder of yours is opened to others. `make clean-demo` removes it.",
                soft_wrap=True,
            )
        elif server.socket != server.folder:
            self.console.print(f"  Its path is too long for a socket, which lies in {server.socket}.", soft_wrap=True)
        return server

    def _start_mail_catcher(self, place: Place) -> int:
        port = place.port("smtp", 1025)
        command = [sys.executable, "-m", "district.demo.mail_catcher", "--port", str(port), "--folder", str(place.mail)]
        log = place.logs / "mail-catcher.log"
        self.processes.add(start("mail catcher", command, log=log, environment={"PATH": ""}))
        return port

    def _start_airflow(self, airflow: Airflow) -> None:
        migrate(airflow)
        for name in COMPONENTS[:-1]:
            start_component(airflow, self.processes, name)
        create_user(airflow)  # before the API server, which writes the same roles when it starts
        start_component(airflow, self.processes, COMPONENTS[-1])
        wait_healthy(airflow, self.processes)

    def _night(self, airflow: Airflow, server: Server, night: Night) -> list[str]:
        place, name = airflow.place, f"runs_{night.night}"
        known: dict[str, str] = place.recall(name, dict)
        if place.recall(f"done_{night.night}", bool):
            self.console.print(
                f"\nThe night of {night.night} was run by an earlier start; its runs are in the import log."
            )
        else:
            self.console.print(f"\n[bold]The night of {night.night}[/]: its extracts arrive in {place.drop}")
            runner = NightRunner(
                api=airflow.api(),
                console=self.console,
                check=self.processes.check,
                remember=lambda runs: place.remember(name, dict(runs)),
            )
            known = runner.run(night, place.drop, known)
            place.remember(f"done_{night.night}", True)
        datasets = {run.dataset: known[run.dataset] for run in night.expected if run.dataset in known}
        real = read_runs(server.url("district", role="district"), datasets)
        self.console.print(night_table(night.night, real))
        return [f"{night.night} {difference}" for difference in differences(night.expected, real)]

    def _where_to_look(self, airflow: Airflow, server: Server) -> None:
        place = airflow.place
        rows = {
            "Airflow": f"{airflow.ui_url}  user {USER}, password {airflow.password}",
            "digest": str(max(place.mail.glob("*.eml"), default=place.mail)),
            "all mails": str(place.mail),
            "import log": f"DISTRICT_DATABASE_URL='{server.url('district', role='district')}' district status",
            "backfill": "past administrations lie in the drop folder: state_assessments, Trigger, Backfill",
            "logs": str(place.logs),
        }
        self.console.print("\n[bold]Where to look[/]")
        for name, where in rows.items():
            self.console.print(f"  {name:<11} {where}", soft_wrap=True, markup=False)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        with self.console.status(f"{name} ..."):
            yield
        self.console.print(f"[green]✓[/] {name} ({time.monotonic() - begun:.1f} s)")
