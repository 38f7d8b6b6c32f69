"""dlt: ``replace`` of Arrow tables with the CSV loader, the fast way of its Postgres page."""

from __future__ import annotations

from job import Job

from peers.dlt_pipeline import arrow_tables, run


def load(job: Job) -> None:
    """Read in batches, written as CSV files, loaded by COPY."""
    run(job, arrow_tables(job, "replace"), loader_file_format="csv")
