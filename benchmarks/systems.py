"""Who takes part, in the order of the table."""

from __future__ import annotations

from dataclasses import dataclass

WORK = {1: "first night", 2: "second night, 1 % changed", 3: "second night, unchanged"}
SLOW_ROWS = 200_000
"""A system some thirty times slower than COPY, or more, loads so many rows at most."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One way to load the file: its name in the table, its module, and where it runs."""

    name: str
    module: str
    group: str = "peers"
    environment: str = "benchmarks/.venv-peers"
    file: str = "clean"
    nights: tuple[int, ...] = (1,)
    slow: bool = False

    def rows(self, rows: int) -> int:
        """How many of so many rows it loads."""
        return min(rows, SLOW_ROWS) if self.slow else rows


OURS = "District Imports"
SYSTEMS = (
    System(
        name=OURS, module="ours", group="ours", environment=".venv", file="attendance", nights=(1, 2, 3)
    ),
    System(name="typed COPY, then the key", module="floors:typed", group="floors", environment=".venv"),
    System(name="Arrow to ADBC", module="peers.arrow_adbc"),
    System(name="Polars to ADBC", module="peers.polars_adbc"),
    System(name="psycopg 3 binary COPY", module="peers.psycopg_binary"),
    System(name="pandas and COPY", module="peers.pandas_copy"),
    System(name="dlt replace, Arrow and CSV", module="peers.dlt_replace"),
    System(name="dlt merge, Arrow and CSV", module="peers.dlt_merge", nights=(1, 2)),
    System(name="execute_values upsert", module="peers.execute_values", nights=(1, 2), slow=True),
    System(name="pandas to_sql", module="peers.to_sql", slow=True),
    System(name="pandas to_sql, multi", module="peers.to_sql_multi", slow=True),
    System(name="dlt replace, rows", module="peers.dlt_replace_rows", slow=True),
    System(name="dlt merge, rows", module="peers.dlt_merge_rows", nights=(1, 2), slow=True),
    System(
        name="earthmover, no database", module="peers.earthmover_transform",
        environment="benchmarks/.venv-earthmover", slow=True,
    ),
)  # fmt: skip


def chosen(only: str) -> list[System]:
    """All of them, a group, or those whose name or module holds the word."""
    exact = [system for system in SYSTEMS if only in (system.group, system.name, system.module.split(".")[-1])]
    return exact or [system for system in SYSTEMS if only in system.module or only in system.name]
