"""Mishaps of one school and night: what the file holds then, what is foretold of it, and the next night as usual."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from commanding import run
from district.synthetic import Mishap, generate

MISHAPS = ("lunch_code_typo:0103", "half_missing:0101", "school_missing:0102")
STRUCK = {"0101", "0102", "0103"}
NO_SCHOOL = ""
"""What the defect unknown_school puts in place of one."""
FORMS = {"enrollment": (",", "utf-8"), "attendance": ("\t", "utf-8"), "transcripts": ("^", "cp1252")}
KEYS = {
    "enrollment": ("Student_Number", "SchoolID", "EntryDate"),
    "attendance": ("01 Student ID", "02 Site ID", "03 Date"),
    "transcripts": ("Student_Number", "SchoolID", "Course_Number", "SchoolYear", "TermCode", "StoreType"),
}
COUNTS = ("standing", "new", "changed", "unchanged", "gone", "rejected")
Rows = dict[tuple[str, ...], dict[str, str]]


def read(folder: Path, night: int, dataset: str) -> Rows:
    """A night's rows by key."""
    delimiter, encoding = FORMS[dataset]
    (path,) = (folder / f"night_{night}").glob(f"{dataset}_*")
    with path.open(encoding=encoding, newline="") as file:
        return {tuple(row[c] for c in KEYS[dataset]): row for row in csv.DictReader(file, delimiter=delimiter)}


def of_school(rows: Rows, school_id: str) -> Rows:
    return {key: row for key, row in rows.items() if key[1] == school_id}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three nights on which nothing goes wrong."""
    folder = tmp_path_factory.mktemp("calm")
    generate(folder, nights=3, defects=False)
    return folder


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same nights, with a mishap in three schools on the second."""
    folder = tmp_path_factory.mktemp("struck")
    generate(folder, nights=3, defects=False, mishaps=tuple(Mishap.read(f"2:{each}") for each in MISHAPS))
    return folder


@pytest.fixture(scope="module")
def foretold(struck: Path) -> list[dict[str, Any]]:
    """What is expected of each night."""
    content = json.loads((struck / "expected.json").read_text())
    return list(content["nights"].values())


def test_only_enrollment_of_the_second_night_differs(calm: Path, struck: Path) -> None:
    differing = {
        path.relative_to(calm)
        for path in calm.rglob("*.*")
        if path.read_bytes() != (struck / path.relative_to(calm)).read_bytes()
    }
    assert {str(path) for path in differing} == {"expected.json", "night_2/enrollment_20261019.csv"}


def test_each_mishap_does_what_it_says(calm: Path, struck: Path) -> None:
    usual, night = read(calm, 2, "enrollment"), read(struck, 2, "enrollment")
    typo = of_school(night, "0103")
    assert {row["Lunch_Status"] for row in typo.values()} == {"FRE"}
    without = [{**row, "Lunch_Status": ""} for row in of_school(usual, "0103").values()]
    assert [{**row, "Lunch_Status": ""} for row in typo.values()] == without
    assert len(of_school(night, "0101")) == pytest.approx(len(of_school(usual, "0101")) / 2, abs=4)
    assert of_school(night, "0102") == {}
    for school_id in ("0100", "0104"):
        assert of_school(night, school_id) == of_school(usual, school_id)


def test_what_is_foretold_follows_from_the_files(struck: Path, foretold: list[dict[str, Any]]) -> None:
    """Counted again from the files alone: a held school keeps its rows, and the next night is judged against them."""
    for dataset in FORMS:
        table: Rows = {}
        for number, night in enumerate(foretold, start=1):
            rows, run = read(struck, number, dataset), night[dataset]
            ends: Counter[str] = Counter()
            for school_id, expected in run["schools"].items():
                held = number == 2 and school_id in STRUCK
                stand, came = of_school(table, school_id), of_school(rows, school_id)
                good = {key: row for key, row in came.items() if row.get("Lunch_Status") != "FRE"}
                known = known_of(struck, foretold, number) if dataset == "attendance" else None
                orphans = {key for key in good if known is not None and (key[0], key[1]) not in known}
                good = {key: row for key, row in good.items() if key not in orphans}
                counts = {
                    "standing": len(stand),
                    "new": len(good.keys() - stand.keys()),
                    "changed": sum(key in stand and stand[key] != row for key, row in good.items()),
                    "unchanged": sum(stand.get(key) == row for key, row in good.items()),
                    "gone": len(stand.keys() - came.keys()),
                    "rejected": len(came) - len(good),
                }
                assert {name: expected[name] for name in COUNTS} == counts, (dataset, number, school_id)
                assert expected["held"] == held
                ends["unchanged"] += counts["unchanged"]
                ends["rejected"] += counts["rejected"]
                ends["held"] += (counts["new"] + counts["changed"]) * held
                for count, name in (("new", "inserted"), ("changed", "updated"), ("gone", "withdrawn")):
                    ends[name] += counts[count] * (not held)
                if not held:
                    table = {key: row for key, row in table.items() if key[1] != school_id} | good
            assert {name: run["table"][name] for name in ends} == ends


