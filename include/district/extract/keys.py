"""Keys: which staged rows may share theirs with another, found while they are typed, not by grouping them later."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Hashes = npt.NDArray[np.uint64]

# Rows looked at together: more take turns, so that memory does not grow with the file.
TURN = 2_000_000
CHUNK = 500_000
_MIX = 0x9E3779B97F4A7C15


class SeenKeys:
    """A 64-bit hash of each row's key, kept in a passing file: equal keys have equal hashes, others hardly ever."""

    def __init__(self, folder: Path) -> None:
        self._file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the object
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, numbers: pa.Array, parts: list[pa.Array]) -> None:
        """Notes the keys of rows: their numbers, and each part of their keys."""
        import numpy as np

        rows = np.empty((len(numbers), 2), dtype=np.uint64)
        rows[:, 0] = 0
        for part in parts:
            rows[:, 0] = rows[:, 0] * np.uint64(_MIX) + _hashes(part)
        rows[:, 1] = numbers.to_numpy()
        rows.tofile(self._file)
        self._rows += len(rows)

    def repeated(self) -> pa.Array:
        """The numbers of rows whose key may be another row's too."""
        import numpy as np
        import pyarrow as pa

        turns = self._rows // TURN + 1
        found = [_repeated(self._in_turn(turn, turns)) for turn in range(turns)]
        return pa.array(np.concatenate(found).astype(np.int64))

    def _in_turn(self, turn: int, turns: int) -> Hashes:
        import numpy as np

        self._file.seek(0)
        mine = [np.empty((0, 2), dtype=np.uint64)]
        for _ in range(0, self._rows, CHUNK):
            rows = np.fromfile(self._file, dtype=np.uint64, count=2 * CHUNK).reshape(-1, 2)
            mine.append(rows[rows[:, 0] % np.uint64(turns) == turn])
        return np.concatenate(mine)


def _repeated(mine: Hashes) -> Hashes:
    import numpy as np

    hashes = np.sort(mine[:, 0])
    again = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(again):
        return np.empty(0, dtype=np.uint64)
    place = np.minimum(np.searchsorted(again, mine[:, 0]), len(again) - 1)
    repeated: Hashes = mine[again[place] == mine[:, 0], 1]
    return repeated


def _hashes(part: pa.Array) -> Hashes:
    """Each value is hashed once, however many rows hold it; null is a value like any other."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import xxhash

    encoded = part.dictionary_encode(null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = pc.fill_null(pc.cast(pc.cast(encoded.dictionary, pa.string()), pa.binary()), b"").to_pylist()
    hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, values), np.uint64, len(values))
    hashed: Hashes = hashes[encoded.indices.to_numpy()]
    return hashed
