"""The pages: links resolve, commands exist, generated pages are up to date, every verdict is explained."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from district.command_line import app
from district.reference import FOLDER, PAGES, pages
from district.run import State
from district.settings import PROJECT, Settings

DOCS = sorted(
    [*(PROJECT / "docs").rglob("*.md"), *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
VERDICT = re.compile(
    r"(?:file|gate|suite|run|semester_change|year)\.[a-z_]+|parent\.held|school\.left_out|delivery\.undone"
)
each_page = pytest.mark.parametrize("page", DOCS, ids=[str(page.relative_to(PROJECT)) for page in DOCS])


def prose(page: Path) -> str:
    """The page without its code."""
    return CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))


def links(page: Path) -> list[str]:
    """The links of a page to other pages and files of the project."""
    found = [first or second for first, second in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))]
    return [link for link in found if not link.startswith(("http://", "https://", "mailto:"))]


def anchors(page: Path) -> set[str]:
    """The headings of a page as a link names them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [PROJECT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
        waiting += [target for target in targets if target.suffix == ".md"]
    assert [str(page.relative_to(PROJECT)) for page in DOCS if page not in reached] == []


@each_page
def test_page_starts_with_its_title_and_is_finished(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert text.endswith("\n")
    assert not re.search(r"\b(TODO|FIXME|TBD)\b", text)
    # A path of the machine that it was written on.
    assert not re.search(r"(?<![\w.`])/(?:work|tmp|home|root|Users)/", text)


@each_page
def test_words_are_those_of_the_glossary(page: Path) -> None:
    avoided = "feed|feeds|dump|dumps|utils|ingest|ingestion|xwalk|dead letter|rerun|replay|sign-off|fiscal year"
    assert re.findall(rf"\b(?:{avoided})\b", prose(page), re.IGNORECASE) == []


def commands(page: Path) -> list[list[str]]:
    """Every `district` and `make` command of the page's shell code and of its inline code."""
    text = page.read_text(encoding="utf-8")
    lines = [line for kind, body in FENCE.findall(text) if kind in ("", "sh", "console") for line in body.splitlines()]
    lines += CODE.findall(FENCE.sub("", text))
    found = []
    for line in lines:
        line = re.sub(r"^\$ ", "", line.strip())
        line = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line)
        if re.match(r"(district|make) [a-z]", line):
            found.append(shlex.split(line))
    return found


@each_page
def test_commands_exist(page: Path) -> None:
    for program, name, *rest in commands(page):
        if program == "make":
            assert name in TARGETS, name
            continue
        assert name in COMMANDS, f"district {name}"
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= known, rest


def test_a_command_of_each_page_was_found() -> None:
    found = {" ".join(command[:2]) for page in DOCS for command in commands(page)}
    assert {"make demo", "make test", "district check", "district import"} <= found


@pytest.mark.parametrize("name", PAGES)
def test_generated_page_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "It is out of date: make docs"


def test_every_setting_and_command_is_explained() -> None:
    settings_page = (FOLDER / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(DISTRICT_\w+)` \| [^|]*\| ?([^|]*?) ?\|$", settings_page, re.MULTILINE))
    assert set(rows) == {f"DISTRICT_{name.upper()}" for name in Settings.model_fields}
    assert [name for name, meaning in rows.items() if not meaning] == []
    for name, command in COMMANDS.items():
        assert command.help, name
        assert [p.name for p in command.params if not getattr(p, "help", None)] == [], name


def test_every_variable_that_pages_name_is_a_setting() -> None:
    named = {name for page in DOCS for name in re.findall(r"\bDISTRICT_[A-Z_]+\b", page.read_text(encoding="utf-8"))}
    assert named <= {f"DISTRICT_{name.upper()}" for name in Settings.model_fields}


def verdicts() -> set[str]:
    """Every verdict that the importer's code can give, as its literals have it."""
    found: set[str] = set()
    for module in (PROJECT / "include" / "district").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VERDICT.fullmatch(node.value):
                found.add(node.value)
    return found


def test_every_verdict_is_explained() -> None:
    page = (FOLDER / "file-verdicts.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE))
    assert explained == verdicts()


def test_every_state_is_in_the_glossary() -> None:
    page = (PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(State.__args__)


def test_what_the_how_to_adds_is_what_the_tests_add() -> None:
    """The example of Add a data set is the one that tests/datasets drops into a copy of dags/."""
    blocks = [
        body for _, body in FENCE.findall((PROJECT / "docs/how-to/add-a-data-set.md").read_text(encoding="utf-8"))
    ]
    fifth = PROJECT / "tests" / "datasets" / "fifth"
    assert (fifth / "programs.py").read_text(encoding="utf-8") in blocks
