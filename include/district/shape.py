"""Shape: is this file what its layout says, before a single value is believed? And where does each column stand?"""

from __future__ import annotations

import contextlib
import csv
import difflib
import itertools
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from district.dataset import Dataset
from district.landing import Arrival, Landed
from district.layout import Layout
from district.run import Held, Refused

_MAGIC = {
    b"PK\x03\x04": "a zip or Excel file",
    b"PK\x05\x06": "an empty zip file",
    b"\x1f\x8b": "a gzip file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF": "a PDF",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")
ALL_OTHERS = "*"
# A note of more lines than this in one field is a quote that was never closed.
MAX_RECORD_LINES = 500


@dataclass(frozen=True, kw_only=True)
class FileWarning:
    """Something about the file as a whole that a person should see though the file loads."""

    rule_id: str
    cause: str
    title: str
    fix: str
    severity: str = "warning"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to read the file: how many fields a record has and at which index (from 0) each column stands."""

    width: int
    places: dict[str, int] = field(default_factory=dict)
    warnings: tuple[FileWarning, ...] = ()
    lines: array[int] | None = None
    """Each record's first line, header included; None where record and line have the same number."""


def check_shape(landed: Landed, dataset: Dataset, layout: Layout, arrival: Arrival) -> Plan:
    """The plan to read a landed file by, once nothing speaks against reading it.

    Raises:
        Refused: it is not what the layout says; the message says what it is and what to do.
        Held: it holds no rows.
    """
    name = arrival.path.name
    if landed.size == 0:
        raise Refused(f"{name} has zero bytes; ask the sender to write it again.", rule_id="file.zero_bytes")
    _check_kind(landed, name)
    _check_encoding(landed, layout, name)
    _check_manifest(landed, arrival, name)
    plan = (
        _fixed_width_plan(landed, layout, name)
        if layout.fixed_width
        else _delimited_plan(landed, dataset, layout, name)
    )
    lines, blank = count_lines(landed, layout, plan.width, name)
    sent = _head_lines(landed, layout) if lines is None else lines
    if len(sent) <= (1 if layout.header and not layout.fixed_width else 0):
        message = f"{name} has a header and no rows; nothing is withdrawn until someone has looked at the SIS's export."
        raise Held(message, rule_id="file.header_only")
    warnings = (*plan.warnings, *_newline_warnings(landed, arrival), *_blank_lines(blank))
    return Plan(width=plan.width, places=plan.places, warnings=warnings, lines=lines)


def _check_kind(landed: Landed, name: str) -> None:
    for magic, kind in _MAGIC.items():
        if landed.head.startswith(magic):
            raise Refused(f"{name} is {kind} under a text file's name; export it as text.", rule_id="file.kind")
    start = landed.head[:512].lstrip(_BOM + b" \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise Refused(f"{name} is a web page, likely an error page of the SIS; export again.", rule_id="file.kind")


def _check_encoding(landed: Landed, layout: Layout, name: str) -> None:
    encoding = layout.encoding.lower().replace("_", "-")
    declared = f"the layout {layout.name} says {layout.encoding}"
    start = landed.head[:512]
    # Without a mark, half the bytes of plain letters are zero.
    if (start.startswith(_UTF16) or 3 * start.count(0) > len(start)) and not encoding.startswith("utf-16"):
        message = f"{name} is UTF-16 from byte 0 and {declared}; export as {layout.encoding}."
        raise Refused(message, rule_id="file.encoding")
    if landed.head.startswith(_BOM + _BOM):
        raise Refused(f"{name} starts with two byte order marks; export it afresh.", rule_id="file.encoding")
    if encoding in ("utf-8", "utf8", "utf-8-sig") and landed.invalid_utf8_at is not None:
        at = landed.invalid_utf8_at
        message = (
            f"{name} is not UTF-8 at byte {at} and {declared}; export as UTF-8, or declare its encoding (cp1252, say)."
        )
        raise Refused(message, rule_id="file.encoding")
    if encoding not in ("utf-8", "utf8", "utf-8-sig"):
        _check_decodes(landed, layout, name)


def _check_decodes(landed: Landed, layout: Layout, name: str) -> None:
    import codecs

    decoder = codecs.getincrementaldecoder(layout.encoding)()
    offset = 0
    with landed.path.open("rb") as file:
        # The last, empty block closes the decoder: what is cut inside a letter is none.
        for block in itertools.chain(iter(partial(file.read, 1 << 20), b""), [b""]):
            try:
                decoder.decode(block, final=not block)
            except UnicodeError as error:
                at = offset + getattr(error, "start", 0)
                message = f"{name} is not {layout.encoding} at byte {at}, which the layout {layout.name} says it is."
                raise Refused(message + " Export it again, or correct the layout.", rule_id="file.encoding") from None
            offset += len(block)


def _check_manifest(landed: Landed, arrival: Arrival, name: str) -> None:
    if arrival.sha256 and arrival.sha256.lower() != landed.sha256:
        raise Refused(f"{name} differs from the checksum in its manifest; transfer it again.", rule_id="file.checksum")


def _newline_warnings(landed: Landed, arrival: Arrival) -> Iterator[FileWarning]:
    lone_newlines = landed.newlines - landed.return_newlines
    lone_returns = landed.returns - landed.return_newlines
    if sum(1 for count in (landed.return_newlines, lone_newlines, lone_returns) if count) > 1:
        yield FileWarning(
            rule_id="file.mixed_newlines",
            cause=f"{landed.return_newlines} CRLF, {lone_newlines} LF, {lone_returns} CR",
            title="Lines end in different ways",
            fix="Rows may have been pasted in by hand; export the file afresh.",
        )
    if arrival.misspelt:
        yield FileWarning(
            rule_id="file.name",
            cause=arrival.path.name,
            title="The file's name differs in upper and lower case",
            fix="Name the export as the data set's pattern says.",
        )
    for older in arrival.older:
        yield FileWarning(
            rule_id="file.older_delivery",
            cause=older,
            title="An older delivery lies beside tonight's and was not read",
            fix="Nothing to do, unless the older file was meant; then remove the newer one.",
            severity="info",
        )


def _blank_lines(count: int) -> Iterator[FileWarning]:
    if count:
        yield FileWarning(
            rule_id="file.blank_lines",
            cause=str(count),
            title="Blank lines were passed over",
            fix="Nothing; if it comes every night, ask the sender to leave them out.",
            severity="info",
        )


def _fixed_width_plan(landed: Landed, layout: Layout, name: str) -> Plan:
    """Another year's layout would cut every line in the wrong places and raise nothing: the length must be right."""
    spans = [place for place in layout.columns.values() if isinstance(place, tuple)]
    length = layout.line_length or max(last for _, last in spans)
    lengths = Counter(len(line) for line in _head_lines(landed, layout)[:1000])
    common, times = lengths.most_common(1)[0] if lengths else (length, 0)
    if common not in (length - 1, length) and times * 2 > lengths.total():
        message = (
            f"{name} has lines of {common} characters; the layout {layout.name} has {length}. Which year is it of?"
        )
        raise Refused(message, rule_id="file.line_length")
    return Plan(width=length)


def _delimited_plan(landed: Landed, dataset: Dataset, layout: Layout, name: str) -> Plan:
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
    return Plan(width=len(sent), places=places, warnings=tuple(warnings))


def _check_repeated(sent: list[str], wanted: dict[str, str], name: str) -> None:
    """Headers that differ only in what the eye does not see are the same, unless one is just as the layout has it."""
    alike: dict[str, list[str]] = {}
    for header in sent:
        alike.setdefault(fold(header), []).append(header)
    for folded, headers in alike.items():
        ambiguous = len(headers) > 1 and folded in wanted and wanted[folded] not in headers
        if ambiguous or len(set(headers)) < len(headers):
            message = f"{name} has the header {headers[0]!r} {len(headers)} times; export it once, or name positions."
            raise Refused(message, rule_id="file.duplicate_header")


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
        near = difflib.get_close_matches(missing[0], unused, n=1, cutoff=0.5)
        hint = f" Did {near[0]!r} take its place?" if near else ""
        several = "s" if len(missing) > 1 else ""
        message = f"{name} lacks the column{several} {_listed(missing)}.{hint} Mend the export or its layout."
        raise Refused(message, rule_id="file.column_missing")
    if ALL_OTHERS not in layout.ignored:
        warnings += [
            FileWarning(
                rule_id="file.new_column",
                cause="".join(character for character in header[:60] if character.isprintable()),
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
    lines = _head_lines(landed, layout)
    if landed.size > len(landed.head) and len(lines) > 1:
        lines.pop()
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if layout.quote else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=layout.delimiter, quotechar=layout.quote or None, quoting=quoting)
    with contextlib.suppress(csv.Error):
        yield from reader


def _head_lines(landed: Landed, layout: Layout) -> list[str]:
    """The lines of the file's first megabyte that are not blank."""
    text = landed.head.decode(layout.encoding.replace("utf-8", "utf-8-sig"), errors="replace")
    return [line for line in re.split("\r\n|\r|\n", text) if line.strip("\x1a")]


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
        message = f"{name} is separated by {names[other]}; the layout {layout.name} says {expected}."
        raise Refused(message, rule_id="file.delimiter")


def fold(header: str) -> str:
    """A header without what the eye does not see: case, spaces, underscores, invisible characters."""
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", header))
    return re.sub(r"[\s_]+", "", visible).casefold()


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record as it stands in the file: its first line's number, and its text."""

    line: int
    text: str
    swallowed: bool = False
    """A quote in it was opened and, so it seems, never closed: lines in it look like records of their own."""


def pick_records(path: Path, layout: Layout, lines: Collection[int]) -> Iterator[Record]:
    """The records that begin in these lines, in order."""
    if layout.quote and not layout.fixed_width and _may_hold(path, layout):
        yield from (record for record in records(path, layout) if record.line in lines)
        return
    with path.open(encoding=layout.encoding.replace("utf-8", "utf-8-sig"), newline=None) as file:
        behind = 0
        for number in sorted(lines):
            line = next(itertools.islice(file, number - behind - 1, None), "")
            behind = number
            yield Record(line=number, text=line.removesuffix("\n"))


def _may_hold(path: Path, layout: Layout) -> bool:
    """Whether there may be a quote in the file: its byte is, which UTF-16 has in other characters too."""
    with path.open("rb") as file:
        return any(layout.quote.encode() in block for block in iter(lambda: file.read(1 << 20), b""))


def records(path: Path, layout: Layout, *, width: int = 0) -> Iterator[Record]:
    """The file's records, a quoted line break inside one; blank lines are passed over, as the reader does."""
    quoted = bool(layout.quote) and not layout.fixed_width
    with path.open(encoding=layout.encoding.replace("utf-8", "utf-8-sig"), newline=None) as file:
        first = 0
        parts: list[str] = []
        inside = swallowed = False
        for line_number, line in enumerate(file, start=1):
            line = line.removesuffix("\n")
            if not parts and not (quoted and layout.quote in line):
                if line:
                    yield Record(line=line_number, text=line)
                continue
            if not parts:
                first = line_number
            elif width > 1 and line.count(layout.delimiter) >= width - 1:
                swallowed = True
            parts.append(line)
            if quoted and (inside or line.count(layout.quote) % 2):
                inside = _open_after(line, inside, layout)
            if inside and len(parts) < MAX_RECORD_LINES:
                continue
            yield Record(line=first, text="\n".join(parts), swallowed=swallowed or inside)
            parts, inside, swallowed = [], False, False
        if parts:
            yield Record(line=first, text="\n".join(parts), swallowed=True)


def _open_after(line: str, inside: bool, layout: Layout) -> bool:
    """Whether a quoted field is open after the line: a quote opens one only where a field starts."""
    at_start = not inside
    index = 0
    while index < len(line):
        character = line[index]
        if inside and character == layout.quote:
            if line[index + 1 : index + 2] == layout.quote:
                index += 1
            else:
                inside = False
        elif not inside and at_start and character == layout.quote:
            inside = True
        at_start = not inside and character == layout.delimiter
        index += 1
    return inside


def count_lines(landed: Landed, layout: Layout, width: int, name: str) -> tuple[array[int] | None, int]:
    """Each record's first line where quotes or blank lines tell them apart, and the number of blank lines.

    Raises:
        Refused: an unclosed quote swallows rows.
    """
    quoted = landed.quotes and layout.quote and not layout.fixed_width
    if not quoted and not landed.blank_lines:
        return None, 0
    lines = array("q")
    within = 0
    for record in records(landed.path, layout, width=width):
        if record.swallowed:
            message = f"{name}: a quote opened in line {record.line} is never closed and swallows the rows after it."
            raise Refused(message + " Mend that line in the SIS.", rule_id="file.unclosed_quote")
        within += record.text.count("\n")
        lines.append(record.line)
    if not lines:
        return lines, 0
    # Blank lines behind the last record close the file; they are nobody's.
    return lines, lines[-1] - len(lines) - within + record.text.count("\n")
