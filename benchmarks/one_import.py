"""One import in a process of its own: imports first, then the work, each timed; prints its figures as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    """``one_import.py DATASET FILE NIGHT``."""
    name, file, night = sys.argv[1:4]
    import great_expectations  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.compute
    import pyarrow.csv  # noqa: F401

    from district import pipeline
    from district.catalog import find_dataset
    from district.database import migrate
    from district.settings import settings

    dataset = find_dataset(name, settings().dags_folder)
    migrate()
    imports_cpu = time.process_time()
    start = time.perf_counter()
    steps = {}
    run_key = f"bench-{time.time_ns()}"
    for step, work in (
        ("extract", lambda: pipeline.extract(dataset, partition=night, run_key=run_key, file=Path(file))),
        ("validate", lambda: pipeline.validate(dataset, run_key=run_key)),
        ("load", lambda: pipeline.load(dataset, run_key=run_key)),
    ):
        begin = time.perf_counter()
        run = work()
        steps[step] = round(time.perf_counter() - begin, 3)
    wall, cpu = time.perf_counter() - start, time.process_time() - imports_cpu
    pipeline.close(dataset, run_key=run_key)
    if run.state != "loaded" or run.read != run.loaded + run.rejected + run.superseded:
        sys.exit(f"{name} ended {run.state}")
    figures = {
        "imports_cpu": imports_cpu,
        "cpu": cpu,
        "wall": wall,
        "client_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rejected": run.rejected,
        **steps,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
