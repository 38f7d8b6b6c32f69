"""Suites: whatever is wrong with one holds its data set, says what to mend, and passes no row."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from district.run import Held
from district.validate.suite import Suite, read_suite
from importing import CHILDREN, FTE_RULE, Outcome, Place, canaries_of, children, csv_bytes

MORE = children(41)
META = {"title": "A title", "fix": "Mend it.", "owner": "data_person"}


def rule(
    kind: str, severity: str = "critical", on_fail: str = "", rule_id: str = "children.tried", **kwargs: Any
) -> Any:
    """An expectation as it stands in a suite's file."""
    meta = META | {"rule_id": rule_id} | ({"on_fail": on_fail} if on_fail else {})
    return {"type": kind, "kwargs": kwargs, "severity": severity, "meta": meta}


def sql(query: str, **more: Any) -> Any:
    return rule("unexpected_rows_expectation", unexpected_rows_query=query, **more)


def without(field: str) -> Any:
    broken = copy.deepcopy(FTE_RULE)
    del broken["meta"][field]
    return broken


NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
ROW_COUNT = "expect_table_row_count_to_be_between"
BROKEN = {
    "empty": ([], "suite.empty", "has no expectations, so it would pass anything; add rules"),
    "type-misspelt": (
        [rule("expect_column_values_to_be_betwen", column="fte")],
        "suite.unknown_type",
        f"Is {BETWEEN} meant?",
    ),
    "type-missing": ([{"kwargs": {}, "meta": {}}], "suite.rule", "has no type"),
    "no-object": (["not_null"], "suite.rule", "has no type"),
    "field-misspelt": ([FTE_RULE | {"severitty": "info"}], "suite.rule", "unknown field severitty"),
    "severity-error": (
        [FTE_RULE | {"severity": "error"}],
        "suite.severity",
        "severity error is none of critical, warning, info",
    ),
    "severity-list": ([FTE_RULE | {"severity": ["info"]}], "suite.severity", "none of critical"),
    "meta-list": ([FTE_RULE | {"meta": ["x"]}], "suite.meta", "meta needs a rule_id"),
    **{
        f"meta-{name}": ([without(name)], "suite.meta", f"meta needs a {name}")
        for name in ("rule_id", "title", "fix", "owner")
    },
    "kwargs-list": ([FTE_RULE | {"kwargs": ["x"]}], "suite.rule", "kwargs"),
    "rule-twice": ([FTE_RULE, FTE_RULE], "suite.rule", "children.fte_over_one stands twice"),
    "rule-of-the-data-set": (
        [rule(NOT_NULL, column="fte", rule_id="children.fte.type")],
        "suite.rule",
        "the data set's own",
    ),
    "column-misspelt": ([rule(NOT_NULL, column="last_nam")], "suite.column", "no column last_nam. Is last_name meant?"),
    "column-in-condition": (
        [
            rule(
                NOT_NULL,
                column="fte",
                row_condition={"type": "comparison", "column": {"name": "grade"}, "operator": "==", "parameter": "K"},
            )
        ],
        "suite.column",
        "no column grade",
    ),
    "condition-as-text": (
        [rule(NOT_NULL, column="fte", row_condition='school_id=="0100"', condition_parser="pandas")],
        "suite.rule",
        "row_condition",
    ),
    "mostly": ([rule(NOT_NULL, column="fte", mostly=0.9)], "suite.rule", "without mostly"),
    "unique": (
        [rule("expect_column_values_to_be_unique", column="student_id")],
        "suite.rule",
        "does not judge each row alone",
    ),
    "blank-of-key": (
        [rule(NOT_NULL, column="student_id", on_fail="blank")],
        "suite.meta",
        "one column that may be empty",
    ),
    "blank-of-two": (
        [rule("expect_column_pair_values_to_be_equal", column_A="fte", column_B="last_name", on_fail="blank")],
        "suite.meta",
        "one column that may be empty",
    ),
    "hold-on-rows": ([rule(NOT_NULL, column="fte", on_fail="hold")], "suite.meta", "on_fail hold does not fit"),
    "reject-on-batch": ([rule(ROW_COUNT, min_value=1, on_fail="reject")], "suite.meta", "on_fail reject does not fit"),
    "on-fail-list": (
        [rule(NOT_NULL, column="fte") | {"meta": META | {"rule_id": "children.x", "on_fail": ["reject"]}}],
        "suite.meta",
        "does not fit",
    ),
    "personal-values": (
        [rule("expect_column_distinct_values_to_be_in_set", column="last_name", value_set=["a"], on_fail="report")],
        "suite.personal",
        "personal column last_name",
    ),
    "query-missing": ([rule("unexpected_rows_expectation")], "suite.rule", "unexpected_rows_query"),
    "query-without-batch": ([sql("select row_no from district.children")], "suite.rule", "{batch}"),
    "query-crashes": (
        [sql("select row_no from {batch} where fte / 0 > 1")],
        "suite.crashed",
        "children.tried could not be evaluated",
    ),
    "query-unknown-column": ([sql("select row_no from {batch} where nobody = 1")], "suite.crashed", "UndefinedColumn"),
    "query-no-row-no": ([sql("select student_id from {batch}")], "suite.crashed", "could not be evaluated"),
    "query-null-row-no": (
        [sql("select null::bigint as row_no from {batch}")],
        "suite.crashed",
        "could not be evaluated",
    ),
    "query-writes": ([sql("delete from {batch} returning row_no")], "suite.crashed", "could not be evaluated"),
    "query-tells-a-value": (
        [sql("select row_no from {batch} where last_name::int > 1")],
        "suite.crashed",
        "InvalidTextRepresentation",
    ),
    "kwargs-bad": ([rule(BETWEEN, column="fte", min_value=5, max_value=1)], "suite", ""),
    "kwargs-unknown": ([rule(BETWEEN, column="fte", minimum=5)], "suite.rule", "does not accept"),
    "condition-bad": (
        [rule(BETWEEN, column="birth_date", min_value="2026-08-01")],
        "suite.crashed",
        "could not be evaluated",
    ),
    "regex-bad": (
        [rule("expect_column_values_to_match_regex", column="last_name", regex="(")],
        "suite.crashed",
        "could not be evaluated",
    ),
    "parameter-unknown": (
        [rule(BETWEEN, column="fte", max_value={"$PARAMETER": "rows_min"})],
        "suite.parameter",
        "rows_min",
    ),
    "batch-crashes": (
        [rule("expect_column_max_to_be_between", column="last_name", max_value=3, on_fail="hold")],
        "suite",
        "",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_87_a_broken_suite_holds_its_data_set(loaded: Place, name: str) -> None:
    expectations, rule_id, words = BROKEN[name]
    loaded.write_suite(expectations)
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(MORE))
    assert outcome.state == "held", outcome
    assert outcome.rule_id.startswith(rule_id)
    assert words in outcome.message
    assert loaded.table_hash() == before
    assert loaded.leaks(canaries_of(MORE)) == []


@pytest.mark.parametrize(
    ("content", "rule_id", "words"),
    [
        (None, "suite.missing", "is missing; write it"),
        (b"", "suite.json", "not valid JSON at line 1"),
        (b'{"name": "children",\n "expectations": [}', "suite.json", "line 2"),
        (b"\xff\xfe\x00", "suite.json", "not valid JSON"),
        (b"[]", "suite.empty", "has no expectations"),
        (b'{"expectations": {}}', "suite.empty", "has no expectations"),
        (b"[" * 100_000, "suite.json", "not valid JSON"),
    ],
    ids=["missing", "empty-file", "cut", "utf-16", "list", "object", "deep"],
)
def test_88_a_suite_that_is_none_holds_its_data_set(
    loaded: Place, content: bytes | None, rule_id: str, words: str
) -> None:
    path = loaded.folder / "expectations" / "children.json"
    path.unlink() if content is None else path.write_bytes(content)
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(MORE))
    assert (outcome.state, outcome.rule_id) == ("held", rule_id)
    assert words in outcome.message
    assert loaded.table_hash() == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = st.sampled_from(
    [("type",), ("kwargs",), ("severity",), ("meta",), ("meta", "rule_id"), ("meta", "title"), ("meta", "on_fail"),
     ("kwargs", "column"), ("kwargs", "row_condition"), ("kwargs", "column_list"), ("notes",), ("id",)]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(place_in=PLACES, junk=JSON, whole=st.booleans())
def test_any_json_is_a_suite_or_is_held(
    tmp_path_factory: Any, place_in: tuple[str, ...], junk: Any, whole: bool
) -> None:
    folder = tmp_path_factory.mktemp("suites")
    spec: Any = rule(NOT_NULL, column="fte")
    inner = spec
    for name in place_in[:-1]:
        inner = inner[name]
    inner[place_in[-1]] = junk
    content = junk if whole else {"name": "children", "expectations": [spec], "meta": {}}
    (folder / "children.json").write_text(json.dumps(content), encoding="utf-8")
    try:
        suite = read_suite(CHILDREN, folder)
    except Held as held:
        assert str(held).startswith("Suite children.json")  # noqa: PT017 - either way is right
    else:
        assert isinstance(suite, Suite)


def judged(place: Place, expectations: list[Any], rows: list[dict[str, str]]) -> Outcome:
    place.write_suite(expectations)
    outcome = place.night(csv_bytes(rows))
    assert place.leaks(canaries_of(rows)) == []
    return outcome


def some(change: dict[str, str], *numbers: int) -> list[dict[str, str]]:
    """The children, those numbers changed."""
    return [row | (change if n in numbers else {}) for n, row in enumerate(MORE, start=1)]


def test_reject_on_a_row(loaded: Place) -> None:
    outcome = judged(loaded, [rule(BETWEEN, column="fte", max_value=1)], some({"fte": "2"}, 3, 8))
    assert loaded.issues(outcome) == {"children.tried": 2}
    assert [row["source_line"] for row in loaded.quarantined()] == [4, 9]
    assert len(loaded.standing()) == 41


def test_warning_loads_the_row(loaded: Place) -> None:
    outcome = judged(loaded, [rule(BETWEEN, "warning", column="fte", max_value=1)], some({"fte": "2"}, 3, 8))
    assert outcome.summary is not None
    assert (outcome.summary.warnings, outcome.summary.rejected, outcome.summary.updated) == (2, 0, 2)


def test_info_is_counted_only(loaded: Place) -> None:
    outcome = judged(loaded, [rule(BETWEEN, "info", column="fte", max_value=1)], some({"fte": "2"}, 3))
    assert outcome.summary is not None
    assert (outcome.summary.warnings, outcome.summary.rejected) == (0, 0)
    assert loaded.issues(outcome) == {"children.tried": 1}


def test_report_loads_the_row_even_where_it_is_critical(loaded: Place) -> None:
    outcome = judged(loaded, [rule(BETWEEN, on_fail="report", column="fte", max_value=1)], some({"fte": "2"}, 3))
    assert outcome.summary is not None
    assert (outcome.summary.rejected, outcome.summary.updated) == (0, 1)


def test_blank_removes_the_value_alone_and_outlives_a_second_try(loaded: Place) -> None:
    from district import pipeline

    loaded.write_suite([rule(BETWEEN, "warning", "blank", column="fte", max_value=1)])
    loaded.drop(csv_bytes(some({"fte": "2"}, 3)))
    pipeline.extract(CHILDREN, partition="2026-11-19", run_key="blank")
    pipeline.validate(CHILDREN, run_key="blank")
    pipeline.validate(CHILDREN, run_key="blank")
    summary = pipeline.load(CHILDREN, run_key="blank")
    assert (summary.updated, summary.warnings, summary.rejected) == (1, 1, 0)
    assert loaded.standing()["7000003", "0100", 2027]["fte"] is None


def test_a_condition_limits_a_rule_to_some_rows(loaded: Place) -> None:
    condition = {"type": "comparison", "column": {"name": "school_id"}, "operator": "==", "parameter": "0100"}
    limited = rule(BETWEEN, column="fte", max_value=1, row_condition=condition)
    outcome = judged(loaded, [limited], some({"fte": "2"}, 3, 8))  # 3 is at 0100, 8 at 0101
    assert loaded.issues(outcome) == {"children.tried": 1}


def test_null_passes_between_and_fails_not_null(loaded: Place) -> None:
    both = [rule(BETWEEN, column="fte", max_value=1), rule(NOT_NULL, column="fte", rule_id="children.no_fte")]
    outcome = judged(loaded, both, some({"fte": ""}, 3))
    assert loaded.issues(outcome) == {"children.no_fte": 1}


def test_a_rule_on_one_column_says_nothing_of_rows_of_another_rule(loaded: Place) -> None:
    rules = [rule(NOT_NULL, column="fte"), rule(NOT_NULL, column="last_name", rule_id="children.no_name")]
    outcome = judged(loaded, rules, some({"last_name": ""}, 3))
    assert loaded.issues(outcome) == {"children.no_name": 1}


def test_one_reason_for_one_value(loaded: Place) -> None:
    """A value that is no number is not also found empty."""
    outcome = judged(loaded, [rule(NOT_NULL, column="fte")], some({"fte": "much"}, 3))
    assert loaded.issues(outcome) == {"children.fte.type": 1}


def test_more_than_twenty_rows_are_named(place: Place) -> None:
    """Great Expectations shows twenty unless it is asked for all."""
    place.write_suite([rule(BETWEEN, column="fte", max_value=1)])
    rows = [row | ({"fte": f"{n}.5"} if n < 60 else {}) for n, row in enumerate(children(1000), start=1)]
    outcome = place.night(csv_bytes(rows))
    assert outcome.summary is not None
    assert outcome.summary.rejected == 59
    assert [row["source_line"] for row in place.quarantined()] == list(range(2, 61))


def test_a_query_names_rows_and_nothing_else_of_it_is_kept(loaded: Place) -> None:
    query = "select last_name, row_no, student_id from {batch} where fte > 1 -- a comment"
    outcome = judged(loaded, [sql(query)], some({"fte": "2"}, 3))
    assert loaded.issues(outcome) == {"children.tried": 1}


def test_a_query_may_hold_what_sql_holds(loaded: Place) -> None:
    query = "with b as (select * from {batch}) select row_no from b where last_name like '%3' and fte::int > 1;\n"
    outcome = judged(loaded, [sql(query)], some({"fte": "2"}, 3, 8))
    assert loaded.issues(outcome) == {"children.tried": 1}


def test_a_query_sees_only_rows_that_no_derived_rule_rejects(loaded: Place) -> None:
    outcome = judged(
        loaded, [sql("select row_no from {batch} where grade_level is null")], some({"grade_level_code": "Z"}, 3)
    )
    assert loaded.issues(outcome) == {"children.grade_level_code.code": 1}


@pytest.mark.parametrize(("on_fail", "state"), [("hold", "held"), ("refuse", "refused"), ("report", "loaded")])
def test_a_rule_on_the_batch(loaded: Place, on_fail: str, state: str) -> None:
    before = loaded.table_hash()
    outcome = judged(loaded, [rule(ROW_COUNT, on_fail=on_fail, min_value=100)], MORE)
    assert outcome.state == state
    assert loaded.issues(outcome) == {"children.tried": 0}
    assert (loaded.table_hash() == before) == (state != "loaded")
    if state != "loaded":
        assert "A title. Mend it." in outcome.message
        assert outcome.rule_id == "children.tried"


def test_parameters_come_from_the_night_and_the_last_load(loaded: Place) -> None:
    rules = [
        rule(ROW_COUNT, on_fail="hold", min_value={"$PARAMETER": "min_rows"}),
        rule(BETWEEN, column="birth_date", rule_id="children.born", max_value={"$PARAMETER": "night"}),
    ]
    outcome = judged(loaded, rules, some({"birth_date": "2026-11-20"}, 3))  # born tomorrow
    assert outcome.state == "loaded"
    assert loaded.issues(outcome) == {"children.born": 1}


def test_a_suite_s_new_rule_judges_the_same_file_again(loaded: Place) -> None:
    assert loaded.night(csv_bytes(children())).state == "unchanged"
    loaded.write_suite([rule(NOT_NULL, column="last_name")])
    assert loaded.night(csv_bytes(children())).state == "loaded"
