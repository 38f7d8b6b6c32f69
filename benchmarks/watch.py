"""Runs a worker and watches it and the server: CPU of both, and the most memory that each held."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from district.demo.postgres import Server

HERE = Path(__file__).resolve().parent


class WorkerFailed(RuntimeError):
    """A system did not finish its work."""


def run(server: Server, python: Path, module: str, *arguments: str) -> dict[str, Any]:
    """The figures of one worker: ``cpu`` is the client's and the server's together."""
    command = [str(python), str(HERE / "worker.py"), module, *arguments]
    process = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise WorkerFailed(f"{module} did not start; see above.")
        before = server_cpu(server)
        with Peaks(server, process.pid) as peaks:
            process.stdin.write("go\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        at_server = server_cpu(server) - before
    if not answer or process.returncode:
        raise WorkerFailed(f"{module} failed; see above.")
    figures = json.loads(answer)
    return figures | {
        "cpu": figures["cpu"] + at_server,
        "server_cpu": at_server,
        "client_rss_mb": max(figures.pop("rss_mb"), peaks.client / 2**20),
        "server_rss_mb": peaks.server / 2**20,
    }


def environment() -> dict[str, str]:
    """The caller's, without what would make a system slower or send it elsewhere."""
    left_out = ("DISTRICT_", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


@dataclass
class Peaks:
    """Samples memory ten times a second until it is left."""

    watched: Server
    pid: int
    client: int = 0
    server: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.1):
            self.server = max(self.server, memory(server_processes(self.watched)))
            with contextlib.suppress(psutil.NoSuchProcess):
                self.client = max(self.client, memory(tree(self.pid)))


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def server_processes(server: Server) -> list[psutil.Process]:
    """The server and its backends."""
    found = []
    for process in tree(server.running.popen.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith("postgres"):
                found.append(process)
    return found


def server_cpu(server: Server) -> float:
    """CPU seconds of the server and of all its backends, those that have ended included.

    Asked several times: a backend that ends between being listed and being asked is in no sum, and sums only grow.
    """
    return max(_server_cpu(server) for _ in range(3))


def _server_cpu(server: Server) -> float:
    total = 0.0
    for process in server_processes(server):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(processes: list[psutil.Process]) -> int:
    """Bytes that processes hold, what they share counted once."""
    own = shared = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            info = process.memory_info()
            own += info.rss - info.shared
            shared = max(shared, info.shared)
    return own + shared


PYTHON = Path(sys.executable)
