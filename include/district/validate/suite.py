"""Suites: a data set's rules, read strictly, because Great Expectations only logs a rule that it drops."""

from __future__ import annotations

import difflib
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


def suite_path(dataset: Dataset, folder: Path, *, strict: bool = False) -> Path:
    """Where a data set's suite stands, or what comes on top of it at semester change."""
    return (folder / "semester_change" if strict else folder) / f"{dataset.name}.json"


def suite_text(dataset: Dataset, folder: Path, *, strict: bool = False) -> str:
    """The suite's file as it stands, with what comes on top of it where it is to be ``strict``; empty without one."""
    paths = (suite_path(dataset, folder, strict=each) for each in (False, True)[: 1 + strict])
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in paths if path.exists())


def read_suite(dataset: Dataset, folder: Path, *, strict: bool = False) -> Suite:
    """The data set's suite; a ``strict`` one has the expectations and promotions of semester change on top.

    Raises:
        Held: the file is missing or empty, or a rule in it is not exactly what it should be. A rule that silently
            dropped out would pass every row, so nothing loads until the suite is mended.
    """
    path = suite_path(dataset, folder)
    content = _content(path)
    specs = content.get("expectations") if isinstance(content, dict) else None
    if not isinstance(specs, list) or not specs:
        message = f"Suite {path.name} has no expectations, so it would pass anything; add rules or restore the file."
        raise Held(message, rule_id="suite.empty")
    on_top = suite_path(dataset, folder, strict=True)
    if not strict or not on_top.exists():
        return _checked(specs, dataset, path)
    return _stricter(specs, _content(on_top), dataset, on_top)


def _stricter(specs: list[Any], added: Any, dataset: Dataset, path: Path) -> Suite:
    """The suite with what the file of semester change adds, and with the warnings that it promotes."""
    _checked(specs, dataset, path)
    more = added.get("expectations", []) if isinstance(added, dict) else None
    meta = added.get("meta", {}) if isinstance(added, dict) else None
    promoted = meta.get("promoted", {}) if isinstance(meta, dict) else None
    if not isinstance(more, list) or not isinstance(promoted, dict):
        raise Held(f"Suite semester_change/{path.name} needs expectations, a list, and meta.", rule_id="suite.rule")
    rules = {spec["meta"]["rule_id"]: spec for spec in specs}
    for rule_id, on_fail in promoted.items():
        if rule_id not in rules:
            near = difflib.get_close_matches(rule_id, rules, n=1)
            hint = f" Is {near[0]} meant?" if near else ""
            message = f"Suite semester_change/{path.name} promotes {rule_id}, which {path.name} does not have.{hint}"
            raise Held(message, rule_id="suite.rule")
        stricter = {"severity": "critical", "meta": {**rules[rule_id]["meta"], "on_fail": on_fail}}
        rules[rule_id] = {**rules[rule_id], **stricter}
    return _checked([*rules.values(), *more], dataset, path)


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Held(
            f"Suite {path.name} is missing; write it, or copy one as a start.", rule_id="suite.missing"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Held(f"Suite {path.name} is not valid JSON{where}.", rule_id="suite.json") from None


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
