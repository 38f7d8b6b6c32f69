"""The synthetic district: the same bytes for a seed, counts that add up, every defect listed, and honest spoiling."""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from district.catalog import read_datasets
from district.layout import layouts_of
from district.settings import settings
from district.synthetic import DEFECTS, attendance_file, enrollment_file, generate, spoil, students_for
from district.validate.rules import derived_rules

DATASETS = ("enrollment", "attendance", "transcripts", "state_assessments")
COUNTED = ("processed", "rejected", "superseded", "inserted", "updated", "unchanged")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small district of two nights."""
    folder = tmp_path_factory.mktemp("small")
    generate(folder, size="small", seed=1, nights=2)
    return folder


@pytest.fixture(scope="module")
def expected(small: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((small / "expected.json").read_text())
    return content


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def deliveries(expected: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Night or administration, data set and what is expected of it."""
    both = {**expected["nights"], **expected["past"]}
    return [(key, dataset, run) for key, runs in both.items() for dataset, run in runs.items()]


def file_of(small: Path, run: dict[str, Any]) -> Path:
    return small / str(run["folder"]) / str(run["file"])


def lines_of(path: Path) -> list[str]:
    encoding = "cp1252" if path.name.startswith("transcripts") else "utf-8"
    return path.read_text(encoding=encoding).splitlines()


