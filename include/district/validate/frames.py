"""Frames: the distinct values of staged columns as pandas frames, in the types Great Expectations is fast on."""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Select, func, select, tuple_

from district.database import raw_cursor
from district.dataset import ColumnType, Dataset
from district.tables import staging_table

if TYPE_CHECKING:
    import pandas as pd

# Rows per frame: below 250,000 the fixed cost of a Great Expectations run shows, above it memory does.
FRAME_ROWS = 250_000
# PostgreSQL's GROUPING() takes so many columns.
MOST_GROUPED = 31
LAST_DAY = datetime.date(2262, 4, 11)


def distinct_frames(
    engine: Engine, dataset: Dataset, groups: list[tuple[str, ...]], run_id: int
) -> Iterator[pd.DataFrame]:
    """Each group of columns' distinct values, once each, in frames of up to FRAME_ROWS and a little more.

    A frame holds all columns of all groups. ``group`` says which group (by index) a row belongs to, and the columns
    outside that group are null; ``row_no`` is the first staged row that holds the values.
    """
    every = {name: dataset.column(name).type for name in sorted({name for group in groups for name in group})}
    for pack in _packs(groups):
        columns = sorted({name for group in pack for name in group})
        group_of = {_outside(group, columns): groups.index(group) for group in pack}
        types: dict[str, ColumnType] = {"row_no": "integer", "outside": "integer"}
        types |= {name: every[name] for name in columns}
        waiting: list[Any] = []
        for block in _read(engine, _distinct(dataset, pack, columns, run_id), types):
            waiting.append(block)
            if sum(piece.num_rows for piece in waiting) >= FRAME_ROWS:
                yield _frame(waiting, group_of, every)
                waiting = []
        if waiting:
            yield _frame(waiting, group_of, every)


def _packs(groups: list[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
    """The groups by as many as GROUPING() takes at a time."""
    packs: list[list[tuple[str, ...]]] = []
    columns: set[str] = set()
    for group in groups:
        if not packs or len(columns | set(group)) > MOST_GROUPED:
            packs.append([])
            columns = set()
        packs[-1].append(group)
        columns |= set(group)
    return packs


def _distinct(dataset: Dataset, groups: list[tuple[str, ...]], columns: list[str], run_id: int) -> Select[Any]:
    """All groups in one pass over the rows; ``outside`` has a bit for each column that is not in the row's group."""
    staged = staging_table(dataset, run_id)
    sets = func.grouping_sets(*[tuple_(*[staged.c[name] for name in group]) for group in groups])
    values = [staged.c[name] for name in columns]
    return select(func.min(staged.c.row_no), func.grouping(*values), *values).group_by(sets)


def _outside(group: tuple[str, ...], columns: list[str]) -> int:
    """PostgreSQL's GROUPING(): the first column is the highest bit."""
    return sum(1 << place for place, name in enumerate(reversed(columns)) if name not in group)


def _read(engine: Engine, query: Select[Any], types: dict[str, ColumnType]) -> Iterator[Any]:
    """The query's rows as Arrow batches, streamed: COPY writes into one end of a pipe, Arrow parses at the other."""
    read_end, write_end = os.pipe()
    trouble: list[Exception] = []

    def export() -> None:
        try:
            with os.fdopen(write_end, "wb") as sink, engine.connect() as connection:
                statement = f"COPY ({query.compile(connection)}) TO STDOUT (FORMAT csv)"
                with raw_cursor(connection) as cursor:
                    cursor.copy_expert(statement, sink)
        except BrokenPipeError:
            return  # the reader stopped early and says why itself
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            trouble.append(error)

    exporter = threading.Thread(target=export, daemon=True)
    exporter.start()
    try:
        with os.fdopen(read_end, "rb") as source:
            reader = _open(source, types)
            while reader is not None:
                try:
                    yield reader.read_next_batch()
                except StopIteration:
                    break
    finally:
        exporter.join()
    if trouble:
        raise trouble[0]


def _open(source: Any, types: dict[str, ColumnType]) -> Any:
    """A reader of PostgreSQL's CSV; None where there is no row."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    kinds = _arrow_types()
    try:
        return arrow_csv.open_csv(
            source,
            arrow_csv.ReadOptions(use_threads=False, block_size=8 << 20, column_names=list(types)),
            arrow_csv.ParseOptions(newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types={name: kinds[kind] for name, kind in types.items()},
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
                true_values=["t"],
                false_values=["f"],
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return None
        raise


def _arrow_types() -> dict[ColumnType, Any]:
    import pyarrow as pa

    return {
        "text": pa.string(),
        "integer": pa.int64(),
        "decimal": pa.float64(),
        "date": pa.date32(),
        "boolean": pa.bool_(),
    }


def _frame(blocks: list[Any], group_of: dict[int, int], columns: dict[str, ColumnType]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.Table.from_batches(blocks)
    for name, kind in columns.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table), _arrow_types()[kind]))
    for index, field in enumerate(table.schema):
        if pa.types.is_date(field.type):
            # Great Expectations is five times slower on any other unit than nanoseconds, which end in 2262: a
            # far-away day, the usual end of what is open, stays a far-away day.
            bounded = pc.min_element_wise(table.column(index), LAST_DAY, skip_nulls=False)
            table = table.set_column(index, field.name, pc.cast(bounded, pa.timestamp("ns")))
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    with_nulls = {field.type for field in table.schema if table.column(field.name).null_count}
    frame: pd.DataFrame = table.to_pandas(types_mapper=lambda kind: nullable.get(kind) if kind in with_nulls else None)
    frame["group"] = frame.pop("outside").map(group_of).astype("int64")
    return frame