def known_of(struck: Path, foretold: list[dict[str, Any]], night: int) -> set[tuple[str, str]]:
    """The children and schools that the enrollment table has had by a night."""
    known: set[tuple[str, str]] = set()
    for number in range(1, night + 1):
        held = {name for name, school in foretold[number - 1]["enrollment"]["schools"].items() if school["held"]}
        known |= {key[:2] for key in read(struck, number, "enrollment") if key[1] not in held}
    return known


def test_the_typo_is_one_issue_and_the_night_after_has_none(foretold: list[dict[str, Any]]) -> None:
    rule = "enrollment.meal_eligibility_code.code"
    first, second, third = (night["enrollment"] for night in foretold)
    rejected = second["schools"]["0103"]["rejected"]
    assert second["issues"][rule] == {"severity": "critical", "count": rejected, "caused": 0}
    assert second["schools"]["0103"]["unknown_codes"] == rejected > 500
    assert rule not in {**first["issues"], **third["issues"]}
    assert not any(school["held"] for school in third["schools"].values())


def test_a_night_on_which_every_school_is_struck_is_held(tmp_path: Path) -> None:
    """Of the small district, only two schools have marks."""
    mishaps = tuple(Mishap.read(f"2:half_missing:{school_id}") for school_id in ("0103", "0104"))
    _, second, third = generate(tmp_path, nights=3, defects=False, mishaps=mishaps)["nights"].values()
    states = {dataset: second[dataset]["table"]["state"] for dataset in FORMS}
    assert states == {"enrollment": "loaded", "attendance": "loaded", "transcripts": "held"}
    assert {night["table"]["state"] for night in third.values()} == {"loaded"}


def test_defects_keep_away_from_schools_with_a_mishap(tmp_path: Path) -> None:
    mishaps = (Mishap.read("2:lunch_code_typo:0103"), Mishap.read("2:half_missing:0101"))
    first, second, third = generate(tmp_path, nights=3, mishaps=mishaps)["nights"].values()
    for night in (first, second, third):
        assert night["enrollment"]["table"]["rejected"] > 10
        for dataset in FORMS:
            for school_id, school in night[dataset]["schools"].items():
                if school_id in {"0101", "0103"}:
                    assert school["rejected"] - school["orphans"] in (0, school["unknown_codes"])
                elif school_id != NO_SCHOOL:
                    assert school["rejected"] < 0.1 * (school["new"] + school["changed"] + school["unchanged"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("half_missing", "give night:kind:school"),
        ("2:fire:0101", "There is no mishap fire"),
        ("2:days_missing:0101", "more where the nights hold a change of term"),
        ("2:half_missing:0999", "no school 0999"),
        ("1:half_missing:0101", "nights 2 to 3"),
        ("4:half_missing:0101", "nights 2 to 3"),
    ],
)
def test_a_mishap_that_cannot_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(tmp_path, nights=3, mishaps=(Mishap.read(text),))


def test_the_command_takes_a_mishap_and_says_what_is_wrong_with_one(tmp_path: Path) -> None:
    size = ("--size", "1600", "--nights", "2")
    written = run("generate", tmp_path, *size, "--mishap", "2:school_missing:0101", "--mishap", "2:half_missing:0100")
    assert written.exit_code == 0, written.output
    first, second = (Counter(key[1] for key in read(tmp_path, night, "enrollment")) for night in (1, 2))
    assert second["0101"] == 0 < second["0100"] < 0.6 * first["0100"]
    refused = run("generate", tmp_path, *size, "--mishap", "fire")
    assert (refused.exit_code, "no mishap" in refused.output) == (1, True)
