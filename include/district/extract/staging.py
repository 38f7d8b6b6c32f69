"""Staging: a landed file into typed rows of one run, with a finding for every value that is none of its type."""

from __future__ import annotations

import csv
import io
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, exists, select, text
from sqlalchemy.schema import CreateTable

from district.codes import CodeSet, read_codes
from district.database import analyse, copy_csv
from district.dataset import Dataset
from district.extract.keys import SeenKeys
from district.extract.landing import Landed
from district.extract.plan import Plan
from district.extract.reading import Malformed, TextBatch, read_batches
from district.extract.values import Converted, convert
from district.layout import Layout
from district.run import Refused
from district.tables import (
    STAGING,
    finding_table,
    gone_table,
    repeated_table,
    staging_table,
    standing_table,
    touched_table,
)

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class _Finding:
    numbers: Any
    rule: str
    column: str = ""
    fate: str = "reject"
    causes: Any = None


@dataclass(frozen=True, kw_only=True)
class _Typed:
    rows: pa.Table
    findings: list[_Finding]


def stage(connection: Connection, landed: Landed, dataset: Dataset, layout: Layout, plan: Plan, run_id: int) -> int:
    """Writes the file's rows and their findings to fresh staging tables; returns the number of rows.

    Values get their types, codes their standard ones. Every record becomes a row, also one that will be rejected:
    its values that are none of their type are null. A malformed record is staged with what can be read of it,
    so that its key is known to have been sent.

    Raises:
        Refused: ids in scientific notation: no id in the file can be trusted then.
    """
    import pyarrow as pa

    table, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    repeated = repeated_table(dataset, run_id)
    drop_staging(connection, dataset, run_id)
    connection.execute(CreateTable(table))
    connection.execute(CreateTable(findings))
    connection.execute(CreateTable(repeated))
    codes = read_codes(connection, dataset, layout.source)
    rows = 0
    # The next batch is read and typed while the database takes this one.
    with ThreadPoolExecutor(max_workers=1) as writer, SeenKeys(landed.path.parent) as seen:
        writing: Future[int] | None = None
        for batch in read_batches(landed, dataset, layout, plan):
            typed = [_type_batch(batch, dataset, layout, codes)]
            if batch.malformed:
                typed.append(_type_malformed(batch.malformed, dataset, layout, plan))
            for part in typed:
                seen.add(part.rows["row_no"], [part.rows[name] for name in dataset.key])
            rows += writing.result() if writing else 0
            writing = writer.submit(_write, connection, typed, dataset, run_id)
        rows += writing.result() if writing else 0
        _copy(connection, pa.table({"row_no": seen.repeated()}), repeated)
    analyse(connection, table)
    return rows


def stage_keys(
    connection: Connection, landed: Landed, dataset: Dataset, layout: Layout, plan: Plan, run_id: int
) -> None:
    """Writes the keys of lines of an earlier delivery to a fresh staging table; what cannot be read of one is null."""
    import pyarrow as pa

    table = gone_table(dataset, run_id)
    connection.execute(CreateTable(table))
    columns = [dataset.column(name) for name in dataset.key]
    for batch in read_batches(landed, dataset, layout, plan.only(dataset.key)):
        keys = {c.name: convert(c, batch.columns[c.name], layout, in_key=True).values for c in columns}
        _copy(connection, pa.table({"row_no": batch.numbers, **keys}), table)
        if batch.malformed:
            malformed = _type_malformed(batch.malformed, dataset, layout, plan).rows
            _copy(connection, malformed.select(["row_no", *dataset.key]), table)
    analyse(connection, table)


def drop_staging(connection: Connection, dataset: Dataset, run_id: int) -> None:
    """Drops the run's staging tables, if they are there."""
    for table_of in (finding_table, staging_table, repeated_table, gone_table, touched_table, standing_table):
        table = table_of(dataset, run_id)
        connection.execute(text(f"DROP TABLE IF EXISTS {STAGING}.{table.name} CASCADE"))


