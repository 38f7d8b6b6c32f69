"""A step of an import that is killed at one of its statements, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from district import pipeline
from district.dataset import Dataset
from district.settings import settings

PRELOADED = ("district.pipeline", "great_expectations", "pandas", "pyarrow.csv", "killing")


def fork_server(*modules: str) -> ForkServerContext:
    """Processes that start in the time of a fork, with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, *modules])
    return context


def kill_step(
    forks: ForkServerContext, environment: Mapping[str, str], step: str, at: int, dataset: Dataset, **how: Any
) -> bool:
    """Runs a step that is killed before its statement number ``at``; whether it had so many."""
    process = forks.Process(target=_run_until, args=(dict(environment), step, at, dataset), kwargs=how)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == -signal.SIGKILL


def _run_until(environment: dict[str, str], step: str, at: int, dataset: Dataset, **how: Any) -> None:
    os.environ.update(environment)
    settings.cache_clear()
    statements = iter(range(at))

    def count(*_: Any) -> None:
        if next(statements, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    getattr(pipeline, step)(dataset, **how)
