"""The demo's programs: real ones are started, used, killed, and looked for afterwards."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import time
from email import message_from_bytes
from pathlib import Path

import psutil
import psycopg2
import pytest

from district.demo.place import DemoFailed, Place
from district.demo.postgres import (
    Server,
    ensure_database,
    remove_server,
    start_server,
    throwaway_server,
)
from district.demo.processes import Processes, ProcessStopped, start, stop

PATIENCE = 20.0


def gone(pids: list[int]) -> bool:
    """Whether all these processes end within PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def ask(server: Server, query: str, database: str = "postgres") -> str:
    connection = psycopg2.connect(host=str(server.socket), user="postgres", dbname=database)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return str(cursor.fetchone()[0])
    finally:
        connection.close()


def modes(folder: Path) -> dict[str, int]:
    return {str(path): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.parents)}


def test_server_leaves_no_process_and_no_data_behind():
    with throwaway_server() as server:
        pids = family(server.running.popen.pid)
        assert ask(server, "show server_version").startswith("18")
    assert gone(pids)
    assert not server.folder.exists()


def test_server_listens_on_no_address_and_its_socket_is_closed_to_others(postgres_server: Server):
    assert ask(postgres_server, "show listen_addresses") == ""
    assert stat.S_IMODE(postgres_server.socket.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("setting", "value"),
    [("log_min_error_statement", "panic"), ("log_error_verbosity", "terse"), ("log_min_messages", "fatal")],
)
def test_server_keeps_statements_out_of_its_log(postgres_server: Server, setting: str, value: str):
    assert ask(postgres_server, f"show {setting}") == value


def test_second_start_finds_what_the_first_one_left(tmp_path: Path):
    try:
        first = start_server(tmp_path)
        ensure_database(first, "district")
        ask(first, "create table kept as select 1 as one; select 'done'", "district")
        first.stop()
        second = start_server(tmp_path)
        ensure_database(second, "district")
        assert (first.fresh, second.fresh) == (True, False)
        assert ask(second, "select one from kept", "district") == "1"
        second.stop()
    finally:
        remove_server(tmp_path)


def test_start_after_a_killed_server_and_its_stale_pid_file(tmp_path: Path):
    try:
        first = start_server(tmp_path)
        pids = family(first.running.popen.pid)
        os.kill(first.running.popen.pid, signal.SIGKILL)
        first.running.popen.wait()
        assert gone(pids)
        pid_file = first.folder / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))  # the number now is another program's
        second = start_server(tmp_path)
        assert ask(second, "select 1") == "1"
        second.stop()
    finally:
        remove_server(tmp_path)


def test_folders_above_the_data_keep_their_modes(tmp_path: Path):
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    project = closed / "project"
    project.mkdir(mode=0o750)
    before = modes(project)
    wheel = modes(Path(sys.prefix))
    server = start_server(project / ".demo")
    try:
        assert ask(server, "select 1") == "1"
    finally:
        server.stop()
        remove_server(project / ".demo")
    assert modes(project) == before
    assert modes(Path(sys.prefix)) == wheel


def test_data_folder_removed_by_hand_starts_afresh(tmp_path: Path):
    first = start_server(tmp_path)
    first.stop()
    (tmp_path / "postgres").rename(tmp_path / "elsewhere")
    try:
        second = start_server(tmp_path)
        assert second.fresh
        second.stop()
    finally:
        remove_server(tmp_path)


def test_deep_folder_gets_a_short_socket_path(tmp_path: Path):
    deep = tmp_path.joinpath(*["a_rather_long_folder_name"] * 4)
    server = start_server(deep)
    try:
        assert ask(server, "select 1") == "1"
    finally:
        server.stop()
        remove_server(deep)


SCRIPT = """
import signal, subprocess, sys, time
from pathlib import Path
from district.demo.postgres import start_server
from district.demo.processes import Processes, run_guarded, start
folder = Path(sys.argv[1])
def work():
    processes = Processes()
    server = start_server(folder)
    processes.add(server.running)
    shell = ["sh", "-c", "trap '' TERM; setsid sleep 600 & sleep 600"]
    processes.add(start("stubborn", shell, log=folder / "stubborn.log", environment={"PATH": "/usr/bin:/bin"}))
    (folder / "ready").touch()
    try:
        time.sleep(600)
    finally:
        processes.stop_all(patience=2)
    return 0
sys.exit(run_guarded(work, patience=2))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help against kill -9 is Linux's")
@pytest.mark.parametrize("victim", ["watcher", "worker"])
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_runs_on_however_the_demo_ends(tmp_path: Path, victim: str, signal_number: int):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "ready").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.2)
        everyone = family(process.pid)
        assert len(everyone) > 5
        if signal_number == signal.SIGINT:
            os.killpg(process.pid, signal_number)  # as a terminal does
        else:
            os.kill(process.pid if victim == "watcher" else everyone[1], signal_number)
        process.wait(60)
        assert gone(everyone)
    finally:
        process.kill()
        remove_server(tmp_path)


def test_program_that_stops_by_itself_is_reported_with_the_end_of_its_log(tmp_path: Path):
    processes = Processes()
    command = ["sh", "-c", "echo the disk is full; exit 3"]
    running = processes.add(start("scheduler", command, log=tmp_path / "scheduler.log", environment={"PATH": "/bin"}))
    running.popen.wait(10)
    with pytest.raises(ProcessStopped, match=r"(?s)scheduler stopped .exit status 3.*scheduler\.log.*the disk is full"):
        processes.check()


def test_mail_catcher_stores_what_a_real_client_sends(tmp_path: Path):
    folder, port = tmp_path / "mail", Place(tmp_path).port("smtp", 0)
    command = [sys.executable, "-m", "district.demo.mail_catcher", "--port", str(port), "--folder", str(folder)]
    catcher = start("mail catcher", command, log=tmp_path / "log", environment={"PATH": ""})
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                smtplib.SMTP("127.0.0.1", port, timeout=5).close()
                break
            except OSError:
                catcher.check()
                time.sleep(0.1)
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            message = "Subject: Digest\r\n\r\n.one line\r\n"
            client.sendmail("imports@district.invalid", ["data.person@district.invalid"], message)
    finally:
        stop(catcher)
    (mail,) = folder.iterdir()
    assert stat.S_IMODE(mail.stat().st_mode) == 0o600
    stored = message_from_bytes(mail.read_bytes())
    assert stored["Subject"] == "Digest"
    assert stored["X-Envelope-To"] == "data.person@district.invalid"
    assert stored.get_payload() == ".one line\r\n"
    assert (tmp_path / "log").read_text() == ""


def test_place_remembers_in_a_file_of_its_owner_only(tmp_path: Path):
    place = Place(tmp_path / ".demo")
    assert place.secret("api") == place.secret("api")
    place.remember("size", "small")
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in (place.root, *place.root.iterdir()))
    place.forget_but("size")
    assert place.recall("size", str) == "small"
    assert place.recall("api", str) == ""


def test_place_keeps_a_port_and_takes_another_when_it_is_taken(tmp_path: Path):
    place = Place(tmp_path)
    port = place.port("ui", 0)
    assert place.port("ui", 0) == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert place.port("ui", port) != port


def test_second_demo_on_the_same_folder_is_told_so(tmp_path: Path):
    held = Place(tmp_path).lock()
    with pytest.raises(DemoFailed, match="already running"):
        Place(tmp_path).lock()
    os.close(held)
    os.close(Place(tmp_path).lock())
