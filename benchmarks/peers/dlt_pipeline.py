"""What the dlt peers share: a pipeline into the job's database, and the file in the two ways that dlt advises."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from job import COLUMNS, KEY, Job

from peers.arrow import batches

os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}

import dlt
from dlt.sources.filesystem import filesystem, read_csv

LABELS = list(COLUMNS)


def run(job: Job, resource: Any, **options: Any) -> None:
    """Runs the resource into the table ``attendance`` of the schema ``bench``."""
    # dlt refuses a URL without a password; the server trusts whoever may open its socket, and reads none.
    url = job.url.replace("postgres@", "postgres:any@localhost")
    pipeline = dlt.pipeline(
        "bench", pipelines_dir=str(job.folder / "dlt"), destination=dlt.destinations.postgres(url), dataset_name="bench"
    )
    info = pipeline.run(resource, table_name="attendance", **options)
    info.raise_on_failed_jobs()


def arrow_tables(job: Job, disposition: Any) -> Any:
    """Arrow tables, for the CSV loader: dlt's "Fast loading with Arrow tables and CSV" for Postgres."""

    def tables() -> Iterator[pa.Table]:
        for batch in batches(job.file):
            yield pa.Table.from_batches([batch]).rename_columns(LABELS)

    key = list(KEY) if disposition == "merge" else None
    return dlt.resource(tables, name="attendance", write_disposition=disposition, primary_key=key)


def csv_rows(job: Job, disposition: Any) -> Any:
    """Rows by the filesystem source's ``read_csv``: dlt's page "Filesystem", the usual way to load a CSV file."""
    files = filesystem(bucket_url=job.file.parent.as_uri(), file_glob=job.file.name)
    reader = read_csv(
        sep="\t", names=LABELS, header=0, usecols=range(len(LABELS)), dtype={"student_id": str, "school_id": str}
    )
    key = list(KEY) if disposition == "merge" else None
    return (files | reader).apply_hints(write_disposition=disposition, primary_key=key)
