"""Crosswalk files, and which code is in force in which school year."""

from __future__ import annotations

from pathlib import Path

import pytest

from district.codes import CodeSet, _entries
from district.run import ImportStopped

HEADER = "source_system,school_year_from,school_year_to,local_code,standard_code,description\n"


def test_a_code_is_dated_by_school_year() -> None:
    codes = CodeSet(
        entries=(("A", 0, 2025, "Absent"), ("A", 2026, 9999, "Excused Absence"), ("T", 2026, 2026, "Tardy"))
    )
    assert codes.in_year(2025) == {"A": "Absent"}
    assert codes.in_year(2026) == {"A": "Excused Absence", "T": "Tardy"}
    assert codes.in_year(2027) == {"A": "Excused Absence"}


def test_open_years_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "grade.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEADER.encode() + b"sis,,,K,Kindergarten,\n")
    (entry,) = _entries(path)
    assert (entry["code_set"], entry["school_year_from"], entry["school_year_to"]) == ("grade", 0, 9999)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must have the header"),
        (b"local,standard\nK,Kindergarten\n", "must have the header source_system,"),
        (HEADER.encode() + b"sis,then,,K,Kindergarten,\n", "line 2"),
        (HEADER.encode() + b"sis,,,K\n", "line 2"),
        (HEADER.encode() + b"sis,,,K,Kindergarten,,more\n", "line 2"),
        (HEADER.encode() + b"sis,,,\xff,Kindergarten,\n", "UTF-8"),
        (HEADER.encode() + b"sis,,,,Kindergarten,\n", "line 2"),
    ],
)
def test_a_slip_names_file_and_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "grade.csv"
    path.write_bytes(content)
    with pytest.raises(ImportStopped, match=r"Crosswalk grade\.csv") as slip:
        _entries(path)
    assert words in str(slip.value)
