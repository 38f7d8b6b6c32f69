"""Partition keys, dates and next runs of nights and of administrations."""

from __future__ import annotations

import datetime
from itertools import pairwise
from unittest.mock import patch

import pendulum
import pytest
from airflow.exceptions import InvalidPartitionKeyError
from airflow.timetables.base import DagRunInfo, TimeRestriction, Timetable
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calendars import district, districts
from district.calendar.windows import change_nights
from district.settings import District
from district_airflow.timetables import AdministrationTimetable, NightTimetable, SemesterChangeTimetable

ZONE = "America/Los_Angeles"
# Europe's and Chile's clocks change on other days than California's; Asunción's at midnight.
ZONES = [ZONE, "Europe/Berlin", "America/Santiago", "America/Asuncion"]
ANY_TIME = TimeRestriction(earliest=None, latest=None, catchup=False)
SPRING = {
    "key": "2024-25_spring",
    "test_begin": "2025-04-14",
    "results_begin": "2025-06-16",
    "results_end": "2025-06-30",
}
FALL = {"key": "2025-26_fall", "test_begin": "2025-10-20", "results_begin": "2026-01-12", "results_end": "2026-01-20"}
RETAKE = FALL | {"key": "2025-26_retake"}


@pytest.fixture
def nights() -> NightTimetable:
    return NightTimetable("0 2 * * *", timezone=ZONE)


@pytest.fixture
def windows() -> AdministrationTimetable:
    return AdministrationTimetable([FALL, SPRING, RETAKE], cron="30 2 * * *", timezone=ZONE)


def day(text: str) -> datetime.datetime:
    return pendulum.parse(text, tz="UTC")


def next_run(timetable: Timetable, now: str, last: DagRunInfo | None = None) -> DagRunInfo | None:
    with patch("pendulum.now", return_value=pendulum.parse(now, tz=ZONE)):
        return timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=ANY_TIME)


def test_backfill_of_nights_takes_both_days(nights: NightTimetable) -> None:
    infos = list(nights.iter_partition_dagrun_infos(earliest=day("2026-11-08"), latest=day("2026-11-10")))
    assert [info.partition_key for info in infos] == ["2026-11-08", "2026-11-09", "2026-11-10"]
    assert [nights.resolve_partition_date(info.partition_key) for info in infos] == [i.partition_date for i in infos]


@pytest.mark.parametrize("cron", ["0 2 * * *", "30 1 * * *", "30 2 * * *"])
def test_every_night_has_one_run_also_when_clocks_change(cron: str) -> None:
    nights = NightTimetable(cron, timezone=ZONE)
    infos = list(nights.iter_partition_dagrun_infos(earliest=day("2026-01-01"), latest=day("2026-12-31")))
    keys = [datetime.date.fromisoformat(info.partition_key or "") for info in infos]
    assert len(keys) == 365
    assert all(second - first == datetime.timedelta(days=1) for first, second in pairwise(keys))


def test_what_is_no_night_is_explained(nights: NightTimetable) -> None:
    with pytest.raises(InvalidPartitionKeyError, match="'yesterday' is no night; give a date such as"):
        nights.resolve_partition_date("yesterday")


def test_backfill_takes_the_administrations_whose_testing_begins_then(windows: AdministrationTimetable) -> None:
    infos = list(windows.iter_partition_dagrun_infos(earliest=day("2025-04-14"), latest=day("2025-10-20")))
    assert [info.partition_key for info in infos] == ["2024-25_spring", "2025-26_fall", "2025-26_retake"]
    assert len({info.partition_date for info in infos}) == 3, "Airflow takes partitions of one date for the same"
    assert [windows.resolve_partition_date(info.partition_key) for info in infos] == [i.partition_date for i in infos]
    assert not list(windows.iter_partition_dagrun_infos(earliest=day("2025-04-15"), latest=day("2025-10-19")))


def test_unknown_administration_is_explained_with_the_known_ones(windows: AdministrationTimetable) -> None:
    with pytest.raises(InvalidPartitionKeyError, match="it knows 2024-25_spring, 2025-26_fall, 2025-26_retake"):
        windows.resolve_partition_date("2025-26_winter")


def test_nightly_inside_the_window_and_not_outside(windows: AdministrationTimetable) -> None:
    first = next_run(windows, "2025-05-01")
    assert first
    assert (first.partition_key, first.run_after) == ("2024-25_spring", pendulum.datetime(2025, 6, 16, 2, 30, tz=ZONE))
    second = next_run(windows, "2025-06-16T02:30:05", last=first)
    assert second
    assert second.run_after == pendulum.datetime(2025, 6, 17, 2, 30, tz=ZONE)
    after_window = next_run(windows, "2025-06-30T03:00", last=second._replace(run_after=day("2025-06-30T09:30")))
    assert after_window
    assert after_window.run_after == pendulum.datetime(2026, 1, 12, 2, 30, tz=ZONE)
    assert next_run(windows, "2026-02-01") is None


