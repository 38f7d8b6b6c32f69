"""Polars: ``write_database`` with the ADBC engine (user guide, "Databases", section on writing)."""

from __future__ import annotations

import polars as pl
from job import COLUMNS, HEADERS, Job

KINDS = {"text": pl.String, "integer": pl.Int32, "date": pl.Date, "numeric": pl.Float64}


def load(job: Job) -> None:
    """Into a table that the driver makes, without a key; decimals become floating point."""
    kinds = {header: KINDS[kind] for header, kind in COLUMNS.values()}
    frame = pl.read_csv(job.file, separator="\t", columns=list(HEADERS), schema_overrides=kinds).rename(HEADERS)
    frame.write_database("attendance", job.url, engine="adbc", if_table_exists="replace")
