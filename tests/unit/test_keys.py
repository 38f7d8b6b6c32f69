"""Keys: every row whose key is another's is found, in whatever batches and turns they come."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from district.extract import keys
from district.extract.keys import SeenKeys

KEY = st.tuples(
    st.sampled_from(["", "1", "01", "é", None]),
    st.sampled_from([1, 2, None]),
    st.sampled_from([datetime.date(2026, 1, 1), datetime.date(2026, 1, 2), None]),
)


@settings(deadline=None)
@given(st.lists(st.lists(KEY, max_size=8), max_size=4), st.sampled_from([2, 1_000]))
def test_rows_that_share_a_key_are_found(
    batches: list[list[tuple[str | None, int | None, datetime.date | None]]], turn: int
) -> None:
    rows = [row for batch in batches for row in batch]
    with (
        TemporaryDirectory() as name,
        SeenKeys(Path(name)) as seen,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(keys, "TURN", turn)
        patch.setattr(keys, "CHUNK", 3)
        number = 0
        for batch in batches:
            numbers = pa.array(range(number + 1, number + len(batch) + 1), pa.int64())
            parts = zip(*batch, strict=True) if batch else ([], [], [])
            types = (pa.string(), pa.int64(), pa.date32())
            seen.add(numbers, [pa.array(part, kind) for part, kind in zip(parts, types, strict=True)])
            number += len(batch)
        found = set(seen.repeated().to_pylist())
    # An empty text and no text look alike here; the database tells them apart.
    times = Counter((row[0] or "", *row[1:]) for row in rows)
    assert found == {n for n, row in enumerate(rows, start=1) if times[(row[0] or "", *row[1:])] > 1}
