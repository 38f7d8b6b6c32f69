"""The file as typed Arrow batches, for the peers that take Arrow."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
from job import COLUMNS

KINDS = {"text": pa.string(), "integer": pa.int32(), "date": pa.date32(), "numeric": pa.float64()}


def batches(file: Path) -> pyarrow.csv.CSVStreamingReader:
    """Read as a stream, so that memory does not grow with the file."""
    kinds = {header: KINDS[kind] for header, kind in COLUMNS.values()}
    return pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(block_size=4 << 20),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t"),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=kinds, include_columns=list(kinds), strings_can_be_null=True, null_values=[""]
        ),
    )
