"""pandas: ``DataFrame.to_sql`` as it comes, one row an INSERT (pandas.DataFrame.to_sql, `method`: None)."""

from __future__ import annotations

from job import Job
from sqlalchemy import Date, create_engine

from peers.frame import read


def load(job: Job) -> None:
    """Into a table that pandas makes, without a key."""
    read(job.file).to_sql(
        "attendance", create_engine(job.sqlalchemy_url), index=False, if_exists="replace", dtype={"event_date": Date()}
    )
