"""Suites: a data set's rules, read strictly, because Great Expectations only logs a rule that it drops."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from district.dataset import Dataset
from district.run import Held
from district.validate.rules import Rule
from district.validate.suite_syntax import SQL_TYPE, columns_of, judges_rows, rule_of


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite whose every expectation is known to Great Expectations, split by where it runs."""

    name: str
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
            groups.setdefault(tuple(sorted(columns_of(spec))), []).append(spec["meta"]["rule_id"])
        return groups


def suite_path(dataset: Dataset, folder: Path) -> Path:
    """Where a data set's suite stands."""
    return folder / f"{dataset.name}.json"


def suite_text(dataset: Dataset, folder: Path) -> str:
    """The suite's file as it stands; empty where there is none."""
    path = suite_path(dataset, folder)
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


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
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
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
        by_row = judges_rows(spec, where)
        rule = rule_of(spec, dataset, where, by_row=by_row)
        if rule.rule_id in rules:
            raise Held(f"{where}: the rule_id {rule.rule_id} stands twice.", rule_id="suite.rule")
        rules[rule.rule_id] = rule
        (row if by_row else sql if spec["type"] == SQL_TYPE else batch).append(spec)
    return Suite(name=dataset.name, row=tuple(row), sql=tuple(sql), batch=tuple(batch), rules=rules)
