"""Running expectations: on bounded pandas batches and on PostgreSQL; results name rows by number only."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from district.run import Held
from district.validate.suite import Suite

if TYPE_CHECKING:
    import pandas as pd

# The place of every unexpected row, no value of any.
_ROWS_ONLY = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["place"],
    "exclude_unexpected_values": True,
    "partial_unexpected_count": 0,
}
CRASHED = "suite.crashed"
_COUNTS_ONLY = {"result_format": "BASIC", "exclude_unexpected_values": True, "partial_unexpected_count": 0}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A rule that some rows of a frame did not meet."""

    rule_id: str
    places: list[int]
    """Values of the frame's column ``place``."""


class RowJudge:
    """Judges pandas batches by a suite's row expectations; built once, since building costs as much as a batch."""

    def __init__(self, suite: Suite, parameters: dict[str, Any]) -> None:
        self._suite = suite
        self._parameters = parameters
        context = _context()
        expectations = _build(context, f"{suite.name}.rows", suite.row, suite)
        asset = context.data_sources.add_pandas("staged").add_dataframe_asset("batch")
        self._definition = _define(asset.add_batch_definition_whole_dataframe("whole"), expectations)

    def judge(self, frame: pd.DataFrame) -> Iterator[Failure]:
        """The rules that rows of the frame fail; the frame has typed columns and ``place``, a row's number in it.

        Raises:
            Held: a rule could not be evaluated.
        """
        if not self._suite.row or frame.empty:
            return
        data = {"dataframe": frame}
        result = _run(self._definition, self._parameters, _ROWS_ONLY, data, len(self._suite.row))
        for outcome in result.results:
            rule_id = _rule_id(outcome)
            if not outcome.success:
                places = _places(outcome.result.get("unexpected_index_list") or [])
                if not places:
                    raise Held(f"Rule {rule_id} failed without naming a row; correct it in the suite.", rule_id=CRASHED)
                yield Failure(rule_id=rule_id, places=places)


def judge_batch(suite: Suite, parameters: dict[str, Any], *, url: str, schema: str, view: str) -> list[str]:
    """The ids of the rules on the batch as a whole that a view on staging fails.

    Raises:
        Held: a rule could not be evaluated.
    """
    if not suite.batch:
        return []
    context = _context()
    # Its source for PostgreSQL takes no URL without a host or a user, such as a socket's.
    warnings.filterwarnings("ignore", message="You are using a generic SQLDatasource")
    source = context.data_sources.add_sql("district", connection_string=url)
    asset = source.add_query_asset("batch", query=f"SELECT * FROM {schema}.{view}")
    expectations = _build(context, f"{suite.name}.batch", suite.batch, suite)
    definition = _define(asset.add_batch_definition("whole"), expectations)
    result = _run(definition, parameters, _COUNTS_ONLY, {}, len(suite.batch))
    return [_rule_id(outcome) for outcome in result.results if not outcome.success]


def _context() -> Any:
    # Nothing about a district's nights is sent to anybody.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    # Its progress bars are no log; the setting below does not reach all of them.
    os.environ["TQDM_DISABLE"] = "1"
    import great_expectations as gx

    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


def _build(context: Any, name: str, specs: tuple[dict[str, Any], ...], suite: Suite) -> Any:
    import great_expectations as gx

    try:
        built = gx.ExpectationSuite(name=name, expectations=[dict(spec) for spec in specs])
    except Exception as error:  # noqa: BLE001 - whatever a library raises over a rule holds the batch
        message = f"Suite {suite.name}.json: Great Expectations does not accept a rule ({type(error).__name__})."
        raise Held(message, rule_id="suite.rule") from None
    if len(built.expectations) != len(specs):
        # It only logs what it drops, and a dropped rule would pass every row.
        kept = {(expectation.meta or {}).get("rule_id") for expectation in built.expectations}
        lost = ", ".join(spec["meta"]["rule_id"] for spec in specs if spec["meta"]["rule_id"] not in kept)
        raise Held(f"Suite {suite.name}.json: Great Expectations dropped {lost}; mend it.", rule_id="suite.rule")
    return context.suites.add(built)


def _define(batch: Any, expectations: Any) -> Any:
    import great_expectations as gx

    return gx.ValidationDefinition(name=expectations.name, data=batch, suite=expectations)


def _run(definition: Any, parameters: dict[str, Any], form: dict[str, Any], data: dict[str, Any], count: int) -> Any:
    try:
        result = definition.run(batch_parameters=data or None, expectation_parameters=parameters, result_format=form)
    except Exception as error:  # noqa: BLE001 - likewise
        # Its text may quote a row.
        raise Held(
            f"Suite {definition.suite.name}: a rule could not be evaluated ({type(error).__name__}).",
            rule_id=CRASHED,
        ) from None
    for outcome in result.results:
        if (outcome.exception_info or {}).get("raised_exception") is not False:
            message = f"Rule {_rule_id(outcome)} could not be evaluated; correct it in the suite."
            raise Held(message, rule_id=CRASHED)
    if len(result.results) != count:
        raise Held(f"Suite {definition.suite.name}: {len(result.results)} of {count} rules ran.", rule_id=CRASHED)
    return result


def _rule_id(outcome: Any) -> str:
    return str(outcome.expectation_config.meta["rule_id"])


def _places(rows: Any) -> list[int]:
    """Great Expectations gives {"place": [...]}, or a list of such, or of {"place": one}, by the kind of rule."""
    numbers: list[int] = []
    for entry in [rows] if isinstance(rows, dict) else rows:
        found = entry["place"]
        numbers += [int(number) for number in found] if isinstance(found, list) else [int(found)]
    return numbers
