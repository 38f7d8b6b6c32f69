"""One data set, one DAG: extract -> validate -> load -> notify; and where a gate holds something, review -> release."""

from __future__ import annotations

import datetime
import difflib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.exceptions import AirflowTimetableInvalid
from airflow.sdk import DAG, Asset, AssetAll, PartitionedAssetTimetable, task, teardown

from district.dataset import Dataset, DatasetError
from district.settings import settings
from district_airflow import tasks
from district_airflow.review import ReviewOperator
from district_airflow.timetables import NightTimetable

if TYPE_CHECKING:
    from airflow.sdk.bases.timetable import BaseTimetable
    from airflow.timetables.base import Timetable

    Schedule = str | Timetable | BaseTimetable | None


def import_dag(dataset: Dataset, *, schedule: Schedule = None, doc_md: str | None = None) -> DAG:
    """The DAG of a data set, to be called in ``dags/<data set>.py``; DatasetError says what to mend there.

    ``schedule`` is a cron expression in the district's time zone or a timetable. Without one, the data set is
    imported for a night as soon as all its parents are done with that night.
    """
    file = declared_in()
    if file.stem != dataset.name:
        _slip(dataset, f"it is declared in {file.name}, so that nobody would find it; name the file {dataset.name}.py")
    for parent in dataset.parents:
        _check_parent(dataset, parent.dataset, file.parent)
    check_owner(dataset)

    with DAG(
        dataset.name,
        schedule=_timetable(dataset, schedule),
        doc_md=doc_md,
        catchup=False,
        is_paused_upon_creation=False,
        tags={"import", dataset.owner},
        default_args=task_defaults(dataset.owner),
    ) as dag:

        @task
        def extract() -> dict[str, Any]:
            """Find the night's file, keep a copy and bring its lines into staging."""
            return tasks.extract(dataset)

        @task
        def validate() -> dict[str, Any]:
            """Judge every row by the suite and by what follows from the data set."""
            return tasks.validate(dataset)

        @task(max_active_tis_per_dag=1)  # a backfill's nights queue up here instead of meeting at the lock
        def load() -> dict[str, Any]:
            """Change the table, in one transaction."""
            return tasks.load(dataset)

        @teardown
        @task(outlets=[Asset(dataset.name)])
        def notify() -> dict[str, Any]:
            """Tell people and the data sets that wait for this one; runs whatever happened before."""
            return tasks.notify(dataset)

        @task(outlets=[Asset(dataset.name)], max_active_tis_per_dag=1)
        def release() -> dict[str, Any]:
            """Load what was held, where a person said so; the data sets that wait for this one run again."""
            return tasks.release(dataset)

        loaded = load()
        extract() >> validate() >> loaded >> notify()
        # Beside notify: neither the digest nor the data sets that wait for this one wait for a person.
        loaded >> ReviewOperator(task_id="review", dataset=dataset) >> release()

    dag.fileloc = str(file)  # otherwise Airflow takes this module for the DAG's code
    return dag


def check_owner(dataset: Dataset) -> None:
    """DatasetError unless the data set's owner is a role that the settings file knows."""
    roles = settings().district.roles
    if dataset.owner not in roles:
        _slip(dataset, f"its owner {dataset.owner} is no role of the settings file; use one of {', '.join(roles)}")


def declared_in() -> Path:
    """The file whose code called the function that calls this one: the DAG file."""
    frame = inspect.currentframe()
    return Path(frame.f_back.f_back.f_code.co_filename) if frame and frame.f_back and frame.f_back.f_back else Path()


def task_defaults(owner: str) -> dict[str, Any]:
    """What all tasks share: who looks after them, and how long they try again by themselves."""
    return {
        "owner": owner,
        "retries": 3,
        "retry_delay": datetime.timedelta(minutes=1),
        "retry_exponential_backoff": 2.0,  # a factor; True would be a factor of one
        "max_retry_delay": datetime.timedelta(minutes=10),
        "execution_timeout": datetime.timedelta(hours=3),
    }


def _check_parent(dataset: Dataset, parent: str, folder: Path) -> None:
    """A parent that nobody imports would be waited for every night, without a word."""
    if (folder / f"{parent}.py").is_file():
        return
    near = difflib.get_close_matches(parent, (file.stem for file in folder.glob("*.py")), n=1)
    hint = f"is {near[0]} meant" if near else "declare it there first"
    _slip(dataset, f"its parent {parent} has no file {parent}.py beside it; {hint}", "?" if near else ".")


def _timetable(dataset: Dataset, schedule: Schedule) -> Timetable | BaseTimetable:
    parents = dict.fromkeys(parent.dataset for parent in dataset.parents)
    if schedule is None:
        if not parents:
            _slip(dataset, 'it waits for no parent, so give import_dag a schedule such as "0 2 * * *"')
        return PartitionedAssetTimetable(assets=AssetAll(*(Asset(name) for name in parents)))
    if not isinstance(schedule, str):
        return schedule
    timetable = NightTimetable(schedule, timezone=settings().district.timezone)
    try:
        timetable.validate()
    except AirflowTimetableInvalid:
        _slip(dataset, f'its schedule "{schedule}" is no cron expression such as "0 2 * * *"')
    return timetable


def _slip(dataset: Dataset, what: str, end: str = ".") -> NoReturn:
    raise DatasetError(f"Data set {dataset.name}: {what}{end}") from None
