"""Past administrations are imported beside a night that is going on, and touch nothing but their own rows."""

from __future__ import annotations

import pytest
from backfilling import BETWEEN, BY_COMMAND, BY_REST, Backfill, MendedNight, Repeated
from live import Live, differing
from nights import District

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(params=["airflow backfill create", "POST /api/v2/backfills"])
def backfill(mended_night: MendedNight, second_backfill: Backfill, request: pytest.FixtureRequest) -> Backfill:
    """One of each kind."""
    return second_backfill if request.param.startswith("POST") else mended_night.backfill


def test_its_rows_are_loaded_as_expected(live: Live, district: District, backfill: Backfill) -> None:
    table = district.expected["past"][backfill.administration]["state_assessments"]["table"]
    assert differing(table, backfill.logged) == {}
    query = "select count(*) as rows from district.state_assessments where administration = :administration"
    assert live.rows(query, administration=backfill.administration)[0]["rows"] == table["inserted"]


def test_airflow_has_it_as_a_backfill_of_the_administration(live: Live, backfill: Backfill) -> None:
    (run,) = live.runs("state_assessments", backfill.administration)
    assert (run["run_type"], run["state"]) == ("backfill", "success")


def test_a_night_was_going_on(backfill: Backfill) -> None:
    assert backfill.beside


def test_no_other_administration_s_rows_changed(backfill: Backfill) -> None:
    before, after = backfill.others
    assert before == after


def test_the_same_again_changes_nothing(district: District, repeated_backfill: Repeated) -> None:
    assert repeated_backfill.before == repeated_backfill.after
    assert repeated_backfill.logged[BY_REST].state == "unchanged"
    # Enrollment changed since, so that this one was judged again; it came to the same.
    table = district.expected["past"][BY_COMMAND]["state_assessments"]["table"]
    same = {"inserted": -table["inserted"], "unchanged": table["inserted"]}
    assert differing(table, repeated_backfill.logged[BY_COMMAND], **same) == {}


def test_the_one_between_came_with_the_range(district: District, repeated_backfill: Repeated) -> None:
    table = district.expected["past"][BETWEEN]["state_assessments"]["table"]
    assert differing(table, repeated_backfill.logged[BETWEEN]) == {}
