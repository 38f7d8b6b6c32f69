"""Three nights of a running district: what arrives in each, what people do, and what came of it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psutil
from live import Live, deliver, drop
from planted import enrollment_trouble, trouble, web_page
from sqlalchemy import NullPool, create_engine, text

from district.demo.nights import NightRun

FIFTH = Path(__file__).parents[1] / "datasets" / "fifth"
CHILDREN = ("attendance", "transcripts")


@dataclass(frozen=True, kw_only=True)
class District:
    """The synthetic district with names planted in it, and what is expected of it."""

    folder: Path
    expected: dict[str, Any]
    ids: frozenset[str]

    @property
    def nights(self) -> list[str]:
        """The nights' dates."""
        return list(self.expected["nights"])

    def night(self, number: int) -> Path:
        """The extracts of a night."""
        return self.folder / f"night_{number}"

    def extract(self, number: int, dataset: str) -> Path:
        """A data set's extract of a night."""
        (path,) = self.night(number).glob(f"{dataset}_*")
        return path

    def table(self, number: int, dataset: str) -> dict[str, Any]:
        """The run table that a night's import must show."""
        return dict(self.expected["nights"][self.nights[number - 1]][dataset]["table"])


@dataclass(kw_only=True)
class Told:
    """Runs by data set: as Airflow ended them, and as the import log has them."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    logged: dict[str, NightRun] = field(default_factory=dict)

    def add(self, live: Live, dag: str, run: dict[str, Any]) -> None:
        """Keeps what there is to know now."""
        self.runs[dag], self.logged[dag] = run, live.logged(dag, run["dag_run_id"])


def bring_first_night(live: Live, district: District) -> Told:
    """All four data sets arrive and are imported; the two that wait for enrollment start by themselves."""
    night, told = district.nights[0], Told()
    deliver(district.night(1), live.place.drop)
    live.until("the DAGs", lambda: len(live.api.dags()) >= 5)
    told.add(live, "enrollment", live.ended("enrollment", live.trigger("enrollment", night)))
    administration = district.expected["nights"][night]["state_assessments"]["partition"]
    scores = live.trigger("state_assessments", administration)
    for child in CHILDREN:
        told.add(live, child, live.followed(child, night))
    told.add(live, "state_assessments", live.ended("state_assessments", scores))
    return told


@dataclass(frozen=True, kw_only=True)
class RefusedNight:
    """A night whose enrollment was no extract: its runs, its mails, and digests of the tables before and after."""

    told: Told
    mails: list[EmailMessage]
    before: dict[str, str]
    after: dict[str, str]


def bring_no_enrollment(live: Live, district: District) -> RefusedNight:
    """A web page arrives in enrollment's place; the others wait for a good one."""
    night, told, real = district.nights[1], Told(), district.extract(2, "enrollment")
    tables = ("enrollment", *CHILDREN)
    before = {name: live.table_hash(name) for name in tables}
    mails = len(live.mails())
    for child in CHILDREN:
        drop(district.extract(2, child), live)
    drop(real, live, content=web_page(real))
    told.add(live, "enrollment", live.ended("enrollment", live.trigger("enrollment", night)))
    for child in CHILDREN:
        told.add(live, child, live.followed(child, night))
    sent = live.mails()[mails:]
    after = {name: live.table_hash(name) for name in tables}
    return RefusedNight(told=told, mails=sent, before=before, after=after)


def clear_and_wait(live: Live, dag: str, run_id: str) -> dict[str, Any]:
    """Clears `extract` of a run; the run once it has ended again."""
    begin_again(live, dag, run_id)
    return live.ended(dag, run_id)


