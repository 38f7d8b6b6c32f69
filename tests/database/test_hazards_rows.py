"""Rows: with fields too many or too few, too long, or no rows of the data set at all."""

from __future__ import annotations

import pytest

from importing import Place
from shaping import HEAD, LINES, Case, line_of, loads, meet_verdict, records, refused, text, with_line

LONG = "Quexarolong" + "x" * 70_000

CASES = [
    refused(
        "32-extra-field-in-every-row",
        records(lambda record: ["1", *record]),
        "file.row_fields",
        "7 headers and 8 fields",
        "no row was read",
    ),
    refused(
        "32-a-field-less-in-every-row", records(lambda record: record[1:]), "file.row_fields", "7 headers and 6 fields"
    ),
    loads("33-long-row", with_line(3, line_of(2) + ",1"), issues={"children.row.fields": 1}, rejected=(3,)),
    loads("34-short-row", with_line(3, line_of(2)[:-2]), issues={"children.row.fields": 1}, rejected=(3,)),
    refused(
        "33-too-many-long-rows",
        text(HEAD, *(line + ",1" for line in LINES[:8]), *LINES[8:]),
        "gate.rejected",
        "rejected",
        state="held",
    ),
    loads(
        "42-long-field",
        with_line(3, line_of(2, last_name=LONG)),
        issues={"children.row.field_too_long": 1},
        rejected=(3,),
        canaries=("Quexarolong",),
    ),
    loads(
        "42-long-id",
        with_line(3, line_of(2, student_id=LONG)),
        issues={"children.row.field_too_long": 1},
        rejected=(3,),
    ),
    refused(
        "42-endless-line", text(HEAD, *LINES, "y" * (40 << 20), *LINES), "file.unreadable", "a line is longer than"
    ),
    refused(
        "43-ten-times",
        text(HEAD, *(line_of(n) for n in range(1, 401))),
        "gate.grown",
        "10.0 times",
        "Nothing was changed",
        state="held",
    ),
    loads("44-total", text(HEAD, *LINES, "TOTAL,41"), issues={"children.row.fields": 1}, rejected=(43,)),
    loads(
        "44-total-padded",
        text(HEAD, *LINES, "TOTAL,41,,,,,"),
        issues={"children.school_year.required": 1, "children.grade_level_code.required": 1},
        rejected=(43,),
    ),
    loads("44-commas-only", text(HEAD, *LINES, ",,,,,,"), rejected=(43,)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_file_meets_its_verdict(loaded: Place, case: Case) -> None:
    meet_verdict(loaded, case)
