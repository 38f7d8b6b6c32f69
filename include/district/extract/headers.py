"""Headers: where each column of a delimited file stands, by the names in its first line."""

from __future__ import annotations

import contextlib
import csv
import difflib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from sqlalchemy import Row

from district.dataset import Dataset
from district.extract.landing import Landed
from district.extract.plan import FileWarning, Plan
from district.extract.records import ends_inside_quotes, head_lines
from district.layout import Layout
from district.run import Refused

_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")
ALL_OTHERS = "*"
LONGEST_HEADER = 60


def delimited_plan(landed: Landed, dataset: Dataset, layout: Layout, name: str) -> Plan:
    _check_header_closed(landed, layout, name)
    sent = read_header(landed, layout)
    wanted = {c.name: layout.columns.get(c.name, c.name) for c in dataset.columns if c.name not in layout.constants}
    _check_delimiter(layout, sent, name)
    if not layout.header:
        positions = {column: place for column, place in wanted.items() if isinstance(place, int)}
        needed = max(positions.values(), default=0)
        if len(sent) < needed:
            message = f"{name} has {len(sent)} fields in a line; the layout {layout.name} reads field {needed}."
            raise Refused(message, rule_id="file.column_missing")
        return Plan(width=len(sent), places={column: place - 1 for column, place in positions.items()})
    known = {fold(str(header)) for header in wanted.values()}
    if not known & {fold(header) for header in sent}:
        # What stands there instead may be a child's row: it is not quoted.
        message = f"{name} has no header row that the layout {layout.name} knows; export it with its headers."
        raise Refused(message, rule_id="file.no_header")
    _check_repeated(sent, {fold(str(header)): str(header) for header in wanted.values()}, name)
    places, warnings = _match_headers(sent, wanted, layout, name)
    _check_width(landed, layout, len(sent), name)
    absent = {column: str(header) for column, header in wanted.items() if column not in places}
    return Plan(width=len(sent), places=places, absent=absent, warnings=tuple(warnings))


def absent_columns(plan: Plan, last: Row[Any] | None) -> Iterator[FileWarning]:
    """A word on each optional column that the file lacks: a warning where the last load filled it."""
    # A file of fixed width has every column of its layout.
    filled = {*(last.plan["places"] or last.layout["columns"]), *last.layout["constants"]} if last is not None else ()
    for column, header in plan.absent.items():
        if column in filled:
            yield FileWarning(
                rule_id="file.column_absent",
                cause=header,
                title="A column that the last delivery had is not in the file; the load empties it in every row sent",
                fix="If the source still has it, have the export written with it and clear `extract`; else nothing.",
            )
        else:
            yield FileWarning(
                rule_id="file.column_absent",
                cause=header,
                title="A column that the source may leave out is not in the file; it is empty in every row",
                fix="Nothing, if the source has none; otherwise have the export written with it.",
                severity="info",
            )


def _check_repeated(sent: list[str], wanted: dict[str, str], name: str) -> None:
    """Headers that differ only in what the eye does not see are the same, unless one is just as the layout has it."""
    alike: dict[str, list[str]] = {}
    for header in sent:
        alike.setdefault(fold(header), []).append(header)
    for folded, headers in alike.items():
        ambiguous = len(headers) > 1 and folded in wanted and wanted[folded] not in headers
        if ambiguous or len(set(headers)) < len(headers):
            which = repr(headers[0]) if _may_be_quoted(headers[0]) else "of one name"
            message = f"{name} has the header {which} {len(headers)} times; export it once, or name positions."
            raise Refused(message, rule_id="file.duplicate_header")


def _check_header_closed(landed: Landed, layout: Layout, name: str) -> None:
    """A quote that the first line opens and does not close takes children's rows for a header."""
    first = next(iter(head_lines(landed, layout)), "")
    if layout.header and layout.quote and ends_inside_quotes(first, layout):
        message = f"{name}: a quote opened in the header line is never closed; mend the export."
        raise Refused(message, rule_id="file.unclosed_quote")


