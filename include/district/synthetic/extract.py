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
from district.synthetic.sheet import Sheet

COUNTS = ("processed", "rejected", "superseded", "warnings", "inserted", "updated", "unchanged", "withdrawn")


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

    def __init__(self, source: Source, paths: dict[str, Path], *, truth: IO[str], defects: IO[str]) -> None:
        self.source = source
        self.nights = list(paths)
        self._defects = defects
        self._paths = paths
        self._truth = truth
        self._files = [path.open("wb") for path in paths.values()]
        self._line = [1] * len(paths)
        self._tables = [dict.fromkeys(COUNTS, 0) for _ in paths]
        self._issues: list[dict[str, dict[str, Any]]] = [{} for _ in paths]
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
        for night in range(len(self.nights)):
            for edit in sheet.edits:
                if edit.night == night:
                    version[edit.row] += 1
                    for name, text in edit.values.items():
                        sheet.columns[name][edit.row] = text
            active = [injection for injection in injections if injection.active(night)]
            present = (sheet.first <= night) & (night < sheet.last)
            rejected = np.zeros(len(sheet), dtype=bool)
            unreadable = np.zeros(len(sheet), dtype=bool)
            content = version * 1000
            for position, injection in enumerate(injections):
                if not injection.active(night):
                    continue
                rejected[injection.row] |= injection.kind.verdict == "REJECT"
                unreadable[injection.row] |= not injection.kind.keyed
                content[injection.row] += injection.kind.alters * (1 + position % 999)
            if known is not None:
                parents = np.ones(len(sheet), dtype=bool)
                parents[: known.shape[1]] = known[night]
                orphans = present & ~parents
                self._count_orphans(night, int(orphans.sum()))
                rejected |= orphans
            self._write(night, sheet, present, active)
            table = self._settle(night, table, present, rejected, unreadable, content)
            loaded_by[night] = table != 0
        self._write_truth(sheet, injections)
        return loaded_by

    def _count_orphans(self, night: int, orphans: int) -> None:
        if orphans:
            self._issue(night, f"{self.source.dataset}.parent.enrollment", "critical", orphans, caused=orphans)

    def _settle(
        self,
        night: int,
        table: np.ndarray,
        present: np.ndarray,
        rejected: np.ndarray,
        unreadable: np.ndarray,
        content: np.ndarray,
    ) -> np.ndarray:
        """The table after the night: 0 never there, positive the content that stands, negative what was withdrawn."""
        loaded = present & ~rejected
        withdrawn = (table > 0) & ~(present & ~unreadable)
        counts = self._tables[night]
        counts["processed"] += int(present.sum())
        counts["rejected"] += int((present & rejected).sum())
        counts["inserted"] += int((loaded & (table == 0)).sum())
        counts["updated"] += int((loaded & (table != 0) & (table != content)).sum())
        counts["unchanged"] += int((loaded & (table == content)).sum())
        counts["withdrawn"] += int(withdrawn.sum())
        return np.where(loaded, content, np.where(withdrawn, -table, table))

    def _write(self, night: int, sheet: Sheet, present: np.ndarray, active: list[Injection]) -> None:
        source = self.source
        lines = source.lines(sheet.columns, len(sheet))
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
        counts = self._tables[night]
        if kind.twin:
            counts["processed"] += 1
            counts["rejected" if kind.verdict == "REJECT" else "superseded"] += 1
        if kind.once and injection.since != night:
            return
        entry: dict[str, Any] = {"night": self.nights[night], "dataset": self.source.dataset, "kind": kind.name}
        entry |= {"line": line, "rule_id": kind.rule_id, "verdict": kind.verdict}
        if kind.twin:
            entry["second_line"] = line + 1
        self._defects.write(json.dumps(entry) + "\n")
        if kind.rule_id:
            self._issue(night, kind.rule_id, kind.reported, kind.findings)
            counts["warnings"] += kind.findings if kind.reported == "warning" else 0

    def _issue(self, night: int, rule_id: str, severity: str, count: int, *, caused: int = 0) -> None:
        issue = self._issues[night].setdefault(rule_id, {"severity": severity, "count": 0, "caused": 0})
        issue["count"] += count
        issue["caused"] += caused

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
        """Closes the files; per night the file's name, the run table and the issues."""
        result = {}
        for night, (key, path) in enumerate(self._paths.items()):
            self._files[night].close()
            table = self._tables[night]
            loaded = table["inserted"] + table["updated"] + table["unchanged"]
            if table["processed"] != loaded + table["rejected"] + table["superseded"]:
                raise AssertionError(f"{path.name}: the expected counts do not add up.")
            issues = dict(sorted(self._issues[night].items()))
            result[key] = {"file": path.name, "table": {**table, "state": "loaded"}, "issues": issues}
        return result


def truth_header(source: Source) -> str:
    """The header of a data set's truth file: canonical names."""
    return ",".join(name for name in source.columns if not name.startswith("_")) + "\n"
