"""Defects: what may be wrong with a row, which rule must find it, and where in a sheet it is put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from district.synthetic.sheet import NEVER, Quota, Sheet

Verdict = Literal["LOAD", "WARN", "REJECT"]
Fields = dict[str, str]
Change = Callable[[Fields], None]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of defect. ``rule_id`` is empty where nothing may be reported."""

    name: str
    verdict: Verdict
    rule_id: str = ""
    severity: str = ""
    change: Change | None = None
    """What it does to the row, or, of ``twin`` kinds, to the row's second copy."""
    raw: Callable[[str], str] | None = None
    """What it does to the finished line."""
    keyed: bool = True
    """Whether the row's key can still be read: a rejected row then keeps its earlier self in the table."""
    alters: bool = False
    """Whether the row loads with another content than without the defect."""
    twin: bool = False
    """The row stands twice: the first as it is, the second changed (or not)."""
    extra: bool = False
    """The row is an additional one, no part of the truth."""
    pair: str = ""
    """The column whose value is taken from another child's row."""
    lasting: bool = False
    """There on all nights: its coming or going would change the row's key."""
    once: bool = False
    """Reported only on the night on which it appears, which is never the first."""
    where: Callable[[Sheet], np.ndarray] | None = None
    anyone: bool = False
    """An error that strikes every time also children on whose row others depend."""
    share: float = 0.002
    findings: int = 1

    @property
    def reported(self) -> str:
        """The severity of its issue: critical, warning or info."""
        return self.severity or {"REJECT": "critical", "WARN": "warning", "LOAD": ""}[self.verdict]


@dataclass(frozen=True, kw_only=True)
class Injection:
    """A defect in a row on the nights ``since <= night < until``."""

    kind: Kind
    row: int
    since: int
    until: int

    def active(self, night: int) -> bool:
        """Whether the row is defective on that night."""
        return self.since <= night < self.until


def put(**values: str) -> Change:
    """Sets columns to fixed texts."""
    return lambda fields: fields.update(values)


def rewrite(column: str, change: Callable[[str], str]) -> Change:
    """Changes one column's text."""
    return lambda fields: fields.update({column: change(fields[column])})


def filled(column: str) -> Callable[[Sheet], np.ndarray]:
    """Rows in which the column is not empty."""
    return lambda sheet: np.array([bool(text) for text in sheet.columns[column]], dtype=bool)


def equals(column: str, *wanted: str) -> Callable[[Sheet], np.ndarray]:
    """Rows in which the column has one of the texts."""
    return lambda sheet: np.array([text in wanted for text in sheet.columns[column]], dtype=bool)


def kinds_of(dataset: str) -> Callable[..., Kind]:
    """A short way to write a data set's kinds: name, verdict, rule without the data set's name, change."""

    def kind(name: str, verdict: Verdict, rule: str, change: Change | None = None, **more: Any) -> Kind:
        return Kind(name=name, verdict=verdict, rule_id=f"{dataset}.{rule}" if rule else "", change=change, **more)

    return kind


def everyday_kinds(dataset: str, delimiter: str, *, differs: Change) -> tuple[Kind, ...]:
    """Defects that every delimited extract with a student_id may have; ``differs`` makes a second copy contradict."""
    kind = kinds_of(dataset)
    return (
        kind("exact_duplicate", "WARN", "key.duplicate", twin=True),
        kind("conflicting_duplicate", "REJECT", "key.conflict", differs, twin=True, findings=2),
        kind("short_line", "REJECT", "row.fields", raw=lambda line: line.rsplit(delimiter, 1)[0], keyed=False),
        kind("long_line", "REJECT", "row.fields", raw=lambda line: line + delimiter + "x", keyed=False),
        kind("padding", "LOAD", "", rewrite("student_id", lambda text: f"  {text} ")),
        kind("no_break_space", "WARN", "student_id.invisible", rewrite("student_id", lambda text: text + "\u00a0")),
    )


def inject(
    sheet: Sheet,
    kinds: tuple[Kind, ...],
    quotas: dict[str, Quota],
    rng: np.random.Generator,
    *,
    nights: int,
    allowed: np.ndarray,
    calm: np.ndarray | None = None,
    quiet: np.ndarray | None = None,
    at_least: int = 1,
) -> list[Injection]:
    """Puts each kind's share of defects into the sheet; extra rows are added to its end.

    ``allowed`` masks the rows that may be struck. The first error of a kind strikes a ``quiet`` row where it can, and
    later ones only ``calm`` rows, so that the orphans which they cause in other data sets stay few in every school.
    """
    free = allowed & sheet.stable()
    rows = len(sheet)
    used: set[int] = set()
    found: list[Injection] = []
    additions: list[tuple[Kind, int, int, int]] = []
    for kind in kinds:
        quota = quotas.setdefault(kind.name, Quota(kind.share, at_least=at_least))
        due = quota.due(rows)
        if due <= 0 or (kind.once and nights < 2):
            continue
        mask = free & kind.where(sheet)[:rows] if kind.where else free
        candidates = [int(row) for row in rng.permutation(np.flatnonzero(mask))]
        if quiet is not None and kind.verdict == "REJECT":
            candidates.sort(key=lambda row: bool(quiet[row]))
        while due > 0 and candidates:
            row = candidates.pop()
            if int(sheet.student[row]) in used:
                continue
            spared = kind.verdict == "REJECT" and quota.given and not kind.anyone
            if calm is not None and spared and not calm[row]:
                continue
            used.add(int(sheet.student[row]))
            since, until = _window(kind, quota.given, nights)
            quota.given += 1
            due -= 1
            struck = kind
            if kind.pair:
                other = candidates.pop()
                while int(sheet.student[other]) in used:
                    other = candidates.pop()
                used.add(int(sheet.student[other]))
                struck = replace(kind, change=put(**{kind.pair: sheet.columns[kind.pair][other]}))
            if kind.extra:
                additions.append((kind, row, since, until))
            else:
                found.append(Injection(kind=struck, row=row, since=since, until=until))
    return found + _add(sheet, additions)


def _window(kind: Kind, nth: int, nights: int) -> tuple[int, int]:
    """By turns: there from the first night; mended on a later night; new on a later night, if its key can be read."""
    later = 1 + (nth // 3) % (nights - 1) if nights > 1 else NEVER
    if kind.once:
        return later, NEVER
    if nights == 1 or kind.lasting or nth % 3 == 0:
        return 0, NEVER
    if nth % 3 == 1:
        return 0, later
    return (later, NEVER) if kind.keyed else (0, NEVER)


def _add(sheet: Sheet, additions: list[tuple[Kind, int, int, int]]) -> list[Injection]:
    begin = len(sheet)
    rows: list[Fields] = []
    for kind, row, _, _ in additions:
        fields = sheet.row(row)
        if kind.change:
            kind.change(fields)
        rows.append(fields)
    sheet.extend(
        rows,
        first=[since for _, _, since, _ in additions],
        last=[until for _, _, _, until in additions],
        student=[int(sheet.student[row]) for _, row, _, _ in additions],
    )
    return [
        Injection(kind=kind, row=begin + index, since=since, until=until)
        for index, (kind, _, since, until) in enumerate(additions)
    ]
