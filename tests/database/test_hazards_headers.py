"""Headers: repeated, renamed, moved, new or not there, and separated by something else."""

from __future__ import annotations

import dataclasses

import pytest

from district.layout import Layout
from importing import CHILDREN, HEADER, Place, canaries_of, children, csv_bytes, with_gate
from shaping import HEAD, LINES, MORE, Case, columns, header, line_of, loads, meet_verdict, refused, text

POSITIONS = dataclasses.replace(
    CHILDREN,
    layout=Layout(header=False, columns={name: place for place, name in enumerate(HEADER, start=1)}),
)

CASES = [
    refused(
        "35-duplicate-header", header(lambda names: [*names[:-1], names[0]]), "file.duplicate_header", "student_id"
    ),
    refused(
        "35-duplicate-by-spelling",
        header(lambda names: ["Student ID", "STUDENT_ID", *names[2:]]),
        "file.duplicate_header",
        "2 times",
    ),
    loads("35-positions", text(*LINES), dataset=POSITIONS),
    refused(
        "36-renamed",
        header(lambda names: [*names[:3], "Surname_Last", *names[4:]]),
        "file.column_missing",
        "'last_name'",
    ),
    refused(
        "36-nearest",
        header(lambda names: [*names[:3], "last_nam", *names[4:]]),
        "file.column_missing",
        "Did 'last_nam' take its place?",
    ),
    refused(
        "36-a-long-value-is-no-hint",
        header(lambda names: [*names[:3], "Quexaro001 " + "last_name " * 9, *names[4:]]),
        "file.column_missing",
        "'last_name'. Mend the export",
    ),
    loads(
        "40-missing-and-optional",
        columns(lambda record: record[:-1]),
        dataset=dataclasses.replace(
            with_gate(CHILDREN, updated=1), layout=dataclasses.replace(CHILDREN.layout, optional=("fte",))
        ),
        issues={"file.column_absent": 1},
    ),
    refused("36-no-header", text(*LINES), "file.no_header", "header"),
    refused(
        "36-no-header-twin-values",
        text(*(line_of(n, last_name=f"70{n:05d}") for n in range(1, 42))),
        "file.no_header",
        "header",
    ),
    loads("37-reordered", columns(lambda record: record[::-1])),
    loads(
        "38-spelling",
        header(lambda names: ["\u200bStudent ID ", *(name.upper() for name in names[1:])]),
        issues={"file.header_spelling": 7},
    ),
    loads(
        "39-new-column",
        columns(lambda record: [*record, "homeroom" if record[0] == "student_id" else "Quexaroroom"]),
        issues={"file.new_column": 1},
        canaries=("Quexaroroom",),
    ),
    loads("39-new-column-with-nul", columns(lambda record: [*record, "home\0room"]), issues={"file.new_column": 1}),
    refused(
        "40-missing",
        columns(lambda record: record[:3] + record[4:]),
        "file.column_missing",
        "'last_name'",
        "Mend the export",
    ),
    *(
        refused(
            f"41-{name}", text(HEAD, *LINES).replace(b",", mark), "file.delimiter", f"separated by {name}", "says comma"
        )
        for name, mark in (("tab", b"\t"), ("semicolon", b";"), ("bar", b"|"), ("caret", b"^"))
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_file_meets_its_verdict(loaded: Place, case: Case) -> None:
    meet_verdict(loaded, case)


def test_40_a_column_that_is_emptied_is_a_warning_and_one_that_stays_empty_a_note(loaded: Place) -> None:
    layout = dataclasses.replace(CHILDREN.layout, columns={"fte": "FTE_Share"}, optional=("fte",))
    dataset = dataclasses.replace(with_gate(CHILDREN, updated=1), layout=layout)
    told = []
    for night, (count, age) in enumerate(((41, 7200), (42, 3600)), start=19):
        file = "\n".join(line.rpartition(",")[0] for line in csv_bytes(children(count)).decode().splitlines()) + "\n"
        outcome = loaded.night(file.encode(), age=age, dataset=dataset, night=f"2026-11-{night}")
        assert outcome.state == "loaded", outcome.message
        assert {row["fte"] for row in loaded.standing().values()} == {None}
        query = "select severity, cause, title from import_log.import_issue i join import_log.import_run r "
        query += "on r.id = import_run_id where i.rule_id = 'file.column_absent' and run_key = :key"
        told += loaded.rows(query, key=outcome.run_key)
    assert [(issue["severity"], issue["cause"]) for issue in told] == [("warning", "FTE_Share"), ("info", "FTE_Share")]
    assert "the load empties it" in told[0]["title"]
    assert loaded.leaks(canaries_of(MORE)) == []
