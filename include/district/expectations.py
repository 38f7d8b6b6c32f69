"""Running expectations: rows in bounded pandas batches, whole batches in PostgreSQL; results are row numbers only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from district.run import Held
from district.suite import Suite

if TYPE_CHECKING:
    import pandas as pd

# Row numbers of every unexpected row, no value of any.
_ROWS_ONLY = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["row_no"],
    "exclude_unexpected_values": True,
    "partial_unexpected_count": 0,
}
_COUNTS_ONLY = {"result_format": "BASIC", "exclude_unexpected_values": True, "partial_unexpected_count": 0}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A rule that some rows, or the batch as a whole, did not meet."""

    rule_id: str
    rows: list[int]
    """Row numbers; empty for a rule on the batch."""


class RowJudge:
    """Judges pandas batches by a suite's row expectations; built once, since building costs as much as a batch."""

    def __init__(self, suite: Suite, parameters: dict[str, Any]) -> None:
        self._suite = suite
        self._parameters = parameters
        self._context = _context()
        self._expectations = _build(self._context, f"{suite.name}.rows", suite.row, suite)
        asset = self._context.data_sources.add_pandas("staged").add_dataframe_asset("batch")
        self._batch = asset.add_batch_definition_whole_dataframe("whole")

    def judge(self, frame: pd.DataFrame) -> Iterator[Failure]:
        """The rules that rows of the frame fail; the frame has ``row_no`` and typed columns.

        Raises:
            Held: a rule could not be evaluated.
        """
        if not self._suite.row or frame.empty:
            return
        result = _validate(
            self._batch, self._expectations, self._parameters, _ROWS_ONLY, {"dataframe": frame}, len(self._suite.row)
        )
        for outcome in result.results:
            rule_id = _rule_id(outcome)
            if not outcome.success:
                yield Failure(rule_id=rule_id, rows=_row_numbers(outcome.result.get("unexpected_index_list") or []))


def judge_batch(suite: Suite, parameters: dict[str, Any], *, url: str, schema: str, view: str) -> Iterator[Failure]:
    """The batch expectations that a view on staging fails.

    Raises:
        Held: a rule could not be evaluated, or names more than row numbers.
    """
    if not suite.sql:
        return
    context = _context()
    source = context.data_sources.add_sql("district", connection_string=url)
    asset = source.add_table_asset("batch", table_name=view, schema_name=schema)
    batch = asset.add_batch_definition_whole_table("whole")
    for spec in suite.sql:
        expectations = _build(context, f"{suite.name}.{spec['meta']['rule_id']}", (spec,), suite)
        definition = _definition(batch, expectations)
        result = _run(definition, parameters, _COUNTS_ONLY, {}, 1)
        outcome = result.results[0]
        if outcome.success:
            continue
        rows: list[int] = []
        if spec["type"] == "unexpected_rows_expectation":
            rows = _unexpected_rows(definition, expectations.expectations[0], _rule_id(outcome))
        yield Failure(rule_id=_rule_id(outcome), rows=rows)


def _unexpected_rows(definition: Any, expectation: Any, rule_id: str) -> list[int]:
    found = definition.get_unexpected_rows(expectation)
    records = found.to_dict("records") if hasattr(found, "to_dict") else [dict(row) for row in found]
    if any(set(record) != {"row_no"} for record in records):
        raise Held(f"Rule {rule_id}: its query must select row_no and nothing else.", rule_id="suite.query")
    return [int(record["row_no"]) for record in records]


def _context() -> Any:
    # Nothing about a district's nights is sent to anybody.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    # Its progress bars are no log; the setting below does not reach all of them.
    os.environ["TQDM_DISABLE"] = "1"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


def _build(context: Any, name: str, specs: tuple[dict[str, Any], ...], suite: Suite) -> Any:
    import great_expectations as gx

    try:
        built = gx.ExpectationSuite(name=name, expectations=[dict(spec) for spec in specs])
    except Exception as error:
        message = f"Suite {suite.name}.json: Great Expectations does not accept a rule ({type(error).__name__})."
        raise Held(message, rule_id="suite.rule") from None
    if len(built.expectations) != len(specs):
        # It only logs what it drops, and a dropped rule would pass every row.
        kept = {expectation.meta["rule_id"] for expectation in built.expectations}
        lost = ", ".join(spec["meta"]["rule_id"] for spec in specs if spec["meta"]["rule_id"] not in kept)
        raise Held(f"Suite {suite.name}.json: Great Expectations dropped {lost}; mend it.", rule_id="suite.rule")
    return context.suites.add(built)


def _definition(batch: Any, expectations: Any) -> Any:
    import great_expectations as gx

    return gx.ValidationDefinition(name=expectations.name, data=batch, suite=expectations)


def _validate(
    batch: Any, expectations: Any, parameters: dict[str, Any], form: dict[str, Any], data: dict[str, Any], count: int
) -> Any:
    return _run(_definition(batch, expectations), parameters, form, data, count)


def _run(definition: Any, parameters: dict[str, Any], form: dict[str, Any], data: dict[str, Any], count: int) -> Any:
    try:
        result = definition.run(
            batch_parameters=data or None, expectation_parameters=parameters, result_format=form
        )
    except Exception as error:
        # Its text may quote a row.
        raise Held(
            f"Suite {definition.suite.name}: a rule could not be evaluated ({type(error).__name__}).",
            rule_id="suite.crashed",
        ) from None
    for outcome in result.results:
        if (outcome.exception_info or {}).get("raised_exception") is not False:
            message = f"Rule {_rule_id(outcome)} could not be evaluated; correct it in the suite."
            raise Held(message, rule_id="suite.crashed")
    if len(result.results) != count:
        raise Held(f"Suite {definition.suite.name}: {len(result.results)} of {count} rules ran.", rule_id="suite.crashed")
    return result


def _rule_id(outcome: Any) -> str:
    return str(outcome.expectation_config.meta["rule_id"])


def _row_numbers(rows: Any) -> list[int]:
    """Great Expectations gives {"row_no": [...]}, or a list of such, or of {"row_no": one}, by the kind of rule."""
    numbers: list[int] = []
    for entry in [rows] if isinstance(rows, dict) else rows:
        found = entry["row_no"]
        numbers += [int(number) for number in found] if isinstance(found, list) else [int(found)]
    return numbers
