"""A whole night of our own imports by the steps that Airflow calls, one data set after another."""

from __future__ import annotations

import shutil
from typing import Any

from job import Job
from ours import import_night, imports, point_settings

from district.demo.nights import differences, read_nights, read_runs

__all__ = ["imports", "load", "prepare"]


def prepare(job: Job) -> None:
    """The night's extracts, which arrive now; the settings; the database's own tables."""
    drop = shutil.copytree(
        job.file / f"night_{job.night}", job.folder / f"drop_{job.night}", copy_function=shutil.copyfile
    )
    point_settings(job, drop)


def load(job: Job) -> dict[str, Any]:
    """All data sets of the night; what they did must be what the generator reckoned."""
    night = read_nights(job.file)[job.night - 1]
    steps, keys = {}, {}
    for expected in night.expected:
        keys[expected.dataset] = f"bench-{expected.partition}-{job.night}"
        run, seconds = import_night(expected.dataset, expected.partition, keys[expected.dataset])
        changed = run.inserted + run.updated + run.withdrawn
        steps[expected.dataset] = seconds | {"rows": run.read, "changed": changed}
    return {"steps": steps, "wrong": differences(night.expected, read_runs(job.sqlalchemy_url, keys))}
