"""Our own import of a night, by the steps that Airflow calls, from the drop folder; everything on."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from files import NIGHTS
from job import Job

from district import pipeline
from district.catalog import find_dataset
from district.database import migrate
from district.run import RunSummary
from district.settings import settings

HEAVY = ("great_expectations", "numpy", "pandas", "pyarrow.compute", "pyarrow.csv", "xxhash")
STEPS = ("extract", "validate", "load")


def imports(job: Job) -> None:
    """What the steps import when they begin; an unchanged file needs none of it: there, an import counts as work."""
    if job.night == 3:
        return
    for name in HEAVY:
        if find_spec(name.split(".")[0]):
            importlib.import_module(name)
    for step in STEPS:
        package = importlib.import_module(f"district.{step}")
        for module in pkgutil.iter_modules(package.__path__, f"district.{step}."):
            importlib.import_module(module.name)


def prepare(job: Job) -> None:
    """The drop folder; on the first night, the enrollment that attendance waits for."""
    drop = arrange(job, f"attendance_{job.night}.txt")
    if job.night == 1:
        os.link(job.file.with_name("enrollment.csv"), drop / "enrollment_1.csv")
        import_night("enrollment", NIGHTS[0])


def arrange(job: Job, name: str, **more: str) -> Path:
    """Puts the file into a drop folder of its own, and points the settings there."""
    drop = job.folder / f"drop_{job.night}"
    drop.mkdir()
    os.link(job.file, drop / name)
    point_settings(job, drop, **more)
    return drop


def point_settings(job: Job, drop: Path, **more: str) -> None:
    """Has the importer use the job's database and folders, and makes its tables."""
    os.environ |= {
        "DISTRICT_DATABASE_URL": job.sqlalchemy_url,
        "DISTRICT_DROP_FOLDER": str(drop),
        "DISTRICT_LANDED_FOLDER": str(job.folder / "landed"),
        "DISTRICT_STABLE_SECONDS": "0",
        "DISTRICT_FIRST_LOAD": "load",
        **more,
    }
    settings.cache_clear()
    migrate()


def load(job: Job) -> dict[str, Any]:
    """The night's attendance."""
    run, seconds = import_night("attendance", NIGHTS[job.night - 1])
    expected = "unchanged" if job.night == 3 else "loaded"
    if run.state != expected or run.read != run.loaded + run.rejected + run.superseded:
        sys.exit(f"Night {job.night} ended {run.state}: {run}")
    return dict(seconds)


def import_night(name: str, partition: str, run_key: str = "") -> tuple[RunSummary, dict[str, float]]:
    """One data set's steps, each timed."""
    dataset = find_dataset(name, settings().dags_folder)
    run_key, seconds = run_key or f"bench-{partition}", {}
    for step in STEPS:
        begin = time.perf_counter()
        if step == "extract":
            run = pipeline.extract(dataset, partition=partition, run_key=run_key)
        else:
            run = getattr(pipeline, step)(dataset, run_key=run_key)
        seconds[step] = round(time.perf_counter() - begin, 3)
        if run.state == "unchanged":
            break
    pipeline.close(dataset, run_key=run_key)
    return run, seconds
