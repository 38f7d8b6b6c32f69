"""Lines: which lines of a delivery are new since an earlier one, found before the database sees any of them."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from district.extract.landing import Landed
from district.extract.plan import Plan
from district.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]
    Hashes = npt.NDArray[np.uint64]

BLOCK = 8 << 20
# Lines compared at a time: more take turns, so that memory does not grow with the file.
TURN = 1_000_000
CHUNK = 500_000
ROW_BYTES = 24
# In these a line break is always the byte 10, and that byte always a line break.
_PLAIN = ("utf-8", "ascii", "cp", "iso8859", "latin")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two deliveries by the numbers of their lines, header left out."""

    came: Numbers
    """Lines of the newer that the older does not have, or that either has more than once."""
    gone: Numbers
    """Lines of the older that the newer does not have, likewise."""
    same: int
    """Lines that both have, once each."""


def one_line_each(landed: Landed, layout: Layout, plan: Plan) -> bool:
    """Whether every line of the file, header included, is one record: only then lines can stand for rows."""
    lines = plan.lines
    numbered = lines is None or (len(lines) > 0 and lines[0] == 1 and lines[-1] == len(lines))
    breaks = landed.returns == landed.return_newlines and not landed.blank_lines
    return numbered and breaks and layout.encoding.replace("_", "").startswith(_PLAIN)


class Lines:
    """The lines of a landed copy: for each a 128-bit hash and where it ends, in a file beside the copy.

    They follow from the copy's bytes alone, so that file is right or, after a crash, not there.
    """

    def __init__(self, copy: Path) -> None:
        self._path = copy.with_name(f"{copy.name}.lines")
        if not self._path.exists():
            _write_hashes(copy, self._path)
        self.count = self._path.stat().st_size // ROW_BYTES

    def in_turn(self, usable: Any, turn: int, turns: int) -> tuple[Numbers, Hashes]:
        """The places of the usable lines whose turn it is, and their hashes, shape (lines, 2)."""
        import numpy as np

        places, hashes = [np.empty(0, dtype=np.int64)], [np.empty((0, 2), dtype=np.uint64)]
        for begin, rows in self._parts():
            mine = usable[begin : begin + len(rows)] & (rows[:, 0] % np.uint64(turns) == turn)
            found = np.flatnonzero(mine)
            places.append(found + begin)
            hashes.append(rows[found, :2])
        return np.concatenate(places), np.concatenate(hashes)

    def spans(self, numbers: Numbers) -> Iterator[tuple[int, int]]:
        """Where each of these lines (in order) begins and ends, its line break left out."""
        import numpy as np

        ends = np.full(len(numbers), -1, dtype=np.int64)
        before = ends.copy()
        for begin, rows in self._parts():
            for found, places in ((ends, numbers - 1), (before, numbers - 2)):
                first, last = np.searchsorted(places, (begin, begin + len(rows)))
                found[first:last] = rows[places[first:last] - begin, 2]
        return zip((before + 1).tolist(), ends.tolist(), strict=True)

    def _parts(self) -> Iterator[tuple[int, Hashes]]:
        """The file by parts, each with the place of its first line."""
        import numpy as np

        with self._path.open("rb") as file:
            for begin in range(0, self.count, CHUNK):
                yield begin, np.fromfile(file, dtype=np.uint64, count=3 * CHUNK).reshape(-1, 3)


def _write_hashes(copy: Path, kept: Path) -> None:
    handle, temporary = tempfile.mkstemp(dir=copy.parent, prefix=".hashing-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as out:
            for rows in _hashed(copy):
                rows.tofile(out)
        Path(temporary).replace(kept)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _hashed(path: Path) -> Iterator[Hashes]:
    import numpy as np
    import xxhash

    end = -1
    for lines in _blocks_of_lines(path):
        rows = np.empty((len(lines), 3), dtype=np.uint64)
        digests = b"".join(map(xxhash.xxh3_128_digest, lines))
        rows[:, :2] = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)
        ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)) + 1) + end
        rows[:, 2] = ends
        end = int(ends[-1]) if len(ends) else end
        yield rows


def _blocks_of_lines(path: Path) -> Iterator[list[bytes]]:
    """The file's lines without their line breaks, by blocks."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            yield lines
    if rest:
        yield [rest]


def differ(older: Lines, newer: Lines, *, header: bool, anew: Numbers) -> Difference:
    """Compares two deliveries; lines ``anew`` of the older count as if the newer did not have them.

    A last line may lack its line break, or be the mark that closes a file: it is always among those that differ.
    """
    import numpy as np

    begin = 1 if header else 0
    usable, usable_too = np.ones(older.count, dtype=bool), np.ones(newer.count, dtype=bool)
    usable[anew - 1] = False
    for each in (usable, usable_too):
        each[:begin] = each[-1:] = False
    same, same_too = np.zeros(older.count, dtype=bool), np.zeros(newer.count, dtype=bool)
    turns = max(older.count, newer.count) // TURN + 1
    for turn in range(turns):
        mine, hashes = older.in_turn(usable, turn, turns)
        theirs, others = newer.in_turn(usable_too, turn, turns)
        of_older, of_newer = _matches(hashes, others)
        same[mine[of_older]] = True
        same_too[theirs[of_newer]] = True
    matched = int(np.count_nonzero(same_too))
    same[:begin] = same_too[:begin] = True
    return Difference(came=np.flatnonzero(~same_too) + 1, gone=np.flatnonzero(~same) + 1, same=matched)


def _matches(older: Hashes, newer: Hashes) -> tuple[Numbers, Numbers]:
    """The places of hashes that both have, once each."""
    import numpy as np

    firsts = np.concatenate([older[:, 0], newer[:, 0]])
    order = np.argsort(firsts)
    firsts = firsts[order]
    edges = np.concatenate([[True], firsts[1:] != firsts[:-1], [True]])
    # Hashes that occur twice, and of these one on either side.
    pairs = np.flatnonzero(edges[:-2] & ~edges[1:-1] & edges[2:])
    one, other = order[pairs], order[pairs + 1]
    across = (one < len(older)) != (other < len(older))
    one, other = one[across], other[across]
    of_older, of_newer = np.minimum(one, other), np.maximum(one, other) - len(older)
    # Both halves of the hash must agree.
    agree = older[of_older, 1] == newer[of_newer, 1]
    return of_older[agree], of_newer[agree]


@contextmanager
def only_lines(
    landed: Landed, layout: Layout, plan: Plan, lines: Lines, numbers: Numbers
) -> Iterator[tuple[Landed, Plan]]:
    """The header and these lines of a landed copy, as a passing file that is read as the whole would be."""
    import numpy as np

    header = layout.header and not layout.fixed_width
    wanted = np.concatenate([[1], numbers]).astype(np.int64) if header else numbers.astype(np.int64)
    handle, temporary = tempfile.mkstemp(dir=landed.path.parent, prefix=".lines-")  # mode 0600
    try:
        with (
            os.fdopen(handle, "wb") as out,
            landed.path.open("rb") as file,
        ):
            out.writelines(os.pread(file.fileno(), end - begin, begin) + b"\n" for begin, end in lines.spans(wanted))
        numbered = array("q", wanted.tobytes())
        yield dataclasses.replace(landed, path=Path(temporary)), dataclasses.replace(plan, lines=numbered)
    finally:
        Path(temporary).unlink(missing_ok=True)
