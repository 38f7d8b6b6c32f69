"""`district demo`: two nights of a synthetic district through real Airflow into a real PostgreSQL."""

from __future__ import annotations

import email
import shlex
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
    PEOPLE,
    USER,
    Airflow,
    configure,
    create_administrator,
    create_people,
    migrate,
    start_component,
    wait_healthy,
    write_environment,
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
# With fewer, the one row of each kind that is spoilt is so large a share that the gates hold the file.
FEWEST_STUDENTS = 1_500


def run_demo(exit_after: bool = False, *, size: str | int = "small", folder: Path = PROJECT / ".demo") -> int:
    """Runs the demo and gives its exit status: 0 when the nights that it ran came out as ``expected.json`` says.

    Without ``exit_after`` the UI stays up until Ctrl-C. However it ends, nothing that it started goes on running.
    """
    slip = _size_slip(size)
    if slip:
        Console(highlight=False, stderr=True).print(slip, soft_wrap=True, markup=False)
        return 2
    return run_guarded(lambda: _run(exit_after, size, folder))


def _size_slip(size: str | int) -> str:
    """What is wrong with a size, before anything starts."""
    from district.synthetic.plan import SIZES

    if size in SIZES or (isinstance(size, int) and size >= FEWEST_STUDENTS):
        return ""
    wrong = f"{size} students are too few" if isinstance(size, int) else f"There is no size {size}"
    return f"{wrong}; use {', '.join(SIZES)}, or a number of students from {FEWEST_STUDENTS:,} on."


def _run(exit_after: bool, size: str | int, folder: Path) -> int:
    console = Console(highlight=False)
    console.width = max(console.width, TABLE_WIDTH)
    demo = Demo(console=console, processes=Processes(), stays=not exit_after)
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
    stays: bool
    begun: float = field(default_factory=time.monotonic)
    memory: PeakMemory = field(default_factory=PeakMemory)

    def play(self, place: Place, size: str | int) -> list[str]:
        """Starts everything, runs the nights that were not run yet, shows all; gives the cells that came out wrong."""
        place.lock()
        with self._step("Synthetic district"):
            self._generate(place, size)
        with self._step("PostgreSQL"):
            server = self._start_postgres(place)
        port = self._start_mail_catcher(place)
        airflow = configure(place, server, smtp_port=port, settings={})
        with self._step("Airflow"):
            self._start_airflow(airflow)
        write_environment(airflow, server)
        self.memory.start()
        deliver(place.district / "past", place.drop)
        nights = read_nights(place.district)
        fresh = [night for night in nights if not place.recall(f"done_{night.night}", bool)]
        found = {night.night: self._night(airflow, server, night, fresh=night in fresh) for night in nights}
        self._where_to_look(airflow)
        self.memory.sample()
        self.console.print(
            f"\n{time.monotonic() - self.begun:.0f} s since the start; memory at its peak: {self.memory}",
            soft_wrap=True,
        )
        return self._compare(place, found, [night.night for night in fresh])

    def _compare(self, place: Place, found: dict[str, list[str]], fresh: list[str]) -> list[str]:
        """Says which cells differ from what is expected; only those of nights run just now are wrong."""
        expected = place.district / "expected.json"
        wrong = [difference for night in fresh for difference in found[night]]
        changed = [difference for night, cells in found.items() if night not in fresh for difference in cells]
        if wrong:
            self.console.print(f"[bold red]Not what {expected} says:[/]\n  " + "\n  ".join(wrong), soft_wrap=True)
        if changed:
            self.console.print(
                f"An earlier start ran these nights, and since then something has changed them; {expected} says what "
                "they were:\n  " + "\n  ".join(changed) + "\n`make clean-demo` removes all, and the next start begins "
                "afresh.",
                soft_wrap=True,
            )
        if not wrong and not changed:
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
        create_administrator(airflow)  # before the API server, which writes the same roles when it starts
        start_component(airflow, self.processes, COMPONENTS[-1])
        wait_healthy(airflow, self.processes)
        create_people(airflow)

    def _night(self, airflow: Airflow, server: Server, night: Night, *, fresh: bool) -> list[str]:
        place, name = airflow.place, f"runs_{night.night}"
        known: dict[str, str] = place.recall(name, dict)
        if not fresh:
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

    def _where_to_look(self, airflow: Airflow) -> None:
        place = airflow.place
        rows = {"digest": str(newest_digest(place.mail)), "all mails": str(place.mail), "logs": str(place.logs)}
        if self.stays:
            rows = {
                "Airflow": f"{airflow.ui_url}  user {USER}, password {airflow.password}",
                "people": ", ".join(f"{user} {airflow.password_of(user)}" for user in PEOPLE),
                "a terminal": f"source {shlex.quote(str(place.environment))}",
                "import log": "district status",
                "database": "psql",
                "backfill": "past administrations lie in the drop folder: state_assessments, Trigger, Backfill",
                **rows,
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


def newest_digest(mail: Path) -> Path:
    """The newest mail about a night; the folder where there is none."""
    for path in sorted(mail.glob("*.eml"), reverse=True):
        if str(email.message_from_bytes(path.read_bytes())["Subject"]).startswith("Imports of "):
            return path
    return mail
