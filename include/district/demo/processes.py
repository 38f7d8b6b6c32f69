"""Starts programs so that none outlives the one that started it: not after Ctrl-C, not after kill -9."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_SET_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
# Looked up here, because between fork and exec a child should do no more than call it.
_PRCTL: Callable[[int, int], int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class ProcessStopped(RuntimeError):
    """A program that should go on running has ended; the message holds the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A started program, its log file and the signal that asks it to end."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    stop_signal: int = signal.SIGTERM

    def check(self) -> None:
        """ProcessStopped if it has ended."""
        code = self.popen.poll()
        if code is not None:
            raise ProcessStopped(f"The {self.name} stopped (exit status {code}). {log_end(self.log)}")


def log_end(log: Path, lines: int = 12) -> str:
    """Where a log is, and its last lines."""
    with contextlib.suppress(OSError):
        end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        return f"Its log is {log}; it ends:\n" + "\n".join(f"  {line}" for line in end)
    return f"Its log should be {log}, but cannot be read."


def start(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str],
    user: pwd.struct_passwd | None = None,
    folder: Path | None = None,
    stop_signal: int = signal.SIGTERM,
) -> Running:
    """Starts a program in a process group of its own, its output added to the log.

    On Linux the kernel sends it ``stop_signal`` when this process is gone, however that came about.
    """

    def die_with_parent() -> None:
        if _PRCTL is not None:
            _PRCTL(_SET_DEATH_SIGNAL, stop_signal)

    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        popen = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    finally:
        os.close(descriptor)
    return Running(name=name, popen=popen, log=log, stop_signal=stop_signal)


def stop(*running: Running, patience: float = 15.0) -> None:
    """Asks programs to end, all at once, waits, and then ends them and whatever they started."""
    family = [member for each in running for member in _family(each.popen.pid)]
    for each in running:
        if each.popen.poll() is None:
            each.popen.send_signal(each.stop_signal)
    deadline = time.monotonic() + patience
    for each in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            each.popen.wait(max(0.0, deadline - time.monotonic()))
    _end(family, patience=min(3.0, patience))
    for each in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            each.popen.wait(5)


@dataclass
class Processes:
    """What was started, in order; the first is what the others stand on."""

    started: list[Running] = field(default_factory=list)

    def add(self, running: Running) -> Running:
        """Takes it over."""
        self.started.append(running)
        return running

    def check(self) -> None:
        """ProcessStopped if any has ended."""
        for running in self.started:
            running.check()

    def stop_all(self, *, patience: float = 15.0) -> None:
        """Stops everything, the first one last."""
        stop(*self.started[1:], patience=patience)
        stop(*self.started[:1], patience=patience)
        self.started.clear()


def run_guarded(work: Callable[[], int], *, patience: float = 15.0) -> int:
    """Runs ``work`` in a child process and ends whatever it leaves behind; gives back its exit status.

    This process only watches. On Linux, programs whose parent died are handed to it, so that it finds them all; and
    when it is itself killed, the worker is told by the kernel.
    """
    if _PRCTL is not None:
        _PRCTL(_SET_CHILD_SUBREAPER, 1)
    sys.stdout.flush()
    worker = os.fork()
    if worker == 0:
        if _PRCTL is not None:
            _PRCTL(_SET_DEATH_SIGNAL, signal.SIGTERM)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        code = 1
        try:
            code = work()
        except KeyboardInterrupt:
            code = 130
        except BaseException:  # noqa: BLE001 - a forked worker must never return into its parent's code
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    # Ctrl-C reaches the worker by itself (same foreground group); what is sent to this process alone is handed on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(worker, signal.SIGTERM))
    pid, status = os.wait()
    while pid != worker:  # an orphan that was handed to this process
        pid, status = os.wait()
    _end(_family(os.getpid())[1:], patience=patience)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _interrupt(number: int, _frame: object) -> None:
    if number != signal.SIGINT:  # a second Ctrl-C hastens the end; the watcher then clears up
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _end(family: Sequence[psutil.Process], *, patience: float) -> None:
    """Ends processes: PostgreSQL's by its fast shutdown, others by SIGTERM; by SIGKILL after ``patience`` seconds."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    _wait_gone(family, patience)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait_gone(family, 5.0)


def _wait_gone(family: Sequence[psutil.Process], patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and not all(_is_gone(process) for process in family):
        time.sleep(0.05)


def _is_gone(process: psutil.Process) -> bool:
    """A zombie is gone too: it only waits for its parent to take note."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
