"""What a system is asked to do, and what the attendance file holds; it is read in every environment: plain Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

COLUMNS = {
    "student_id": ("01 Student ID", "text"),
    "school_id": ("02 Site ID", "text"),
    "event_date": ("03 Date", "date"),
    "school_year": ("04 Academic Year", "integer"),
    "attendance_code": ("05 Attendance Code", "text"),
    "fraction_absent": ("06 Fraction Absent", "numeric"),
    "minutes_absent": ("07 Minutes Absent", "integer"),
    "session": ("08 Term", "text"),
    "excuse_reason": ("09 Reason", "text"),
}
"""The columns that are kept, each with its header and its type in PostgreSQL."""
UNUSED = ("10 Entered By", "11 Entered At")
"""Columns that a SIS exports and nobody loads."""
KEY = ("student_id", "school_id", "event_date", "school_year")
HEADERS = {header: name for name, (header, _) in COLUMNS.items()}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One night's file, the database that it goes to, and a folder to write in."""

    file: Path
    night: int
    """1, 2 or 3: the same database and folder meet the next night's file."""
    url: str
    """As libpq reads it."""
    folder: Path

    @property
    def sqlalchemy_url(self) -> str:
        """With psycopg2, which pandas' guide uses."""
        return self.url.replace("postgresql:", "postgresql+psycopg2:")


def create_table(*, key: bool, unused: bool = False) -> str:
    """The SQL for a typed table of the kept columns."""
    columns = [f"{name} {kind}" for name, (_, kind) in COLUMNS.items()]
    columns += [f"unused_{number} text" for number, _ in enumerate(UNUSED) if unused]
    columns += [f"PRIMARY KEY ({', '.join(KEY)})"] if key else []
    return f"CREATE TABLE IF NOT EXISTS attendance ({', '.join(columns)})"
