"""earthmover: the file into Ed-Fi's student school attendance events, one JSON a line; it loads no database.

A project as its documentation shows under "Configuration" and "Best practices": a crosswalk as a seed, a template, no
`state_file`, no `debug`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from job import Job

CONFIG = """version: 2
config:
  log_level: WARNING
  output_dir: {folder}/output
  tmp_dir: {folder}
sources:
  attendance:
    file: {file}
    type: tsv
    header_rows: 1
transformations:
  attendance:
    source: $sources.attendance
    operations:
      - operation: snake_case_columns
      - operation: map_values
        column: "05_attendance_code"
        mapping: {{E: Excused Absence, I: Excused Absence, A: Unexcused Absence, U: Unexcused Absence}}
destinations:
  studentSchoolAttendanceEvents:
    source: $transformations.attendance
    template: {folder}/event.jsont
    extension: jsonl
    linearize: True
"""
TEMPLATE = """{
  "studentReference": {"studentUniqueId": "{{__row_data__['01_student_id']}}"},
  "schoolReference": {"schoolId": "{{__row_data__['02_site_id']}}"},
  "schoolYear": {{__row_data__['04_academic_year']}},
  "sessionName": "{{__row_data__['08_term']}}",
  "eventDate": "{{__row_data__['03_date']}}",
  "attendanceEventCategoryDescriptor":
    "uri://ed-fi.org/AttendanceEventCategoryDescriptor#{{__row_data__['05_attendance_code']}}",
  "eventDuration": {{__row_data__['06_fraction_absent']}},
  "schoolAttendanceDuration": {{__row_data__['07_minutes_absent']}},
  "attendanceEventReason": "{{__row_data__['09_reason']}}"
}
"""


def prepare(job: Job) -> None:
    """Writes the project."""
    config = CONFIG.format(folder=job.folder, file=job.file)
    (job.folder / "earthmover.yaml").write_text(config, encoding="utf-8")
    (job.folder / "event.jsont").write_text(TEMPLATE, encoding="utf-8")


def load(job: Job) -> None:
    """Runs its command."""
    command = [Path(sys.executable).with_name("earthmover"), "run", "-c", job.folder / "earthmover.yaml"]
    subprocess.run(command, check=True)
