"""A night whose enrollment is no extract: it fails at once and says so, nothing changes, and clearing it mends all."""

from __future__ import annotations

import datetime

import pytest
from backfilling import MendedNight
from live import Live, differing
from nights import CHILDREN, District, RefusedNight

pytestmark = pytest.mark.timeout(1800)


def test_the_run_is_red_and_says_why(refused_night: RefusedNight) -> None:
    run = refused_night.told.runs["enrollment"]
    assert run["state"] == "failed"
    assert run["note"].startswith("**REFUSED** ")
    assert "web page" in run["note"]


def test_it_is_not_tried_again(refused_night: RefusedNight) -> None:
    run = refused_night.told.runs["enrollment"]
    began, ended = (datetime.datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    assert (ended - began).total_seconds() < 50  # the first retry would come after a minute


@pytest.mark.parametrize("dataset", CHILDREN)
def test_those_that_wait_are_blocked_and_say_why(refused_night: RefusedNight, dataset: str) -> None:
    run = refused_night.told.runs[dataset]
    assert (run["state"], refused_night.told.logged[dataset].state) == ("failed", "blocked")
    assert run["note"].startswith("**BLOCKED** ")
    assert "enrollment of" in run["note"]
    assert "Mend enrollment first" in run["note"]


def test_a_mail_went_out_at_once(district: District, refused_night: RefusedNight) -> None:
    night = district.nights[1]
    first, *others = refused_night.mails
    assert first["Subject"] == f"enrollment of {night}: refused"
    assert first["To"] == "data.person@cedarvalley.invalid"
    text = Live.text(first)
    assert "enrollment is refused. Its table stays as before." in text
    assert {mail["Subject"] for mail in others} == {f"{child} of {night}: blocked" for child in CHILDREN}


def test_no_table_changed(refused_night: RefusedNight) -> None:
    assert refused_night.after == refused_night.before


@pytest.mark.parametrize("dataset", ["enrollment", *CHILDREN])
def test_the_right_file_and_a_cleared_extract_load_it_all(
    district: District, mended_night: MendedNight, dataset: str
) -> None:
    assert mended_night.told.runs[dataset]["state"] == "success"
    assert differing(district.table(2, dataset), mended_night.told.logged[dataset]) == {}


def test_the_cleared_run_is_the_refused_one(refused_night: RefusedNight, mended_night: MendedNight) -> None:
    assert mended_night.told.runs["enrollment"]["dag_run_id"] == refused_night.told.runs["enrollment"]["dag_run_id"]
    assert mended_night.told.runs["enrollment"]["note"].startswith("**LOADED** ")
