"""The command: whatever is wrong is said in a sentence with exit status 1 or 2, and never as a traceback."""

from __future__ import annotations

import dataclasses
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import Result

from calendars import write_calendar
from commanding import run
from district import pipeline
from district.database import engine
from district.dataset import Files
from district.demo.postgres import Server
from district.settings import settings
from importing import CHILDREN, FTE_RULE, NIGHT, Place, canaries_of, children, csv_bytes, working_in

DAG = """
import sys
from district_airflow import import_dag
sys.path.insert(0, {tests!r})
from importing import CHILDREN
dag = import_dag(CHILDREN)
"""


BY_ADMINISTRATION = DAG.replace("(CHILDREN)", "(RESULTS)").replace(
    "dag =",
    """import dataclasses
RESULTS = dataclasses.replace(CHILDREN, partition="school_year")
del CHILDREN
dag =""",
)
# A shell that starts the tests in the background has them ignore Ctrl-C, and so what they start.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


@pytest.fixture
def at(migrated: Server, loaded: Place) -> Iterator[Place]:
    """The loaded place with a DAG file."""
    tests = str(Path(__file__).resolve().parents[1])
    (loaded.folder / "dags" / "children.py").write_text(DAG.format(tests=tests), encoding="utf-8")
    return loaded


def test_import_shows_what_came_of_it(at: Place) -> None:
    path = at.drop(
        csv_bytes([row | ({"grade_level_code": "[/x]"} if n == 2 else {}) for n, row in enumerate(children(41))])
    )
    result = run("import", "children", str(path))
    assert result.exit_code == 0, result.output
    assert "[/x]" in result.output
    assert len(at.standing()) == 41
    assert [value for value in canaries_of(children(41)) if value in result.output] == []


def test_check_changes_nothing(at: Place) -> None:
    before = at.table_hash()
    result = run("check", "children", str(at.drop(csv_bytes(children(41)))))
    assert result.exit_code == 0, result.output
    assert "checked" in result.output
    assert at.table_hash() == before


def test_a_refused_file_is_said_and_fails(at: Place) -> None:
    result = run("import", "children", str(at.drop(b"")))
    assert result.exit_code == 1
    reason = "children_1.csv has zero bytes; ask the sender to write it again. (file.zero_bytes)"
    assert f"Refused: {reason}" in result.output
    assert "No errors" not in result.output
    assert f"children: {reason}" in " ".join(run("status").output.split())


def test_version_is_said() -> None:
    assert re.fullmatch(r"district-imports \d+\.\d+\.\d+\n", run("--version").output)


def test_status_of_nothing_and_of_something(place: Place, loaded: Place) -> None:
    with working_in(place):
        assert "No import has run yet" in run("status").output
    assert "loaded" in run("status").output


def test_status_shows_the_newest_night_of_each_data_set(at: Place) -> None:
    sittings = dataclasses.replace(
        CHILDREN, name="sittings", extract=Files("sittings_{partition}.csv"), partition="school_year"
    )
    at.write_suite([FTE_RULE | {"meta": FTE_RULE["meta"] | {"rule_id": "sittings.fte"}}], sittings)
    at.drop(csv_bytes(children()), "sittings_2027.csv")
    assert at.run(sittings, night="2027").state == "loaded"
    at.night(csv_bytes(children(41)))
    newest, before = run("status").output, "2026-11-18"
    assert f"Night of {NIGHT}" in newest
    assert "sittings" in newest
    assert before not in newest
    assert before in run("status", "--nights", "2").output


def test_status_of_a_data_set_that_is_none(at: Place) -> None:
    result = run("status", "childrens")
    assert (result.exit_code, "There is no data set childrens; there are children." in result.output) == (1, True)


