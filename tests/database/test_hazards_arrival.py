"""Arrival: a file that grows, is cut, late, old, too new, or another district's."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from pathlib import Path

import pytest

from calendars import write_calendar
from district.dataset import Files
from district.extract.landing import find_delivery, wait_until_stable
from district.run import NotArrived
from importing import CHILDREN, NIGHT, Place, canaries_of, child, children, csv_bytes

MORE = children(41)


def unchanged_and_tight(place: Place, before: str) -> None:
    assert place.table_hash() == before
    assert place.leaks(canaries_of(MORE)) == []


@pytest.mark.parametrize("ending", [".part", ".filepart", ".tmp", ".PARTIAL"])
def test_01_a_file_under_its_sender_s_name_for_unfinished_waits(loaded: Place, ending: str) -> None:
    before = loaded.table_hash()
    (loaded.folder / "drop" / "children_1.csv").unlink()
    loaded.drop(csv_bytes(MORE), name=f"children_2.csv{ending}")
    outcome = loaded.run()
    assert outcome.state == "missing"
    assert "still being written" in outcome.message
    unchanged_and_tight(loaded, before)


def test_01_a_file_that_grows_waits(loaded: Place) -> None:
    path = loaded.drop(csv_bytes(MORE), age=0)
    arrival = find_delivery(CHILDREN.extract, path.parent, partition=NIGHT)

    def meanwhile(_: float) -> None:
        with path.open("ab") as file:
            file.write(b"70")

    with pytest.raises(NotArrived, match="still growing"):
        wait_until_stable(arrival, 30, sleep=meanwhile)


def test_01_a_file_that_goes_waits(loaded: Place) -> None:
    path = loaded.drop(csv_bytes(MORE), age=0)
    arrival = find_delivery(CHILDREN.extract, path.parent, partition=NIGHT)
    with pytest.raises(NotArrived, match="taken away"):
        wait_until_stable(arrival, 30, sleep=lambda _: path.unlink())
    with pytest.raises(NotArrived, match="taken away"):
        wait_until_stable(arrival, 30)


def test_01_a_stable_file_is_read_and_an_old_one_at_once(loaded: Place) -> None:
    path = loaded.drop(csv_bytes(MORE), age=0)
    naps: list[float] = []
    wait_until_stable(find_delivery(CHILDREN.extract, path.parent, partition=NIGHT), 30, sleep=naps.append)
    assert naps == [30]
    path = loaded.drop(csv_bytes(MORE), age=60)
    wait_until_stable(find_delivery(CHILDREN.extract, path.parent, partition=NIGHT), 30, sleep=naps.append)
    assert naps == [30]


def test_02_a_file_cut_between_rows_is_held(loaded: Place) -> None:
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(children(30)))
    assert (outcome.state, outcome.rule_id) == ("held", "gate.withdrawn")
    assert "School 0101: 5 of 20 rows (25.0%) would be withdrawn" in outcome.message
    unchanged_and_tight(loaded, before)


def manifest(place: Place, **content: object) -> None:
    place.folder.joinpath("drop", "children_1.csv.manifest.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "rule", "words"),
    [
        ({"rows": 42}, "file.control_count", "holds 41 rows, its manifest says 42"),
        ({"sha256": "0" * 64}, "file.checksum", "differs from the checksum"),
        ({"rows": "many"}, "file.manifest", "must be JSON"),
        ({"created": 1e300}, "file.manifest", "must be JSON"),
        ({"created": float("nan")}, "file.manifest", "must be JSON"),
        ([1, 2], "file.manifest", "must be JSON"),
    ],
)
def test_03_a_manifest_is_believed(loaded: Place, content: object, rule: str, words: str) -> None:
    before = loaded.table_hash()
    loaded.drop(csv_bytes(MORE))
    loaded.folder.joinpath("drop", "children_1.csv.manifest.json").write_text(json.dumps(content), encoding="utf-8")
    outcome = loaded.run()
    assert (outcome.state, outcome.rule_id) == ("refused", rule)
    assert words in outcome.message
    unchanged_and_tight(loaded, before)


def test_03_a_right_manifest_loads(loaded: Place) -> None:
    content = csv_bytes(MORE)
    loaded.drop(content)
    manifest(loaded, rows=41, sha256=hashlib.sha256(content).hexdigest().upper(), created=time.time() - 60)
    assert loaded.run().state == "loaded"
    assert len(loaded.standing()) == 41


def test_03_a_file_cut_inside_a_value_is_refused_where_its_sender_always_ends_lines(loaded: Place) -> None:
    for nights, count in enumerate((41, 42), start=1):
        assert loaded.night(csv_bytes(children(count)), age=80_000 - nights).state == "loaded"
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes([*children(42), child(43, fte="1.00")])[:-3])
    assert (outcome.state, outcome.rule_id) == ("refused", "file.truncated")
    assert "transfer it again" in outcome.message
    unchanged_and_tight(loaded, before)


def test_06_the_same_file_again_changes_nothing_and_says_so(loaded: Place) -> None:
    before = loaded.table_hash()
    for age in (86_400, 60):  # as it lay there, and sent again
        outcome = loaded.night(csv_bytes(children()), age=age)
        assert outcome.state == "unchanged"
        assert outcome.summary is not None
        assert (outcome.summary.read, outcome.summary.unchanged, outcome.summary.warnings) == (40, 40, 1)
        assert loaded.issues(outcome) == {"file.unchanged": 1}
    unchanged_and_tight(loaded, before)


def test_06_an_older_file_never_follows_a_newer_one(loaded: Place) -> None:
    loaded.night(csv_bytes(MORE), age=7200)
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(children(39)), age=80_000)
    assert (outcome.state, outcome.rule_id) == ("held", "file.older")
    assert "older than children_1.csv, which is loaded" in outcome.message
    unchanged_and_tight(loaded, before)
    by_hand = loaded.run(file=loaded.folder / "drop" / "children_1.csv")
    assert by_hand.state == "loaded"
    assert loaded.issues(by_hand) == {"file.older": 1}
    assert len(loaded.standing()) == 39


def test_06_the_file_before_last_sent_again_is_held(loaded: Place) -> None:
    loaded.night(csv_bytes(MORE), age=7200)
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(children()), age=60)
    assert (outcome.state, outcome.rule_id) == ("held", "file.resent")
    assert "import it by hand" in outcome.message
    unchanged_and_tight(loaded, before)
    by_hand = loaded.run(file=loaded.folder / "drop" / "children_1.csv")
    assert by_hand.state == "loaded"
    assert loaded.issues(by_hand) == {"file.resent": 1}
    assert len(loaded.standing()) == 40


def test_08_a_missing_file_withdraws_nobody(loaded: Place) -> None:
    before = loaded.table_hash()
    (loaded.folder / "drop" / "children_1.csv").unlink()
    outcome = loaded.run()
    assert outcome.state == "missing"
    assert "No file named children_*.csv" in outcome.message
    unchanged_and_tight(loaded, before)


def test_08_a_night_that_was_asked_for_twice_in_vain_stops_none_after_it(loaded: Place) -> None:
    (loaded.folder / "drop" / "children_1.csv").unlink()
    for _ in range(2):
        assert loaded.run(night="2026-11-20", run_key="late").state == "missing"
    for day in (21, 22):
        assert loaded.night(csv_bytes(children(20 + day)), night=f"2026-11-{day}", age=7200 - day).state == "loaded"
    assert loaded.rows("select scope is null as empty from import_log.import_run where run_key = 'late'") == [
        {"empty": True}
    ]


def test_08_a_missing_drop_folder_is_a_missing_file(loaded: Place) -> None:
    loaded.folder.joinpath("drop", "children_1.csv").unlink()
    loaded.folder.joinpath("drop").rmdir()
    assert loaded.run().state == "missing"


def test_09_another_district_s_file_is_refused(loaded: Place) -> None:
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(child(n, school_id=f"99{n % 2}0") for n in range(1, 42)))
    assert (outcome.state, outcome.rule_id) == ("refused", "file.other_district")
    assert "None of the 2 schools in the file is a school of Test District" in outcome.message
    unchanged_and_tight(loaded, before)


def test_10_another_year_s_file_is_refused(loaded: Place) -> None:
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(child(n, school_year="2026") for n in range(1, 42)))
    assert (outcome.state, outcome.rule_id) == ("refused", "file.school_year")
    assert "2026" in outcome.message
    unchanged_and_tight(loaded, before)


def test_10_a_year_that_is_closed_before_the_next_one_begins_lets_nothing_in(loaded: Place) -> None:
    this = {"end_year": 2027, "first_day": "2026-08-12", "last_day": "2027-05-26"}
    write_calendar(
        loaded, this | {"status": "closed"}, {"end_year": 2028, "first_day": "2027-08-11", "last_day": "2028-05-25"}
    )
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes([*MORE, *(child(n, school_year="2028") for n in range(1, 42))]))
    assert (outcome.state, outcome.rule_id) == ("refused", "file.school_year")
    assert f"No school year is current on {NIGHT}: by its status in the settings file, 2027 is over" in outcome.message
    unchanged_and_tight(loaded, before)


def test_11_the_newest_of_two_files_is_read_and_both_are_told(loaded: Place) -> None:
    loaded.drop(csv_bytes(children(39)), name="children_2.csv", age=7000)
    loaded.drop(csv_bytes(MORE), name="children_0.csv", age=60)
    outcome = loaded.run()
    assert outcome.state == "loaded"
    assert len(loaded.standing()) == 41
    told = loaded.rows("select cause from import_log.import_issue where rule_id = 'file.older_delivery' order by 1")
    assert [row["cause"] for row in told] == ["children_1.csv", "children_2.csv"]


def test_11_a_manifest_says_which_is_newer(loaded: Place) -> None:
    loaded.drop(csv_bytes(MORE), name="children_1.csv", age=7000)
    loaded.drop(csv_bytes(children(39)), name="children_2.csv", age=60)
    manifest(loaded, created=time.time())
    assert loaded.run().state == "loaded"
    assert len(loaded.standing()) == 41


@pytest.mark.parametrize("name", ["CHILDREN_1.CSV", "Children_1.csv"])
def test_12_a_name_in_other_case_loads_with_a_warning(loaded: Place, name: str) -> None:
    (loaded.folder / "drop" / "children_1.csv").unlink()
    loaded.drop(csv_bytes(MORE), name=name)
    outcome = loaded.run()
    assert outcome.state == "loaded"
    assert loaded.issues(outcome) == {"file.name": 1}
    assert loaded.leaks(canaries_of(MORE)) == []


def test_91_a_time_in_the_future_loads_with_a_warning_and_blocks_no_later_file(loaded: Place) -> None:
    outcome = loaded.night(csv_bytes(MORE), age=-3 * 86_400)
    assert outcome.state == "loaded"
    assert loaded.issues(outcome) == {"file.time": 1}
    assert loaded.night(csv_bytes(children(42)), age=0).state == "loaded"


def test_a_landed_copy_is_its_owner_s_alone(loaded: Place) -> None:
    landed: list[Path] = list((loaded.folder / "landed").iterdir())
    assert [path.stat().st_mode & 0o777 for path in landed] == [0o400]
    assert landed[0].name == hashlib.sha256(csv_bytes(children())).hexdigest()


def test_a_night_s_pattern_may_hold_the_night(loaded: Place) -> None:
    dated = dataclasses.replace(CHILDREN, extract=Files("children_{partition}.csv"))
    assert loaded.run(dated).state == "missing"
    loaded.drop(csv_bytes(MORE), name=f"children_{NIGHT}.csv")
    assert loaded.run(dated).state == "loaded"
