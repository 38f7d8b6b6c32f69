"""Landing: find the night's delivery, wait until it is complete, keep an immutable copy named by its sha256."""

from __future__ import annotations

import codecs
import contextlib
import datetime
import hashlib
import json
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from district.dataset import Files
from district.run import NotArrived, Refused

BLOCK = 1 << 20
# Seconds after which a file that was being written is nobody's.
LEFT_BEHIND = 86_400
# What senders call a file they have not finished writing.
UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".crdownload", ".uploading")
# A nightly extract compresses 5 to 20 fold; a bomb a thousandfold.
MAX_ZIP_RATIO = 200
SMALL = 16 * BLOCK
MAX_ZIP_BYTES = 20 << 30
MAX_ZIP_MEMBERS = 1_000
# Two line breaks with nothing between them.
_BLANK = (b"\n\n", b"\n\r", b"\r\r")


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A file in the drop folder, and what its sender says of it in ``<file>.manifest.json``."""

    path: Path
    modified: float
    """Seconds since 1970, as the file system or the manifest says."""
    rows: int | None = None
    sha256: str | None = None
    older: tuple[str, ...] = ()
    """Names of further, older deliveries that match the pattern."""
    misspelt: bool = False
    """The name matched only when upper and lower case were ignored."""


@dataclass(frozen=True, kw_only=True)
class Landed:
    """The immutable copy of a delivery and a census of its bytes."""

    path: Path
    sha256: str
    delivered_sha256: str
    """Of the file that was delivered: the zip's, where the copy is of a member."""
    size: int
    head: bytes
    newlines: int
    returns: int
    return_newlines: int
    quotes: int
    final_newline: bool
    blank_lines: bool
    """There may be some."""
    invalid_utf8_at: int | None
    """Offset of the first byte that is not UTF-8."""


def find_delivery(extract: Files, folder: Path, *, partition: str) -> Arrival:
    """The newest delivery that matches the pattern.

    Raises:
        NotArrived: nothing complete is there; says which pattern was looked for.
        Refused: a manifest beside the file cannot be read.
    """
    pattern = extract.pattern.replace("{partition}", partition)
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file()) if folder.is_dir() else []
    finished = [n for n in names if not n.lower().endswith((*UNFINISHED, ".manifest.json"))]
    exact = [name for name in finished if fnmatch(name, pattern)]
    matching = exact or [name for name in finished if fnmatch(name.lower(), pattern.lower())]
    if not matching:
        growing = [n for n in names if n.lower().endswith(UNFINISHED) and fnmatch(n.rsplit(".", 1)[0], pattern)]
        if growing:
            raise NotArrived(f"{growing[0]} is still being written; it is read once its sender has renamed it.")
        raise NotArrived(f"No file named {pattern} is in the drop folder yet.")
    try:
        arrivals = sorted((_arrival(folder / name) for name in matching), key=lambda a: (a.modified, a.path.name))
    except FileNotFoundError:
        raise NotArrived(f"A file named {pattern} was taken away while it was looked at.") from None
    newest = arrivals[-1]
    return Arrival(
        path=newest.path,
        modified=newest.modified,
        rows=newest.rows,
        sha256=newest.sha256,
        older=tuple(arrival.path.name for arrival in arrivals[:-1]),
        misspelt=not exact,
    )


def _arrival(path: Path) -> Arrival:
    manifest = path.with_name(path.name + ".manifest.json")
    modified = path.stat().st_mtime
    if not manifest.exists():
        return Arrival(path=path, modified=modified)
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        rows, digest, created = (content.get(name) for name in ("rows", "sha256", "created"))
        if created is not None:
            # Raises what is below for a time that no calendar has.
            modified = datetime.datetime.fromtimestamp(float(str(created)), datetime.UTC).timestamp()
        return Arrival(
            path=path,
            modified=modified,
            rows=None if rows is None else int(str(rows)),
            sha256=None if digest is None else str(digest),
        )
    except (ValueError, OverflowError, AttributeError, RecursionError, OSError):
        message = f"{manifest.name} must be JSON with rows, sha256 and created (seconds); ask the sender to mend it."
        raise Refused(message, rule_id="file.manifest") from None


