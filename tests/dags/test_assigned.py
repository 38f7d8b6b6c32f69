"""Required actions are assigned to people by the name with which they sign in, which the settings file knows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from district.demo.airflow_processes import AUTH_MANAGER, PEOPLE
from district.settings import roles_for, settings
from district_airflow.people import PeopleFabAuthManager


@pytest.mark.parametrize(("name", "may"), [("rita", True), ("abe", False), ("7", False)])
def test_a_person_is_known_by_name_and_not_by_number(name: str, may: bool) -> None:
    user = SimpleNamespace(get_id=lambda: "7", get_name=lambda: name)
    manager = PeopleFabAuthManager.__new__(PeopleFabAuthManager)
    assert manager.is_authorized_hitl_task(assigned_users={"rita"}, user=user) is may


def test_airflow_takes_it_for_fab() -> None:
    """Two places of Airflow look for this word in the setting, to clear up permissions and tables."""
    assert "FabAuthManager" in AUTH_MANAGER
    assert f"{PeopleFabAuthManager.__module__}.{PeopleFabAuthManager.__qualname__}" == AUTH_MANAGER


def test_the_demo_has_somebody_who_decides_about_each_data_set_and_somebody_who_may_not() -> None:
    district = settings().district
    for owner in ("data_person", "assessment_lead"):
        assert set(district.deciders(roles_for(owner))) <= PEOPLE.keys()
        assert district.deciders(roles_for(owner))
    assert district.role_of("viewer", ["data_person"]) == ""
