"""What the demo says before it starts and when it is done, and the shell file that it leaves for those who go on."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from district.demo.airflow_processes import configure, write_environment
from district.demo.place import Place
from district.demo.postgres import Server
from district.demo.processes import Processes
from district.demo.runner import Demo, newest_digest, run_demo


@pytest.mark.parametrize(
    ("size", "words"), [("banana", "There is no size banana; use small"), (300, "300 students are too few")]
)
def test_a_size_that_cannot_be_is_said_before_anything_starts(
    size: str | int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_demo(size=size, folder=tmp_path / "demo") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_after_one_line_the_commands_mean_this_demo(migrated: Server, tmp_path: Path) -> None:
    place = Place(tmp_path / "a demo")
    airflow = configure(place, migrated, smtp_port=1025, settings={})
    write_environment(airflow, migrated)
    assert place.environment.stat().st_mode & 0o777 == 0o600
    ask = "psql -Atc 'select current_database()'"
    script = f"source '{place.environment}'; command -v district airflow psql; {ask}; echo $DISTRICT_DATABASE_URL"
    clean = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-uc", script], env=clean, capture_output=True, text=True, check=True)
    *programs, database, url = done.stdout.splitlines()
    assert [Path(program).name for program in programs] == ["district", "airflow", "psql"]
    assert Path(programs[0]).parent == Path(sys.executable).parent
    assert (database, url) == ("district", airflow.environment["DISTRICT_DATABASE_URL"])


def test_the_digest_is_the_newest_mail_about_a_night(tmp_path: Path) -> None:
    assert newest_digest(tmp_path) == tmp_path
    for name, subject in (("1", "Imports of 2026-10-16: 4 loaded"), ("2", "Imports of 2026-10-19"), ("3", "refused")):
        (tmp_path / f"{name}.eml").write_text(f"X-Envelope-To: a@b\r\nSubject: {subject}\r\n\r\nImports of", newline="")
    assert newest_digest(tmp_path).name == "2.eml"


@pytest.mark.parametrize(
    ("fresh", "wrong", "words"),
    [
        (["2026-10-19"], ["enrollment: read is 1, expected 2"], "Not what"),
        ([], [], "make clean-demo` removes all"),
    ],
)
def test_only_a_night_of_this_start_can_be_wrong(
    fresh: list[str], wrong: list[str], words: str, tmp_path: Path
) -> None:
    told = io.StringIO()
    demo = Demo(console=Console(file=told, width=400), processes=Processes(), stays=False)
    found = {"2026-10-16": [], "2026-10-19": ["enrollment: read is 1, expected 2"]}
    assert demo._compare(Place(tmp_path), found, fresh) == wrong
    assert words in told.getvalue()
    assert str(tmp_path / "district" / "expected.json") in told.getvalue()


@pytest.mark.parametrize("stays", [True, False])
def test_only_a_demo_that_stays_says_where_it_is_to_be_reached(stays: bool, migrated: Server, tmp_path: Path) -> None:
    airflow = configure(Place(tmp_path), migrated, smtp_port=1025, settings={})
    told = io.StringIO()
    Demo(console=Console(file=told, width=400), processes=Processes(), stays=stays)._where_to_look(airflow)
    assert (airflow.ui_url in told.getvalue()) is stays
    assert (f"source {tmp_path / 'env'}" in told.getvalue()) is stays
    assert str(tmp_path / "mail") in told.getvalue()
