"""The synthetic district around a change of term and the turn of the year: what comes, what ends, and its faults."""

from __future__ import annotations

import csv
import datetime
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from commanding import run
from district.calendar.model import SchoolYear
from district.settings import settings
from district.synthetic import Mishap, generate, generate_rollover

SCHOOL = "0103"
Rows = list[dict[str, str]]


def year() -> SchoolYear:
    """The calendar's latest school year, which the synthetic district is in."""
    return max(settings().district.school_years, key=lambda each: each.end_year)


def read(folder: Path, dataset: str) -> Rows:
    delimiter, encoding = {"attendance": ("\t", "utf-8"), "transcripts": ("^", "cp1252")}.get(dataset, (",", "utf-8"))
    (path,) = folder.glob(f"{dataset}_*")
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


# The change of term


def change_of_term(folder: Path, *faults: str) -> dict[str, Any]:
    """The last night of the first term and the two that follow, with faults of a school on the second."""
    mishaps = tuple(Mishap(kind=fault, school_id=SCHOOL, night=2) for fault in faults)
    night = year().terms[0].end
    return generate(folder, nights=3, defects=False, first_night=night, mishaps=mishaps)


@pytest.fixture(scope="module")
def change(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("change")
    change_of_term(folder)
    return folder


def finals(rows: Rows, school_id: str = "") -> Rows:
    """The final marks of this year's first term."""
    this_year, term = str(year().end_year), year().terms[0].code
    return [
        row
        for row in rows
        if (row["SchoolYear"], row["TermCode"]) == (this_year, term) and school_id in ("", row["SchoolID"])
    ]


def days(rows: Rows, school_id: str) -> Counter[tuple[str, str]]:
    """Rows of a school by date and term."""
    return Counter((row["03 Date"], row["08 Term"]) for row in rows if row["02 Site ID"] == school_id)


def test_final_marks_come_once_the_term_has_ended(change: Path) -> None:
    first, second, third = (finals(read(change / f"night_{n}", "transcripts")) for n in (1, 2, 3))
    assert first == []
    assert 0.98 * len(third) <= len(second) < len(third)
    takers = {row["Student_Number"] for row in third}
    assert len(third) == pytest.approx(5 * len(takers), rel=0.01)
    ended = year().terms[0].end
    assert {row["DateStored"] for row in third} == {f"{ended.month}/{ended.day}/{ended.year}"}


def test_marks_of_earlier_terms_stay(change: Path) -> None:
    earlier = [
        {tuple(row.values())[:6] for row in read(change / f"night_{n}", "transcripts") if row not in finals([row])}
        for n in (1, 2, 3)
    ]
    assert len(earlier[0] - earlier[2]) < 0.01 * len(earlier[0])


def test_attendance_is_whole_on_the_first_night_of_the_new_term(change: Path) -> None:
    ended, begun = year().terms[:2]
    instructed = [day.isoformat() for day in year().instructional_days() if day <= ended.end]
    for school in settings().district.schools:
        second = days(read(change / "night_2", "attendance"), school.school_id)
        assert {day for day, _ in second} == set(instructed)
        assert {term for _, term in second} == {ended.code}
        third = days(read(change / "night_3", "attendance"), school.school_id)
        assert {day for day, term in third if term == begun.code} == {begun.begin.isoformat()}


def test_children_leave_with_the_term_and_come_with_the_next(change: Path) -> None:
    ended, begun = year().terms[:2]
    first, second = (read(change / f"night_{n}", "enrollment") for n in (1, 2))
    known = {row["Student_Number"] for row in first}
    new = [row for row in second if row["Student_Number"] not in known]
    in_source = f"{begun.begin.month}/{begun.begin.day}/{begun.begin.year}"
    assert len(new) > 10
    assert {row["EntryDate"] for row in new} == {in_source}
    left = Counter(row["ExitDate"] for row in second) - Counter(row["ExitDate"] for row in first)
    assert left[f"{ended.end.month}/{ended.end.day}/{ended.end.year}"] > 10


def test_faults_of_a_change_of_term(change: Path, tmp_path: Path) -> None:
    """Each strikes its school on the second night alone; what a night's gate must hold is held."""
    ended, begun = year().terms[:2]
    usual = {name: read(change / "night_2", name) for name in ("transcripts", "attendance")}
    last_days = [day.isoformat() for day in year().instructional_days() if day <= ended.end][-3:]

    def struck(fault: str, dataset: str) -> tuple[Rows, dict[str, Any]]:
        folder = tmp_path / fault
        expected = list(change_of_term(folder, fault)["nights"].values())
        for night in (1, 3):
            assert read(folder / f"night_{night}", dataset) == read(change / f"night_{night}", dataset)
        school = "02 Site ID" if dataset == "attendance" else "SchoolID"
        rows = read(folder / "night_2", dataset)
        others = [row for row in usual[dataset] if row[school] != SCHOOL]
        assert [row for row in rows if row[school] != SCHOOL] == others
        return rows, expected[1][dataset]

    rows, run = struck("new_mark_codes", "transcripts")
    new = finals(rows, SCHOOL)
    assert {row["Result"] for row in new} == {"CR"}
    assert run["issues"]["transcripts.result_code.code"]["count"] == len(new) > 0
    assert run["schools"][SCHOOL]["held"]

    rows, run = struck("marks_deleted", "transcripts")
    assert {row["SchoolYear"] for row in rows if row["SchoolID"] == SCHOOL} == {str(year().end_year - 1)}
    assert run["schools"][SCHOOL]["gone"] > 0.1 * run["schools"][SCHOOL]["standing"]
    assert run["schools"][SCHOOL]["held"]

    rows, run = struck("marks_incomplete", "transcripts")
    whole = len(finals(usual["transcripts"], SCHOOL))
    assert len(finals(rows, SCHOOL)) == pytest.approx(0.8 * whole, abs=1)
    assert not run["schools"][SCHOOL]["held"]

    rows, run = struck("early_attendance", "attendance")
    assert set(days(rows, SCHOOL)) - set(days(usual["attendance"], SCHOOL)) == {(last_days[-1], begun.code)}
    assert not run["schools"][SCHOOL]["held"]

    rows, run = struck("days_missing", "attendance")
    missing = {day for day, _ in days(usual["attendance"], SCHOOL)} - {day for day, _ in days(rows, SCHOOL)}
    assert missing == set(last_days)
    assert not run["schools"][SCHOOL]["held"]


# The turn of the year


@pytest.fixture(scope="module")
def rollover(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollover")
    generate_rollover(folder)
    return folder


def told(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "rollover.json").read_text())
    return content


def test_grades_are_promoted_and_graduates_gone(rollover: Path) -> None:
    now = {row["Student_Number"]: row for row in read(rollover / "night_1", "enrollment") if not row["ExitDate"]}
    coming = {row["Student_Number"]: row for row in read(rollover / "next_year", "enrollment")}
    matrix: Counter[tuple[str, str]] = Counter()
    for number, row in now.items():
        matrix[row["Grade_Level"], coming[number]["Grade_Level"] if number in coming else ""] += 1
    foretold = told(rollover)["promotion"]
    assert matrix == Counter({(old, new): n for old, row in foretold.items() for new, n in row.items()})
    for grade in range(12):
        promoted = matrix[str(grade), str(grade + 1)]
        assert promoted > 0.9 * sum(n for (old, _), n in matrix.items() if old == str(grade))
    assert sum(n for (old, new), n in matrix.items() if old == "12" and new) <= 0.05 * matrix["12", ""]


def test_the_next_year_s_rows_are_of_the_next_year(rollover: Path) -> None:
    rows = read(rollover / "next_year", "enrollment")
    assert {row["SchoolYear"] for row in rows} == {str(year().end_year + 1)}
    keys = [row["Student_Number"] for row in rows]
    assert len(set(keys)) == len(keys)
    now = {row["Student_Number"] for row in read(rollover / "night_1", "enrollment")}
    new = [row for row in rows if row["Student_Number"] not in now]
    assert {(row["Grade_Level"], row["State_StudentNumber"], row["EntryCode"]) for row in new} == {("0", "", "N")}
    assert len(new) == sum(school["without_state_id"] for school in told(rollover)["schools"].values()) > 50


def test_a_school_opens_and_children_go_on_to_one_with_their_grade(rollover: Path) -> None:
    grades: dict[str, set[int]] = {}
    for row in read(rollover / "next_year", "enrollment"):
        grades.setdefault(row["SchoolID"], set()).add(int(row["Grade_Level"]))
    named = {school.school_id for school in settings().district.schools}
    assert set(grades) - named == {"0105"}
    assert (max(grades["0105"]), min(grades["0102"]), max(grades["0102"]), min(grades["0103"])) == (5, 6, 8, 9)


def test_the_calendar_fragment_is_a_school_year(rollover: Path) -> None:
    (path,) = (rollover / "next_year").glob("school_year_*.yaml")
    content = yaml.safe_load(path.read_text())
    (coming,) = (SchoolYear.model_validate(each) for each in content["school_years"])
    assert content["schools"][0]["school_id"] == "0105"
    assert coming.end_year == year().end_year + 1
    assert coming.first_day > year().last_day
    assert len(coming.instructional_days()) == len(year().instructional_days())
    assert [term.code for term in coming.terms] == [term.code for term in year().terms]


@pytest.mark.parametrize(("asked", "missing"), [(1.0, 0), (0.6, 7), (0.0, 18)])
def test_parts_are_missing_as_the_readiness_says(tmp_path: Path, asked: float, missing: int) -> None:
    expected = generate_rollover(tmp_path, readiness=asked)
    schools = expected["schools"]
    assert sum(len(school["missing"]) for school in schools.values()) == missing
    assert expected["readiness"] == pytest.approx(1 - missing / 18, abs=1e-3)
    rows = Counter(row["SchoolID"] for row in read(tmp_path / "next_year", "enrollment"))
    unknown = Counter(r["SchoolID"] for r in read(tmp_path / "next_year", "enrollment") if r["EntryCode"] == "NY")
    (path,) = (tmp_path / "next_year").glob("*.yaml")
    (calendar,) = yaml.safe_load(path.read_text())["school_years"]
    without_terms = {name for dates in calendar.get("schools", ()) for name in dates["schools"]}
    for school_id, school in schools.items():
        assert (rows[school_id] == 0) == ("rows" in school["missing"])
        assert (rows[school_id], unknown[school_id]) == (school["rows"], school["unknown_codes"])
        assert (school_id in without_terms) == ("terms" in school["missing"])
    if asked == 0.6:
        assert {part for school in schools.values() for part in school["missing"]} == {"rows", "terms", "codes"}


def test_the_closing_night_leaves_no_enrollment_open(rollover: Path) -> None:
    last = year().instructional_days()[-1]
    closed = read(rollover / "night_2", "enrollment")
    assert all(row["ExitDate"] for row in closed)
    ended = [row for row in closed if row["ExitDate"] == f"{last.month}/{last.day}/{last.year}"]
    assert {(row["ExitCode"], row["Grade_Level"] == "12") for row in ended} >= {("G", True), ("EY", False)}
    assert sum(row["TermCode"] == "S2" for row in read(rollover / "night_2", "transcripts")) > sum(
        row["TermCode"] == "S2" for row in read(rollover / "night_1", "transcripts")
    )


def test_late_corrections_land_apart_and_are_few(rollover: Path) -> None:
    night, run = list(json.loads((rollover / "expected.json").read_text())["nights"].items())[2]
    assert datetime.date.fromisoformat(night) > year().last_day + datetime.timedelta(days=60)
    for dataset in ("enrollment", "attendance", "transcripts"):
        before, after = (read(rollover / folder, dataset) for folder in ("night_2", "closed_year"))
        corrected = {tuple(row.values()) for row in after} - {tuple(row.values()) for row in before}
        table = run[dataset]["table"]
        assert len(corrected) == table["inserted"] + table["updated"]
        assert 0 < len(corrected) < 0.02 * len(after)


def test_the_same_seed_rolls_over_alike(rollover: Path, tmp_path: Path) -> None:
    generate_rollover(tmp_path)
    for path in rollover.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(rollover)).read_bytes()


def test_the_command_rolls_over(tmp_path: Path) -> None:
    assert run("generate", tmp_path, "--rollover", "0.6", "--size", "200").exit_code == 0
    assert told(tmp_path)["readiness"] < 1
    refused = run("generate", tmp_path, "--rollover", "60")
    assert (refused.exit_code, "from 0 to 1" in refused.output) == (1, True)


def test_nights_of_an_earlier_year(tmp_path: Path) -> None:
    before = sorted(settings().district.school_years, key=lambda each: each.end_year)[-2]
    generate(tmp_path, size=200, nights=1, defects=False, first_night=before.instructional_days()[60])
    assert {row["SchoolYear"] for row in read(tmp_path / "night_1", "enrollment")} == {str(before.end_year)}


def test_a_readiness_that_is_no_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        generate_rollover(tmp_path, readiness=60)
