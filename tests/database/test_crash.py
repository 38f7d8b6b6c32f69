"""Kills, crashes of the server, and two at once: always the old rows or the new ones, and each night told once."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from databases import TEMPLATE, checkpoint, copied_database, copy_database
from district import pipeline
from district.database import migrate
from district.demo.postgres import Server, ensure_database, remove_server, start_server
from district.load.undo import undo
from district.notify.mail import send_digest
from district.run import ImportStopped, Locked
from district.settings import settings
from importing import CHILDREN, FTE_RULE, NIGHT, Place, child, children, csv_bytes, with_gate, working_in
from killing import fork_server

KILLS = 15
"""Points of a whole night, and as many of its load alone."""
STOPS = 6
RUN = "night-two"
OPEN = with_gate(CHILDREN, floor=1_000_000)
OLD = children(7_000)
# Changed, doubled, bad, new and vanished rows: everything that a load can do. They are few enough for the night to be
# staged by what differs.
NEW = [
    *(row | {"birth_date": "2014-01-01"} for row in OLD[:500]),
    *(row | ({"fte": "2"} if n < 20 else {}) for n, row in enumerate(OLD[500:-100])),
    *(child(n) for n in range(10_000, 10_300)),
    *OLD[1000:1010],
]
# Great Expectations judges it, so that a kill may fall into that too.
FTE_COLUMN_RULE: dict[str, Any] = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "fte", "max_value": 1},
    "meta": FTE_RULE["meta"] | {"rule_id": "children.fte_too_much"},
}
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Night:
    """A place after its first night with the second one's file before it, and what the table holds then and after."""

    place: Place
    server: Server
    old: list[Row]
    new: list[Row]

    @contextmanager
    def again(self, original: str = "old") -> Iterator[Place]:
        """The same night once more, in a database of its own."""
        with (
            copied_database(self.server, original) as url,
            working_in(dataclasses.replace(self.place, url=url)) as place,
        ):
            checkpoint(self.server)
            yield place


def prepare(server: Server, folder: Path) -> Night:
    """The first night, a copy of it after the second one was extracted and validated, and one after its load."""
    copy_database(server, TEMPLATE, "old")
    place = Place(folder=folder, url=server.url("old", role=TEMPLATE), server_log=server.running.log)
    place.write_suite([FTE_RULE, FTE_COLUMN_RULE])
    with working_in(place):
        assert place.night(csv_bytes(OLD), age=90_000, dataset=OPEN, night="2026-11-18").state == "loaded"
        old = standing(place)
        digest("2026-11-18")
    place.drop(csv_bytes(NEW))
    copy_database(server, "old", "validated")
    with working_in(dataclasses.replace(place, url=server.url("validated", role=TEMPLATE))):
        pipeline.extract(OPEN, partition=NIGHT, run_key=RUN)
        pipeline.validate(OPEN, run_key=RUN)
    night = Night(place=place, server=server, old=old, new=[])
    with night.again("validated") as after:
        assert pipeline.load(OPEN, run_key=RUN).state == "loaded"
        return dataclasses.replace(night, new=standing(after))


def whole_night(run_key: str) -> str:
    """The steps as a night's tasks, and their retries, call them; the state that the run came to."""
    try:
        pipeline.extract(OPEN, partition=NIGHT, run_key=run_key)
        pipeline.validate(OPEN, run_key=run_key)
        return pipeline.load(OPEN, run_key=run_key).state
    except ImportStopped as stopped:
        return stopped.state


def load_alone(run_key: str) -> str:
    try:
        return pipeline.load(OPEN, run_key=run_key).state
    except ImportStopped as stopped:
        return stopped.state


def in_process(work: Callable[[str], str], environment: dict[str, str], run_key: str, states: Any = None) -> None:
    """What a forked process does: the work, and, where somebody wants to know, what came of it."""
    os.environ.update(environment)
    settings.cache_clear()
    state = work(run_key)
    if states is not None:
        states.put(state)


def undo_alone(run_key: str) -> str:
    try:
        undo(OPEN, 2, person="Ada Rowe", role="data_person", reason="Another district's file", run_key=run_key)
    except ImportStopped as stopped:
        return stopped.state
    return "restored"


