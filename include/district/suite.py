"""Suites: a data set's rules, read strictly, because Great Expectations only logs a rule that it drops."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from district.dataset import Dataset
from district.rules import OnFail, Rule, Severity
from district.run import Held

_FIELDS = {"type", "kwargs", "severity", "meta", "id", "notes", "description", "rendered_content"}
_META = ("rule_id", "title", "fix", "owner")
_COLUMN_FIELDS = ("column", "column_A", "column_B")
SQL_TYPE = "unexpected_rows_expectation"
# They compare rows with one another, or forgive a share of them; a row's fate is its own.
_NOT_BY_ROW = ("unique", "increasing", "decreasing")
_ROW_FATES = {"reject", "blank", "report"}
_BATCH_FATES = {"hold", "refuse", "report"}
# Their observed value is data; it would be kept in the result whatever the result format says.
_LEAKING = ("distinct_values", "most_common_value", "value_set_of", "unique_value")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite whose every expectation is known to Great Expectations, split by where it runs."""

    name: str
    version: str
    """sha256 of the file."""
    row: tuple[dict[str, Any], ...] = ()
    """Column-map expectations: judged row by row on pandas batches."""
    sql: tuple[dict[str, Any], ...] = ()
    """``unexpected_rows_expectation``: a query that names the rows, run on staging."""
    batch: tuple[dict[str, Any], ...] = ()
    """Expectations on the batch as a whole, such as its row count: judged on staging."""
    rules: dict[str, Rule] = field(default_factory=dict)

    @property
    def row_groups(self) -> dict[tuple[str, ...], list[str]]:
        """The row expectations' rule ids, by the columns that they look at."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for spec in self.row:
            groups.setdefault(tuple(sorted(_columns(spec))), []).append(spec["meta"]["rule_id"])
        return groups


def suite_path(dataset: Dataset, folder: Path) -> Path:
    """Where a data set's suite stands."""
    return folder / f"{dataset.name}.json"


def suite_version(dataset: Dataset, folder: Path) -> str:
    """sha256 of the suite's file; empty where there is none."""
    path = suite_path(dataset, folder)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def read_suite(dataset: Dataset, folder: Path) -> Suite:
    """The data set's suite.

    Raises:
        Held: the file is missing or empty, or a rule in it is not exactly what it should be. A rule that silently
            dropped out would pass every row, so nothing loads until the suite is mended.
    """
    path = suite_path(dataset, folder)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Held(
            f"Suite {path.name} is missing; write it, or copy one as a start.", rule_id="suite.missing"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Held(f"Suite {path.name} is not valid JSON{where}.", rule_id="suite.json") from None
    specs = content.get("expectations") if isinstance(content, dict) else None
    if not isinstance(specs, list) or not specs:
        message = f"Suite {path.name} has no expectations, so it would pass anything; add rules or restore the file."
        raise Held(message, rule_id="suite.empty")
    return _checked(specs, dataset, path)


def _checked(specs: list[Any], dataset: Dataset, path: Path) -> Suite:
    row: list[dict[str, Any]] = []
    sql: list[dict[str, Any]] = []
    batch: list[dict[str, Any]] = []
    rules: dict[str, Rule] = {}
    for position, spec in enumerate(specs, start=1):
        where = f"Suite {path.name}, expectation {position}"
        by_row = _check_type(spec, where)
        rule = _rule(spec, dataset, where, by_row=by_row)
        if rule.rule_id in rules:
            raise Held(f"{where}: the rule_id {rule.rule_id} stands twice.", rule_id="suite.rule")
        rules[rule.rule_id] = rule
        (row if by_row else sql if spec["type"] == SQL_TYPE else batch).append(spec)
    version = hashlib.sha256(path.read_bytes()).hexdigest()
    return Suite(name=dataset.name, version=version, row=tuple(row), sql=tuple(sql), batch=tuple(batch), rules=rules)


def _check_type(spec: Any, where: str) -> bool:
    """Whether the expectation judges row by row; Held where Great Expectations would drop it."""
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

    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise Held(f"{where} has no type.", rule_id="suite.rule")
    if unknown := sorted(set(spec) - _FIELDS):
        raise Held(f"{where} has the unknown field {unknown[0]}.", rule_id="suite.rule")
    kind = spec["type"]
    try:
        implementation = get_expectation_impl(kind)
    except ExpectationNotFoundError:
        near = difflib.get_close_matches(kind, [*list_registered_expectation_implementations()], n=1)
        hint = f" Is {near[0]} meant?" if near else ""
        raise Held(f"{where}: Great Expectations knows no {kind}.{hint}", rule_id="suite.unknown_type") from None
    by_row = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    return issubclass(implementation, by_row)


def _rule(spec: dict[str, Any], dataset: Dataset, where: str, *, by_row: bool) -> Rule:
    severity = spec.get("severity", "critical")
    if severity not in get_args(Severity):
        raise Held(f"{where}: severity {severity} is none of critical, warning, info.", rule_id="suite.severity")
    meta = spec.get("meta") or {}
    for name in _META:
        if not isinstance(meta.get(name), str) or not meta[name]:
            raise Held(f"{where}: meta needs a {name}.", rule_id="suite.meta")
    names_rows = by_row or spec["type"] == SQL_TYPE
    default = "report" if severity != "critical" else "reject" if names_rows else "hold"
    on_fail = meta.get("on_fail", default)
    if on_fail not in (_ROW_FATES if names_rows else _BATCH_FATES):
        raise Held(f"{where}: on_fail {on_fail} does not fit {spec['type']}.", rule_id="suite.meta")
    if by_row and (any(part in spec["type"] for part in _NOT_BY_ROW) or "mostly" in (spec.get("kwargs") or {})):
        message = f"{where}: {spec['type']} looks at more than one row; write it as {SQL_TYPE}, and without mostly."
        raise Held(message, rule_id="suite.rule")
    columns = _columns(spec)
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


def _columns(spec: dict[str, Any]) -> tuple[str, ...]:
    kwargs = spec.get("kwargs") or {}
    named = [kwargs[name] for name in _COLUMN_FIELDS if isinstance(kwargs.get(name), str)]
    named += [name for name in kwargs.get("column_list") or [] if isinstance(name, str)]
    condition = kwargs.get("row_condition")
    if isinstance(condition, dict):
        named += _condition_columns(condition)
    return tuple(dict.fromkeys(named))


def _condition_columns(condition: dict[str, Any]) -> list[str]:
    found = [condition["column"]["name"]] if isinstance(condition.get("column"), dict) else []
    for nested in condition.get("conditions") or []:
        found += _condition_columns(nested)
    return found
