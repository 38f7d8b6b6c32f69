"""When a data set is imported, and what its partition keys mean: a night, or an administration of a test."""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

import pendulum
from airflow.exceptions import InvalidPartitionKeyError
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from airflow.timetables.trigger import CronPartitionTimetable

from district.partitions import UnknownPartition, check_administration, check_night

NIGHT = "%Y-%m-%d"


class NightTimetable(CronPartitionTimetable):
    """A cron schedule whose partition is the night: key ``2026-11-20``, date that day's midnight.

    Airflow's own takes the time of the tick for the partition's date, so that a backfill until the 20th leaves
    out the 20th at two o'clock, and a run started by hand for a night counts as another partition.
    """

    def __init__(self, cron: str, *, timezone: Any, **options: Any) -> None:
        super().__init__(cron, timezone=timezone, **{**options, "key_format": NIGHT})

    def ticks(self, after: pendulum.DateTime, until: pendulum.DateTime) -> Iterator[pendulum.DateTime]:
        """The cron expression's moments after ``after``, up to and with ``until``."""
        tick = self._get_next(after)
        while tick <= until:
            yield tick
            tick = self._get_next(tick)

    def iter_partition_dagrun_infos(
        self, *, earliest: datetime.datetime, latest: datetime.datetime
    ) -> Iterator[DagRunInfo]:
        """One run per night from ``earliest`` to ``latest``, both days included."""
        whole_days = {
            "earliest": earliest.replace(hour=0, minute=0, second=0, microsecond=0),
            "latest": latest.replace(hour=23, minute=59, second=59, microsecond=0),
        }
        for info in super().iter_partition_dagrun_infos(**whole_days):
            yield info._replace(partition_date=self._get_partition_date(run_date=info.run_after))

    def _get_partition_date(self, *, run_date: pendulum.DateTime) -> pendulum.DateTime:
        return self._begin(run_date.in_timezone(self._timezone).date())

    def _decode_partition_date(self, partition_key: str) -> datetime.datetime:
        try:
            check_night(partition_key)
        except UnknownPartition as error:
            raise InvalidPartitionKeyError(str(error)) from None
        return self._begin(datetime.date.fromisoformat(partition_key))

    def _begin(self, night: datetime.date) -> pendulum.DateTime:
        """That day's midnight, or its first moment where the clocks go forward at midnight."""
        return pendulum.datetime(night.year, night.month, night.day, tz=self._timezone).in_timezone("UTC")


class AdministrationTimetable(Timetable):
    """Nightly while an administration's results are awaited; the partition is the administration.

    ``administrations`` holds the key and the days ``test_begin``, ``results_begin`` and ``results_end`` of each.
    They travel with the DAG, so that a new line of the settings file counts without restarting anything.
    A scheduled run's partition date is its night, because Airflow continues from the newest one;
    a backfill's and a manual run's is the day on which testing begins.
    """

    partitioned = True
    run_ordering = ("partition_date", "run_after")

    def __init__(self, administrations: Iterable[dict[str, str]], *, cron: str, timezone: str) -> None:
        self._administrations = sorted(administrations, key=lambda each: (each["test_begin"], each["key"]))
        self._cron, self._timezone = cron, timezone
        self._nights = NightTimetable(cron, timezone=timezone)
        self.description = f"{self._nights.description}, while results of an administration are awaited"

    def serialize(self) -> dict[str, Any]:
        """For Airflow's database."""
        return {"administrations": self._administrations, "cron": self._cron, "timezone": self._timezone}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> AdministrationTimetable:
        """From Airflow's database."""
        return cls(data["administrations"], cron=data["cron"], timezone=data["timezone"])

    def validate(self) -> None:
        """AirflowTimetableInvalid if the cron expression is none."""
        self._nights.validate()

    @property
    def summary(self) -> str:
        """What the list of DAGs shows as the schedule."""
        return f"{self._cron} in results windows"

    def localize_partition_datetime(self, dt: datetime.datetime) -> pendulum.DateTime:
        """A person's date filter means the district's days."""
        return self._nights.localize_partition_datetime(dt)

    def next_dagrun_info_v2(
        self,
        *,
        last_dagrun_info: DagRunInfo | None,
        restriction: TimeRestriction,  # noqa: ARG002 - the windows are the only restriction
    ) -> DagRunInfo | None:
        """The first slot after the last run; of what was missed while Airflow was down, only the last day's.

        Airflow asks whenever it parses the file, so a slot that is due must be named until its run exists.
        """
        now = pendulum.now("UTC")
        last = last_dagrun_info.run_after if last_dagrun_info else now.subtract(minutes=10)
        return next(self._slots(max(last, now.subtract(days=1))), None)

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """For a run that somebody starts with a logical date as well."""
        return DataInterval.exact(run_after)

    def iter_partition_dagrun_infos(
        self, *, earliest: datetime.datetime, latest: datetime.datetime
    ) -> Iterator[DagRunInfo]:
        """One run per administration whose testing begins on a day from ``earliest`` to ``latest``."""
        for each in self._administrations:
            if earliest.date().isoformat() <= each["test_begin"] <= latest.date().isoformat():
                date = self._decode_partition_date(each["key"])
                yield DagRunInfo(run_after=date, data_interval=None, partition_date=date, partition_key=each["key"])

    def _decode_partition_date(self, partition_key: str) -> pendulum.DateTime:
        keys = [each["key"] for each in self._administrations]
        try:
            check_administration(partition_key, keys)
        except UnknownPartition as error:
            raise InvalidPartitionKeyError(str(error)) from None
        place = keys.index(partition_key)
        begin = self._administrations[place]["test_begin"]
        # A backfill takes two partitions of one date for the same, hence the minutes.
        minutes = sum(each["test_begin"] == begin for each in self._administrations[:place])
        return self._midnight(begin).add(minutes=minutes).in_timezone("UTC")

    def _slots(self, after: pendulum.DateTime) -> Iterator[DagRunInfo]:
        """Runs due after ``after``, in order; administrations of one night follow each other by a minute."""
        begin = after.subtract(hours=2)
        day = begin.in_timezone(self._timezone).to_date_string()
        ahead = [each for each in self._administrations if each["results_end"] >= day]
        if not ahead:
            return
        # Nights on which nothing is awaited yet are passed over at once.
        begin = max(begin, self._midnight(min(each["results_begin"] for each in ahead)).subtract(minutes=1))
        end = max(self._midnight(each["results_end"]).add(days=2) for each in ahead)
        for night in self._nights.ticks(begin, end):
            today = night.in_timezone(self._timezone).date().isoformat()
            awaited = [each for each in self._administrations if each["results_begin"] <= today <= each["results_end"]]
            for minutes, each in enumerate(awaited):
                due = night.add(minutes=minutes)
                if due > after:
                    yield DagRunInfo(run_after=due, data_interval=None, partition_date=due, partition_key=each["key"])

    def _midnight(self, day: str) -> pendulum.DateTime:
        return pendulum.parse(day, tz=self._timezone)  # type: ignore[return-value]

    def generate_run_id(self, *, run_type: Any, run_after: Any, data_interval: Any, **extra: Any) -> str:
        """Run ids carry the administration."""
        return self._nights.generate_run_id(
            run_type=run_type, run_after=run_after, data_interval=data_interval, **extra
        )


