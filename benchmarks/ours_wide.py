"""Our own import of a wide file, whose declaration and suite stand beside it."""

from __future__ import annotations

import sys
from typing import Any

from files import NIGHTS
from job import Job
from ours import arrange, import_night, imports

__all__ = ["imports", "load", "prepare"]


def prepare(job: Job) -> None:
    """The drop folder, and a catalog of this data set alone."""
    folder = job.file.parent
    arrange(
        job,
        job.file.name,
        DISTRICT_DAGS_FOLDER=str(folder / "dags"),
        DISTRICT_EXPECTATIONS_FOLDER=str(folder / "expectations"),
    )


def load(job: Job) -> dict[str, Any]:
    """The first night."""
    run, steps = import_night("wide", NIGHTS[job.night - 1])
    if run.state != "loaded" or run.read != run.loaded:
        sys.exit(f"It ended {run.state}: {run}")
    return dict(steps)