def test_a_narrow_terminal_cuts_no_digit_and_no_rule(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ", ".join(f"{column} = {column} + 12345678" for column in ("read", "inserted"))
    at.execute(f"update import_log.import_run set {more}")
    at.execute(
        "insert into import_log.import_issue (import_run_id, stage, rule_id, severity, title, fix, owner, fate, rows, "
        "first_line, first_seen) select max(id), '', 'children.a_rule_with_a_name_that_goes_on', 'critical', 't', 'f', "
        "'o', 'reject', 12345678, 87654321, current_date from import_log.import_run"
    )
    monkeypatch.setenv("COLUMNS", "60")
    shown = run("status", "children").output
    assert shown.count("12,345,718") == 2
    assert "12,345,678" in shown
    assert "87654321" in shown
    assert "…" not in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("import", "childrens", "{file}"), 1, "Is children meant?"),
        (("import", "children", "{file}.gone"), 2, "does not exist"),
        (("import", "children", "{folder}"), 2, "is a directory"),
        (("import", "children", "{file}", "--layout", "{file}"), 1, "must hold fields such as"),
        (("import", "children", "{file}", "--layout", "{file}.gone"), 2, "does not exist"),
        (
            ("import", "children", "{file}", "--partition", "foo"),
            1,
            "'foo' is no night; give a date such as 2026-11-20.",
        ),
        (("check", "children", "{file}", "--partition", "2026-13-45"), 1, "'2026-13-45' is no night"),
        (("check", "children", "{file}", "--partition", "20261120"), 1, "'20261120' is no night"),
        (("imprt", "children"), 2, "No such command"),
        (("status", "--nights", "0"), 2, "should be greater than or equal to 1"),
    ],
)
def test_bad_input_is_said(at: Place, arguments: tuple[str, ...], code: int, words: str) -> None:
    path = at.drop(csv_bytes(children(41)))
    result = run(*(argument.format(file=path, folder=path.parent) for argument in arguments))
    assert result.exit_code == code, result.output
    assert words in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("name", ["x" * 5000, "\u00e4" * 201, "\udcff\udcfe", "chil\x00dren", "\x1b[31mchildren"])
def test_a_name_that_nothing_can_have_is_refused(at: Place, name: str) -> None:
    said = ("--person", "rita.moss", "--reason", "Known to us", "--until", "2026-12-01", "--ceiling", "3")
    for arguments in (
        ("status", name),
        ("release", name, "1"),
        ("acknowledge", name, "children.fte", *said),
        ("acknowledge", "children", name, *said),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert "at most 200 characters" in " ".join(result.output.replace("│", " ").split())
        assert name not in result.output


def test_nothing_is_released_of_a_night_without_a_file_or_without_holds(at: Place) -> None:
    """The number may be mistyped; a night that found no file has a run, and no delivery."""
    for path in (at.folder / "drop").iterdir():
        path.unlink()
    assert at.run(night="2026-11-20").state == "missing"
    before = at.table_hash()
    for number in ("1", "2"):
        result = run("release", "children", number)
        assert (result.exit_code, result.output.strip()) == (
            1,
            "children: nothing of this run waits. Nothing was loaded.",
        )
    assert at.table_hash() == before


def test_what_is_imported_by_administration_needs_its_partition(at: Place) -> None:
    dag = BY_ADMINISTRATION.format(tests=str(Path(__file__).resolve().parents[1]))
    (at.folder / "dags" / "children.py").write_text(dag, encoding="utf-8")
    delivery = str(at.drop(csv_bytes(children(41))))
    before = at.rows("select count(*) as runs from import_log.import_run")
    for command in ("import", "check"):
        result = run(command, "children", delivery)
        assert result.exit_code == 1
        assert "children is imported by school_year: add --partition with the school_year of the file" in result.output
    assert at.rows("select count(*) as runs from import_log.import_run") == before
    result = run("import", "children", delivery, "--partition", "2027")
    assert result.exit_code == 0, result.output
    assert len(at.standing()) == 41


def test_ctrl_c_closes_the_run_and_leaves_the_table(at: Place) -> None:
    delivery = str(at.drop(csv_bytes(children(41))))
    before = at.table_hash()
    code = LISTENING + "from district.command_line import main; main()"
    with engine().connect() as other:
        transaction = other.begin()
        other.execute(text("lock table district.children in access exclusive mode"))
        command = [sys.executable, "-c", code, "import", "children", delivery]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # Until its load waits for the table.
        while not at.rows("select 1 from pg_locks where not granted and relation = 'district.children'::regclass"):
            assert process.poll() is None, process.communicate()[0]
        latest = at.rows("select state from import_log.import_run order by id desc limit 1")
        process.send_signal(signal.SIGINT)
        transaction.rollback()
    output, _ = process.communicate(timeout=60)
    assert latest == [{"state": "validated"}]
    assert process.returncode != 0
    assert "Traceback" not in output
    assert at.table_hash() == before
    (last,) = at.rows("select state, reason, unnoticed from import_log.import_run order by id desc limit 1")
    assert last == {"state": "failed", "reason": "It was broken off before its end.", "unnoticed": True}
    assert at.rows("select 1 from pg_tables where schemaname = 'staging'") == []


def test_a_broken_dag_file_is_named_and_stops_no_other(at: Place) -> None:
    (at.folder / "dags" / "broken.py").write_text("1 / 0", encoding="utf-8")
    delivery = str(at.drop(csv_bytes(children(41))))
    named = run("import", "broken", delivery)
    assert (named.exit_code, "broken.py cannot be read (ZeroDivisionError)" in named.output) == (1, True)
    assert run("import", "children", delivery).exit_code == 0


@pytest.mark.parametrize("command", ["status", "migrate"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "DISTRICT_DATABASE_URL is not set"),
        ("postgresql+psycopg2://nobody@localhost:1/none", "The database cannot be used (OperationalError)"),
        ("no url at all", "The database cannot be used (ArgumentError)"),
        ("oracle+none://x/y", "The database cannot be used (NoSuchModuleError)"),
    ],
)
def test_no_database_is_said(place: Place, monkeypatch: pytest.MonkeyPatch, command: str, url: str, words: str) -> None:
    monkeypatch.setenv("DISTRICT_DATABASE_URL", url)
    settings.cache_clear()
    result = run(command)
    assert result.exit_code == 1
    assert words in result.output