class SemesterChangeTimetable(Timetable):
    """Nightly while a semester changes at any school; the partition is the night, as it is of the nightly import.

    ``nights`` travel with the DAG, so that a new date in the settings file counts without restarting anything.
    """

    partitioned = True
    run_ordering = ("partition_date", "run_after")

    def __init__(self, nights: Iterable[str], *, cron: str, timezone: str) -> None:
        self._keys = sorted(nights)
        self._cron, self._timezone = cron, timezone
        self._nights = NightTimetable(cron, timezone=timezone)
        self.description = f"{self._nights.description}, while a semester changes"

    def serialize(self) -> dict[str, Any]:
        """For Airflow's database."""
        return {"nights": self._keys, "cron": self._cron, "timezone": self._timezone}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> SemesterChangeTimetable:
        """From Airflow's database."""
        return cls(data["nights"], cron=data["cron"], timezone=data["timezone"])

    def validate(self) -> None:
        """AirflowTimetableInvalid if the cron expression is none."""
        self._nights.validate()

    @property
    def summary(self) -> str:
        """What the list of DAGs shows as the schedule."""
        return f"{self._cron} at semester change"

    def localize_partition_datetime(self, dt: datetime.datetime) -> pendulum.DateTime:
        """A person's date filter means the district's days."""
        return self._nights.localize_partition_datetime(dt)

    def next_dagrun_info_v2(
        self,
        *,
        last_dagrun_info: DagRunInfo | None,
        restriction: TimeRestriction,  # noqa: ARG002 - the calendar is the only restriction
    ) -> DagRunInfo | None:
        """The first night of a semester change after the last run; of what was missed, only the last day's."""
        now = pendulum.now("UTC")
        last = last_dagrun_info.run_after if last_dagrun_info else now.subtract(minutes=10)
        after = max(last, now.subtract(days=1))
        for key in self._keys[bisect_left(self._keys, after.in_timezone(self._timezone).to_date_string()) :]:
            begin = pendulum.parse(key, tz=self._timezone)
            for info in self.iter_partition_dagrun_infos(earliest=begin, latest=begin):
                if info.run_after > after:
                    return info
        return None

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """For a run that somebody starts with a logical date as well."""
        return DataInterval.exact(run_after)

    def iter_partition_dagrun_infos(
        self, *, earliest: datetime.datetime, latest: datetime.datetime
    ) -> Iterator[DagRunInfo]:
        """One run per night of a semester change from ``earliest`` to ``latest``, both days included."""
        known = set(self._keys)
        for info in self._nights.iter_partition_dagrun_infos(earliest=earliest, latest=latest):
            if info.partition_key in known:
                yield info

    def _decode_partition_date(self, partition_key: str) -> datetime.datetime:
        if partition_key not in self._keys:
            after = [key for key in self._keys if key > partition_key]
            hint = f"the next is {after[0]}" if after else "the calendar has none after it"
            raise InvalidPartitionKeyError(f"{partition_key!r} is no night of a semester change; {hint}.")
        return self._nights.resolve_partition_date(partition_key)

    def generate_run_id(self, *, run_type: Any, run_after: Any, data_interval: Any, **extra: Any) -> str:
        """Run ids carry the night."""
        return self._nights.generate_run_id(
            run_type=run_type, run_after=run_after, data_interval=data_interval, **extra
        )


def semester_changes(cron: str) -> SemesterChangeTimetable:
    """Nightly while a semester changes at any school of the settings file."""
    from district.calendar.windows import change_nights
    from district.settings import settings

    district = settings().district
    nights = (night.isoformat() for night in change_nights(district))
    return SemesterChangeTimetable(nights, cron=cron, timezone=district.timezone)


def administrations(cron: str = "30 2 * * *") -> AdministrationTimetable:
    """Nightly inside the results window of each administration of the settings file."""
    from district.settings import settings

    district = settings().district
    days = ("test_begin", "results_begin", "results_end")
    return AdministrationTimetable(
        (
            {"key": each.key, **{day: getattr(each, day).isoformat() for day in days}}
            for each in district.administrations
        ),
        cron=cron,
        timezone=district.timezone,
    )