def _may_be_quoted(header: str) -> bool:
    """Whether what stands in the header's place may be told: a name is short and on one line."""
    return len(header) <= LONGEST_HEADER and header.isprintable()


def _listed(headers: list[str]) -> str:
    return ", ".join(repr(header) for header in headers[:5])


def _match_headers(
    sent: list[str], wanted: dict[str, str | int | tuple[int, int]], layout: Layout, name: str
) -> tuple[dict[str, int], list[FileWarning]]:
    exact = {header: index for index, header in enumerate(sent)}
    folded = {fold(header): index for index, header in enumerate(sent)}
    places: dict[str, int] = {}
    warnings: list[FileWarning] = []
    missing: list[str] = []
    for column, header in wanted.items():
        header = str(header)
        if header in exact:
            places[column] = exact[header]
        elif fold(header) in folded:
            places[column] = folded[fold(header)]
            warnings.append(
                FileWarning(
                    rule_id="file.header_spelling",
                    cause=header,
                    title="A header differs in case, spaces or invisible characters",
                    fix="Nothing tonight; put the export's header back as it was.",
                )
            )
        elif column not in layout.optional:
            missing.append(header)
    unused = [header for index, header in enumerate(sent) if index not in places.values()]
    if missing:
        near = difflib.get_close_matches(missing[0], filter(_may_be_quoted, unused), n=1, cutoff=0.5)
        hint = f" Did {near[0]!r} take its place?" if near else ""
        several = "s" if len(missing) > 1 else ""
        message = f"{name} lacks the column{several} {_listed(missing)}.{hint} Mend the export or its layout."
        raise Refused(message, rule_id="file.column_missing")
    if ALL_OTHERS not in layout.ignored:
        warnings += [
            FileWarning(
                rule_id="file.new_column",
                cause=header if _may_be_quoted(header) else "(not a name)",
                title="A column that the layout does not know; it is not loaded",
                fix="Add it to the data set, or to the layout's `ignored`.",
            )
            for header in unused
            if header not in layout.ignored
        ]
    return places, warnings


def read_header(landed: Landed, layout: Layout) -> list[str]:
    """The first record's fields."""
    return next(_head_records(landed, layout), [])


def _head_records(landed: Landed, layout: Layout) -> Iterator[list[str]]:
    """The records in the file's first megabyte, without one that is cut there."""
    lines = head_lines(landed, layout)
    if landed.size > len(landed.head) and len(lines) > 1:
        lines.pop()
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if layout.quote else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=layout.delimiter, quotechar=layout.quote or None, quoting=quoting)
    with contextlib.suppress(csv.Error):
        yield from reader


def _check_width(landed: Landed, layout: Layout, width: int, name: str) -> None:
    """A field too many in every row would move every id one column on; such a file is no longer judged row by row."""
    widths = Counter(len(record) for record in itertools.islice(_head_records(landed, layout), 1, 1001))
    common, times = widths.most_common(1)[0] if widths else (width, 0)
    if common != width and times * 2 > widths.total():
        message = f"{name} has {width} headers and {common} fields in most rows; mend the export, no row was read."
        raise Refused(message, rule_id="file.row_fields")


def _check_delimiter(layout: Layout, sent: list[str], name: str) -> None:
    if len(sent) > 1:
        return
    line = sent[0] if sent else ""
    names = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", "^": "caret"}
    others = Counter({other: line.count(other) for other in names if other != layout.delimiter})
    other, times = others.most_common(1)[0]
    if times:
        expected = names.get(layout.delimiter, layout.delimiter)
        message = f"{name} is separated by {names[other]}; the layout {layout.name} says {expected}. "
        message += "Export it as before, or correct the layout's delimiter."
        raise Refused(message, rule_id="file.delimiter")


def fold(header: str) -> str:
    """A header without what the eye does not see: case, spaces, underscores, invisible characters."""
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", header))
    return re.sub(r"[\s_]+", "", visible).casefold()
