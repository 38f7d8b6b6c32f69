"""What the tasks of a LocalExecutor need of other people's packages, imported once instead of in each task.

Named in Airflow's setting ``[scheduler] mp_forkserver_preload``: the scheduler's fork server imports this module, the
executor's workers are forked from there, and the tasks from the workers. No other process of Airflow imports it.
Nothing of ``district`` is among it, so that a task runs the code and the settings as they are when it starts.
"""

from __future__ import annotations

import contextlib
import gc
import os
from importlib import import_module

NEEDED = (
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.timetables.trigger",
    "airflow.providers.standard.decorators.python",
    "pydantic_settings",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "psycopg2",
    "pyarrow.compute",
    "pyarrow.csv",
    "pandas",
    "great_expectations",
)
# A process that is to be forked has one thread: no pool of OpenBLAS, no background thread of Arrow's allocator.
# Read, like the progress bars' switch, when the packages are imported.
BEFORE = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "TQDM_DISABLE": "1",
}

os.environ.update(BEFORE)
for _name in NEEDED:
    # The fork server must live: where one cannot be imported, the task that needs it says so.
    with contextlib.suppress(Exception):
        import_module(_name)
# What stays for good is left out of garbage collection, whose marks would give each task a copy of these pages.
gc.collect()
gc.freeze()