def is_staged(connection: Connection, dataset: Dataset, run_id: int) -> bool:
    """Whether the run's rows are in staging: all of them, or after a crash of the server none."""
    table = staging_table(dataset, run_id)
    if connection.execute(text("SELECT to_regclass(:name)"), {"name": f"{STAGING}.{table.name}"}).scalar() is None:
        return False
    return bool(connection.execute(select(exists(select(table)))).scalar())


def _write(connection: Connection, typed: list[_Typed], dataset: Dataset, run_id: int) -> int:
    for part in typed:
        _copy(connection, part.rows, staging_table(dataset, run_id))
        _copy_findings(connection, part.findings, dataset, run_id)
    return sum(part.rows.num_rows for part in typed)


def _type_batch(batch: TextBatch, dataset: Dataset, layout: Layout, codes: dict[str, CodeSet]) -> _Typed:
    import pyarrow as pa
    import pyarrow.compute as pc

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
    for column in dataset.coded:
        code = values[column.name]
        standard = _standard(code, values["school_year"], codes[column.name])
        unmapped = pc.and_(pc.is_valid(code), pc.and_(pc.is_null(standard), pc.is_valid(values["school_year"])))
        if pc.any(unmapped).as_py():
            numbers, causes = batch.numbers.filter(unmapped), code.filter(unmapped)
            findings.append(_Finding(numbers=numbers, rule=f"{column.name}.code", column=column.name, causes=causes))
        values[column.descriptor] = standard
    return _Typed(rows=pa.table(values), findings=findings)


def _standard(code: pa.Array, school_year: pa.Array, code_set: CodeSet) -> pa.Array:
    """The standard code of each row's local code in its school year; null where the crosswalk has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = code.dictionary_encode()
    local = encoded.dictionary.to_pylist()
    standard = pa.nulls(len(code), pa.string())
    for year in pc.unique(school_year).to_pylist():
        if year is not None:
            entries = code_set.in_year(year)
            in_year = pc.take(pa.array([entries.get(value) for value in local], pa.string()), encoded.indices)
            standard = pc.if_else(pc.equal(school_year, year), in_year, standard)
    return standard


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


def _type_malformed(malformed: tuple[Malformed, ...], dataset: Dataset, layout: Layout, plan: Plan) -> _Typed:
    import pyarrow as pa

    rows = [_fragments(record, dataset, layout, plan) for record in malformed]
    values: dict[str, pa.Array] = {"row_no": pa.array([record.number for record in malformed])}
    for column in dataset.columns:
        texts = pa.array([row.get(column.name) for row in rows], pa.string())
        values[column.name] = convert(column, texts, layout, in_key=column.name in dataset.key).values
    return _Typed(rows=pa.table(values), findings=[_Finding(numbers=values["row_no"], rule="row.fields")])


def _fragments(record: Malformed, dataset: Dataset, layout: Layout, plan: Plan) -> dict[str, str]:
    """A malformed record's columns as far as they can be told apart, by position."""
    if layout.fixed_width:
        spans = {name: place for name, place in layout.columns.items() if isinstance(place, tuple)}
        return {name: record.text[first - 1 : last] for name, (first, last) in spans.items()} | dict(layout.constants)
    if layout.quote:
        try:
            fields = next(csv.reader([record.text], delimiter=layout.delimiter, quotechar=layout.quote), [])
        except csv.Error:
            fields = []
    else:
        fields = record.text.split(layout.delimiter)
    places = {column.name: plan.places.get(column.name, len(fields)) for column in dataset.columns}
    return {name: fields[index] for name, index in places.items() if index < len(fields)} | dict(layout.constants)


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
            "cause": pa.repeat("", count) if finding.causes is None else finding.causes,
            "fate": pa.repeat(finding.fate, count),
        }
        _copy(connection, pa.table(values), finding_table(dataset, run_id))
