"""No child's name or id stands in any log, mail, note or table of Airflow, whatever the extracts hold."""

from __future__ import annotations

import sys

import pytest
from backfilling import Repeated
from live import Live
from nights import District
from planted import CANARY
from sqlalchemy import NullPool, create_engine, text
from sweep import Sweep, sweep

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def swept(live: Live, district: District, repeated_backfill: Repeated) -> Sweep:
    """The sweep over all that three nights left behind."""
    return sweep(live, district.ids)


def test_nothing_is_found(swept: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        looked = ", ".join(f"{count} {kind}" for kind, count in sorted(swept.looked.items()))
        sys.stdout.write(f"\nSearched {looked}: {len(swept.hits)} places hold a child's name or id\n")
    assert swept.hits == []


def test_it_looked_at_everything(swept: Sweep) -> None:
    assert swept.looked["task and DAG logs"] > 40
    assert swept.looked["program logs"] >= 6
    assert swept.looked["mail parts"] > 10
    assert swept.looked["columns of the database airflow"] > 300
    assert swept.looked["columns of the database district"] > 50


def test_the_names_are_where_rows_belong(live: Live, swept: Sweep) -> None:
    for table, column in (("district.enrollment", "last_name"), ("import_log.quarantined_row", "raw")):
        found = live.rows(f"select count(*) as rows from {table} where {column} like :name", name=f"%{CANARY}%")
        assert found[0]["rows"] > 0


def test_it_would_find_one(live: Live, district: District, swept: Sweep) -> None:
    an_id = min(district.ids)
    log = live.place.logs / "airflow" / "planted.log"
    mail = live.place.mail / "planted.eml"
    engine = create_engine(live.server.url("airflow", role="airflow"), poolclass=NullPool)
    log.write_text(f'{{"event": "student {an_id} has no school"}}\n')
    mail.write_text(f"Subject: {CANARY.upper()}\n\nbody\n")
    with engine.begin() as connection:
        connection.execute(text("insert into log (dttm, event, extra) values (now(), 'planted', :it)"), {"it": CANARY})
    try:
        hits = sweep(live, district.ids).hits
    finally:
        log.unlink()
        mail.unlink()
        with engine.begin() as connection:
            connection.execute(text("delete from log where event = 'planted'"))
    assert hits == [
        "logs/airflow/planted.log: 1",
        "mail/planted.eml: 1",
        "planted.eml headers: 1",
        "airflow public.log.extra: 1",
    ]
