"""Four nights of one running district. Each fixture does what a night brings, once; the tests look at what came."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from backfilling import Backfill, MendedNight, Repeated, backfill_by_rest, mend_and_backfill, repeat
from held import MISHAPS, HeldNight, bring_wrong_schools
from live import Live, live_district
from nights import (
    District,
    RefusedNight,
    ThirdNight,
    Told,
    Trouble,
    bring_first_night,
    bring_no_enrollment,
    bring_trouble,
    wait_for_morning,
)
from planted import plant

from district.synthetic import generate


@pytest.fixture(scope="session")
def district(tmp_path_factory: pytest.TempPathFactory) -> District:
    """Two thousand children, four nights, four past administrations."""
    folder = tmp_path_factory.mktemp("district")
    generate(folder, size="small", seed=11, nights=4, mishaps=MISHAPS)
    return District(folder=folder, expected=json.loads((folder / "expected.json").read_text()), ids=plant(folder))


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """PostgreSQL, the mail catcher and Airflow."""
    with live_district() as running:
        yield running


@pytest.fixture(scope="session")
def first_night(live: Live, district: District) -> Told:
    """All four data sets load."""
    return bring_first_night(live, district)


@pytest.fixture(scope="session")
def refused_night(live: Live, district: District, first_night: Told) -> RefusedNight:
    """Enrollment's extract is none."""
    return bring_no_enrollment(live, district)


@pytest.fixture(scope="session")
def mended_night(live: Live, district: District, refused_night: RefusedNight) -> MendedNight:
    """The same night with the right file, and a backfill beside it."""
    return mend_and_backfill(live, district, refused_night.told)


@pytest.fixture(scope="session")
def trouble_begun(live: Live, district: District, mended_night: MendedNight) -> Trouble:
    """Bad rows of every kind, a killed load, and a fifth data set."""
    return bring_trouble(live, district)


@pytest.fixture(scope="session")
def second_backfill(live: Live, district: District, trouble_begun: Trouble) -> Backfill:
    """A backfill beside what follows."""
    return backfill_by_rest(live, district)


@pytest.fixture(scope="session")
def third_night(live: Live, district: District, trouble_begun: Trouble, second_backfill: Backfill) -> ThirdNight:
    """That night's end, and its digest."""
    return wait_for_morning(live, district, trouble_begun)


@pytest.fixture(scope="session")
def repeated_backfill(live: Live, third_night: ThirdNight) -> Repeated:
    """The backfills again."""
    return repeat(live)


@pytest.fixture(scope="session")
def held_night(live: Live, district: District, third_night: ThirdNight) -> HeldNight:
    """The night after it: two schools' rows are wrong, and a person decides."""
    return bring_wrong_schools(live, district)