def wait_until_stable(arrival: Arrival, seconds: float, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Returns once the file has not grown for ``seconds``; at once if it has a manifest or is older than that.

    Raises:
        NotArrived: it grew, or went, meanwhile.
    """
    try:
        before = arrival.path.stat()
        if arrival.sha256 or arrival.rows is not None or time.time() - before.st_mtime >= seconds:
            return
        sleep(seconds)
        after = arrival.path.stat()
    except FileNotFoundError:
        raise NotArrived(f"{arrival.path.name} was taken away while it arrived.") from None
    _check_same(before, after, arrival.path.name)


def land(path: Path, folder: Path, *, member: str = "") -> Landed:
    """Copies a delivery (or one member of a zip) to ``folder/<sha256>``, readable by this system alone.

    The copy is written under a temporary name and renamed, so a killed landing leaves no half file behind.

    Raises:
        NotArrived: the delivery changed while it was copied.
        Refused: a zip holds what no extract holds, or a landed copy is no longer what its name says.
    """
    before = path.stat()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(folder)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".landing-")  # mode 0600
    census = _Census()
    try:
        with os.fdopen(handle, "wb") as copy:
            for block in _blocks(path, member):
                census.add(block)
                copy.write(block)
            copy.flush()
            os.fsync(copy.fileno())
        delivered = _sha256(path) if member else census.sha256
        _check_same(before, path.stat(), path.name)
        if path.parent == folder and path.name != census.sha256:
            message = f"The landed copy {path.name[:12]} has changed on the disk; clear `extract` to land it again."
            raise Refused(message, rule_id="file.landed_copy")
        target = folder / census.sha256
        Path(temporary).chmod(0o400)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return census.landed(target, delivered)


def _sweep(folder: Path) -> None:
    """Removes what killed runs left half written: it holds children's rows, and nobody would look for it."""
    for left in folder.glob(".*-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > LEFT_BEHIND:
                left.unlink()


def sha256_of(path: Path) -> str:
    """The checksum of a delivery, before it is landed.

    Raises:
        NotArrived: it changed meanwhile.
    """
    before = path.stat()
    digest = _sha256(path)
    _check_same(before, path.stat(), path.name)
    return digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_same(before: os.stat_result, after: os.stat_result, name: str) -> None:
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        raise NotArrived(f"{name} is still growing.")


def _blocks(path: Path, member: str) -> Iterator[bytes]:
    if not member:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
        return
    try:
        with zipfile.ZipFile(path) as archive:
            info = _zip_member(archive, member, path.name)
            # The sizes in a zip are its sender's claim; what really goes in and comes out is counted.
            most = min(MAX_ZIP_BYTES, max(SMALL, MAX_ZIP_RATIO * min(info.compress_size, path.stat().st_size)))
            total = 0
            with archive.open(info) as file:
                while block := file.read(BLOCK):
                    total += len(block)
                    if total > most:
                        message = f"{path.name} expands beyond any extract's size, as a zip bomb does; ask its sender."
                        raise Refused(message, rule_id="file.zip_bomb")
                    yield block
    # Encrypted, of an unknown method, damaged: whatever the zip's reader has against it.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        message = f"{path.name} is not a readable zip file ({type(error).__name__}); ask the sender for it again."
        raise Refused(message, rule_id="file.zip") from None


def _zip_member(archive: zipfile.ZipFile, member: str, name: str) -> zipfile.ZipInfo:
    infos = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    if len(infos) > MAX_ZIP_MEMBERS:
        raise Refused(f"{name} holds {len(infos)} files, an extract a few; ask its sender.", rule_id="file.zip_members")
    for info in infos:
        inside = PurePosixPath(info.filename.replace("\\", "/"))
        symlink = (info.external_attr >> 16) & 0o170000 == 0o120000
        absolute = inside.is_absolute() or ":" in info.filename
        if absolute or ".." in inside.parts or symlink or inside.suffix.lower() == ".zip":
            message = f"{name} holds a path, link or zip inside that no extract needs; ask the sender for a plain zip."
            raise Refused(message, rule_id="file.zip_path")
    matching = [info for info in infos if fnmatch(PurePosixPath(info.filename).name, member)]
    if len(matching) != 1:
        message = f"{name} holds {len(matching)} files named {member}; ask the sender for exactly one."
        raise Refused(message, rule_id="file.zip_member")
    return matching[0]


class _Census:
    """Counts, in one pass with the copy, what the shape checks ask for."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._size = self._newlines = self._returns = self._return_newlines = self._quotes = 0
        self._invalid_at: int | None = None
        self._head = self._last = b""
        self._blank_lines = False

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def add(self, block: bytes) -> None:
        self._sha256.update(block)
        if len(self._head) < BLOCK:
            self._head += block[: BLOCK - len(self._head)]
        returns = block.count(b"\r")
        self._newlines += block.count(b"\n")
        self._returns += returns
        self._return_newlines += (self._last[-1:] == b"\r" and block[:1] == b"\n") + (returns and block.count(b"\r\n"))
        self._quotes += block.count(b'"')
        if not self._blank_lines:
            seam = self._last[-2:] + block[:2] if self._size else b"\n" + block[:1]
            pairs = _BLANK if returns or b"\r" in self._last else _BLANK[:1]
            self._blank_lines = any(pair in part for part in (seam, block) for pair in pairs)
        if self._invalid_at is None and not (block.isascii() and not self._utf8.getstate()[0]):
            pending = len(self._utf8.getstate()[0])
            try:
                self._utf8.decode(block)
            except UnicodeDecodeError as error:
                self._invalid_at = self._size - pending + error.start
        self._size += len(block)
        self._last = (self._last + block[-4:])[-4:]

    def landed(self, path: Path, delivered_sha256: str) -> Landed:
        if self._invalid_at is None and (cut := len(self._utf8.getstate()[0])):
            self._invalid_at = self._size - cut
        return Landed(
            path=path,
            sha256=self.sha256,
            delivered_sha256=delivered_sha256,
            size=self._size,
            head=self._head,
            newlines=self._newlines,
            returns=self._returns,
            return_newlines=self._return_newlines,
            quotes=self._quotes,
            # Some senders still close a file with Ctrl-Z.
            final_newline=self._last.rstrip(b"\x1a").endswith((b"\n", b"\r")),
            blank_lines=self._blank_lines,
            invalid_utf8_at=self._invalid_at,
        )
