"""The sample files of include/sample/: which there are, how they are imported, and what of them is personal.

``<dataset>.<partition>.<ending>`` is a good sample: every row loads, without an issue. The partition is the night, or
the value of the data set's partition column, that it is imported for; it also chooses the layout.
``<dataset>.<partition>.bad.<ending>`` has bad rows among good ones, and ``<dataset>.<partition>.bad.json`` says which:
``{"<line>": "<rule id>"}``, or a list of rule ids where one slip cannot but break two rules.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select, text

from district import pipeline
from district.catalog import read_datasets
from district.database import engine
from district.dataset import Dataset, Gate
from district.extract.landing import Arrival, land
from district.extract.reading import read_batches
from district.extract.shape import check_shape
from district.import_log import find_run
from district.layout import choose_layout, layouts_of, with_fields
from district.run import RunSummary
from district.settings import settings
from district.tables import finding_table

# Shorter values, such as a mark, stand in every text by chance.
TELLING = 4
OPEN_GATE = Gate(rejected=1, withdrawn=1, updated=1, orphans=1, grown=math.inf)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample file of a data set."""

    dataset: Dataset
    path: Path
    partition: str

    @property
    def expected(self) -> dict[int, set[str]]:
        """The rule ids that a bad sample's lines raise, by line; the header is line 1."""
        file = self.path.with_suffix(".json")
        example = f'{{"3": "{self.dataset.name}.key.conflict"}}'
        assert file.exists(), f"Say in {file.name} which line raises which rule: {example}."
        content: dict[str, str | list[str]] = json.loads(file.read_text(encoding="utf-8"))
        return {int(line): {rules} if isinstance(rules, str) else set(rules) for line, rules in content.items()}


def all_datasets() -> dict[str, Dataset]:
    """Every data set of the dags folder, by name: the only list there is."""
    return read_datasets(settings().dags_folder)


def sample_folder() -> Path:
    """include/sample/, beside the layouts."""
    return settings().layouts_folder.parent / "sample"


def good_samples(dataset: Dataset) -> list[Sample]:
    """The good samples; AssertionError says which file to add."""
    found = [
        Sample(dataset=dataset, path=path, partition=path.stem.split(".", 1)[1])
        for path in sorted(sample_folder().glob(f"{dataset.name}.*"))
        if ".bad." not in path.name
    ]
    assert found, _advice(dataset, "", "a few synthetic rows in its own layout that load without an issue")
    return found


def bad_sample(dataset: Dataset) -> Sample:
    """The bad sample; AssertionError says which file to add."""
    paths = [path for path in sample_folder().glob(f"{dataset.name}.*.bad.*") if path.suffix != ".json"]
    advice = "for each rule of its suite a row that breaks it, and a .bad.json beside it: {line: rule id}"
    assert len(paths) == 1, _advice(dataset, ".bad", advice)
    return Sample(dataset=dataset, path=paths[0], partition=paths[0].stem.split(".", 1)[1].removesuffix(".bad"))


def _advice(dataset: Dataset, kind: str, content: str) -> str:
    partition = "<night as YYYY-MM-DD>" if dataset.partition == "night" else f"<{dataset.partition}>"
    ending = Path(dataset.extract.pattern).suffix
    return f"Data set {dataset.name} lacks include/sample/{dataset.name}.{partition}{kind}{ending}: {content}."


def with_open_gate(dataset: Dataset) -> Dataset:
    """The data set without its gate, which would hold a sample that is mostly bad rows."""
    return replace(dataset, gate=OPEN_GATE)


def import_sample(
    sample: Sample, run_key: str, *, dataset: Dataset | None = None, path: Path | None = None
) -> RunSummary:
    """Extracts, validates and loads a sample, or another file in its place; staging is left for a test to look at."""
    chosen = dataset or sample.dataset
    run = pipeline.extract(chosen, partition=sample.partition, run_key=run_key, file=path or sample.path)
    if run.state == "extracted":
        pipeline.validate(chosen, run_key=run_key)
        run = pipeline.load(chosen, run_key=run_key)
    return run


def import_parents(dataset: Dataset) -> None:
    """Imports the good samples of the parents, theirs before them."""
    datasets = all_datasets()
    for parent in dataset.parents:
        import_parents(datasets[parent.dataset])
        for sample in good_samples(datasets[parent.dataset]):
            import_sample(sample, f"parent {sample.path.name}")


def found_by_line(dataset: Dataset, run_key: str) -> dict[int, set[str]]:
    """The rules that each line of a run not yet closed fails. Samples hold one record a line."""
    with engine().connect() as connection:
        run = find_run(connection, dataset, run_key)
        assert run is not None
        findings = finding_table(dataset, run.id)
        found = defaultdict(set)
        for line, rule_id in connection.execute(select(findings.c.row_no, findings.c.rule_id)).all():
            found[line].add(rule_id)
    return dict(found)


def standing_rows(dataset: Dataset) -> list[str]:
    """All rows of the data set's table, of its quarantine, and of those kept for undo."""
    mine = "WHERE dataset = :name"
    tables = (f"district.{dataset.name} t", f"import_log.quarantined_row t {mine}", f"import_log.row_history t {mine}")
    rows: list[str] = []
    with engine().connect() as connection:
        for table in tables:
            found = connection.execute(text(f"SELECT t::text FROM {table} ORDER BY 1"), {"name": dataset.name})
            rows += ["--", *found.scalars()]
    return rows


def personal_values(sample: Sample) -> set[str]:
    """Every telling value that the file holds in a personal column or a malformed line, and in no other column."""
    dataset, config = sample.dataset, settings()
    own = with_fields(dataset.layout, config.layouts_folder / dataset.name)
    layout = choose_layout(own, layouts_of(dataset.name, config.layouts_folder), partition=sample.partition)
    personal: set[str | None] = set()
    other: set[str | None] = set()
    with tempfile.TemporaryDirectory() as folder:
        landed = land(sample.path, Path(folder))
        plan = check_shape(landed, dataset, layout, Arrival(path=sample.path, modified=0))
        for batch in read_batches(landed, dataset, layout, plan):
            for column in dataset.columns:
                (personal if column.personal else other).update(batch.columns[column.name].to_pylist())
            for record in batch.malformed:
                personal.update([record.text] if layout.fixed_width else record.text.split(layout.delimiter))
    return {value.strip() for value in personal - other if value and len(value.strip()) >= TELLING}
