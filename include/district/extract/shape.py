"""Shape: is this file what its layout says, before a single value is believed?"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from district.dataset import Dataset
from district.extract.headers import delimited_plan
from district.extract.landing import Arrival, Landed
from district.extract.plan import FileWarning, Plan
from district.extract.records import count_lines, head_lines
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
        _fixed_width_plan(landed, layout, name) if layout.fixed_width else delimited_plan(landed, dataset, layout, name)
    )
    lines, blank = count_lines(landed, layout, plan.width, name)
    sent = head_lines(landed, layout) if lines is None else lines
    if len(sent) <= (1 if layout.header and not layout.fixed_width else 0):
        message = f"{name} has a header and no rows; nothing is withdrawn until someone has looked at the SIS's export."
        raise Held(message, rule_id="file.header_only")
    warnings = (*plan.warnings, *_newline_warnings(landed, arrival), *_blank_lines(blank))
    return replace(plan, warnings=warnings, lines=lines)


def _check_kind(landed: Landed, name: str) -> None:
    for magic, kind in _MAGIC.items():
        if landed.head.startswith(magic):
            raise Refused(f"{name} is {kind} under a text file's name; export it as text.", rule_id="file.kind")
    start = landed.head[:512].lstrip(_BOM + b" \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise Refused(f"{name} is a web page, likely an error page of the SIS; export again.", rule_id="file.kind")


def _check_encoding(landed: Landed, layout: Layout, name: str) -> None:
    declared = f"the layout {layout.name} says {layout.encoding}"
    start = landed.head[:512]
    # Without a mark, half the bytes of plain letters are zero.
    if (start.startswith(_UTF16) or 3 * start.count(0) > len(start)) and not layout.encoding.startswith("utf-16"):
        message = f"{name} is UTF-16 from byte 0 and {declared}; export as {layout.encoding}."
        raise Refused(message, rule_id="file.encoding")
    if landed.head.startswith(_BOM + _BOM):
        raise Refused(f"{name} starts with two byte order marks; export it afresh.", rule_id="file.encoding")
    if layout.is_utf8 and landed.invalid_utf8_at is not None:
        at = landed.invalid_utf8_at
        message = (
            f"{name} is not UTF-8 at byte {at} and {declared}; export as UTF-8, or declare its encoding (cp1252, say)."
        )
        raise Refused(message, rule_id="file.encoding")
    if not layout.is_utf8:
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
    if arrival.sha256 and arrival.sha256.lower() != landed.delivered_sha256:
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
    lengths = Counter(len(line) for line in head_lines(landed, layout)[:1000])
    common, times = lengths.most_common(1)[0] if lengths else (length, 0)
    if common not in (length - 1, length) and times * 2 > lengths.total():
        message = (
            f"{name} has lines of {common} characters; the layout {layout.name} has {length}. Which year is it of?"
        )
        raise Refused(message, rule_id="file.line_length")
    return Plan(width=length)