def test_import_without_a_database_is_said_once(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = at.drop(csv_bytes(children(41)))
    for url, words in (
        ("", "DISTRICT_DATABASE_URL is not set"),
        ("postgresql+psycopg2://nobody@localhost:1/none", "OperationalError"),
    ):
        monkeypatch.setenv("DISTRICT_DATABASE_URL", url)
        settings.cache_clear()
        result = run("import", "children", str(path))
        assert result.exit_code == 1
        assert result.output.count(words) == 1, result.output


def test_a_database_without_tables_is_said(at: Place) -> None:
    at.execute("drop schema import_log cascade")
    result = run("import", "children", str(at.drop(csv_bytes(children(41)))))
    assert result.exit_code == 1
    assert "district migrate" in result.output


def test_wrong_settings_are_said(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = at.drop(csv_bytes(children(41)))
    monkeypatch.setenv("DISTRICT_SMTP_PORT", "mail")
    settings.cache_clear()
    assert "The environment variable DISTRICT_SMTP_PORT" in run("import", "children", str(path)).output
    monkeypatch.delenv("DISTRICT_SMTP_PORT")
    monkeypatch.setenv("DISTRICT_FILE", str(at.folder / "none.yaml"))
    settings.cache_clear()
    assert "set DISTRICT_FILE" in run("import", "children", str(path)).output


@pytest.mark.parametrize("why", ["semester change", "blackout"])
def test_an_import_by_hand_goes_round_the_calendar_only_when_it_is_told_to(at: Place, why: str) -> None:
    night = "2026-11-19"
    terms = [
        {"code": "S1", "begin": "2026-08-12", "end": night},
        {"code": "S2", "begin": "2026-11-20", "end": "2027-05-26"},
    ]
    year = {"end_year": 2027, "first_day": "2026-08-12", "last_day": "2027-05-26"}
    if why == "blackout":
        write_calendar(at, year, calendar={"blackouts": [{"begin": night, "end": night, "reason": "The SIS moves"}]})
    else:
        write_calendar(at, year | {"terms": terms})
    path = str(at.drop(csv_bytes(children(41))))
    before = at.rows("select count(*) as runs from import_log.import_run")
    refused = run("import", "children", path, "--partition", night)
    assert refused.exit_code == 1
    said = {"semester change": "where its DAG file has one, children_semester_change", "blackout": "The SIS moves"}
    assert said[why] in refused.output
    assert "add --although-aside" in refused.output
    assert at.rows("select count(*) as runs from import_log.import_run") == before
    assert run("check", "children", path, "--partition", night).exit_code == 0
    assert run("import", "children", path, "--partition", night, "--although-aside").exit_code == 0
    assert len(at.standing()) == 41


def test_a_landed_folder_that_cannot_be_written_is_said(at: Place) -> None:
    path = at.drop(csv_bytes(children(41)))
    shutil.rmtree(at.folder / "landed")
    (at.folder / "landed").write_text("a file in its place", encoding="utf-8")
    result = run("import", "children", str(path))
    assert result.exit_code == 1
    assert "a file or folder cannot be used (File exists)" in result.output


def half_missing(at: Place) -> str:
    """A file in which one of the two schools has lost half of its children."""
    rows = [row for row in children(41) if row["school_id"] == "0100" or int(row["student_id"]) > 7000020]
    return str(at.drop(csv_bytes(rows)))


def decide(at: Place, *arguments: str, person: str = "rita.moss", reason: str = "The school was split.") -> Result:
    found = re.search(r"district decide children (\d+) \S+ (--shown) (\w+)", run("holds").output)
    number, *shown = found.groups() if found else ("2", "--shown", "none")
    return run("decide", "children", number, *arguments, *shown, "--person", person, "--reason", reason)


def test_check_and_holds_show_the_same_preview(at: Place) -> None:
    path = half_missing(at)
    before = at.table_hash()
    checked = run("check", "children", path)
    assert checked.exit_code == 1
    assert "Would be held: 1 of 2 schools would be held" in checked.output
    assert "A person decides" not in checked.output
    assert at.table_hash() == before
    assert run("holds").output == "Nothing waits for a decision.\n"
    imported = run("import", "children", path)
    assert imported.exit_code == 1
    shown = run("holds")
    assert shown.exit_code == 0
    line = re.compile(r"0101\s+20\s+0\s+0\s+10\s+10\s+0\s+held")
    assert [bool(line.search(each.output)) for each in (checked, imported, shown)] == [True, True, True]
    assert "district decide children 3 approve|reject --shown " in shown.output
    assert [value for value in canaries_of(children(41)) if value in shown.output + checked.output] == []


def test_a_decision_by_hand_releases_the_school(at: Place) -> None:
    run("import", "children", half_missing(at))
    assert "may not decide on children" in decide(at, "approve", person="somebody").output
    assert "Give a reason" in decide(at, "approve", reason=" ").output
    too_early = run("release", "children", "2")
    assert (too_early.exit_code, "no decision lets this delivery through" in too_early.output) == (1, True)
    unseen = run("decide", "children", "2", "approve", "--shown", "0", "--person", "rita.moss", "--reason", "It is so.")
    assert (unseen.exit_code, "what was shown of run 2 has changed" in unseen.output) == (1, True)
    decided = decide(at, "approve")
    assert (decided.exit_code, "Now run `district release children 2`." in decided.output) == (0, True)
    released = run("release", "children", "2")
    assert released.exit_code == 0, released.output
    assert len(at.standing()) == 31
    assert "rita.moss (data_person) let it through: The school was split." in " ".join(run("status").output.split())
    unknown = run("release", "children", "99")
    assert (unknown.exit_code, "children has no run 99" in unknown.output) == (1, True)


def test_a_semester_change_is_acknowledged_and_confirmed_by_hand(at: Place) -> None:
    terms = [
        {"code": "S1", "begin": "2026-08-12", "end": "2026-11-19"},
        {"code": "S2", "begin": "2026-11-20", "end": "2027-05-26"},
    ]
    write_calendar(at, {"end_year": 2027, "first_day": "2026-08-12", "last_day": "2027-05-26", "terms": terms})
    gone = ("7000002", "7000004")
    at.drop(csv_bytes([row for row in children(41) if row["student_id"] not in gone]), age=3600)
    at.keys.append((CHILDREN, "change"))
    pipeline.extract(CHILDREN, partition="2026-11-20", run_key="change", kind="semester_change")
    pipeline.validate(CHILDREN, run_key="change")
    until = str(settings().district.today())
    who = ("--person", "rita.moss", "--reason", "Looked at.")
    known = run("acknowledge", "children", "children.semester.vanished", "--until", until, "--ceiling", "2", *who)
    assert known.output.endswith(f"children.semester.vanished is known until {until}, for up to 2 rows.\n")
    at.execute("update import_log.acknowledgement set person = 'somebody'")
    shown = run("confirm", "children", "2", "approve", *who)
    assert shown.exit_code == 1
    assert "| 0101 | 20 | 0 |" in shown.output
    assert at.rows("select * from import_log.decision") == []
    found = re.search(r"--shown (\w+)", shown.output)
    assert found
    confirmed = run("confirm", "children", "2", "approve", *who, "--shown", found[1])
    assert (confirmed.exit_code, confirmed.output) == (0, "rita.moss (data_person): approve.\n")
    assert pipeline.load(CHILDREN, run_key="change").state == "loaded"
    again = run("confirm", "children", "2", "approve", *who)
    assert (again.exit_code, again.output) == (1, "Nothing of children waits for a confirmation in run 2.\n")
