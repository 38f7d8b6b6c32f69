"""Quarantine: the rejected records as their sender wrote them, with reasons, until a later delivery mends them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Text, cast, delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from district.dataset import Dataset
from district.extract.records import pick_records
from district.import_log import landed_path, layout_of, speaks_for
from district.tables import finding_table, import_run, quarantined_row

PAGE = 5_000


def quarantine(connection: Connection, dataset: Dataset, run: Row[Any]) -> None:
    """Keeps the run's rejected records in place of those of earlier deliveries of the same rows."""
    runs = select(import_run.c.id).where(speaks_for(dataset, run.partition, run.scope))
    older = (quarantined_row.c.state == "open", quarantined_row.c.import_run_id.in_(runs))
    connection.execute(update(quarantined_row).where(*older).values(state="superseded"))
    connection.execute(delete(quarantined_row).where(quarantined_row.c.import_run_id == run.id))
    rejected = _rejected_records(connection, dataset, run)
    while page := list(itertools.islice(rejected, PAGE)):
        lines, texts, reasons = zip(*page, strict=True)
        arrays = (
            cast(list(lines), ARRAY(BigInteger)),
            cast(list(texts), ARRAY(Text)),
            cast(list(reasons), ARRAY(Text)),
        )
        records = func.unnest(*arrays).table_valued("line", "raw", "reasons", name="record").render_derived()
        columns = {
            "import_run_id": literal(run.id),
            "dataset": literal(dataset.name),
            "partition": literal(run.partition),
            "source_line": records.c.line,
            "raw": records.c.raw,
            "reasons": cast(records.c.reasons, JSONB),
        }
        connection.execute(insert(quarantined_row).from_select(list(columns), select(*columns.values())))


def _rejected_records(connection: Connection, dataset: Dataset, run: Row[Any]) -> Iterator[tuple[int, str, str]]:
    """Of each rejected record: its line, its text, and its reasons as JSON."""
    findings = finding_table(dataset, run.id)
    reason = func.jsonb_build_object("rule_id", findings.c.rule_id, "column", findings.c.column_name)
    query = select(findings.c.row_no, cast(func.jsonb_agg(reason), Text)).where(findings.c.fate == "reject")
    same: dict[str, str] = {}  # few reasons, many rows: each text is kept once
    found = connection.execute(query.group_by(findings.c.row_no), execution_options={"yield_per": PAGE})
    reasons = {number: same.setdefault(text, text) for number, text in found}
    if not reasons:
        return
    for record in pick_records(landed_path(connection, run), layout_of(run), reasons.keys()):
        yield record.line, record.text.replace("\0", ""), reasons[record.line]