def begin_again(live: Live, dag: str, run_id: str) -> None:
    """Clears `extract` of a run, and comes back when the run goes on."""
    before = live.run(dag, run_id)["end_date"]
    live.clear(dag, run_id, "extract")
    live.until(f"{dag} to begin again", lambda: live.run(dag, run_id)["end_date"] != before)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """The third night's beginning: bad rows of every kind, a killed load, and a fifth data set."""

    told: Told
    added: dict[str, tuple[int, int]]
    """Rows added to each extract: those to be rejected, and good ones."""
    killed: dict[str, Any]
    """The task that was killed, as Airflow showed it then."""
    seconds_to_show: float
    """From dropping the fifth data set's two files to its DAG in Airflow."""


def bring_trouble(live: Live, district: District) -> Trouble:
    """Enrollment's load is killed; while Airflow waits to try it again, a fifth data set arrives."""
    night, told = district.nights[2], Told()
    added = {
        "enrollment": enrollment_trouble(district.extract(3, "enrollment")),
        "attendance": (trouble(district.extract(3, "attendance"), "\t"), 0),
        "transcripts": (trouble(district.extract(3, "transcripts"), "^"), 0),
    }
    for name in added:
        drop(district.extract(3, name), live)
    run_id, killed = _kill_the_load(live, night)
    _programs(live, night)
    assert "programs" not in {dag["dag_id"] for dag in live.api.dags()}
    began = time.monotonic()
    shutil.copy(FIFTH / "programs.json", live.expectations)
    shutil.copy(FIFTH / "programs.py", live.dags)
    live.until("the fifth data set", lambda: "programs" in {dag["dag_id"] for dag in live.api.dags()})
    seconds = time.monotonic() - began
    told.add(live, "enrollment", live.ended("enrollment", run_id))
    return Trouble(told=told, added=added, killed=killed, seconds_to_show=seconds)


@dataclass(frozen=True, kw_only=True)
class ThirdNight:
    """What became of it all in the morning."""

    trouble: Trouble
    told: Told
    digests: list[EmailMessage]


def wait_for_morning(live: Live, district: District, begun: Trouble) -> ThirdNight:
    """Those that follow enrollment end, the fifth data set among them, and the digest goes out."""
    night, told = district.nights[2], begun.told
    for name in (*CHILDREN, "programs"):
        told.add(live, name, live.followed(name, night))
    mails = len(live.mails())
    live.ended("nightly_digest", live.trigger("nightly_digest", night))
    return ThirdNight(trouble=begun, told=told, digests=live.mails()[mails:])


def _programs(live: Live, night: str) -> None:
    """The fifth data set's extract: two children that are enrolled, and one program that ends before it begins."""
    known = [row["student_id"] for row in live.rows("select student_id from district.enrollment order by 1 limit 3")]
    year = live.rows("select max(school_year) as year from district.enrollment")[0]["year"]
    lines = ["student_id,program,begin_date,end_date,school_year"]
    lines += [f"{known[0]},English learner,{night},,{year}", f"{known[1]},Meal program,{night},,{year}"]
    lines += [f"{known[2]},Meal program,{night},2001-02-03,{year}"]
    drop(Path(f"programs_{night}.csv"), live, content="".join(f"{line}\n" for line in lines).encode())


def _kill_the_load(live: Live, night: str) -> tuple[str, dict[str, Any]]:
    """Starts enrollment, and kills the process of its load in the midst of its transaction."""
    waiting = text("select count(*) from pg_locks where relation = 'district.enrollment'::regclass and not granted")
    with create_engine(live.url, poolclass=NullPool).connect() as connection:
        connection.execute(text("lock table district.enrollment in share mode"))  # whoever writes has to wait
        run_id = live.trigger("enrollment", night)
        live.until("the load to write", lambda: connection.execute(waiting).scalar())
        load = live.tasks("enrollment", run_id)["load"]
        process = psutil.Process(load["pid"])
        above = {parent.pid for parent in process.parents()}
        assert above & {each.popen.pid for each in live.processes.started if each.name == "scheduler"}
        os.kill(process.pid, signal.SIGKILL)
        live.until("the end of the killed task", lambda: live.states("enrollment", run_id)["load"] == "up_for_retry")
    return run_id, load
