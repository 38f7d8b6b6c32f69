"""Who may decide about what is held: the settings' people and their roles."""

from __future__ import annotations

from pathlib import Path

import pytest

from district.settings import District, Settings, SettingsError, roles_for

ROLES = {"data_person": ("a@b.invalid",), "assessment_lead": ("c@d.invalid",), "technology_lead": ()}
DISTRICT = District(
    name="Test",
    roles=ROLES,
    people={"rita": ("data_person",), "abe": ("assessment_lead",), "tom": ("technology_lead",), "eve": ()},
)


@pytest.mark.parametrize(
    ("person", "owner", "role"),
    [
        ("rita", "data_person", "data_person"),
        ("rita", "assessment_lead", "data_person"),
        ("abe", "assessment_lead", "assessment_lead"),
        ("abe", "data_person", ""),
        ("tom", "data_person", ""),
        ("eve", "data_person", ""),
        ("admin", "data_person", ""),
        ("", "data_person", ""),
    ],
)
def test_the_owner_decides_and_the_data_person_everywhere(person: str, owner: str, role: str) -> None:
    assert DISTRICT.role_of(person, roles_for(owner)) == role


def test_those_who_may_decide_are_named() -> None:
    assert DISTRICT.deciders(roles_for("assessment_lead")) == ["rita", "abe"]
    assert DISTRICT.deciders(["data_person"]) == ["rita"]


def test_a_role_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "district.yaml"
    file.write_text("name: Test\nroles: {data_person: []}\npeople: {rita: [dataperson]}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="rita has the role dataperson, which is not among the roles"):
        Settings(file=file).district.people  # noqa: B018 - reading it is what fails
