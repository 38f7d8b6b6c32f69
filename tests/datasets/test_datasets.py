"""What every data set gets tested for free: its declaration, suite, layouts and codes agree, and its samples import.

There is no list of data sets here: a file dropped into dags/ is tested by the same lines. What its samples are called
and how a bad row's rule is stated stands in samples.py.
"""

from __future__ import annotations

import ast
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from samples import (
    all_datasets,
    bad_sample,
    found_by_line,
    good_samples,
    import_parents,
    import_sample,
    personal_values,
    standing_rows,
    with_open_gate,
)
from sqlalchemy import UniqueConstraint, text

from district import pipeline
from district.database import engine
from district.dataset import Dataset
from district.import_log import find_run
from district.layout import Layout, layouts_of, with_fields
from district.notify.mail import queue_digest, queue_failure
from district.report import note, print_run
from district.run import ImportStopped
from district.settings import settings
from district.tables import target_table
from district.validate.rules import derived_rules
from district.validate.suite import read_suite, suite_path

DATASETS = all_datasets()
# Tables of the import log that may hold no value of a row.
TOLD = ("import_run", "import_issue", "delivery", "mail")


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest) -> Dataset:
    """Each data set of the dags folder."""
    return DATASETS[request.param]


@pytest.fixture
def district(district_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty district database, and a landed folder of its own."""
    monkeypatch.setenv("DISTRICT_LANDED_FOLDER", str(tmp_path / "landed"))
    settings.cache_clear()
    yield
    settings.cache_clear()


# The declaration


def test_file_and_suite_have_its_name(dataset: Dataset) -> None:
    assert (settings().dags_folder / f"{dataset.name}.py").exists(), f"Name its DAG file {dataset.name}.py."
    suite = suite_path(dataset, settings().expectations_folder)
    assert json.loads(suite.read_text(encoding="utf-8"))["name"] == dataset.name


def test_its_file_says_what_to_do_when_it_fails(dataset: Dataset) -> None:
    tree = ast.parse((settings().dags_folder / f"{dataset.name}.py").read_text(encoding="utf-8"))
    assert "**When it fails:**" in (ast.get_docstring(tree) or "")
    assert "doc_md=__doc__" in ast.unparse(tree)


def test_owner_is_a_role(dataset: Dataset) -> None:
    assert dataset.owner in settings().district.roles


def test_key_may_not_be_empty_and_stands_once(dataset: Dataset) -> None:
    rules, table = derived_rules(dataset), target_table(dataset)
    for name in dataset.key:
        assert rules[f"{dataset.name}.{name}.required"].on_fail == "reject"
        assert not table.c[name].nullable
    assert {f"{dataset.name}.key.conflict", f"{dataset.name}.key.duplicate"} <= set(rules)
    unique = [tuple(c.columns.keys()) for c in table.constraints if isinstance(c, UniqueConstraint)]
    assert unique == [dataset.key]


def test_parents_are_data_sets_with_those_columns(dataset: Dataset) -> None:
    for parent in dataset.parents:
        assert parent.dataset in DATASETS, f"{dataset.name} waits for {parent.dataset}, which no DAG file declares."
        assert set(parent.on) <= {column.name for column in DATASETS[parent.dataset].columns}


def test_what_is_personal_elsewhere_is_personal_here(dataset: Dataset) -> None:
    personal = {column.name for other in DATASETS.values() for column in other.columns if column.personal}
    assert [c.name for c in dataset.columns if c.name in personal and not c.personal] == []


def test_a_child_s_name_is_literal(dataset: Dataset) -> None:
    assert [c.name for c in dataset.columns if c.personal and c.name.endswith("_name") and not c.literal] == []


# The suite


def test_suite_is_read_without_a_slip(dataset: Dataset) -> None:
    suite = read_suite(dataset, settings().expectations_folder)
    assert set(suite.rules).isdisjoint(derived_rules(dataset))


def test_rules_say_what_to_do_and_who(dataset: Dataset) -> None:
    content = json.loads(suite_path(dataset, settings().expectations_folder).read_text(encoding="utf-8"))
    for spec in content["expectations"]:
        meta = spec["meta"]
        assert re.fullmatch(rf"{dataset.name}\.[a-z0-9_]+", meta["rule_id"])
        assert meta["owner"] in settings().district.roles, meta["rule_id"]
        assert meta["on_fail"] in ("reject", "blank", "report", "hold", "refuse"), meta["rule_id"]
        assert not meta["title"].endswith("."), meta["rule_id"]
        assert meta["fix"].endswith("."), f"{meta['rule_id']}: its fix is a sentence that says what to do."


# Layouts and codes


def layouts(dataset: Dataset) -> list[Layout]:
    """The data set's own layout and those of include/layouts/."""
    folder = settings().layouts_folder
    return [with_fields(dataset.layout, folder / dataset.name), *layouts_of(dataset.name, folder)]


def test_layouts_fit_the_declaration(dataset: Dataset) -> None:
    declared = {column.name for column in dataset.columns}
    for layout in layouts(dataset):
        named = {*layout.columns, *layout.constants, *layout.values, *layout.patterns, *layout.optional}
        assert named <= declared, layout.name
        if layout.fixed_width:
            assert declared <= named, f"Layout {layout.name} leaves out {sorted(declared - named)}."
    claimed = [partition for layout in layouts(dataset) for partition in layout.partitions]
    assert sorted(set(claimed)) == sorted(claimed), "Two layouts claim one partition."


def test_codes_have_a_crosswalk_of_the_source(dataset: Dataset) -> None:
    for layout in layouts(dataset):
        for column in dataset.coded:
            if column.name in layout.optional and column.name not in layout.columns:
                continue
            file = settings().crosswalks_folder / f"{column.code_set}.csv"
            assert file.exists(), f"{dataset.name}.{column.name} needs include/crosswalks/{column.code_set}.csv."
            with file.open(encoding="utf-8", newline="") as crosswalk:
                sources = {row["source_system"] for row in csv.DictReader(crosswalk)}
            assert layout.source in sources, f"{file.name} maps no code of {layout.source} (layout {layout.name})."


# The samples


def test_good_sample_loads_and_comes_again_unchanged(dataset: Dataset, district: None, tmp_path: Path) -> None:
    import_parents(dataset)
    for sample in good_samples(dataset):
        first = import_sample(sample, "first")
        assert found_by_line(dataset, "first") == {}
        assert (first.state, first.rejected, first.superseded, first.warnings) == ("loaded", 0, 0, 0)
        assert first.inserted == first.read > 0
        before = standing_rows(dataset)
        again = import_sample(sample, "again")
        assert (again.state, again.unchanged) == ("unchanged", first.read)
        # The same rows in other bytes: they are read and judged, and nothing in the table moves.
        other = tmp_path / sample.path.name
        other.write_bytes(sample.path.read_bytes().replace(b"\n", b"\r\n"))
        reread = import_sample(sample, "in other bytes", path=other)
        assert (reread.state, reread.unchanged, reread.withdrawn) == ("loaded", first.read, 0)
        assert standing_rows(dataset) == before


def test_each_bad_row_raises_its_issue_and_no_other(dataset: Dataset, district: None) -> None:
    sample = bad_sample(dataset)
    import_parents(dataset)
    for good in good_samples(dataset):
        import_sample(good, f"good {good.partition}")
    run = import_sample(sample, "bad", dataset=with_open_gate(dataset))
    found = found_by_line(dataset, "bad")
    assert found == sample.expected
    rules = {**derived_rules(dataset), **read_suite(dataset, settings().expectations_folder).rules}
    rejected = [line for line, ids in found.items() if any(rules[rule_id].on_fail == "reject" for rule_id in ids)]
    assert (run.state, run.rejected) == ("loaded", len(rejected))
    assert run.read == run.loaded + run.rejected + run.superseded


def test_bad_rows_break_every_rule_of_the_suite(dataset: Dataset) -> None:
    suite = read_suite(dataset, settings().expectations_folder)
    sample = bad_sample(dataset)
    by_row = {spec["meta"]["rule_id"] for spec in (*suite.row, *suite.sql)}
    untried = sorted(by_row.difference(*sample.expected.values()))
    assert not untried, f"Add to {sample.path.name} a row that breaks {', '.join(untried)}."


def test_a_load_that_breaks_changes_and_tells_nothing_and_can_be_cleared(
    dataset: Dataset, district: None, caplog: pytest.LogCaptureFixture
) -> None:
    import_parents(dataset)
    opened, bad = with_open_gate(dataset), bad_sample(dataset)
    good = next(sample for sample in good_samples(dataset) if sample.partition == bad.partition)
    for sample, run_key in ((good, "into an empty table"), (bad, "over other rows")):
        pipeline.extract(opened, partition=sample.partition, run_key=run_key, file=sample.path)
        pipeline.validate(opened, run_key=run_key)
        before = standing_rows(dataset)
        with table_that_refuses(dataset), pytest.raises(ImportStopped) as stopped:
            pipeline.load(opened, run_key=run_key)
        assert stopped.value.state == "failed"
        assert standing_rows(dataset) == before
        written = "\n".join([str(stopped.value), caplog.text, *all_that_is_told(dataset, run_key)])
        personal = personal_values(sample)
        assert personal
        assert [value for value in personal if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", written)] == []
        assert pipeline.load(opened, run_key=run_key).state == "loaded"
        assert standing_rows(dataset) != before


def all_that_is_told(dataset: Dataset, run_key: str) -> list[str]:
    """What people read of a run: its note, its lines on a terminal, its mails, and every row of the import log."""
    screen = io.StringIO()
    print_run(dataset, run_key, Console(file=screen, width=200))
    with engine().begin() as connection:
        run = find_run(connection, dataset, run_key)
        assert run is not None
        queue_failure(connection, run.id)
        assert queue_digest(connection, run.night) > 0
        rows = [connection.execute(text(f"SELECT t::text FROM import_log.{name} t")).scalars() for name in TOLD]
        return [note(dataset, run_key), screen.getvalue(), *itertools.chain.from_iterable(rows)]


@contextmanager
def table_that_refuses(dataset: Dataset) -> Iterator[None]:
    """Makes every change of the data set's table fail at its very end, with an error text that quotes the row."""
    table = f"district.{dataset.name}"
    with engine().begin() as connection:
        body = "BEGIN RAISE check_violation USING MESSAGE = 'refused: ' || NEW::text; END"
        connection.exec_driver_sql(f"CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        connection.exec_driver_sql(
            f"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON {table} "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.refuse()"
        )
    yield
    with engine().begin() as connection:
        connection.exec_driver_sql("DROP FUNCTION public.refuse() CASCADE")
