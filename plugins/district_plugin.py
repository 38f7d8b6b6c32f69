"""What Airflow itself must know of District Imports: timetables, and what listens to runs and to questions."""

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from district_airflow import (
    notes,
    questions,  # noqa: F401 - it listens once it is imported
)
from district_airflow.timetables import AdministrationTimetable, NightTimetable, SemesterChangeTimetable


class DistrictPlugin(AirflowPlugin):
    """The only file that Airflow scans in this folder (see ``.airflowignore``)."""

    name = "district_imports"
    timetables: ClassVar = [NightTimetable, AdministrationTimetable, SemesterChangeTimetable]
    listeners: ClassVar = [notes]
