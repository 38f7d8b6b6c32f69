"""Rules: what follows from a data set's own declaration, in the same shape as the suite's expectations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from district.dataset import Dataset
from district.extract.values import TYPE_TITLES

Severity = Literal["critical", "warning", "info"]
# What people call a severity, gravest first.
WORDS: dict[Severity, str] = {"critical": "error", "warning": "warning", "info": "note"}
OnFail = Literal["reject", "supersede", "blank", "report", "hold", "refuse"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule: its name, how grave its failure is, what becomes of the row, and what a person does about it."""

    rule_id: str
    severity: Severity
    title: str
    fix: str
    owner: str
    on_fail: OnFail
    columns: tuple[str, ...] = ()


def derived_rules(dataset: Dataset) -> dict[str, Rule]:
    """The rules that every data set has without a line in its suite, by rule id."""
    rules: list[Rule] = []
    name, owner = dataset.name, dataset.owner

    def add(
        rule: str, title: str, fix: str, severity: Severity = "critical", on_fail: OnFail = "reject", column: str = ""
    ) -> None:
        columns = tuple(column.split(",")) if column else ()
        rule_id = f"{name}.{rule}"
        rules.append(
            Rule(
                rule_id=rule_id, severity=severity, title=title, fix=fix, owner=owner, on_fail=on_fail, columns=columns
            )
        )

    add("row.fields", "The line has too many or too few fields", "Look for a stray delimiter or line break in the SIS.")
    add(
        "row.field_too_long",
        "A field is longer than 64 kB",
        "Shorten the text in the SIS; a line may have been merged.",
    )
    add("row.nul", "A field holds a NUL character", "Delete and retype the value in the SIS.")
    for column in dataset.columns:
        c = column.name
        kind = TYPE_TITLES[column.type]
        add(f"{c}.type", f"{c} is not {kind}", f"Correct {c} in the SIS, or the format in the layout.", column=c)
        if column.type == "text":
            fix = f"Retype {c} in the SIS; it was likely pasted from a document."
            add(f"{c}.invisible", f"{c} holds invisible characters, now removed", fix, "warning", "report", c)
            fix = f"Retype {c} in the SIS; it went through a wrong encoding once."
            add(f"{c}.mojibake", f"{c} holds garbled letters", fix, "warning", "report", c)
        if c in dataset.required:
            add(f"{c}.required", f"{c} is required but empty", f"Fill in {c} in the SIS.", column=c)
        if column.code_set:
            fix = f"Map the code in the crosswalk {column.code_set}, or correct it in the SIS; the rows wait till then."
            add(f"{c}.code", f"{c} holds a code that is not mapped", fix, column=c)
    keys = ",".join(dataset.key)
    fix = "Nothing; if it comes every night, ask the SIS for an export without repetitions."
    add("key.duplicate", "The same row stands in the file more than once", fix, "warning", "supersede", keys)
    fix = "Decide in the SIS which one is right and delete the other."
    add("key.conflict", f"Rows with the same {', '.join(dataset.key)} differ", fix, column=keys)
    for parent in dataset.parents:
        on = ",".join(parent.on)
        fix = f"Correct it in the SIS, or import {parent.dataset} first; then the rows load by themselves."
        add(f"parent.{parent.dataset}", f"{', '.join(parent.on)} not found in {parent.dataset}", fix, column=on)
    return {rule.rule_id: rule for rule in rules}
