"""What a data set is: its columns, key, scope, parents and gate, declared once in its DAG file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from district.layout import Layout

ColumnType = Literal["text", "integer", "decimal", "date", "boolean"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_RESERVED = frozenset({"import_run_id", "source_line", "withdrawn_at", "row_no"})
# Tables of the schema ``district`` that are no data set's: the calendar's.
_RESERVED_TABLES = frozenset({"calendar_date", "school_date", "school_year", "session", "administration"})
# DAGs that import no data set, each in the file of its name; and the other DAG of a data set.
_RESERVED_DAGS = frozenset({"nightly_digest", "school_year_rollover", "undo_import"})
_SEMESTER_CHANGE = "_semester_change"


# PostgreSQL's limit is 1,600; some are the importer's own.
MOST_COLUMNS = 1_590


class DatasetError(ValueError):
    """A slip in a data set's declaration: names the data set and says what to do."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One canonical column.

    A column with a ``code_set`` holds the district's own code and is named ``..._code``; its table gains a
    second column, the ``descriptor``, with the standard code that the crosswalk gives it (Ed-Fi's suffixes).
    In a ``literal`` column the layout's null tokens are values like any other, because a child may be called Null;
    only an empty field is null. A key column is never literal.
    """

    name: str = field(kw_only=False)
    type: ColumnType = field(default="text", kw_only=False)
    required: bool = False
    personal: bool = False
    literal: bool = False
    code_set: str | None = None
    descriptor: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if self.code_set and not self.descriptor:
            object.__setattr__(self, "descriptor", self.name.removesuffix("_code"))


@dataclass(frozen=True, kw_only=True)
class Parent:
    """Another data set whose rows must exist first: ``on`` pairs this data set's columns with the parent's, by name."""

    dataset: str = field(kw_only=False)
    on: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Files:
    """Extract files in the drop folder, by glob; ``{partition}`` stands for the run's partition key.

    ``member`` names the file inside, by glob, where the deliveries are zip files.
    """

    pattern: str = field(kw_only=False)
    member: str = ""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Shares (0 to 1) above which a school, or the district, is held until a person decides.

    What each is for, and where its default comes from, stands in ``docs/explanation/what-is-held.md``.
    """

    withdrawn: float = 0.10
    """Of the rows that stand, those that the delivery no longer holds."""
    updated: float = 0.75
    """Of the rows that stand, those of which a value changes that was there."""
    rejected: float = 0.10
    """Of the rows that came, those that are rejected."""
    orphans: float = 0.02
    """Of the rows that came, those without a parent row: ids that the district does not know."""
    codes: float = 0.02
    """Of the rows of a school that came, those with an unknown code that the last load did not have."""
    few: int = 3
    """So many orphans, or rows with a new code, are single slips in any school: rejected, but no reason to hold it."""
    count: float = 0.20
    """Of the rows that usually come (the median of the last ten nights), those that are missing."""
    last_year: float = 0.50
    """Of the rows that came about this date a year ago, those that are missing."""
    grown: float = 3.0
    """How many times the rows of the last load (of a school: the rows that stand) may come."""
    floor: int = 20
    """Below this many rows no share is judged: two of three rows gone is a small school, not an accident."""
    first: Literal["", "load", "hold"] = ""
    """Whether the very first load of the table waits for a person; empty: as the setting ``first_load`` says."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One data set: everything the import, its table, its pages and its tests derive from.

    ``scope`` names the columns whose values bound a delivery: a full extract replaces, and withdraws, only rows
    whose scope values it holds. ``partition`` says what a run's partition key means: a night (ISO date) or the
    value of that column (such as an administration).
    """

    name: str
    extract: Files
    key: tuple[str, ...]
    scope: tuple[str, ...]
    columns: tuple[Column, ...]
    owner: str = "data_person"
    parents: tuple[Parent, ...] = ()
    layout: Layout = field(default_factory=Layout)
    gate: Gate = field(default_factory=Gate)
    partition: str = "night"
    history: bool = False
    """Whether a delivery holds earlier school years beside the current one, and may mend them after they are closed."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            self._slip("its name must be lower case letters, digits and _, at most 48 characters")
        if self.name in _RESERVED_TABLES:
            self._slip("its table's name is taken by the district's own calendar; choose another")
        if self.name in _RESERVED_DAGS or self.name.endswith(_SEMESTER_CHANGE):
            self._slip("its name is taken by another DAG than an import's; choose another")
        names = [column.name for column in self.columns]
        for column in self.columns:
            if not _NAME.fullmatch(column.name) or column.name in _RESERVED:
                self._slip(f"column {column.name} must be lower case letters, digits and _, and not a reserved name")
            if column.type not in ("text", "integer", "decimal", "date", "boolean"):
                self._slip(f"column {column.name} has type {column.type}; use text, integer, decimal, date or boolean")
            if column.code_set and not column.name.endswith("_code"):
                self._slip(f"column {column.name} has a code set, so name it {column.name}_code")
        targets = self.target_columns
        for repeated in sorted({name for name in targets if targets.count(name) > 1}):
            self._slip(f"column {repeated} stands twice; remove one, or name the descriptor with descriptor=")
        if len(targets) > MOST_COLUMNS:
            self._slip(
                f"it has {len(targets):,} columns with their descriptors, and a table takes {MOST_COLUMNS:,}; "
                'declare those that are kept, and let the layout say ignored=("*",)'
            )
        if any(column.code_set for column in self.columns) and "school_year" not in names:
            self._slip("its codes are dated by school year, so it needs Column('school_year', 'integer')")
        if not self.key or not self.scope:
            self._slip("give it a key=(...) and a scope=(...), each of at least one column")
        wanted: Mapping[str, tuple[str, ...]] = {
            "key": self.key,
            "scope": self.scope,
            "layout": (*self.layout.columns, *self.layout.constants, *self.layout.patterns),
            **{f"parent {parent.dataset}": parent.on for parent in self.parents},
        }
        for where, columns in wanted.items():
            for name in columns:
                if name not in names:
                    self._slip(f"its {where} names the column {name}, which it does not declare")
        if not set(self.scope) <= set(self.key):
            self._slip("every scope column must be part of the key, so that no key can move between scopes")
        if (
            self.partition == "night"
            and "school_year" in names
            and "school_year" not in self.scope
            and not self.history
        ):
            self._slip(
                "its rows are of a school year, so put school_year in its scope and key, and a closed year stays as "
                "it is; or say history=True, and every night may change one"
            )
        if self.partition != "night" and self.partition not in self.scope:
            self._slip(f"partition={self.partition} must be one of its scope columns")

    def _slip(self, what: str) -> None:
        raise DatasetError(f"Data set {self.name}: {what}.")

    def column(self, name: str) -> Column:
        """The declared column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that may not be empty: the key, the scope and those declared required."""
        return tuple(c.name for c in self.columns if c.required or c.name in self.key or c.name in self.scope)

    @property
    def coded(self) -> tuple[Column, ...]:
        """Columns that hold a local code."""
        return tuple(column for column in self.columns if column.code_set)

    @property
    def target_columns(self) -> list[str]:
        """Column names of the data set's table, in order: each column, and behind a code its descriptor."""
        return [name for column in self.columns for name in (column.name, column.descriptor) if name]
