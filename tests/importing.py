"""Nights of a small synthetic data set: write a file, import it for real, and see what became of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from district import pipeline
from district.database import engine
from district.dataset import Column, Dataset, Files, Parent
from district.import_log import find_run
from district.layout import Layout
from district.report import note
from district.review import decisions
from district.review.shown import mark_of
from district.run import ImportStopped, RunSummary
from district.settings import Settings, settings

NIGHT = "2026-11-19"
HEADER = ("student_id", "school_id", "school_year", "last_name", "birth_date", "grade_level_code", "fte")
CHILDREN = Dataset(
    name="children",
    extract=Files("children_*.csv"),
    key=("student_id", "school_id", "school_year"),
    scope=("school_year",),
    columns=(
        Column("student_id", personal=True),
        Column("school_id"),
        Column("school_year", "integer"),
        Column("last_name", personal=True, literal=True),
        Column("birth_date", "date", personal=True),
        Column("grade_level_code", code_set="grade", required=True),
        Column("fte", "decimal"),
    ),
    layout=Layout(null_tokens=("", "N/A", "NULL", "None")),
)
# Children of children: the parent's key with nothing beside it.
CLUBS = Dataset(
    name="clubs",
    extract=Files("clubs_*.csv"),
    key=("student_id", "school_id", "school_year"),
    scope=("school_year",),
    columns=(Column("student_id", personal=True), Column("school_id"), Column("school_year", "integer")),
    parents=(Parent("children", on=("student_id", "school_id", "school_year")),),
)
_DISTRICT = """
name: Test District
timezone: America/Los_Angeles
roles: {data_person: [data@district.invalid], assessment_lead: [tests@district.invalid]}
people: {rita.moss: [data_person], abe.lund: [assessment_lead]}
schools: [{school_id: "0100"}, {school_id: "0101"}]
school_years:
  - {end_year: 2026, first_day: 2025-08-13, last_day: 2026-05-28}
  - {end_year: 2027, first_day: 2026-08-12, last_day: 2027-05-26}
"""
_CODES = "source_system,school_year_from,school_year_to,local_code,standard_code,description\n" + "".join(
    f"sis,,,{local},{standard},\n" for local, standard in (("K", "Kindergarten"), ("1", "First"), ("2", "Second"))
)
# A query that names its rows needs none of Great Expectations' own machinery, and so costs a test no second.
FTE_RULE: dict[str, Any] = {
    "type": "unexpected_rows_expectation",
    "kwargs": {"unexpected_rows_query": "select row_no from {batch} where fte > 1"},
    "severity": "critical",
    "meta": {
        "rule_id": "children.fte_over_one",
        "title": "FTE is over one",
        "fix": "Correct it.",
        "owner": "data_person",
    },
}
CLUB_RULE: dict[str, Any] = {
    "type": "unexpected_rows_expectation",
    "kwargs": {"unexpected_rows_query": "select row_no from {batch} where school_id = 'none'"},
    "meta": {"rule_id": "clubs.none", "title": "None", "fix": "None.", "owner": "data_person"},
}


def child(number: int, **values: str) -> dict[str, str]:
    """A row of the children's file; its names and ids are found nowhere else, so that a leak is seen."""
    return {
        "student_id": f"70{number:05d}",
        "school_id": "0100" if number % 2 else "0101",
        "school_year": "2027",
        "last_name": f"Quexaro{number:03d}",
        "birth_date": f"2015-{number % 12 + 1:02d}-15",
        "grade_level_code": "K",
        "fte": "1",
    } | values


def children(count: int = 40, *, first: int = 1) -> list[dict[str, str]]:
    """So many children, all different."""
    return [child(number) for number in range(first, first + count)]


def clubs(*numbers: int) -> bytes:
    """A file of the clubs, with a row of each of these children."""
    lines = ["student_id,school_id,school_year"]
    lines += [",".join(list(child(n).values())[:3]) for n in numbers]
    return "".join(line + "\n" for line in lines).encode()


