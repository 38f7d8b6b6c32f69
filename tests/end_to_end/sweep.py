"""Looks for planted names and children's ids wherever the system writes, but for the places that may hold rows."""

from __future__ import annotations

import email
import email.policy
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from live import Live
from planted import BAD_DATE, CANARY
from sqlalchemy import Engine, NullPool, create_engine, text

# Folders of the environment that hold the children's rows by design, each closed to everyone else.
ROWS = ("district", "drop", "landed", "postgres")
# Tables that do.
MAY_HOLD_ROWS = {("import_log", "quarantined_row"), ("import_log", "row_history")}
_NUMBER = re.compile(rb"(?<![0-9])[0-9]{7,10}(?![0-9])")


@dataclass
class Sweep:
    """What was looked through, and where something was found."""

    ids: frozenset[str]
    looked: Counter[str] = field(default_factory=Counter)
    hits: list[str] = field(default_factory=list)
    _words: tuple[bytes, ...] = (CANARY.lower().encode(), BAD_DATE.encode())

    def look(self, kind: str, where: str, content: bytes) -> None:
        """Searches one thing; a hit names the place and the kind of value, and how often."""
        self.looked[kind] += 1
        lowered = content.lower()
        found = sum(lowered.count(word) for word in self._words)
        found += sum(number.decode() in self.ids for number in _NUMBER.findall(content))
        if found:
            self.hits.append(f"{where}: {found}")


def sweep(live: Live, ids: frozenset[str]) -> Sweep:
    """Every file under the environment's folder, every mail, and every column of every table of both databases."""
    found = Sweep(ids)
    for path in sorted(live.place.root.rglob("*")):
        parts = path.relative_to(live.place.root).parts
        if path.is_file() and not path.is_symlink() and parts[0] not in ROWS:
            found.look(_kind(parts), "/".join(parts), path.read_bytes())
    for path in live.place.mail.glob("*.eml"):
        for name, content in _decoded(path):
            found.look("mail parts", f"{path.name} {name}", content)
    for database, role in (("airflow", "airflow"), ("district", "district"), ("postgres", "postgres")):
        engine = create_engine(live.server.url(database, role=role), poolclass=NullPool)
        for where, content in _cells(engine):
            found.look(f"columns of the database {database}", f"{database} {where}", content)
    return found


def _kind(parts: tuple[str, ...]) -> str:
    if parts[:2] == ("logs", "airflow"):
        return "task and DAG logs"
    return "program logs" if parts[0] == "logs" else "mails" if parts[0] == "mail" else "other files"


def _decoded(path: Path) -> Iterator[tuple[str, bytes]]:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    yield "headers", "\n".join(f"{name}: {value}" for name, value in message.items()).encode()
    for part in message.walk():
        if not part.is_multipart():
            yield part.get_content_type(), part.get_content().encode()


def _cells(engine: Engine) -> Iterator[tuple[str, bytes]]:
    """Each column of each table that may hold no row, all its values one after the other, unpacked."""
    query = text(
        "select table_schema, table_name, column_name, data_type from information_schema.columns join "
        "information_schema.tables using (table_schema, table_name) where table_type = 'BASE TABLE' "
        "and table_schema not in ('pg_catalog', 'information_schema', 'district', 'staging') order by 1, 2, 3"
    )
    with engine.connect() as connection:
        for schema, table, column, kind in connection.execute(query).all():
            if (schema, table) in MAY_HOLD_ROWS:
                continue
            cell = f'"{column}"' if kind == "bytea" else f'"{column}"::text'
            values = connection.execute(text(f'select {cell} from "{schema}"."{table}" where "{column}" is not null'))
            yield f"{schema}.{table}.{column}", b"\n".join(_bytes(value) for value in values.scalars())


def _bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    content = bytes(value)  # type: ignore[call-overload]
    try:
        return content + zlib.decompress(content)  # Airflow may keep a DAG compressed
    except zlib.error:
        return content
