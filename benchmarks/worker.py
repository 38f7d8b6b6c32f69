"""One system's work in a process of its own: imports first, then the work; the parent says when, and reads figures.

``worker.py MODULE FILE NIGHT URL FOLDER``. A module has ``load(job)`` (or the function behind a colon), and
``prepare(job)`` where something must be there beforehand that is none of the work, such as an empty table, and
``imports(job)`` for what is imported only when it is needed.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

from job import Job


def main() -> None:
    """Speaks with the parent on the real standard output; what a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, file, night, url, folder = sys.argv[1:]
    job = Job(file=Path(file), night=int(night), url=url, folder=Path(folder))
    name, _, function = name.partition(":")
    module = importlib.import_module(name)
    if more_imports := getattr(module, "imports", None):
        more_imports(job)
    imports_cpu = cpu()
    if prepare := getattr(module, "prepare", None):
        prepare(job)
    print("ready", file=answers, flush=True)
    sys.stdin.readline()
    begin, start = cpu(), time.perf_counter()
    more = getattr(module, function or "load")(job) or {}
    figures = {
        "cpu": cpu() - begin,
        "wall": time.perf_counter() - start,
        "imports_cpu": imports_cpu,
        "rss_mb": peak_memory(),
        **more,
    }
    print(json.dumps(figures), file=answers, flush=True)


def cpu() -> float:
    """CPU seconds of this process and of those it has started and seen end."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak_memory() -> float:
    """MB that this program held at its peak; Linux's ``ru_maxrss`` would count the parent that it was forked from."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    main()