def csv_bytes(
    rows: Iterable[Mapping[str, str]], *, header: Iterable[str] = HEADER, delimiter: str = ",", newline: str = "\n"
) -> bytes:
    """The rows as a plain file, without any quotes."""
    names = list(header)
    lines = [delimiter.join(names), *(delimiter.join(row[name] for name in HEADER) for row in rows)]
    return "".join(line + newline for line in lines).encode()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to: its summary, or the state, rule and message it stopped with."""

    state: str
    run_key: str
    summary: RunSummary | None = None
    rule_id: str = ""
    message: str = ""


@dataclass(kw_only=True)
class Place:
    """Folders and a database of one test, and all that was said to anybody while it ran."""

    folder: Path
    url: str
    server_log: Path
    dataset: Dataset = CHILDREN
    messages: list[str] = field(default_factory=list)
    keys: list[tuple[Dataset, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if (self.folder / "district.yaml").exists():
            return  # another database of the same folder
        for name in ("drop", "landed", "dags", "expectations", "layouts", "crosswalks"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "district.yaml").write_text(_DISTRICT, encoding="utf-8")
        (self.folder / "crosswalks" / "grade.csv").write_text(_CODES, encoding="utf-8")
        self.write_suite([FTE_RULE])

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a process that works here."""
        folders = {
            f"DISTRICT_{name.upper()}_FOLDER": str(self.folder / name)
            for name in ("drop", "landed", "dags", "expectations", "layouts", "crosswalks")
        }
        return {
            **folders,
            "DISTRICT_FILE": str(self.folder / "district.yaml"),
            "DISTRICT_DATABASE_URL": self.url,
            "DISTRICT_STABLE_SECONDS": "0",
            "DISTRICT_FIRST_LOAD": "load",
            "DISTRICT_SMTP_PORT": "1",
            "DISTRICT_SMTP_TIMEOUT": "2",
        }

    def configure(self, **changes: Any) -> Settings:
        """These settings, with changes, as a Settings object."""
        names = {name.removeprefix("DISTRICT_").lower(): value for name, value in self.environment.items()}
        return Settings(**{**names, **changes})

    def write_suite(self, expectations: list[Any], dataset: Dataset | None = None) -> None:
        """The data set's suite, with these expectations."""
        name = (dataset or self.dataset).name
        path = self.folder / "expectations" / f"{name}.json"
        path.write_text(json.dumps({"name": name, "expectations": expectations, "meta": {}}), encoding="utf-8")

    def drop(self, content: bytes, name: str = "children_1.csv", *, age: float = 7200.0) -> Path:
        """A delivery that has lain in the drop folder for ``age`` seconds."""
        path = self.folder / "drop" / name
        path.write_bytes(content)
        os.utime(path, (time.time() - age,) * 2)
        return path

    def run(
        self,
        dataset: Dataset | None = None,
        *,
        night: str = NIGHT,
        run_key: str = "",
        before: Callable[..., object] = lambda step, **how: None,
        **how: Any,
    ) -> Outcome:
        """Extract, validate and load what lies in the drop folder, as the tasks of a night do.

        ``before`` each step is called with its name and arguments.
        """
        dataset = dataset or self.dataset
        run_key = run_key or f"test-{uuid.uuid4()}"
        self.keys.append((dataset, run_key))
        steps: dict[str, dict[str, Any]] = {"extract": {"partition": night, **how}, "validate": {}, "load": {}}
        try:
            for step, given in steps.items():
                before(step, dataset=dataset, run_key=run_key, **given)
                summary = getattr(pipeline, step)(dataset, run_key=run_key, **given)
                if summary.state == "unchanged":
                    break
        except ImportStopped as stopped:
            self.messages.append(str(stopped))
            return Outcome(state=stopped.state, rule_id=stopped.rule_id, message=str(stopped), run_key=run_key)
        finally:
            pipeline.close(dataset, run_key=run_key)
        run = self.rows("select rule_id from import_log.import_run where id = :id", id=summary.id)
        self.messages.append(summary.reason)
        return Outcome(
            state=summary.state,
            summary=summary,
            run_key=run_key,
            rule_id=run[0]["rule_id"],
            message=summary.reason,
        )

    def night(self, content: bytes, *, age: float = 7200.0, **how: Any) -> Outcome:
        """Drops a file and imports it."""
        self.drop(content, age=age)
        return self.run(**how)

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """A query's rows."""
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                return [dict(row._mapping) for row in connection.execute(text(query), values)]
        finally:
            engine.dispose()

    def execute(self, statement: str, **values: Any) -> None:
        """Changes something by SQL."""
        engine = create_engine(self.url)
        try:
            with engine.begin() as connection:
                connection.execute(text(statement), values)
        finally:
            engine.dispose()

    def standing(self, dataset: Dataset | None = None) -> dict[tuple[Any, ...], dict[str, Any]]:
        """The rows of the data set's table that are not withdrawn, by key."""
        dataset = dataset or self.dataset
        names = ", ".join(dataset.target_columns)
        rows = self.rows(f"select {names} from district.{dataset.name} where withdrawn_at is null")
        return {tuple(row[name] for name in dataset.key): row for row in rows}

    def table_hash(self, dataset: Dataset | None = None) -> str:
        """A digest of every row of the data set's table, withdrawn ones and where each came from included."""
        dataset = dataset or self.dataset
        if not self.rows("select to_regclass(:name) as found", name=f"district.{dataset.name}")[0]["found"]:
            return ""
        rows = self.rows(f"select t::text as row from district.{dataset.name} t order by 1")
        return hashlib.sha256("\n".join(row["row"] for row in rows).encode()).hexdigest()

    def issues(self, outcome: Outcome) -> dict[str, int]:
        """Rows by rule id of a run."""
        rows = self.rows(
            "select rule_id, sum(rows)::int as rows from import_log.import_issue "
            "where import_run_id = (select max(id) from import_log.import_run where run_key = :key) group by 1",
            key=outcome.run_key,
        )
        return {row["rule_id"]: row["rows"] for row in rows}

    def quarantined(self) -> list[dict[str, Any]]:
        """The open rows of the quarantine, in the order of the file."""
        return self.rows(
            "select source_line, raw, reasons from import_log.quarantined_row where state = 'open' order by source_line"
        )

    def said(self) -> str:
        """All that this place's runs said outside of the tables that may hold a student's values."""
        notes = [note(dataset, key) for dataset, key in self.keys]
        logged = [
            str(row)
            for table in ("import_run", "import_issue", "mail", "school_change", "hold", "decision")
            for row in self.rows(f"select * from import_log.{table}")
        ]
        return "\n".join(
            [*self.messages, *notes, *logged, self.server_log.read_text(encoding="utf-8", errors="replace")]
        )

    def leaks(self, canaries: Iterable[str]) -> list[str]:
        """Planted values that stand where none may."""
        said = self.said()
        return sorted({value for value in canaries if value in said})


def decide(dataset: Dataset, run_key: str, **said: Any) -> None:
    """A person decides about the newest run under a key, as it is shown now."""
    with engine().connect() as connection:
        run = find_run(connection, dataset, run_key)
        run_id, shown = (run.id, mark_of(connection, run)) if run is not None else (0, "")
    decisions.decide(dataset, run_id, shown=shown, **said)


@contextmanager
def working_in(place: Place) -> Iterator[Place]:
    """The settings of this process are the place's."""
    before = dict(os.environ)
    os.environ.update(place.environment)
    settings.cache_clear()
    try:
        yield place
    finally:
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


def canaries_of(rows: Iterable[Mapping[str, str]]) -> set[str]:
    """The personal values of the children's rows."""
    return {row[name] for row in rows for name in ("student_id", "last_name") if row[name]}


def with_gate(dataset: Dataset, **gate: float) -> Dataset:
    """The data set with another gate."""
    return dataclasses.replace(dataset, gate=dataclasses.replace(dataset.gate, **gate))