def test_a_seed_gives_the_same_bytes_and_another_seed_does_not(small: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", size="small", seed=1, nights=2)
    generate(tmp_path / "other", size="small", seed=2, nights=2)
    assert digests(tmp_path / "again") == digests(small)
    assert digests(tmp_path / "other")["night_1/enrollment_20261016.csv"] not in digests(small).values()


def test_files_match_the_data_sets_patterns_and_layouts(small: Path, expected: dict[str, Any]) -> None:
    declared = read_datasets(settings().dags_folder)
    for _, name, run in deliveries(expected):
        dataset = declared[name]
        path = file_of(small, run)
        assert path.match(dataset.extract.pattern.replace("{partition}", run["partition"]))
        others = layouts_of(name, settings().layouts_folder)
        layout = next((other for other in others if run["partition"] in other.partitions), dataset.layout)
        first = lines_of(path)[0]
        if layout.fixed_width:
            assert len(first) == layout.line_length
        else:
            assert first.split(layout.delimiter) == [layout.columns[column.name] for column in dataset.columns]


def test_nights_are_instructional_days_of_the_calendar(expected: dict[str, Any]) -> None:
    year = max(settings().district.school_years, key=lambda each: each.end_year)
    days = [day.isoformat() for day in year.instructional_days()]
    first, second = expected["nights"]
    assert days.index(second) == days.index(first) + 1


def test_run_tables_add_up_and_pass_every_gate(expected: dict[str, Any]) -> None:
    declared = read_datasets(settings().dags_folder)
    for _, name, run in deliveries(expected):
        table, gate = run["table"], declared[name].gate
        read, rejected, superseded, *loaded = (table[count] for count in COUNTED)
        assert read == rejected + superseded + sum(loaded)
        assert (table["state"], table["held"]) == ("loaded", 0)
        orphans = run["issues"].get(f"{name}.parent.enrollment", {}).get("count", 0)
        assert orphans < gate.orphans * read
        assert rejected < gate.rejected * read
        assert table["withdrawn"] < gate.withdrawn * read / 2
        warnings = sum(issue["count"] for issue in run["issues"].values() if issue["severity"] == "warning")
        assert warnings == table["warnings"]


def test_no_school_s_share_of_errors_would_hold_it(expected: dict[str, Any]) -> None:
    """The defects are everyday ones: they lie so that each school passes the gates that the district passes."""
    declared = read_datasets(settings().dags_folder)
    for _, name, run in deliveries(expected):
        for school in run.get("schools", {}).values():
            read = sum(school[count] for count in ("new", "changed", "unchanged", "rejected"))
            gate = declared[name].gate
            if read >= gate.floor:
                assert school["rejected"] < gate.rejected * read
                assert school["orphans"] < gate.orphans * read
                assert school["unknown_codes"] < 0.02 * read
                assert school["gone"] <= gate.withdrawn * school["standing"]


def test_schools_add_up_to_the_run_table(expected: dict[str, Any]) -> None:
    names = {"new": "inserted", "changed": "updated", "unchanged": "unchanged", "gone": "withdrawn"}
    for _, name, run in deliveries(expected):
        assert ("schools" in run) == (name != "state_assessments")
        for count, total in {**names, "rejected": "rejected"}.items():
            schools = run.get("schools", {}).values()
            assert not schools or sum(school[count] for school in schools) == run["table"][total]


def test_files_hold_as_many_rows_as_are_to_be_processed(small: Path, expected: dict[str, Any]) -> None:
    for _, name, run in deliveries(expected):
        rows = len(lines_of(file_of(small, run))) - (name != "state_assessments")
        assert rows == run["table"]["processed"]


def test_truth_and_extra_rows_make_the_last_night(small: Path, expected: dict[str, Any]) -> None:
    """What was sent is the truth, what was made up beside it, and what stood there twice."""
    extra = {"overlap", "orphan_student", "unmatched", "holiday", "future_date", "not_enrolled"}
    last = list(expected["nights"])[-1]
    for name in DATASETS:
        truth = list(csv.DictReader((small / "truth" / f"{name}.csv").open(encoding="utf-8")))
        defects = [each for each in expected["defects"] if (each["night"], each["dataset"]) == (last, name)]
        beside = sum(each["kind"] in extra or "second_line" in each for each in defects)
        assert len(truth) + beside == expected["nights"][last][name]["table"]["processed"]
        assert all(re.fullmatch(r"0\d{6}", row["student_id"]) for row in truth)


def test_lunch_codes_are_mapped_and_shared_as_in_a_district(small: Path) -> None:
    """About half the children pay the full price, a few have no code, and a child has one code at all schools."""
    with (settings().crosswalks_folder / "meal_eligibility.csv").open() as file:
        standard = {row["local_code"]: row["standard_code"] for row in csv.DictReader(file)}
    with (small / "truth" / "enrollment.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    codes = Counter(row["meal_eligibility_code"] for row in rows)
    assert set(codes) == {*standard, ""}
    assert set(standard.values()) == {"Free", "ReducedPrice", "FullPrice"}
    assert 0.40 < codes["P"] / codes.total() < 0.65
    assert 0 < codes[""] / codes.total() < 0.05
    by_child = {(row["student_id"], row["meal_eligibility_code"]) for row in rows}
    assert len(by_child) == len({row["student_id"] for row in rows})


def test_every_defect_is_listed_once_and_counted_under_its_rule(expected: dict[str, Any]) -> None:
    places = Counter((each["night"], each["dataset"], each["line"]) for each in expected["defects"])
    assert set(places.values()) == {1}
    for key, name, run in deliveries(expected):
        listed: Counter[str] = Counter()
        for each in expected["defects"]:
            if (each["night"], each["dataset"]) == (key, name) and each["rule_id"]:
                pairs = each["rule_id"].endswith((".key.conflict", ".state_id_shared"))
                listed[each["rule_id"]] += 2 if pairs else 1
        assert listed == Counter({rule: i["count"] - i["caused"] for rule, i in run["issues"].items()}), (key, name)


def test_a_small_district_has_every_kind_of_defect_on_the_first_night(expected: dict[str, Any]) -> None:
    nights = list(expected["nights"])
    kinds = {(each["dataset"], each["kind"]) for each in expected["defects"]}
    first = {(each["dataset"], each["kind"]) for each in expected["defects"] if each["night"] == nights[0]}
    assert kinds - first == {("enrollment", "birth_date_changed")}
    assert Counter(dataset for dataset, _ in first) == {
        "enrollment": 31,
        "attendance": 20,
        "transcripts": 26,
        "state_assessments": 21,
    }


def test_defects_come_and_go_between_the_nights(expected: dict[str, Any]) -> None:
    first, second = expected["nights"]
    rejected = {
        night: {name: run["table"]["rejected"] for name, run in expected["nights"][night].items()}
        for night in (first, second)
    }
    assert rejected[first] != rejected[second]
    for run in expected["nights"][second].values():
        assert all(run["table"][count] for count in ("inserted", "updated", "withdrawn"))


def test_listed_rules_exist(expected: dict[str, Any]) -> None:
    declared = read_datasets(settings().dags_folder)
    for _, name, run in deliveries(expected):
        suite = json.loads((settings().expectations_folder / f"{name}.json").read_text())
        severities = {each["meta"]["rule_id"]: each["severity"] for each in suite["expectations"]}
        severities |= {rule.rule_id: rule.severity for rule in derived_rules(declared[name]).values()}
        for rule_id, issue in run["issues"].items():
            assert severities[rule_id] == issue["severity"]


@pytest.mark.parametrize(("size", "factor"), [("small", 1), ("medium", 10)])
def test_sizes_at_the_end_of_the_year(size: str, factor: int, tmp_path: Path) -> None:
    year = max(settings().district.school_years, key=lambda each: each.end_year)
    night = year.instructional_days()[-1]
    runs = generate(tmp_path, size=size, nights=1, first_night=night)["nights"][night.isoformat()]
    table = {"enrollment": 2_200, "attendance": 23_000, "transcripts": 11_700}
    for name, rows in table.items():
        assert runs[name]["table"]["processed"] == pytest.approx(rows * factor, rel=0.15)


def test_state_scores_and_nightly_change_are_near_the_table(expected: dict[str, Any]) -> None:
    first, second = expected["nights"].values()
    assert first["state_assessments"]["table"]["processed"] == pytest.approx(2_500, rel=0.15)
    changed = sum(run["table"][count] for run in second.values() for count in ("inserted", "updated", "withdrawn"))
    mended = sum(each["night"] == next(iter(expected["nights"])) for each in expected["defects"])
    assert 250 <= changed <= 250 + mended


def test_without_defects_everything_loads_in_silence(tmp_path: Path) -> None:
    expected = generate(tmp_path, size=300, nights=3, defects=False)
    for _, _, run in deliveries(expected):
        assert run["issues"] == {}
        assert run["table"]["rejected"] == run["table"]["warnings"] == run["table"]["superseded"] == 0
    assert json.loads((tmp_path / "expected.json").read_text())["defects"] == []


def test_past_administrations_are_of_children_who_are_enrolled(small: Path, expected: dict[str, Any]) -> None:
    enrolled = {row["student_id"] for row in csv.DictReader((small / "truth" / "enrollment.csv").open())}
    assert len(expected["past"]) >= 3
    for key in expected["past"]:
        with (small / "truth" / f"state_assessments_{key}.csv").open() as file:
            assert {row["student_id"] for row in csv.DictReader(file)} <= enrolled


def test_a_wrong_size_or_night_says_what_to_ask_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="small, medium, large"):
        generate(tmp_path, size="tiny")
    with pytest.raises(ValueError, match="instructional days"):
        generate(tmp_path, first_night=datetime.date(1999, 1, 1))


def spoiled(small: Path, tmp_path: Path, defect: str, name: str) -> tuple[bytes, bytes]:
    source = next((small / "night_1").glob(f"{name}_*"))
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    spoil(path, defect)
    return source.read_bytes(), path.read_bytes()


def is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


SPOILED: dict[str, Any] = {
    "zero_bytes": lambda old, new: new == b"",
    "html_page": lambda old, new: new.startswith(b"<!DOCTYPE html>"),
    "zip_bytes": lambda old, new: new.startswith(b"PK\x03\x04"),
    "truncated": lambda old, new: old.startswith(new) and not new.endswith(b"\n") and len(new) > len(old) / 2,
    "half": lambda old, new: old.startswith(new) and new.endswith(b"\n") and 0.45 < len(new) / len(old) < 0.55,
    "ten_times": lambda old, new: new.startswith(old) and 9.5 < len(new) / len(old) < 10,
    "no_final_newline": lambda old, new: old == new + b"\r\n",
    "cr_only": lambda old, new: b"\n" not in new and new.count(b"\r") == old.count(b"\n"),
    "mixed_newlines": lambda old, new: new.count(b"\n") == old.count(b"\n") > new.count(b"\r\n") > 0,
    "control_z": lambda old, new: new == old + b"\x1a",
    "utf8_bom": lambda old, new: new == b"\xef\xbb\xbf" + old,
    "double_bom": lambda old, new: new == b"\xef\xbb\xbf" * 2 + old,
    "utf16": lambda old, new: new.decode("utf-16").encode() == old,
    "cp1252": lambda old, new: is_utf8(old) and not is_utf8(new),
    "nul_byte": lambda old, new: new.replace(b"\x00", b"") == old,
    "blank_lines": lambda old, new: new.count(b"\r\n\r\n") == old.count(b"\r\n"),
    "wrong_delimiter": lambda old, new: b";" in new.splitlines()[0] and b"," not in new.splitlines()[0],
    "no_header": lambda old, new: old.endswith(new) and new.splitlines() == old.splitlines()[1:],
    "header_only": lambda old, new: new.splitlines() == old.splitlines()[:1],
    "repeated_header": lambda old, new: new.splitlines().count(old.splitlines()[0]) == 2,
    "duplicate_header": lambda old, new: new.splitlines()[0].count(b"Student_Number") == 2,
    "renamed_column": lambda old, new: new.startswith(b"Student_Number_New,"),
    "header_spelling": lambda old, new: new.startswith(b" STUDENT_NUMBER ,"),
    "added_column": lambda old, new: new.splitlines()[0].endswith(b",Homeroom"),
    "missing_column": lambda old, new: new.startswith(b"State_StudentNumber,"),
    "reordered_columns": lambda old, new: new.startswith(b"Next_School,"),
    "extra_field": lambda old, new: new.splitlines()[0] == old.splitlines()[0] and new.splitlines()[1][:2] == b"1,",
    "unclosed_quote": lambda old, new: new.count(b'"') % 2 == 1,
    "scientific_ids": lambda old, new: new.splitlines()[1].startswith(b"1.00E+05,"),
    "lost_zeros": lambda old, new: new.splitlines()[1].startswith(b"100001,"),
    "total_footer": lambda old, new: new.startswith(old) and b"TOTAL," in new[len(old) :],
    "huge_field": lambda old, new: max(map(len, new.splitlines())) > 65_536,
    "one_short": lambda old, new: (
        {len(a) - len(b) for a, b in zip(old.splitlines(), new.splitlines(), strict=True)} == {1}
    ),
    "ten_short": lambda old, new: (
        {len(a) - len(b) for a, b in zip(old.splitlines(), new.splitlines(), strict=True)} == {10}
    ),
    "wrong_year_layout": lambda old, new: (
        len(new) == len(old) and new[30:40] == old[40:50] and new[40:50] == old[30:40]
    ),
}
FIXED_WIDTH = ("one_short", "ten_short", "wrong_year_layout")


def test_every_way_to_spoil_is_tried() -> None:
    assert set(SPOILED) == set(DEFECTS)


@pytest.mark.parametrize("defect", DEFECTS)
def test_spoiling_does_what_it_says(small: Path, tmp_path: Path, defect: str) -> None:
    old, new = spoiled(small, tmp_path, defect, "state_assessments" if defect in FIXED_WIDTH else "enrollment")
    assert SPOILED[defect](old, new)


def test_a_defect_that_does_not_fit_the_file_is_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fixed-width"):
        spoiled(small, tmp_path, "no_header", "state_assessments")
    with pytest.raises(ValueError, match="delimited"):
        spoiled(small, tmp_path, "one_short", "transcripts")


def test_benchmark_files_belong_together(tmp_path: Path) -> None:
    rows = 12_000
    enrollment_file(tmp_path / "enrollment.csv", students_for(rows))
    bad = attendance_file(tmp_path / "attendance.txt", rows, seed=3, bad_share=0.01)
    attendance_file(tmp_path / "tomorrow.txt", rows, seed=3, bad_share=0.01, changed=0.02)
    with (tmp_path / "enrollment.csv").open() as file:
        enrolled = {(row["Student_Number"], row["SchoolID"]) for row in csv.DictReader(file)}
    with (tmp_path / "attendance.txt").open() as file:
        days = list(csv.DictReader(file, delimiter="\t"))
    orphans = sum((day["01 Student ID"], day["02 Site ID"]) not in enrolled for day in days)
    assert len(days) == rows
    assert len(enrolled) == 1_000
    assert orphans == bad["attendance.parent.enrollment"]
    assert (
        len({(day["01 Student ID"], day["03 Date"]) for day in days if "-02-30" not in day["03 Date"]})
        == rows - bad["attendance.event_date.type"]
    )
    assert sum(day["05 Attendance Code"] == "QQ" for day in days) == bad["attendance.attendance_code.code"]
    assert sum(bad.values()) == pytest.approx(rows * 0.01, rel=0.3)
    today, tomorrow = ((tmp_path / name).read_text().splitlines() for name in ("attendance.txt", "tomorrow.txt"))
    assert sum(a != b for a, b in zip(today, tomorrow, strict=True)) == pytest.approx(rows * 0.02, rel=0.3)
