"""Rules for every file of dags/: a DAG that silently vanished, or that became heavy, is noticed here."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from district.catalog import find_dataset
from district.settings import settings
from parsing import DAGS, PROJECT, Parsed, parse

FILES = sorted(DAGS.glob("*.py"))
# DAG files that hold other DAG ids than their own name, and which.
CHANGE = "_semester_change"
OTHER_IDS = {stem: [stem, stem + CHANGE] for stem in ("enrollment", "attendance", "transcripts")}
# DAG files that import no data set.
NO_DATASET = {"nightly_digest", "school_year_rollover", "undo_import"}
DATASET_FILES = [file for file in FILES if file.stem not in NO_DATASET]


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Parsed]:
    """A DAG file as Airflow parses it, once a session."""
    return lru_cache(lambda file: parse(file, tmp_path_factory.mktemp("home")))


@pytest.fixture
def parsed(request: pytest.FixtureRequest, read: Callable[[Path], Parsed]) -> Parsed:
    """The file that the test is about."""
    return read(request.param)


def each(files: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("parsed", files, ids=[file.stem for file in files], indirect=True)


def test_there_are_dag_files() -> None:
    assert {"enrollment", "attendance", "transcripts", "state_assessments"} <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_file_is_seen_by_airflow(file: Path) -> None:
    """Airflow passes over a file without these two words, and says nothing."""
    content = file.read_bytes().lower()
    assert b"airflow" in content
    assert b"dag" in content


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_file_only_declares(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    statements = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.If, ast.Try)
    assert not [node for node in ast.walk(tree) if isinstance(node, statements)]


@each(FILES)
def test_dag_ids_are_the_file_names(parsed: Parsed, request: pytest.FixtureRequest) -> None:
    stem = request.node.callspec.id
    assert parsed.errors == {}
    assert sorted(parsed.ids) == sorted(OTHER_IDS.get(stem, [stem]))


@each(FILES)
def test_parsing_is_light(parsed: Parsed) -> None:
    assert parsed.heavy == []
    assert parsed.seconds < 5


@each(FILES)
def test_every_dag_says_what_to_do_when_it_fails(parsed: Parsed) -> None:
    for dag in parsed.dags:
        assert "**When it fails:**" in dag["doc"]


@each(FILES)
def test_every_task_is_owned_and_tries_again(parsed: Parsed) -> None:
    for dag in parsed.dags:
        assert dag["catchup"] is False
        for task in dag["tasks"].values():
            assert task["owner"] in settings().district.roles
            assert task["retries"] >= 2


@each(DATASET_FILES)
def test_import_has_its_steps_and_waits_for_nobody_but_in_review(
    parsed: Parsed, request: pytest.FixtureRequest
) -> None:
    stem = request.node.callspec.id
    assert {dag["dag_id"].removesuffix(CHANGE) for dag in parsed.dags} == {stem}
    for dag in parsed.dags:
        tasks = dag["tasks"]
        strict = dag["dag_id"].endswith(CHANGE)
        people = {"acknowledge": ["validate"], "confirm": ["acknowledge"], "load": ["confirm"]}
        assert {name: task["after"] for name, task in tasks.items()} == {
            "extract": [],
            "validate": ["extract"],
            "load": ["validate"],
            "notify": ["load"],
            "review": ["load"],
            "release": ["review"],
        } | (people if strict else {})
        assert [name for name, task in tasks.items() if task["teardown"]] == ["notify"]
        # What waits for a data set waits for its nightly import; a child's semester change looks for its parent's.
        told = {} if strict else {"notify": [stem], "release": [stem]}
        assert {name: task["outlets"] for name, task in tasks.items() if task["outlets"]} == told
        rules = {name: task["rule"] for name, task in tasks.items() if name != "notify"}
        assert rules == dict.fromkeys(rules, "all_success") | ({"confirm": "none_failed"} if strict else {})


@each(DATASET_FILES)
def test_every_nightly_data_set_has_its_semester_change(parsed: Parsed, request: pytest.FixtureRequest) -> None:
    stem = request.node.callspec.id
    nightly = find_dataset(stem, DAGS).partition == "night"
    assert (stem + CHANGE in parsed.ids) == nightly


@each(DATASET_FILES)
def test_review_waits_as_long_as_the_hold_and_asks_as_often_as_needed(parsed: Parsed) -> None:
    for dag in parsed.dags:
        for name in {"review", "acknowledge", "confirm"} & set(dag["tasks"]):
            asks = dag["tasks"][name]
            assert asks["longest"] is None
            assert asks["retries"] >= 10_000


@each(FILES)
def test_airflow_shows_the_dag_file_as_the_code(parsed: Parsed, request: pytest.FixtureRequest) -> None:
    assert {Path(dag["file"]).stem for dag in parsed.dags} == {request.node.callspec.id}


@each(FILES)
def test_parsed_dag_reads_back(parsed: Parsed) -> None:
    """What the scheduler makes of it: the timetables are registered, and each one has a next run or a parent."""
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in parsed.dags:
        read = DagSerialization.from_dict(dag["serialized"])
        # What only a person starts has no night of its own.
        assert read.timetable.partitioned or dag["dag_id"] == "undo_import"
        if read.timetable.can_be_scheduled and not list(read.timetable.asset_condition.iter_assets()):
            next_run = read.timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=read._time_restriction)
            assert next_run is None or next_run.partition_key


def test_no_dag_id_stands_twice(read: Callable[[Path], Parsed]) -> None:
    """Of two DAGs with one id Airflow keeps one, and says nothing."""
    ids = Counter(dag_id for file in FILES for dag_id in read(file).ids)
    assert [dag_id for dag_id, times in ids.items() if times > 1] == []


def test_every_awaited_data_set_is_there(read: Callable[[Path], Parsed]) -> None:
    """A data set whose parent has no DAG would never be imported, without a word."""
    dags = [dag for file in DATASET_FILES for dag in read(file).dags]
    emitted = {name for dag in dags for name in dag["tasks"]["notify"]["outlets"]}
    awaited = {each["source"] for dag in dags for each in _asset_dependencies(dag) if each["target"] == dag["dag_id"]}
    assert awaited
    assert awaited <= emitted


def test_airflow_scans_one_plugin_file() -> None:
    """It runs every file it scans under its bare name: ``calendar.py`` there would replace Python's own."""
    plugins = PROJECT / "plugins"
    assert [file.name for file in plugins.glob("*.py")] == ["district_plugin.py"]
    assert (plugins / ".airflowignore").read_text(encoding="utf-8").split() == ["district_airflow"]


def _asset_dependencies(dag: dict[str, Any]) -> list[dict[str, str]]:
    found = dag["serialized"]["dag"].get("dag_dependencies", [])
    return [{"source": each["label"], "target": each["target"]} for each in found if each["source"] == "asset"]