def test_two_administrations_of_one_night_follow_each_other_and_none_comes_twice(
    windows: AdministrationTimetable,
) -> None:
    """Airflow asks again whenever it parses the file, with the newest run it knows: no answer may repeat a run."""
    last, seen = None, []
    now = pendulum.datetime(2026, 1, 12, 2, tz=ZONE)
    while now < pendulum.datetime(2026, 1, 14, 3, tz=ZONE):
        info = next_run(windows, now.isoformat(), last)
        if info and info.run_after <= now:
            seen.append((info.run_after.in_timezone(ZONE).format("DD HH:mm"), info.partition_key))
            last = max(last, info, key=lambda each: each.partition_date) if last else info
        now = now.add(seconds=45)
    assert seen == [
        (f"{night} {time}", key)
        for night in (12, 13, 14)
        for time, key in (("02:30", "2025-26_fall"), ("02:31", "2025-26_retake"))
    ]


def test_a_window_far_away_is_found_at_once() -> None:
    """Night by night it would take minutes, whenever Airflow parses the file."""
    far = SPRING | {"results_begin": "3025-06-16", "results_end": "3025-06-30"}
    windows = AdministrationTimetable([FALL, far], cron="0 0 * * *", timezone=ZONE)
    info = next_run(windows, "2026-11-19 12:00")
    assert info is not None
    assert (info.partition_key, str(info.run_after.in_timezone(ZONE).date())) == (far["key"], "3025-06-16")


def test_a_night_missed_while_airflow_was_down_is_made_up_once(windows: AdministrationTimetable) -> None:
    first = next_run(windows, "2025-06-01")
    late = next_run(windows, "2025-06-20T09:00", last=first)
    assert late
    assert late.run_after == pendulum.datetime(2025, 6, 20, 2, 30, tz=ZONE)


def test_window_travels_with_the_dag(windows: AdministrationTimetable) -> None:
    read = AdministrationTimetable.deserialize(windows.serialize())
    assert read.serialize() == windows.serialize()
    assert next_run(read, "2025-05-01") == next_run(windows, "2025-05-01")


@pytest.fixture
def changes() -> SemesterChangeTimetable:
    keys = ["2026-12-17", "2026-12-18", "2027-01-04"]
    return SemesterChangeTimetable(keys, cron="0 2 * * *", timezone=ZONE)


def chile() -> District:
    """A semester change on the night whose midnight did not exist in Santiago: 13 October 2002."""
    terms = [
        {"code": "S1", "begin": "2002-08-12", "end": "2002-10-11"},
        {"code": "S2", "begin": "2002-10-14", "end": "2003-05-26"},
    ]
    return district([{"end_year": 2003, "first_day": "2002-08-12", "last_day": "2003-05-26", "terms": terms}])


@settings(max_examples=15, deadline=None)
@example(facts=chile(), cron="0 2 * * *", zone="America/Santiago")
@given(facts=districts(), cron=st.sampled_from(["0 2 * * *", "30 1 * * *", "30 2 * * *"]), zone=st.sampled_from(ZONES))
def test_the_nights_of_each_semester_change_are_exactly_the_runs(facts: District, cron: str, zone: str) -> None:
    """For random calendars, in zones whose clocks change inside of semester changes."""
    keys = [night.isoformat() for night in change_nights(facts)]
    timetable = SemesterChangeTimetable(keys, cron=cron, timezone=zone)
    years = sorted(facts.school_years, key=lambda year: year.first_day)
    last, runs = None, []
    with patch("pendulum.now", return_value=pendulum.parse(str(years[0].first_day), tz=zone).subtract(days=40)) as now:
        while (info := timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=ANY_TIME)) is not None:
            runs.append(info)
            last = info
            now.return_value = info.run_after
    assert [info.partition_key for info in runs] == keys
    for info in runs:
        assert info.run_after.in_timezone(zone).to_date_string() == info.partition_key
        assert timetable.resolve_partition_date(info.partition_key) == info.partition_date
    whole = {"earliest": day(str(years[0].first_day)), "latest": day(str(years[-1].last_day))}
    assert [info.partition_key for info in timetable.iter_partition_dagrun_infos(**whole)] == keys


def test_a_night_without_a_semester_change_is_explained(changes: SemesterChangeTimetable) -> None:
    with pytest.raises(InvalidPartitionKeyError, match="'2026-12-20' is no night of a semester change; the next"):
        changes.resolve_partition_date("2026-12-20")
    with pytest.raises(InvalidPartitionKeyError, match="the calendar has none after it"):
        changes.resolve_partition_date("2027-01-05")


def test_a_semester_change_missed_while_airflow_was_down_is_made_up_for_the_last_day(
    changes: SemesterChangeTimetable,
) -> None:
    first = next_run(changes, "2026-12-01")
    missed = next_run(changes, "2026-12-18T09:00", last=first)
    assert missed
    assert missed.partition_key == "2026-12-18"
    over = next_run(changes, "2026-12-20T09:00", last=first)
    assert over
    assert over.partition_key == "2027-01-04"
    assert next_run(changes, "2027-01-06T09:00") is None


@pytest.mark.parametrize("kind", ["nights", "windows", "changes"])
def test_airflow_can_store_them(kind: str, request: pytest.FixtureRequest) -> None:
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable

    timetable = request.getfixturevalue(kind)
    read = decode_timetable(encode_timetable(timetable))
    assert type(read).__name__ == type(timetable).__name__
    assert read.serialize() == timetable.serialize()


def test_settings_file_gives_the_administrations() -> None:
    from district.settings import settings as facts
    from district_airflow import administrations

    known = facts().district.administrations
    keys = {each.key for each in known}
    assert keys
    assert all(administrations().resolve_partition_date(key) for key in keys)
