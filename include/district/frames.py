"""Frames: the distinct values of staged columns as pandas frames, in the types Great Expectations is fast on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Select, func, select

from district.database import raw_cursor
from district.dataset import Dataset
from district.tables import staging_table

if TYPE_CHECKING:
    import pandas as pd

# Rows per frame: below 250,000 the fixed cost of a Great Expectations run shows, above it memory does.
FRAME_ROWS = 250_000


def distinct_frames(
    engine: Engine, dataset: Dataset, groups: list[tuple[str, ...]], run_id: int
) -> Iterator[pd.DataFrame]:
    """Each group of columns' distinct values, once each, in frames of up to FRAME_ROWS and a little more.

    A frame holds all columns of all groups. ``group`` says which group (by index) a row belongs to, and the columns
    outside that group are null; ``row_no`` is the first staged row that holds the values.
    """
    import pyarrow as pa

    columns = sorted({name for group in groups for name in group})
    types = {name: _arrow_type(dataset, name) for name in columns}
    waiting: list[Any] = []
    for index, group in enumerate(groups):
        for block in _read(engine, _distinct(dataset, group, run_id), ["row_no", *group], types):
            waiting.append(_widen(block, index, columns, types))
            if sum(piece.num_rows for piece in waiting) >= FRAME_ROWS:
                yield _frame(pa.concat_tables(waiting))
                waiting = []
    if waiting:
        yield _frame(pa.concat_tables(waiting))


def _distinct(dataset: Dataset, group: tuple[str, ...], run_id: int) -> Select[Any]:
    staged = staging_table(dataset, run_id)
    values = [staged.c[name] for name in group]
    return select(func.min(staged.c.row_no), *values).group_by(*values)


def _arrow_type(dataset: Dataset, name: str) -> Any:
    import pyarrow as pa

    kinds = {"text": pa.string(), "integer": pa.int64(), "decimal": pa.float64(), "date": pa.date32()}
    return kinds.get(dataset.column(name).type, pa.bool_())


def _read(engine: Engine, query: Select[Any], names: list[str], types: dict[str, Any]) -> Iterator[Any]:
    """The query's rows as Arrow batches, streamed: COPY writes into one end of a pipe, Arrow parses at the other."""
    import pyarrow as pa

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
            reader = _open(source, names, {"row_no": pa.int64(), **{n: types[n] for n in names if n in types}})
            while reader is not None:
                try:
                    yield reader.read_next_batch()
                except StopIteration:
                    break
    finally:
        exporter.join()
    if trouble:
        raise trouble[0]


def _open(source: Any, names: list[str], types: dict[str, Any]) -> Any:
    """A reader of PostgreSQL's CSV; None where there is no row."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    try:
        return arrow_csv.open_csv(
            source,
            arrow_csv.ReadOptions(use_threads=False, block_size=8 << 20, column_names=names),
            arrow_csv.ParseOptions(newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types=types,
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


def _widen(block: Any, index: int, columns: list[str], types: dict[str, Any]) -> Any:
    import pyarrow as pa

    present = dict(zip(block.schema.names, block.columns, strict=True))
    values = {name: present.get(name, pa.nulls(block.num_rows, types[name])) for name in columns}
    group = pa.repeat(pa.scalar(index, pa.int64()), block.num_rows)
    return pa.table({"row_no": present["row_no"], "group": group, **values})


def _frame(table: Any) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    for index, field in enumerate(table.schema):
        if pa.types.is_date(field.type):
            # Great Expectations is five times slower on any other unit than nanoseconds.
            table = table.set_column(index, field.name, pc.cast(table.column(index), pa.timestamp("ns")))
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    with_nulls = {field.type for field in table.schema if table.column(field.name).null_count}
    frame: pd.DataFrame = table.to_pandas(types_mapper=lambda kind: nullable.get(kind) if kind in with_nulls else None)
    return frame
