"""Staging: a landed file into typed rows of one run, with a finding for every value that is none of its type."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.schema import CreateTable

from district.database import copy_csv
from district.dataset import Dataset
from district.landing import Landed
from district.layout import Layout
from district.reading import Malformed, TextBatch, read_batches
from district.run import Refused
from district.shape import Plan
from district.tables import STAGING, finding_table, staging_table
from district.values import Converted, convert

if TYPE_CHECKING:
    import pyarrow as pa

_FINDING_COLUMNS = ["row_no", "stage", "rule_id", "column_name", "cause", "fate"]


@dataclass(frozen=True, kw_only=True)
class _Finding:
    numbers: Any
    rule: str
    column: str = ""
    fate: str = "reject"


def stage(connection: Connection, landed: Landed, dataset: Dataset, layout: Layout, plan: Plan, run_id: int) -> int:
    """Writes the file's rows and their findings to fresh staging tables; returns the number of rows.

    Every record becomes a row, also one that will be rejected: its values that are none of their type are null.
    A malformed record is staged with what can be read of it, so that its key is known to have been sent.

    Raises:
        Refused: ids in scientific notation: no id in the file can be trusted then.
    """
    table, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    drop_staging(connection, dataset, run_id)
    connection.execute(CreateTable(table))
    connection.execute(CreateTable(findings))
    rows = 0
    for batch in read_batches(landed, dataset, layout, plan):
        rows += _stage_batch(connection, batch, dataset, layout, run_id)
        if batch.malformed:
            rows += _stage_malformed(connection, batch.malformed, dataset, layout, plan, run_id)
    connection.execute(text(f"ANALYZE {STAGING}.{table.name}"))
    return rows


def drop_staging(connection: Connection, dataset: Dataset, run_id: int) -> None:
    """Drops the run's staging tables, if they are there."""
    for table in (finding_table(dataset, run_id), staging_table(dataset, run_id)):
        connection.execute(text(f"DROP TABLE IF EXISTS {STAGING}.{table.name} CASCADE"))


def staged_rows(connection: Connection, dataset: Dataset, run_id: int) -> int | None:
    """How many rows the run has in staging; None where its tables are gone."""
    table = staging_table(dataset, run_id)
    if connection.execute(text("SELECT to_regclass(:name)"), {"name": f"{STAGING}.{table.name}"}).scalar() is None:
        return None
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _stage_batch(connection: Connection, batch: TextBatch, dataset: Dataset, layout: Layout, run_id: int) -> int:
    import pyarrow as pa

    values: dict[str, pa.Array] = {"row_no": batch.numbers}
    findings: list[_Finding] = []
    for column in dataset.columns:
        in_key = column.name in dataset.key
        converted = convert(column, batch.columns[column.name], layout, in_key=in_key)
        if converted.scientific is not None:
            first = batch.numbers.filter(converted.scientific)[0].as_py()
            message = (
                f"{column.name} is in scientific notation from line {first} on: a spreadsheet has destroyed the ids. "
                "Export from the SIS again without opening the file in between."
            )
            raise Refused(message, rule_id="file.scientific_ids")
        values[column.name] = converted.values
        findings += _findings(converted, batch, column.name, required=column.name in dataset.required)
    _copy(connection, pa.table(values), staging_table(dataset, run_id))
    _copy_findings(connection, findings, dataset, run_id)
    return len(batch.numbers)


def _findings(converted: Converted, batch: TextBatch, column: str, *, required: bool) -> list[_Finding]:
    import pyarrow.compute as pc

    found: list[_Finding] = []

    def add(mask: Any, rule: str, fate: str = "reject", *, about: str = column) -> None:
        if mask is not None and pc.any(mask).as_py():
            found.append(_Finding(numbers=batch.numbers.filter(mask), rule=rule, column=about, fate=fate))

    add(converted.bad, f"{column}.type")
    add(converted.too_long, "row.field_too_long")
    add(converted.nul, "row.nul")
    add(converted.invisible, f"{column}.invisible", "report")
    add(converted.mojibake, f"{column}.mojibake", "report")
    if required and converted.values.null_count:
        empty = pc.is_null(converted.values)
        for other in (converted.bad, converted.too_long, converted.nul):
            if other is not None:
                empty = pc.and_not(empty, pc.fill_null(other, False))
        add(empty, f"{column}.required")
    return found


def _stage_malformed(
    connection: Connection, malformed: tuple[Malformed, ...], dataset: Dataset, layout: Layout, plan: Plan, run_id: int
) -> int:
    import pyarrow as pa

    fields = [_fields(record, layout) for record in malformed]
    values: dict[str, pa.Array] = {"row_no": pa.array([record.number for record in malformed])}
    for column in dataset.columns:
        index = plan.places.get(column.name, -1)
        constant = layout.constants.get(column.name)
        texts = [row[index] if 0 <= index < len(row) else constant for row in fields]
        text_values = pa.array(texts, pa.string())
        values[column.name] = convert(column, text_values, layout, in_key=column.name in dataset.key).values
    _copy(connection, pa.table(values), staging_table(dataset, run_id))
    _copy_findings(connection, [_Finding(numbers=values["row_no"], rule="row.fields")], dataset, run_id)
    return len(malformed)


def _fields(record: Malformed, layout: Layout) -> list[str]:
    """The fields as far as they can be told apart."""
    if not layout.quote:
        return record.text.split(layout.delimiter)
    try:
        return next(csv.reader([record.text], delimiter=layout.delimiter, quotechar=layout.quote), [])
    except csv.Error:
        return []


def _copy(connection: Connection, table: pa.Table, target: Any) -> None:
    import pyarrow.csv as arrow_csv

    sink = io.BytesIO()
    arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(include_header=False))
    sink.seek(0)
    copy_csv(connection, target, table.column_names, sink)


def _copy_findings(connection: Connection, findings: list[_Finding], dataset: Dataset, run_id: int) -> None:
    import pyarrow as pa

    for finding in findings:
        count = len(finding.numbers)
        values = {
            "row_no": finding.numbers,
            "stage": pa.repeat("extract", count),
            "rule_id": pa.repeat(f"{dataset.name}.{finding.rule}", count),
            "column_name": pa.repeat(finding.column, count),
            "cause": pa.repeat("", count),
            "fate": pa.repeat(finding.fate, count),
        }
        _copy(connection, pa.table(values), finding_table(dataset, run_id))
