"""Records: a file's lines as the records they make up, a quoted line break inside one, each known by its first line."""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from district.extract.landing import Landed
from district.layout import Layout
from district.run import Refused

# A note of more lines than this in one field is a quote that was never closed.
MAX_RECORD_LINES = 500


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
    with path.open(encoding=layout.codec, newline=None) as file:
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
    with path.open(encoding=layout.codec, newline=None) as file:
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
                inside = ends_inside_quotes(line, layout, inside=inside)
            if inside and len(parts) < MAX_RECORD_LINES:
                continue
            yield Record(line=first, text="\n".join(parts), swallowed=swallowed or inside)
            parts, inside, swallowed = [], False, False
        if parts:
            yield Record(line=first, text="\n".join(parts), swallowed=True)


def ends_inside_quotes(line: str, layout: Layout, *, inside: bool = False) -> bool:
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


def head_lines(landed: Landed, layout: Layout) -> list[str]:
    """The lines of the file's first megabyte that are not blank."""
    text = landed.head.decode(layout.codec, errors="replace")
    return [line for line in re.split("\r\n|\r|\n", text) if line.strip("\x1a")]
