"""Lines: which lines of a delivery are new since an earlier one, found before the database sees any of them."""

from __future__ import annotations

import dataclasses
import mmap
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
    Lines = npt.NDArray[np.uint64]

BLOCK = 8 << 20
# Lines compared at a time: more take turns, so that memory does not grow with the file.
TURN = 2_000_000
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


def read_lines(path: Path) -> Lines:
    """The lines of a landed copy: for each a 128-bit hash and where it ends, shape (lines, 3), mapped into memory.

    Kept beside the copy. They follow from its bytes alone, so the file is right or, after a crash, not there.
    """
    import numpy as np

    kept = path.with_name(f"{path.name}.lines")
    if not kept.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".hashing-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as out:
                for rows in _hashed(path):
                    rows.tofile(out)
            Path(temporary).replace(kept)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    if kept.stat().st_size == 0:
        return np.empty((0, 3), dtype=np.uint64)
    return np.memmap(kept, dtype=np.uint64, mode="r").reshape(-1, 3)


def _hashed(path: Path) -> Iterator[Lines]:
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
    usable, usable_too = np.ones(len(older), dtype=bool), np.ones(len(newer), dtype=bool)
    usable[anew - 1] = False
    for each in (usable, usable_too):
        each[:begin] = each[-1:] = False
    same, same_too = np.zeros(len(older), dtype=bool), np.zeros(len(newer), dtype=bool)
    turns = max(len(older), len(newer)) // TURN + 1
    for turn in range(turns):
        mine, theirs = _in_turn(older, usable, turn, turns), _in_turn(newer, usable_too, turn, turns)
        of_older, of_newer = _matches(older, mine, newer, theirs)
        same[of_older] = True
        same_too[of_newer] = True
    matched = int(np.count_nonzero(same_too))
    same[:begin] = same_too[:begin] = True
    return Difference(came=np.flatnonzero(~same_too) + 1, gone=np.flatnonzero(~same) + 1, same=matched)


def _in_turn(lines: Lines, usable: Any, turn: int, turns: int) -> Numbers:
    import numpy as np

    return np.flatnonzero(usable & (lines[:, 0] % turns == turn) if turns > 1 else usable)


def _matches(older: Lines, mine: Numbers, newer: Lines, theirs: Numbers) -> tuple[Numbers, Numbers]:
    """The places of lines that both have, once each."""
    import numpy as np

    hashes = np.concatenate([older[mine, 0], newer[theirs, 0]])
    order = np.argsort(hashes)
    hashes = hashes[order]
    edges = np.concatenate([[True], hashes[1:] != hashes[:-1], [True]])
    # Hashes that occur twice, and of these one on either side.
    pairs = np.flatnonzero(edges[:-2] & ~edges[1:-1] & edges[2:])
    first, second = order[pairs], order[pairs + 1]
    across = (first < len(mine)) != (second < len(mine))
    first, second = first[across], second[across]
    of_older, of_newer = mine[np.minimum(first, second)], theirs[np.maximum(first, second) - len(mine)]
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
    ends = lines[wanted - 1, 2].astype(np.int64)
    begins = np.where(wanted > 1, lines[wanted - 2, 2].astype(np.int64) + 1, 0)
    handle, temporary = tempfile.mkstemp(dir=landed.path.parent, prefix=".lines-")  # mode 0600
    try:
        with (
            os.fdopen(handle, "wb") as out,
            landed.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole,
        ):
            spans = zip(begins.tolist(), ends.tolist(), strict=True)
            out.write(b"\n".join([whole[begin:end] for begin, end in spans]) + b"\n")
        numbered = array("q", wanted.tobytes())
        yield dataclasses.replace(landed, path=Path(temporary)), dataclasses.replace(plan, lines=numbered)
    finally:
        Path(temporary).unlink(missing_ok=True)
