"""Row fates under odd rules, odd values and odd endings: nothing passes that failed, and counts are what happened."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from district import pipeline
from district.dataset import Column, Dataset, Files
from district.run import ImportStopped
from district.validate import batch
from importing import CHILDREN, FTE_RULE, NIGHT, Place, child, children, csv_bytes


def rule(
    kind: str, severity: str = "critical", rule_id: str = "children.tried", on_fail: str = "", **kwargs: Any
) -> Any:
    meta = {"rule_id": rule_id, "title": "A title", "fix": "Mend it.", "owner": "data_person"}
    return {
        "type": kind,
        "severity": severity,
        "kwargs": kwargs,
        "meta": meta | ({"on_fail": on_fail} if on_fail else {}),
    }


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_column_values_to_be_of_type", {"type_": "int64"}),
        ("expect_column_values_to_be_in_type_list", {"type_list": ["int64"]}),
        ("expect_column_value_z_scores_to_be_less_than", {"threshold": 3, "double_sided": True}),
    ],
)
def test_a_rule_that_cannot_name_rows_holds(place: Place, kind: str, kwargs: dict[str, Any]) -> None:
    place.write_suite([rule(kind, column="fte", **kwargs)])
    outcome = place.night(csv_bytes(children()))
    assert (outcome.state, outcome.rule_id) == ("held", "suite.rule")


def test_a_day_beyond_nanoseconds_is_a_day(place: Place) -> None:
    place.write_suite(
        [rule("expect_column_values_to_be_between", column="birth_date", max_value="2026-11-19T00:00:00")]
    )
    outcome = place.night(csv_bytes([child(0, birth_date="9999-12-31"), *children()]))
    assert outcome.summary is not None
    assert (outcome.state, outcome.summary.rejected, outcome.summary.inserted) == ("loaded", 1, 40)


def test_rules_on_more_columns_than_grouping_takes(place: Place) -> None:
    names = [f"c{number}" for number in range(40)]
    wide = Dataset(
        name="children",
        extract=Files("children_*.csv"),
        key=("student_id", "school_year"),
        scope=("school_year",),
        columns=(Column("student_id"), Column("school_year", "integer"), *[Column(name) for name in names]),
    )
    not_null = "expect_column_values_to_not_be_null"
    place.write_suite([rule(not_null, rule_id=f"children.{name}", column=name) for name in names])
    lines = [
        f"7{number:05d},2027," + ",".join("x" if number or name != "c39" else "" for name in names)
        for number in range(40)
    ]
    content = "\n".join([",".join(["student_id", "school_year", *names]), *lines]) + "\n"
    outcome = place.night(content.encode(), dataset=wide)
    assert outcome.summary is not None
    assert (outcome.state, outcome.summary.rejected, outcome.summary.inserted) == ("loaded", 1, 39)


def test_judging_twice_gives_the_same_fates(place: Place) -> None:
    place.write_suite(
        [rule("expect_column_values_to_be_between", "warning", on_fail="blank", column="fte", min_value=0, max_value=1)]
    )
    # Two rows of one child that differ in the value that is blanked: they differ all the same.
    place.drop(csv_bytes([*children(), child(1, fte="7")]))
    pipeline.extract(CHILDREN, partition=NIGHT, run_key="twice")
    first = pipeline.validate(CHILDREN, run_key="twice")
    assert pipeline.validate(CHILDREN, run_key="twice") == first
    assert (first.rejected, first.superseded) == (2, 0)


def test_a_blanked_value_is_not_loaded(place: Place) -> None:
    place.write_suite(
        [rule("expect_column_values_to_be_between", "warning", on_fail="blank", column="fte", min_value=0, max_value=1)]
    )
    assert place.night(csv_bytes([child(1, fte="7"), *children(40, first=2)])).state == "loaded"
    rows = place.rows("SELECT student_id FROM district.children WHERE fte IS NULL")
    assert rows == [{"student_id": "7000001"}]


def test_a_validation_that_was_killed_loads_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    place.write_suite([FTE_RULE])
    place.drop(csv_bytes([child(1, fte="5"), *children(40, first=2)]))
    pipeline.extract(CHILDREN, partition=NIGHT, run_key="killed")
    pipeline.validate(CHILDREN, run_key="killed")
    with monkeypatch.context() as patch:
        patch.setattr(batch, "judge_rows", die)
        with pytest.raises(Killed):
            pipeline.validate(CHILDREN, run_key="killed")
    with pytest.raises(ImportStopped):
        pipeline.load(CHILDREN, run_key="killed")
    assert place.rows("SELECT count(*) AS n FROM district.children") == [{"n": 0}]
    pipeline.validate(CHILDREN, run_key="killed")
    assert pipeline.load(CHILDREN, run_key="killed").inserted == 40


def test_a_year_that_is_spread_over_small_schools_is_not_withdrawn_in_silence(place: Place) -> None:
    now = [child(number, school_id=f"{100 + number % 5:04d}") for number in range(1, 1001)]
    before = [child(number, school_year="2026", school_id=f"{100 + number % 5:04d}") for number in range(1, 46)]
    dataset = dataclasses.replace(CHILDREN, history=True)
    assert place.night(csv_bytes(now + before), dataset=dataset).state == "loaded"
    later = csv_bytes([*now, child(2000, school_year="2026")])
    outcome = place.night(later, dataset=dataset, age=3600, night="2026-11-20")
    assert (outcome.state, outcome.rule_id) == ("held", "gate.withdrawn")
    assert "school_year 2026" in outcome.message


def test_1_0_and_1_00_are_the_same_number(place: Place) -> None:
    outcome = place.night(csv_bytes([*children(), child(1, fte="1.00")]))
    assert outcome.summary is not None
    assert (outcome.summary.rejected, outcome.summary.superseded) == (0, 1)


def test_a_key_named_like_a_word_of_sql(place: Place) -> None:
    dataset = dataclasses.replace(
        CHILDREN,
        key=("user", "order"),
        scope=("order",),
        columns=(Column("user"), Column("order", "integer")),
    )
    place.write_suite([rule("expect_column_values_to_not_be_null", column="user")])

    def content(count: int) -> bytes:
        return ("user,order\n" + "".join(f"u{number},1\n" for number in range(count)) + "u0,1\n").encode()

    assert place.night(content(40), dataset=dataset).state == "loaded"
    outcome = place.night(content(38), dataset=dataset, age=3600, night="2026-11-20")
    assert outcome.summary is not None
    assert (outcome.state, outcome.summary.withdrawn) == ("loaded", 2)
    assert place.rows("SELECT count(*) AS n FROM district.children WHERE withdrawn_at IS NOT NULL") == [{"n": 2}]