def linger(run_key: str) -> str:
    """Killed after the commit and before anybody was told of it."""
    whole_night(run_key)
    signal.pause()
    return ""


def keep_the_lock(run_key: str) -> str:
    from district.database import engine
    from district.load.lock import lock

    with engine().begin() as connection:
        lock(connection, OPEN, NIGHT)
        signal.pause()
    return run_key


def standing(place: Place) -> list[Row]:
    names = ", ".join(OPEN.target_columns)
    rows = place.rows(f"select {names}, withdrawn_at is null as stands from district.children order by student_id")
    return [tuple(row.values()) for row in rows]


def reasons(place: Place) -> list[dict[str, Any]]:
    return place.rows("select state, reason from import_log.import_run order by id")


def count(place: Place, what: str) -> int:
    return int(place.rows(f"select count(*) as n from {what}")[0]["n"])


def digest(night: str = NIGHT) -> None:
    with suppress(ImportStopped):  # no mail server is there; what waits in the outbox is what counts
        send_digest(night)


def check_told_once(place: Place, new: list[Row]) -> None:
    """After a retry: the new rows, one load of them, its traces once, and one mail."""
    assert standing(place) == new
    mine = f"state = 'loaded' and night = '{NIGHT}'"
    assert count(place, f"import_log.import_run where {mine} and since_id is not null") == 1
    assert count(place, f"import_log.carry join import_log.import_run on id = import_run_id where {mine}") == 1
    assert count(place, "import_log.carry") == 1
    assert count(place, "import_log.quarantined_row where state = 'open'") == 20
    assert count(place, "import_log.row_history") == 500 + 100
    digest()
    digest()
    assert count(place, f"import_log.mail where key like 'digest/{NIGHT}/%'") == 1


@pytest.fixture(scope="module")
def forks() -> ForkServerContext:
    return fork_server("test_crash")


@pytest.fixture(scope="module")
def night(migrated: Server, tmp_path_factory: pytest.TempPathFactory) -> Night:
    return prepare(migrated, tmp_path_factory.mktemp("crash"))


def start(forks: ForkServerContext, work: Callable[[str], str], place: Place, run_key: str = RUN) -> BaseProcess:
    process = forks.Process(target=in_process, args=(work, place.environment, run_key))
    process.start()
    return process


def lasted(process: BaseProcess, most: float | None = None) -> float:
    """Seconds until the process ended, or the most to wait for it."""
    began = time.monotonic()
    process.join(most)
    return time.monotonic() - began


def kill(process: BaseProcess) -> bool:
    """Whether the process was still at work."""
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(("work", "original"), [(whole_night, "old"), (load_alone, "validated")])
def test_75_a_kill_at_any_point_leaves_the_old_rows_or_the_new(
    forks: ForkServerContext, night: Night, work: Callable[[str], str], original: str
) -> None:
    start(forks, os.path.basename, night.place).join()  # the first one starts the server of forks too
    seconds = float("inf")
    for _ in range(2):
        with night.again(original) as place:
            seconds = min(seconds, lasted(start(forks, work, place)))
            assert standing(place) == night.new
    killed = 0
    for point in range(KILLS):
        with night.again(original) as place:
            process = start(forks, work, place)
            took = lasted(process, seconds * (point + 0.5) / KILLS)
            if kill(process):
                killed += 1
            else:  # it was faster than those that were measured: so may the next ones be
                seconds = min(seconds, took)
            assert standing(place) in (night.old, night.new), point
            assert work(RUN) in ("loaded", "unchanged"), reasons(place)
            check_told_once(place, night.new)
    assert killed >= KILLS // 3


