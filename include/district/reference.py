"""The generated pages of docs/reference/: data dictionary, settings, command line. `make docs` writes them."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from district.catalog import read_datasets
from district.dataset import Column, Dataset, Files, Parent
from district.semester_change.foresight import change_rules
from district.settings import PROJECT, Settings
from district.validate.rules import WORDS, Rule, derived_rules
from district.validate.suite import suite_path

PAGES = ("data-dictionary.md", "settings.md", "command-line.md")
FOLDER = PROJECT / "docs" / "reference"
_FATES = {
    "reject": "row to quarantine",
    "supersede": "first row kept",
    "blank": "value removed",
    "report": "row loads",
    "hold": "file held",
    "refuse": "file refused",
}
# A column of each kind, to say once which rules every data set has.
_EXAMPLE = Dataset(
    name="dataset",
    extract=Files("dataset_*.csv"),
    key=("text_column", "school_year"),
    scope=("school_year",),
    columns=(
        Column("text_column"),
        Column("date_column", "date"),
        Column("local_code", code_set="code_set"),
        Column("school_year", "integer"),
    ),
    parents=(Parent("parent", on=("text_column",)),),
)
_REPEATED = ("school_year.", "local_code.type", "local_code.invisible", "local_code.mojibake")


def pages() -> dict[str, str]:
    """The generated pages, by file name."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - it writes Markdown from the project's own files
        loader=PackageLoader("district"), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters.update(table=_table, names=_names)
    datasets = sorted(read_datasets(PROJECT / "dags").values(), key=lambda each: (len(each.parents), each.name))
    facts = {
        "datasets": datasets,
        "about": {dataset.name: _about(PROJECT / "dags" / f"{dataset.name}.py") for dataset in datasets},
        "columns": {dataset.name: [_column(dataset, column) for column in dataset.columns] for dataset in datasets},
        "suites": {dataset.name: [_rule(rule) for rule in _suite_rules(dataset)] for dataset in datasets},
        "strict": {dataset.name: [_rule(rule) for rule in _strict_rules(dataset)] for dataset in datasets},
        "promoted": {dataset.name: _strict_suite(dataset).get("meta", {}).get("promoted", {}) for dataset in datasets},
        "derived": [_rule(rule) for rule in derived_rules(_EXAMPLE).values() if not _is_repeated(rule)],
        "settings": list(_settings()),
        "commands": list(_commands()),
    }
    return {name: environment.get_template(f"{name}.j2").render(facts) for name in PAGES}


def _about(file: Path) -> str:
    """The first paragraph of a DAG file's text, behind its heading."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    paragraphs = [part for part in text.split("\n\n") if not part.startswith("#")]
    return paragraphs[0] if paragraphs else ""


def _column(dataset: Dataset, column: Column) -> tuple[str, ...]:
    return (
        f"`{column.name}`",
        column.type,
        "key" if column.name in dataset.key else "yes" if column.name in dataset.required else "",
        "yes" if column.personal else "",
        f"`{column.code_set}`; standard code in `{column.descriptor}`" if column.code_set else "",
        column.description,
    )


def _suite_rules(dataset: Dataset) -> Iterator[Rule]:
    """The suite's rules as its file states them; Great Expectations need not be asked for that."""
    content = json.loads(suite_path(dataset, PROJECT / "expectations").read_text(encoding="utf-8"))
    yield from _rules(content["expectations"])


def _strict_suite(dataset: Dataset) -> dict[str, Any]:
    """What comes on top of the suite at semester change; nothing where there is no such file."""
    path = suite_path(dataset, PROJECT / "expectations", strict=True)
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def _strict_rules(dataset: Dataset) -> Iterator[Rule]:
    """The rules of semester change: those on counts, which every nightly data set has, and the suite's."""
    if dataset.partition == "night":
        yield from change_rules(dataset).values()
        yield from _rules(_strict_suite(dataset).get("expectations", []))


def _rules(specs: list[dict[str, Any]]) -> Iterator[Rule]:
    for spec in specs:
        meta = {name: spec["meta"][name] for name in ("rule_id", "title", "fix", "owner", "on_fail")}
        yield Rule(severity=spec["severity"], **meta)


def _is_repeated(rule: Rule) -> bool:
    return rule.rule_id.removeprefix("dataset.").startswith(_REPEATED)


def _rule(rule: Rule) -> tuple[str, ...]:
    return f"`{rule.rule_id}`", WORDS[rule.severity], _FATES[rule.on_fail], rule.title, rule.fix


def _settings() -> Iterator[tuple[str, str, str]]:
    """Environment variable, default and meaning, which is the text below the setting in its class."""
    tree = ast.parse(inspect.getsource(Settings)).body[0]
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    texts: dict[str, str] = {}
    for statement, following in itertools.pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            said = following.value if isinstance(following, ast.Expr) else None
            text = said.value if isinstance(said, ast.Constant) else ""
            texts[statement.target.id] = " ".join(str(text).replace("``", "`").split())
    for name, field in Settings.model_fields.items():
        secret = "Secret" in str(field.annotation)
        default = "" if secret else str(field.default).replace(f"{PROJECT}/", "")
        yield f"`DISTRICT_{name.upper()}`", f"`{default}`" if default else "", texts[name]


def _commands() -> Iterator[dict[str, Any]]:
    import typer

    from district.command_line import app

    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        options = [each for each in command.params if each.param_type_name == "option"]
        yield {
            "name": name,
            "help": command.help,
            "usage": " ".join(["district", name, *(_place(each) for each in arguments)]),
            "parameters": [
                (f"`{each.name.upper()}`", "needed" if each.required else "", each.help or "") for each in arguments
            ]
            + [(f"`{each.opts[0]}`", _default(each.default), each.help or "") for each in options],
        }


def _place(argument: Any) -> str:
    name = str(argument.name).upper()
    return name if argument.required else f"[{name}]"


def _default(value: object) -> str:
    return "" if value is None or value is False or value == "" else f"`{value}`"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(rows: Iterable[tuple[str, ...]], *header: str) -> str:
    lines = [header, ("---",) * len(header), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in line)}|" for line in cells)


if __name__ == "__main__":
    for page, content in pages().items():
        (FOLDER / page).write_text(content, encoding="utf-8")
