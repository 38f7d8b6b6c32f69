"""Arrow's own driver: a stream of record batches into ``adbc_ingest`` (ADBC, "PostgreSQL driver", "Bulk ingestion")."""

from __future__ import annotations

import pyarrow as pa
from adbc_driver_postgresql import dbapi
from job import COLUMNS, Job

from peers.arrow import KINDS, batches


def load(job: Job) -> None:
    """Into a table that the driver makes, without a key; decimals become floating point."""
    schema = pa.schema([(name, KINDS[kind]) for name, (_, kind) in COLUMNS.items()])
    renamed = (batch.rename_columns(schema.names) for batch in batches(job.file))
    with dbapi.connect(job.url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("attendance", pa.RecordBatchReader.from_batches(schema, renamed), mode="replace")
        connection.commit()