def test_a_kill_at_any_point_of_an_undo_leaves_the_load_or_what_was_before_it(
    forks: ForkServerContext, night: Night
) -> None:
    with night.again() as place:
        old = place.table_hash()
    copy_database(night.server, "validated", "loaded")
    with working_in(dataclasses.replace(night.place, url=night.server.url("loaded", role=TEMPLATE))) as place:
        assert load_alone(RUN) == "loaded"
        new = place.table_hash()
    start(forks, os.path.basename, night.place).join()
    seconds, killed = float("inf"), 0
    points = 8
    for point in range(-2, points):  # the first two are measured
        with night.again("loaded") as place:
            process = start(forks, undo_alone, place, "undo")
            took = lasted(process, seconds * (point + 0.5) / points if point >= 0 else None)
            if kill(process):
                killed += 1
            else:
                seconds = min(seconds, took)
            states = [row["state"] for row in reasons(place)]
            assert (place.table_hash(), states) in (
                (new, ["loaded", "loaded"]),
                (old, ["loaded", "undone", "restored"]),
            ), point
            assert undo_alone("undo") == "restored"
            assert undo_alone("another") == "held"
            assert place.table_hash() == old
            its = "(select id from import_log.import_run where state = 'restored')"
            assert count(place, f"import_log.row_history where import_run_id = {its}") == 500 + 300 + 100
            assert count(place, f"import_log.decision where kind = 'undo' and used_by = {its}") == 1
            assert count(place, "import_log.carry") == 0
            assert count(place, "import_log.quarantined_row where state = 'open'") == 0
    assert killed >= points // 3


def test_76_a_kill_after_the_commit_and_a_retry_that_has_nothing_to_do(forks: ForkServerContext, night: Night) -> None:
    with night.again() as place:
        process = start(forks, linger, place)
        wait_until(lambda: count(place, f"import_log.import_run where state = 'loaded' and run_key = '{RUN}'") == 1)
        assert kill(process)
        before = place.table_hash()
        assert load_alone(RUN) == "loaded"
        assert place.table_hash() == before
        check_told_once(place, night.new)


