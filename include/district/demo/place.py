"""The demo's one folder: where everything lies, and what a second start has to remember."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class DemoFailed(RuntimeError):
    """A step of the demo failed; the message says which, where and what to do."""


@dataclass(frozen=True)
class Place:
    """``.demo/`` and what lies in it, closed to everyone else."""

    root: Path

    def __post_init__(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME."""
        return self.root / "airflow"

    @property
    def logs(self) -> Path:
        """One file per program, and Airflow's task logs."""
        return self.root / "logs"

    @property
    def mail(self) -> Path:
        """Caught mails."""
        return self.root / "mail"

    @property
    def drop(self) -> Path:
        """Where a night's extracts arrive."""
        return self.root / "drop"

    @property
    def landed(self) -> Path:
        """Immutable copies of what arrived."""
        return self.root / "landed"

    @property
    def district(self) -> Path:
        """The synthetic district as generated."""
        return self.root / "district"

    @property
    def environment(self) -> Path:
        """A shell file after which `district`, `airflow` and `psql` mean this demo."""
        return self.root / "env"

    def lock(self) -> int:
        """Keeps a second demo off this folder for as long as the descriptor is open."""
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DemoFailed(
                f"A demo is already running on {self.root}; end it with Ctrl-C in its terminal first."
            ) from None
        return descriptor

    def recall(self, name: str, make: Callable[[], Any]) -> Any:
        """A remembered value, made and remembered the first time."""
        memory = self._read()
        if name not in memory:
            self.remember(name, make())
            memory = self._read()
        return memory[name]

    def remember(self, name: str, value: Any) -> None:
        """Keeps a JSON value for the next start, readable to its owner only."""
        self.write(self._memory, json.dumps(self._read() | {name: value}, indent=1))

    def write(self, path: Path, content: str) -> None:
        """A file that only its owner can read, never half written."""
        fresh = path.with_name(f"{path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        fresh.replace(path)

    def forget_but(self, *names: str) -> None:
        """Forgets everything else: what was remembered of a database that is gone."""
        memory = self._read()
        self._memory.unlink(missing_ok=True)
        for name in names:
            if name in memory:
                self.remember(name, memory[name])

    def secret(self, name: str) -> str:
        """A generated secret of 64 bytes, the same at every start."""
        return str(self.recall(name, lambda: secrets.token_urlsafe(64)))

    def port(self, name: str, preferred: int) -> int:
        """The port used last time, else the preferred one, else any; whichever is free."""
        for candidate in (int(self.recall(f"port_{name}", lambda: preferred)), preferred, 0):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", candidate))
                except OSError:
                    continue
                port = int(probe.getsockname()[1])
            self.remember(f"port_{name}", port)
            return port
        raise DemoFailed("No TCP port is free on 127.0.0.1; close some programs and start again.")

    @property
    def _memory(self) -> Path:
        return self.root / "demo.json"

    def _read(self) -> dict[str, Any]:
        if not self._memory.exists():
            return {}
        content: dict[str, Any] = json.loads(self._memory.read_text(encoding="utf-8"))
        return content
