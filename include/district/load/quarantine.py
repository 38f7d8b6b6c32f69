"""Quarantine: the rejected records as their sender wrote them, with reasons, until a later delivery mends them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

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
        connection.execute(insert(quarantined_row), page)


def _rejected_records(connection: Connection, dataset: Dataset, run: Row[Any]) -> Iterator[dict[str, Any]]:
    findings = finding_table(dataset, run.id)
    query = select(findings.c.row_no, findings.c.rule_id, findings.c.column_name).where(findings.c.fate == "reject")
    reasons: dict[int, list[dict[str, str]]] = defaultdict(list)
    for number, rule_id, about in connection.execute(query).all():
        reasons[number].append({"rule_id": rule_id, "column": about})
    if not reasons:
        return
    for record in pick_records(landed_path(connection, run), layout_of(run), reasons.keys()):
        yield {
            "import_run_id": run.id,
            "dataset": dataset.name,
            "partition": run.partition,
            "source_line": record.line,
            "raw": record.text.replace("\0", ""),
            "reasons": reasons[record.line],
        }
