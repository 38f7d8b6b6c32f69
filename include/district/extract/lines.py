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


def line_hashes(path: Path) -> Hashes:
    """A 128-bit hash of each line, shape (lines, 2), kept beside the landed copy and mapped into memory.

    It follows from the copy's bytes alone, so a file of hashes is right or, after a crash, not there.
    """
    import numpy as np

    kept = path.with_name(f"{path.name}.lines")
    if not kept.exists():
        import xxhash

        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".hashing-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as out:
                for lines in _blocks_of_lines(path):
                    out.write(b"".join(map(xxhash.xxh3_128_digest, lines)))
            Path(temporary).replace(kept)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    if kept.stat().st_size == 0:
        return np.empty((0, 2), dtype=np.uint64)
    return np.memmap(kept, dtype=np.uint64, mode="r").reshape(-1, 2)


def differ(older: Hashes, newer: Hashes, *, header: bool, anew: Numbers) -> Difference:
    """Compares two deliveries; lines ``anew`` of the older count as if the newer did not have them.

    A last line may lack its line break, or be the mark that closes a file: it is always among those that differ.
    """
    import numpy as np

    begin = 1 if header else 0
    turns = max(len(older), len(newer)) // TURN + 1
    matched_older, matched_newer = np.zeros(len(older), dtype=bool), np.zeros(len(newer), dtype=bool)
    usable = np.ones(len(older), dtype=bool)
    usable[anew - 1] = False
    usable[:begin] = usable[-1:] = False
    for turn in range(turns):
        mine = np.flatnonzero(usable & (older[:, 0] % turns == turn)) if turns > 1 else np.flatnonzero(usable)
        theirs = _in_turn(newer, begin, turn, turns)
        for of_older, of_newer in (_matches(older, mine, newer, theirs),):
            matched_older[of_older] = True
            matched_newer[of_newer] = True
    matched_newer[:begin] = matched_older[:begin] = True
    return Difference(
        came=np.flatnonzero(~matched_newer) + 1,
        gone=np.flatnonzero(~matched_older) + 1,
        same=int(np.count_nonzero(matched_newer)) - min(begin, len(newer)),
    )


def _in_turn(hashes: Hashes, begin: int, turn: int, turns: int) -> Numbers:
    import numpy as np

    end = max(begin, len(hashes) - 1)
    if turns == 1:
        return np.arange(begin, end)
    return np.flatnonzero(hashes[begin:end, 0] % turns == turn) + begin


def _matches(older: Hashes, mine: Numbers, newer: Hashes, theirs: Numbers) -> tuple[Numbers, Numbers]:
    """The places of lines that both have, once each."""
    import numpy as np

    mine, first, once = _sorted(older, mine)
    theirs, second, once_too = _sorted(newer, theirs)
    if not len(mine):
        return mine, mine
    place = np.minimum(np.searchsorted(first, second), len(first) - 1)
    # Both halves of the hash must agree.
    hit = (first[place] == second) & once[place] & once_too
    hit[hit] = older[mine[place[hit]], 1] == newer[theirs[hit], 1]
    return mine[place[hit]], theirs[hit]


def _sorted(hashes: Hashes, places: Numbers) -> tuple[Numbers, Any, Any]:
    """The places by their hash, the hashes in order, and whether each occurs once."""
    import numpy as np

    values = hashes[places, 0]
    order = np.argsort(values)
    values = values[order]
    once = np.ones(len(values), dtype=bool)
    again = values[1:] == values[:-1]
    once[1:] &= ~again
    once[:-1] &= ~again
    return places[order], values, once


@contextmanager
def only_lines(landed: Landed, layout: Layout, plan: Plan, numbers: Numbers) -> Iterator[tuple[Landed, Plan]]:
    """The header and these lines of a landed copy, as a passing file that is read as the whole would be."""
    import numpy as np

    header = layout.header and not layout.fixed_width
    wanted = np.concatenate([[1], numbers]) if header else numbers
    handle, temporary = tempfile.mkstemp(dir=landed.path.parent, prefix=".lines-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as out:
            behind = 0
            for lines in _blocks_of_lines(landed.path):
                begin, end = np.searchsorted(wanted, [behind + 1, behind + len(lines) + 1])
                picked = (wanted[begin:end] - (behind + 1)).tolist()
                out.write(b"".join([lines[place] + b"\n" for place in picked]))
                behind += len(lines)
        numbered = array("q", wanted.astype(np.int64).tobytes())
        yield dataclasses.replace(landed, path=Path(temporary)), dataclasses.replace(plan, lines=numbered)
    finally:
        Path(temporary).unlink(missing_ok=True)


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
