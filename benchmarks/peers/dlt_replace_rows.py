"""dlt: ``replace`` of the CSV file's rows with all defaults: large INSERT statements."""

from __future__ import annotations

from job import Job

from peers.dlt_pipeline import csv_rows, run


def load(job: Job) -> None:
    """Read by pandas, normalised row by row."""
    run(job, csv_rows(job, "replace"))
