"""A load that is killed is loaded once; a fifth data set is two files dropped into the running Airflow."""

from __future__ import annotations

import re
import sys

import pytest
from live import Live, differing
from nights import CHILDREN, District, ThirdNight

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("dataset", ["enrollment", *CHILDREN])
def test_bad_rows_are_kept_aside_and_all_others_loaded(
    district: District, third_night: ThirdNight, dataset: str
) -> None:
    bad, good = third_night.trouble.added[dataset]
    logged = third_night.told.logged[dataset]
    more = {"read": bad + good, "rejected": bad, "inserted": good}
    # Warnings of the added rows are beside the point here.
    assert differing(district.table(3, dataset), logged, **more).keys() <= {"warnings"}


def test_a_killed_load_is_tried_again_and_loaded_once(live: Live, third_night: ThirdNight) -> None:
    run = third_night.told.runs["enrollment"]
    load = live.tasks("enrollment", run["dag_run_id"])["load"]
    assert (third_night.trouble.killed["try_number"], load["try_number"], load["state"]) == (1, 2, "success")
    assert load["pid"] != third_night.trouble.killed["pid"]
    logged = live.rows("select id, state from import_log.import_run where run_key = :key", key=run["dag_run_id"])
    assert [row["state"] for row in logged] == ["loaded"]
    # What the killed transaction had begun to write is not there twice.
    images = "select count(*) as rows from import_log.row_history where import_run_id = :id"
    told = third_night.told.logged["enrollment"]
    assert live.rows(images, id=logged[0]["id"])[0]["rows"] == told.updated + told.withdrawn
    keys = "select count(*) as rows from (select 1 from district.enrollment group by student_id, school_id, "
    assert live.rows(f"{keys} entry_date, school_year having count(*) > 1) twice")[0]["rows"] == 0


def test_one_digest_tells_of_it(district: District, third_night: ThirdNight) -> None:
    (digest,) = third_night.digests
    # Enrollment and those behind it were refused and blocked at first, and are loaded now: no news in the morning.
    assert re.fullmatch(rf"Imports of {district.nights[2]}: \d+ loaded", str(digest["Subject"]))
    text = Live.text(digest)
    logged = third_night.told.logged["enrollment"]
    counts = f"enrollment: LOADED\n  processed {logged.read:,}, rejected {logged.rejected:,}, "
    assert text.count(counts) == 1


def test_a_fifth_data_set_shows_within_a_minute_and_follows_its_parent(
    district: District, third_night: ThirdNight, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\nA fifth data set showed in Airflow after {third_night.trouble.seconds_to_show:.1f} s\n")
    assert third_night.trouble.seconds_to_show < 60
    run, logged = third_night.told.runs["programs"], third_night.told.logged["programs"]
    assert (run["state"], run["run_type"], run["partition_key"]) == ("success", "asset_triggered", district.nights[2])
    assert (logged.state, logged.read, logged.inserted, logged.rejected) == ("loaded", 3, 2, 1)


def test_it_stands_in_the_table_the_import_log_and_the_digest(
    live: Live, district: District, third_night: ThirdNight
) -> None:
    assert live.rows("select count(*) as rows from district.programs")[0]["rows"] == 2
    query = "select i.rule_id from import_log.import_issue i join import_log.import_run r on r.id = i.import_run_id"
    rules = live.rows(f"{query} where r.dataset = 'programs' and r.night = :night", night=district.nights[2])
    assert [row["rule_id"] for row in rules] == ["programs.end_before_begin"]
    text = Live.text(third_night.digests[0])
    assert "programs: LOADED\n  processed 3, rejected 1, " in text
    assert "Program ends before it begins" in text
