"""What an expectation in a suite must be: a slip is said before Great Expectations drops it or crashes."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from district.dataset import Dataset
from district.run import Held
from district.validate.rules import OnFail, Rule, Severity, derived_rules

_FIELDS = {"type", "kwargs", "severity", "meta", "id", "notes", "description", "rendered_content"}
_META = ("rule_id", "title", "fix", "owner")
_COLUMN_FIELDS = ("column", "column_A", "column_B")
PARAMETERS = ("min_rows", "night", "night_plus_90", "school_year_first_day", "school_year_last_day")
"""What a suite may refer to as ``{"$PARAMETER": name}``."""
SQL_TYPE = "unexpected_rows_expectation"
# A row's fate is its own: what compares rows with one another is not among these.
ROW_TYPES = frozenset(
    f"expect_{name}"
    for name in (
        "column_values_to_be_in_set",
        "column_values_to_not_be_in_set",
        "column_values_to_be_between",
        "column_values_to_be_null",
        "column_values_to_not_be_null",
        "column_values_to_match_regex",
        "column_values_to_not_match_regex",
        "column_values_to_match_regex_list",
        "column_values_to_not_match_regex_list",
        "column_value_lengths_to_be_between",
        "column_value_lengths_to_equal",
        "column_pair_values_a_to_be_greater_than_b",
        "column_pair_values_to_be_equal",
        "column_pair_values_to_be_in_set",
        "multicolumn_sum_to_equal",
        "select_column_values_to_be_unique_within_record",
    )
)
_ROW_FATES = ("reject", "blank", "report")
_BATCH_FATES = ("hold", "refuse", "report")
# Their observed value is data; it would be kept in the result whatever the result format says.
_LEAKING = ("distinct_values", "most_common_value", "value_set_of", "unique_value")


def judges_rows(spec: Any, where: str) -> bool:
    """Whether the expectation judges row by row; Held where Great Expectations would drop it."""
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise Held(f"{where} has no type.", rule_id="suite.rule")
    if unknown := sorted(set(spec) - _FIELDS):
        raise Held(f"{where} has the unknown field {unknown[0]}.", rule_id="suite.rule")
    if not isinstance(spec.get("kwargs"), dict):
        raise Held(f'{where}: kwargs must be an object, such as {{"column": ...}}.', rule_id="suite.rule")
    kind = spec["type"]
    if kind == SQL_TYPE or kind in ROW_TYPES:
        return kind in ROW_TYPES  # known without the long import
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    try:
        implementation = get_expectation_impl(kind)
    except ExpectationNotFoundError:
        near = difflib.get_close_matches(kind, [*list_registered_expectation_implementations()], n=1)
        hint = f" Is {near[0]} meant?" if near else ""
        raise Held(f"{where}: Great Expectations knows no {kind}.{hint}", rule_id="suite.unknown_type") from None
    by_row = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    return issubclass(implementation, by_row)


def rule_of(spec: dict[str, Any], dataset: Dataset, where: str, *, by_row: bool) -> Rule:
    """The rule that an expectation of a known type stands for; Held where its parts do not fit."""
    severity = spec.get("severity", "critical")
    if severity not in get_args(Severity):
        raise Held(f"{where}: severity {severity} is none of critical, warning, info.", rule_id="suite.severity")
    meta = spec["meta"] if isinstance(spec.get("meta"), dict) else {}
    for name in _META:
        if not isinstance(meta.get(name), str) or not meta[name]:
            raise Held(f"{where}: meta needs a {name}.", rule_id="suite.meta")
    names_rows = by_row or spec["type"] == SQL_TYPE
    if meta["rule_id"] in derived_rules(dataset):
        message = f"{where}: {meta['rule_id']} is one of the data set's own rules; give yours another rule_id."
        raise Held(message, rule_id="suite.rule")
    if meta.get("judges", "batch") not in (("row", "batch") if spec["type"] == SQL_TYPE else ("batch",)):
        message = f"{where}: judges is row or batch, and for {SQL_TYPE} alone; other rules tell it by their type."
        raise Held(message, rule_id="suite.meta")
    default = "report" if severity != "critical" else "reject" if names_rows else "hold"
    on_fail = meta.get("on_fail", default)
    if on_fail not in (_ROW_FATES if names_rows else _BATCH_FATES):
        raise Held(f"{where}: on_fail {on_fail} does not fit {spec['type']}.", rule_id="suite.meta")
    if by_row and (spec["type"] not in ROW_TYPES or "mostly" in spec["kwargs"]):
        message = f"{where}: {spec['type']} does not judge each row alone; write it as {SQL_TYPE}, and without mostly."
        raise Held(message, rule_id="suite.rule")
    _check_kwargs(spec, where)
    columns = columns_of(spec)
    declared = [column.name for column in dataset.columns]
    for column in columns:
        if column not in declared:
            near = difflib.get_close_matches(column, declared, n=1)
            hint = f" Is {near[0]} meant?" if near else ""
            raise Held(f"{where}: the data set has no column {column}.{hint}", rule_id="suite.column")
        if dataset.column(column).personal and any(part in spec["type"] for part in _LEAKING):
            message = f"{where}: {spec['type']} would keep values of the personal column {column}; use another rule."
            raise Held(message, rule_id="suite.personal")
    if on_fail == "blank" and (len(columns) != 1 or columns[0] in dataset.required):
        raise Held(f"{where}: on_fail blank needs one column that may be empty.", rule_id="suite.meta")
    kind: OnFail = on_fail
    return Rule(
        rule_id=meta["rule_id"],
        severity=severity,
        title=meta["title"],
        fix=meta["fix"],
        owner=meta["owner"],
        on_fail=kind,
        columns=columns,
    )


def _check_kwargs(spec: dict[str, Any], where: str) -> None:
    kwargs = spec["kwargs"]
    query = kwargs.get("unexpected_rows_query")
    if spec["type"] == SQL_TYPE and (not isinstance(query, str) or "{batch}" not in query):
        message = f"{where}: unexpected_rows_query must select row_no from {{batch}}."
        raise Held(message, rule_id="suite.rule")
    if kwargs.get("row_condition") is not None and not isinstance(kwargs["row_condition"], dict):
        # As text its columns could not be told, and the rule would be given frames without them.
        message = f"{where}: write row_condition as an object with type, column, operator and parameter."
        raise Held(message, rule_id="suite.rule")
    for name in _parameters(kwargs):
        if name not in PARAMETERS:
            message = f"{where}: there is no parameter {name}; there are {', '.join(PARAMETERS)}."
            raise Held(message, rule_id="suite.parameter")


def _parameters(value: Any) -> list[str]:
    if isinstance(value, dict):
        named = [str(value["$PARAMETER"])] if "$PARAMETER" in value else []
        return named + [name for inner in value.values() for name in _parameters(inner)]
    return [name for inner in value for name in _parameters(inner)] if isinstance(value, list) else []


def columns_of(spec: dict[str, Any]) -> tuple[str, ...]:
    """The columns that an expectation looks at, those of its condition too."""
    kwargs = spec["kwargs"]
    named = [kwargs[name] for name in _COLUMN_FIELDS if isinstance(kwargs.get(name), str)]
    listed = kwargs.get("column_list")
    named += [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    condition = kwargs.get("row_condition")
    if isinstance(condition, dict):
        named += _condition_columns(condition)
    return tuple(dict.fromkeys(named))


def _condition_columns(condition: dict[str, Any]) -> list[str]:
    column, nested = condition.get("column"), condition.get("conditions")
    found = [str(column.get("name"))] if isinstance(column, dict) else []
    for inner in nested if isinstance(nested, list) else []:
        found += _condition_columns(inner) if isinstance(inner, dict) else []
    return found
