"""Extracts as they grow: a data set's file of every night, school by school, and the count of what must come of it."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from district.synthetic.defects import Injection
from district.synthetic.fate import Fate
from district.synthetic.mishaps import Mishaps, Strike
from district.synthetic.sheet import Sheet
from district.synthetic.tally import Tally


@dataclass(frozen=True, kw_only=True)
class Source:
    """How a data set is written: its columns in order with their headers or widths, delimiter, encoding, line end."""

    dataset: str
    columns: dict[str, str | int]
    """Canonical name to header, or (fixed width) to the number of characters; names starting with _ are fillers."""
    delimiter: str = ","
    encoding: str = "utf-8"
    newline: str = "\n"
    dates: tuple[str, ...] = ()
    date_format: str = "%Y-%m-%d"

    @property
    def fixed_width(self) -> bool:
        """Whether lines are cut by position and have no header."""
        return all(isinstance(place, int) for place in self.columns.values())

    @property
    def header(self) -> str:
        """The first line; empty for fixed width."""
        return "" if self.fixed_width else self.delimiter.join(str(header) for header in self.columns.values())

    def lines(self, columns: dict[str, list[str]], rows: int) -> list[str]:
        """Every row as a line, without its end."""
        blank = [""] * rows
        if not self.fixed_width:
            return list(map(self.delimiter.join, zip(*(columns[name] for name in self.columns), strict=True)))
        padded = (
            [text.ljust(width) for text in columns.get(name, blank)]
            for name, width in self.columns.items()
            if isinstance(width, int)
        )
        return list(map("".join, zip(*padded, strict=True)))

    def line(self, fields: dict[str, str]) -> str:
        """One row as a line, without its end."""
        return self.lines({name: [text] for name, text in fields.items()}, 1)[0]


class Extracts:
    """One data set's files, one a night (or one of a past administration), and their expected run tables."""

    def __init__(
        self,
        source: Source,
        paths: dict[str, Path],
        *,
        truth: IO[str],
        defects: IO[str],
        mishaps: Mishaps | None = None,
    ) -> None:
        self.source = source
        self._strikes = mishaps.strikes(source.dataset) if mishaps else ()
        self.nights = list(paths)
        self._defects = defects
        self._paths = paths
        self._truth = truth
        self._files = [path.open("wb") for path in paths.values()]
        self._line = [1] * len(paths)
        held = mishaps.held(source.dataset) if mishaps else {}
        self._tallies = [Tally(held.get(night, frozenset())) for night in range(len(paths))]
        if source.header:
            for night, file in enumerate(self._files):
                file.write((source.header + source.newline).encode(source.encoding))
                self._line[night] = 2

    def add(self, sheet: Sheet, injections: list[Injection], *, known: np.ndarray | None = None) -> np.ndarray:
        """Writes a school's rows into every night's file and counts them.

        ``known`` (nights x rows) says whether a row's parent has been loaded; without it there is no parent. Returns,
        of the same shape, whether a row has been loaded on that night or before.
        """
        table = np.zeros(len(sheet), dtype=np.int64)
        version = np.ones(len(sheet), dtype=np.int64)
        loaded_by = np.zeros((len(self.nights), len(sheet)), dtype=bool)
        for night, tally in enumerate(self._tallies):
            for edit in sheet.edits:
                if edit.night == night:
                    version[edit.row] += 1
                    for name, text in edit.values.items():
                        sheet.columns[name][edit.row] = text
            present = (sheet.first <= night) & (night < sheet.last)
            struck = [(each, each.rows(sheet, present)) for each in self._strikes if each.night == night]
            for strike, mask in struck:
                if not strike.kind.texts:
                    present &= ~mask
            active = [each for each in injections if each.active(night) and present[each.row]]
            fate = Fate(version * 1000, present)
            for position, injection in enumerate(injections):
                if injection.active(night):
                    fate.add_defect(injection, position)
            for position, (strike, mask) in enumerate(struck):
                fate.add_mishap(strike, mask, position)
                tally.add_issue(strike.kind.rule_id, "critical", int(mask.sum()))
            if known is not None:
                orphans = fate.add_orphans(known[night])
                tally.add_issue(f"{self.source.dataset}.parent.enrollment", "critical", orphans, caused=orphans)
            self._write(night, sheet, fate.present, active, struck)
            table = tally.settle(table, fate, sheet.columns.get("school_id"), _schools_sent(sheet, active))
            loaded_by[night] = table != 0
        self._write_truth(sheet, injections)
        return loaded_by

    def _write(
        self,
        night: int,
        sheet: Sheet,
        present: np.ndarray,
        active: list[Injection],
        struck: list[tuple[Strike, np.ndarray]],
    ) -> None:
        source = self.source
        columns = dict(sheet.columns)
        for strike, mask in struck:
            for name, text in strike.kind.texts.items():
                columns[name] = [text if hit else old for old, hit in zip(columns[name], mask, strict=True)]
        lines = source.lines(columns, len(sheet))
        heights = present.astype(np.int64)
        for injection in active:
            lines[injection.row] = self._struck(sheet, injection)
            heights[injection.row] += injection.kind.twin
        numbers = self._line[night] + np.cumsum(heights) - heights
        for injection in active:
            self._report(night, injection, int(numbers[injection.row]))
        kept = [lines[row] for row in np.flatnonzero(present)]
        if kept:
            text = source.newline.join(kept) + source.newline
            self._files[night].write(text.encode(source.encoding))
        self._line[night] += int(heights.sum())

    def _struck(self, sheet: Sheet, injection: Injection) -> str:
        kind, fields = injection.kind, sheet.row(injection.row)
        before = self.source.line(fields) + self.source.newline if kind.twin else ""
        if kind.change and not kind.extra:
            kind.change(fields)
        line = self.source.line(fields)
        return before + (kind.raw(line) if kind.raw else line)

    def _report(self, night: int, injection: Injection, line: int) -> None:
        kind = injection.kind
        if kind.twin:
            self._tallies[night].add_twin(kind)
        if kind.once and injection.since != night:
            return
        entry: dict[str, Any] = {"night": self.nights[night], "dataset": self.source.dataset, "kind": kind.name}
        entry |= {"line": line, "rule_id": kind.rule_id, "verdict": kind.verdict}
        if kind.twin:
            entry["second_line"] = line + 1
        self._defects.write(json.dumps(entry) + "\n")
        self._tallies[night].add_issue(kind.rule_id, kind.reported, kind.findings)

    def _write_truth(self, sheet: Sheet, injections: list[Injection]) -> None:
        last = len(self.nights) - 1
        real = (sheet.first <= last) & (last < sheet.last)
        real[[injection.row for injection in injections if injection.kind.extra]] = False
        names = [name for name in self.source.columns if not name.startswith("_")]
        dated = Counter(self.source.dates)
        columns = [self._iso(sheet.columns[name]) if dated[name] else sheet.columns[name] for name in names]
        rows = list(map(",".join, zip(*columns, strict=True)))
        self._truth.writelines(rows[row] + "\n" for row in np.flatnonzero(real))

    def _iso(self, texts: list[str]) -> list[str]:
        """Source dates as ISO dates; each distinct one is read once."""
        known = {"": ""}
        for text in set(texts) - {""}:
            known[text] = datetime.datetime.strptime(text, self.source.date_format).date().isoformat()
        return [known[text] for text in texts]

    def close(self) -> dict[str, dict[str, Any]]:
        """Closes the files; per night where the file lies and what is to be expected of it."""
        for file in self._files:
            file.close()
        return {
            key: {"folder": path.parent.name, "file": path.name, **tally.expected()}
            for (key, path), tally in zip(self._paths.items(), self._tallies, strict=True)
        }


def _schools_sent(sheet: Sheet, active: list[Injection]) -> list[str] | None:
    """The school of each row as the file has it, with the defects that are in it."""
    if "school_id" not in sheet.columns:
        return None
    schools = list(sheet.columns["school_id"])
    for injection in active:
        if injection.kind.change and not injection.kind.extra:
            fields = sheet.row(injection.row)
            injection.kind.change(fields)
            # What is no school's number by its form is told of no school.
            told = fields["school_id"]
            schools[injection.row] = told if len(told) == len(schools[injection.row]) else ""
    return schools


def truth_header(source: Source) -> str:
    """The header of a data set's truth file: canonical names."""
    return ",".join(name for name in source.columns if not name.startswith("_")) + "\n"
