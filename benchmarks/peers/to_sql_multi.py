"""pandas: ``DataFrame.to_sql`` with many rows an INSERT (IO guide, "Writing DataFrames" and "Insertion method").

The guide: pass ``method="multi"``, and write in batches with ``chunksize``, 1,000 in its example.
"""

from __future__ import annotations

from job import Job
from sqlalchemy import Date, create_engine

from peers.frame import read


def load(job: Job) -> None:
    """Into a table that pandas makes, without a key."""
    read(job.file).to_sql(
        "attendance", create_engine(job.sqlalchemy_url), index=False, if_exists="replace", dtype={"event_date": Date()},
        method="multi", chunksize=1_000,
    )  # fmt: skip
