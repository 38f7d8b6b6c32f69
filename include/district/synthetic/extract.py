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
from district.synthetic.fate import KEPT_OUT, SCHOOL_COUNTS, Fate, by_school
from district.synthetic.mishaps import Mishaps, Strike
from district.synthetic.sheet import Sheet

COUNTS = ("processed", "rejected", "superseded", "warnings", "inserted", "updated", "unchanged", "withdrawn", "held")
SETTLED = ("inserted", "updated", "unchanged", "rejected", "superseded", "held")
"""What becomes of a processed row: exactly one of these."""


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
        self._held = mishaps.held(source.dataset) if mishaps else {}
        self.nights = list(paths)
        self._defects = defects
        self._paths = paths
        self._truth = truth
        self._files = [path.open("wb") for path in paths.values()]
        self._line = [1] * len(paths)
        self._tables = [dict.fromkeys(COUNTS, 0) for _ in paths]
        self._schools: list[dict[str, dict[str, int]]] = [{} for _ in paths]
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
                self._count_critical(night, strike.kind.rule_id, int(mask.sum()))
            if known is not None:
                rule_id = f"{self.source.dataset}.parent.enrollment"
                orphans = fate.add_orphans(known[night])
                self._count_critical(night, rule_id, orphans, caused=orphans)
            self._write(night, sheet, fate.present, active, struck)
            table = self._settle(night, sheet, table, fate, active)
            loaded_by[night] = table != 0
        self._write_truth(sheet, injections)
        return loaded_by

    def _count_critical(self, night: int, rule_id: str, rows: int, *, caused: int = 0) -> None:
        if rule_id and rows:
            self._issue(night, rule_id, "critical", rows, caused=caused)

    def _settle(self, night: int, sheet: Sheet, table: np.ndarray, fate: Fate, active: list[Injection]) -> np.ndarray:
        """Counts the night; the table after it, as ``Fate.changes`` takes it."""
        changes = fate.changes(table)
        held = np.zeros(len(sheet), dtype=bool)
        if "school_id" in sheet.columns:
            schools = np.array(sheet.columns["school_id"])
            held = np.isin(schools, list(self._held.get(night, ())))
            self._count_schools(night, schools, {name: changes[name] for name in SCHOOL_COUNTS if name not in KEPT_OUT})
            self._count_schools(night, self._as_sent(sheet, active), {name: changes[name] for name in KEPT_OUT})
        new, changed, gone = (changes[name] for name in ("new", "changed", "gone"))
        for name, rows in {
            "processed": fate.present,
            "rejected": fate.present & fate.rejected,
            "inserted": new & ~held,
            "updated": changed & ~held,
            "unchanged": changes["unchanged"],
            "withdrawn": gone & ~held,
            "held": (new | changed) & held,
        }.items():
            self._tables[night][name] += int(rows.sum())
        loaded = (new | changed) & ~held
        return np.where(loaded, fate.content, np.where(gone & ~held, -table, table))

    def _count_schools(self, night: int, schools: np.ndarray, changes: dict[str, np.ndarray]) -> None:
        for school_id, counts in by_school(schools, changes).items():
            total = self._schools[night].setdefault(school_id, dict.fromkeys(SCHOOL_COUNTS, 0))
            for name, count in counts.items():
                total[name] += count

    def _as_sent(self, sheet: Sheet, active: list[Injection]) -> np.ndarray:
        """The school of each row as the file has it: a rejected row is of none other."""
        schools = list(sheet.columns["school_id"])
        for injection in active:
            if injection.kind.change and not injection.kind.extra:
                fields = sheet.row(injection.row)
                injection.kind.change(fields)
                schools[injection.row] = fields["school_id"]
        return np.array(schools)

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
            settled = sum(table[name] for name in SETTLED)
            if table["processed"] != settled:
                raise AssertionError(f"{path.name}: the expected counts do not add up.")
            held, schools = self._held.get(night, frozenset()), dict(sorted(self._schools[night].items()))
            all_held = bool(held) and held >= schools.keys()
            result[key] = {
                "folder": path.parent.name,
                "file": path.name,
                "table": {**table, "state": "held" if all_held else "loaded"},
                "issues": dict(sorted(self._issues[night].items())),
            }
            if schools:
                result[key]["schools"] = {name: {**counts, "held": name in held} for name, counts in schools.items()}
        return result


def truth_header(source: Source) -> str:
    """The header of a data set's truth file: canonical names."""
    return ",".join(name for name in source.columns if not name.startswith("_")) + "\n"
