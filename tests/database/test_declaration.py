"""A declaration that changes while its table already holds rows."""

from __future__ import annotations

import dataclasses
import re

from district.dataset import Column
from importing import CHILDREN, Place, child, children, csv_bytes


def test_a_column_that_is_no_longer_required_may_be_empty(loaded: Place) -> None:
    columns = [dataclasses.replace(c, required=False) if c.required else c for c in CHILDREN.columns]
    rows = [child(1, grade_level_code=""), *children(39, first=2)]
    outcome = loaded.night(csv_bytes(rows), age=3600, dataset=dataclasses.replace(CHILDREN, columns=tuple(columns)))
    assert (outcome.state, outcome.message) == ("loaded", "")
    assert loaded.standing()["7000001", "0100", 2027]["grade_level_code"] is None


def test_a_column_that_is_no_longer_declared_stands_in_no_row_s_way(loaded: Place) -> None:
    columns = tuple(c for c in CHILDREN.columns if not c.required)
    layout = dataclasses.replace(CHILDREN.layout, ignored=("grade_level_code",))
    relieved = dataclasses.replace(CHILDREN, columns=columns, layout=layout)
    outcome = loaded.night(csv_bytes(children(41)), age=3600, dataset=relieved)
    assert (outcome.state, outcome.message) == ("loaded", "")


def test_a_changed_key_is_said_with_the_sql_that_rebuilds_it(loaded: Place) -> None:
    key = (*CHILDREN.key, "birth_date", "entry_date")
    header = csv_bytes(children(40)).decode().splitlines()
    content = "\n".join([header[0] + ",entry_date", *(line + ",2026-08-12" for line in header[1:])]) + "\n"
    changed = dataclasses.replace(CHILDREN, key=key, columns=(*CHILDREN.columns, Column("entry_date", "date")))
    before = loaded.table_hash()
    outcome = loaded.night(content.encode(), age=3600, dataset=changed)
    assert outcome.state == "failed"
    assert "stored (student_id, school_id, school_year). Put the old key back, or let IT staff" in outcome.message
    assert loaded.table_hash() == before
    (statement,) = re.findall(r"ALTER TABLE .*;", outcome.message)
    loaded.execute(statement)
    loaded.execute("update district.children set entry_date = date '2026-08-12'")
    outcome = loaded.run(changed, night="2026-11-20")
    assert (outcome.state, outcome.message) == ("loaded", "")
    assert outcome.summary is not None
    assert (outcome.summary.inserted, outcome.summary.withdrawn) == (0, 0)
