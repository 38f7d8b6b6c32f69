"""Row rules: the suite's expectations on single rows, judged once for each combination of values that occurs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, and_, cast, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger

from district.dataset import Dataset
from district.tables import finding_table, staging_table
from district.validate.expectations import Failure, RowJudge
from district.validate.frames import distinct_frames
from district.validate.rules import Rule
from district.validate.suite import Suite

if TYPE_CHECKING:
    import pandas as pd

# Failing values that one statement takes; with more, memory would grow with the file's faults.
PAGE = 50_000


@dataclass(frozen=True, kw_only=True)
class _Failed:
    """Values of one shape that fail a rule, by the first rows that hold them."""

    rule_id: str
    columns: tuple[str, ...]
    nulls: tuple[str, ...]
    """Those of the columns that are null: rows with values of one such shape are found by equality alone."""
    rows: list[int]


def judge_rows(engine: Engine, dataset: Dataset, suite: Suite, parameters: dict[str, Any], run_id: int) -> None:
    """Adds a finding for every row that fails a row expectation of the suite.

    A rule on some columns gives the same answer for the same values, and values repeat: what Great Expectations
    judges is each combination once, a few hundred in place of a million rows.
    """
    if not suite.row:
        return
    groups = list(suite.row_groups)
    judge = RowJudge(suite, parameters)
    for frame in distinct_frames(engine, dataset, groups, run_id):
        frame["place"] = range(len(frame))
        for failure in judge.judge(frame):
            for failed in _failed(frame, failure, suite, groups):
                with engine.begin() as connection:
                    _add_findings(connection, dataset, run_id, failed, suite.rules[failed.rule_id])


def _failed(frame: pd.DataFrame, failure: Failure, suite: Suite, groups: list[tuple[str, ...]]) -> Iterator[_Failed]:
    index = next(number for number, group in enumerate(groups) if failure.rule_id in suite.row_groups[group])
    rows = frame.iloc[failure.places]
    # Rows of other groups are null in this rule's columns, and say nothing about it.
    rows = rows[rows["group"] == index]
    columns = groups[index]
    shapes: dict[tuple[str, ...], list[int]] = defaultdict(list)
    missing = rows[list(columns)].isna()
    for pattern, of_pattern in rows["row_no"].groupby([missing[name] for name in columns]):
        flags = pattern if isinstance(pattern, tuple) else (pattern,)
        nulls = tuple(name for name, flag in zip(columns, flags, strict=True) if flag)
        shapes[nulls] += [int(number) for number in of_pattern]
    for nulls, numbers in shapes.items():
        for begin in range(0, len(numbers), PAGE):
            page = numbers[begin : begin + PAGE]
            yield _Failed(rule_id=failure.rule_id, columns=columns, nulls=nulls, rows=page)


def _add_findings(connection: Connection, dataset: Dataset, run_id: int, failed: _Failed, rule: Rule) -> None:
    """A finding for every row that holds the same values as a first row that failed."""
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    first = staged.alias("first")
    numbers = select(func.unnest(cast(failed.rows, ARRAY(BigInteger))).label("row_no")).subquery()
    same = [
        staged.c[name].is_(None) if name in failed.nulls else staged.c[name] == first.c[name] for name in failed.columns
    ]
    parts = ("suite", rule.rule_id, ",".join(rule.columns), "", rule.on_fail)
    rows = select(staged.c.row_no, *[literal(part) for part in parts]).select_from(
        numbers.join(first, first.c.row_no == numbers.c.row_no).join(staged, and_(*same))
    )
    columns = ["row_no", "stage", "rule_id", "column_name", "cause", "fate"]
    connection.execute(insert(findings).from_select(columns, rows))