def wait_until(happened: Callable[[], bool], seconds: float = 60.0) -> float:
    """Seconds until it had."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def test_84_a_lock_names_its_holder_and_is_free_once_that_is_killed(forks: ForkServerContext, night: Night) -> None:
    with night.again("validated") as place:
        process = start(forks, keep_the_lock, place)
        wait_until(lambda: count(place, "pg_locks where locktype = 'advisory'") == 1)
        (holder,) = place.rows("select pid from pg_locks where locktype = 'advisory'")
        with pytest.raises(Locked) as locked:
            pipeline.load(OPEN, run_key=RUN)
        assert re.search(rf"locked by database session {holder['pid']}, connected since \d{{4}}-", str(locked.value))
        assert place.rows("select state from import_log.import_run where run_key = :key", key=RUN) == [
            {"state": "locked"}
        ]
        assert kill(process)
        assert wait_until(lambda: load_alone(RUN) == "loaded") < 5
        check_told_once(place, night.new)


def test_81_of_two_runs_at_once_exactly_one_loads(forks: ForkServerContext, night: Night) -> None:
    for _ in range(5):
        with night.again() as place:
            states = forks.SimpleQueue()
            pair = [
                forks.Process(target=in_process, args=(whole_night, place.environment, f"twin-{n}", states))
                for n in range(2)
            ]
            for process in pair:
                process.start()
            for process in pair:
                process.join()
            came_to = sorted(states.get() for _ in pair)
            assert came_to in (["loaded", "locked"], ["loaded", "unchanged"])
            assert standing(place) == night.new
            assert count(place, f"import_log.import_run where state = 'loaded' and night = '{NIGHT}'") == 1


def test_81_a_run_that_was_overtaken_by_another_file_is_held(night: Night) -> None:
    with night.again("validated") as place:
        other = place.folder / "other.csv"
        other.write_bytes(csv_bytes(OLD[:-1]))
        assert place.run(OPEN, file=other).state == "loaded"
        before = place.table_hash()
        with pytest.raises(ImportStopped, match=r"Another run has loaded other\.csv since this one began"):
            pipeline.load(OPEN, run_key=RUN)
        assert place.table_hash() == before


def test_many_threads_land_one_file_once(night: Night) -> None:
    with night.again() as place, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(whole_night, [f"thread-{n}" for n in range(4)])) <= {"loaded", "locked", "unchanged"}
        assert count(place, "import_log.delivery") == 2
        assert standing(place) == night.new


@dataclass
class Crashing:
    """A server that keeps its promises to the disk, and that can be stopped as by a power cut."""

    server: Server
    folder: Path

    def crash(self) -> None:
        self.server.running.popen.send_signal(signal.SIGQUIT)
        self.server.running.popen.wait()

    def start(self) -> None:
        self.server = start_server(self.folder)


@pytest.fixture(scope="module")
def crashing() -> Iterator[Crashing]:
    with tempfile.TemporaryDirectory(prefix="district-", dir="/tmp") as name:
        crashing = Crashing(server=start_server(Path(name)), folder=Path(name))
        try:
            ensure_database(crashing.server, TEMPLATE)
            migrate(crashing.server.url(TEMPLATE, role=TEMPLATE))
            yield crashing
        finally:
            crashing.server.stop()
            remove_server(Path(name))


@pytest.fixture(scope="module")
def durable_night(crashing: Crashing, tmp_path_factory: pytest.TempPathFactory) -> Night:
    return prepare(crashing.server, tmp_path_factory.mktemp("durable"))


def test_77_a_server_that_stops_mid_load_has_the_old_rows_or_the_new(
    forks: ForkServerContext, crashing: Crashing, durable_night: Night
) -> None:
    with durable_night.again() as place:
        seconds = lasted(start(forks, whole_night, place))
    for point in range(STOPS):
        with dataclasses.replace(durable_night, server=crashing.server).again() as place:
            process = start(forks, whole_night, place)
            process.join(seconds * (point + 0.5) / STOPS)
            crashing.crash()
            process.join()
            crashing.start()
            assert standing(place) in (durable_night.old, durable_night.new), point
            assert whole_night(RUN) in ("loaded", "unchanged"), reasons(place)
            check_told_once(place, durable_night.new)


@pytest.mark.parametrize("validated", [False, True])
def test_77_staging_that_a_crash_emptied_is_made_again(
    crashing: Crashing, durable_night: Night, validated: bool
) -> None:
    with dataclasses.replace(durable_night, server=crashing.server).again() as place:
        pipeline.extract(OPEN, partition=NIGHT, run_key=RUN)
        if validated:
            pipeline.validate(OPEN, run_key=RUN)
        crashing.crash()
        with pytest.raises(ImportStopped, match="the database failed with OperationalError"):
            pipeline.load(OPEN, run_key=RUN)
        crashing.start()
        assert count(place, "staging.children_2") == 0
        if not validated:
            pipeline.validate(OPEN, run_key=RUN)
        assert pipeline.load(OPEN, run_key=RUN).state == "loaded"
        check_told_once(place, durable_night.new)


def test_78_a_server_that_is_down_at_the_start(crashing: Crashing, durable_night: Night) -> None:
    with dataclasses.replace(durable_night, server=crashing.server).again() as place:
        crashing.crash()
        with pytest.raises(ImportStopped, match="Nothing was half loaded; clear the task to try again"):
            pipeline.extract(OPEN, partition=NIGHT, run_key=RUN)
        crashing.start()
        assert whole_night(RUN) == "loaded"
        check_told_once(place, durable_night.new)


def test_77_rows_judged_again_are_loaded_as_they_are_judged_now(place: Place) -> None:
    """The suite has changed since the batch was validated, and with it how many rows there are to load."""
    place.write_suite([{**FTE_RULE, "kwargs": {"unexpected_rows_query": "select row_no from {batch} where fte > 2"}}])
    place.drop(csv_bytes(row | ({"fte": "2"} if n < 5 else {}) for n, row in enumerate(children(40))))
    pipeline.extract(OPEN, partition=NIGHT, run_key=RUN)
    assert pipeline.validate(OPEN, run_key=RUN).rejected == 0
    place.execute("truncate staging.children_1, staging.children_1_finding")  # what a crash leaves of unlogged tables
    place.write_suite([FTE_RULE])
    summary = pipeline.load(OPEN, run_key=RUN)
    assert (summary.state, summary.inserted, summary.rejected) == ("loaded", 35, 5)
    assert len(place.standing()) == 35
    assert len(place.quarantined()) == 5
