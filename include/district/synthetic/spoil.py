"""Spoils a good extract in a way in which real ones arrive: cut, re-encoded, shifted, or no extract at all."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_DELIMITERS = ",\t^|;"


@dataclass(frozen=True, kw_only=True)
class _Extract:
    """A file in memory: its lines without ends, header first (a fixed-width file has none), and how it is written."""

    lines: list[str]
    delimiter: str
    newline: str
    encoding: str

    @property
    def fixed_width(self) -> bool:
        return not self.delimiter

    @property
    def rows(self) -> list[str]:
        return self.lines if self.fixed_width else self.lines[1:]

    def text(self, lines: list[str] | None = None, *, newline: str | None = None) -> str:
        end = self.newline if newline is None else newline
        return "".join(line + end for line in (self.lines if lines is None else lines))

    def written(self, lines: list[str] | None = None) -> bytes:
        return self.text(lines).encode(self.encoding)

    def fields(self) -> list[list[str]]:
        return list(csv.reader(self.lines, delimiter=self.delimiter))

    def joined(self, records: list[list[str]], *, delimiter: str = "") -> bytes:
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter or self.delimiter, lineterminator=self.newline).writerows(records)
        return out.getvalue().encode(self.encoding)


def _columns(change: Callable[[list[str]], list[str]]) -> Callable[[_Extract], bytes]:
    """Changes every record, the header too, in the same way."""
    return lambda file: file.joined([change(record) for record in file.fields()])


def _rows(change: Callable[[list[str]], list[str]]) -> Callable[[_Extract], bytes]:
    """Changes every record but the header."""

    def changed(file: _Extract) -> bytes:
        header, *records = file.fields()
        return file.joined([header, *(change(record) for record in records)])

    return changed


def _header(change: Callable[[list[str]], list[str]]) -> Callable[[_Extract], bytes]:
    def changed(file: _Extract) -> bytes:
        header, *records = file.fields()
        return file.joined([change(header), *records])

    return changed


def _wrong_delimiter(file: _Extract) -> bytes:
    return file.joined(file.fields(), delimiter=";" if file.delimiter == "," else ",")


def _added_column(file: _Extract) -> bytes:
    header, *records = file.fields()
    return file.joined([[*header, "Homeroom"], *([*record, "12"] for record in records)])


def _truncated(file: _Extract) -> bytes:
    """Ends inside a value of the last third's first row."""
    rows = file.rows
    kept = file.lines[: len(file.lines) - len(rows) // 3 - 1]
    return file.written(kept) + rows[-len(rows) // 3][:4].encode(file.encoding)


def _unclosed_quote(file: _Extract) -> bytes:
    middle = len(file.lines) // 2
    field = file.lines[middle].split(file.delimiter)
    field[2] = '"' + field[2].strip('"')
    return file.written([*file.lines[:middle], file.delimiter.join(field), *file.lines[middle + 1 :]])


def _scientific(record: list[str]) -> list[str]:
    return [f"{float(record[0]):.2E}" if record[0].strip().isdigit() else record[0], *record[1:]]


def _zipped(file: _Extract) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("extract.txt", file.written())
    return out.getvalue()


def _accented(file: _Extract) -> list[str]:
    """The lines with at least one letter beyond ASCII, without which encodings do not differ."""
    changed = list(file.lines)
    changed[-1] = changed[-1][:-1] + "é"
    return changed


def _half(file: _Extract) -> bytes:
    return file.written(file.lines[: len(file.lines) - len(file.rows) // 2])


def _huge_field(file: _Extract) -> bytes:
    header, first, *records = file.fields()
    return file.joined([header, [*first[:-1], "x" * 70_000], *records])


def _mixed_newlines(file: _Extract) -> bytes:
    middle = len(file.lines) // 2
    other = "\n" if file.newline == "\r\n" else "\r\n"
    return file.written(file.lines[:middle]) + file.text(file.lines[middle:], newline=other).encode(file.encoding)


def _encoded(encoding: str) -> Callable[[_Extract], bytes]:
    # An invisible character that the encoding does not have is no loss here.
    return lambda file: file.text(_accented(file)).encode(encoding, errors="ignore")


_HTML = b"<!DOCTYPE html>\n<html><head><title>Session expired</title></head><body>Please sign in again.</body></html>\n"

_ANY: dict[str, Callable[[_Extract], bytes]] = {
    "zero_bytes": lambda _: b"",
    "html_page": lambda _: _HTML,
    "zip_bytes": _zipped,
    "truncated": _truncated,
    "half": _half,
    "ten_times": lambda file: file.written(file.lines[: len(file.lines) - len(file.rows)] + file.rows * 10),
    "no_final_newline": lambda file: file.text().removesuffix(file.newline).encode(file.encoding),
    "cr_only": lambda file: file.text(newline="\r").encode(file.encoding),
    "mixed_newlines": _mixed_newlines,
    "control_z": lambda file: file.written() + b"\x1a",
    "utf8_bom": lambda file: b"\xef\xbb\xbf" + file.text().encode("utf-8"),
    "double_bom": lambda file: b"\xef\xbb\xbf" * 2 + file.text().encode("utf-8"),
    "utf16": lambda file: file.text().encode("utf-16"),
    "cp1252": _encoded("cp1252"),
    "nul_byte": lambda file: file.written()[:-4] + b"\x00" + file.written()[-4:],
    "blank_lines": lambda file: file.written([part for line in file.lines for part in (line, "")]),
}
_DELIMITED: dict[str, Callable[[_Extract], bytes]] = {
    "wrong_delimiter": _wrong_delimiter,
    "no_header": lambda file: file.written(file.rows),
    "header_only": lambda file: file.written(file.lines[:1]),
    "repeated_header": lambda file: file.written([*file.lines[:3], file.lines[0], *file.lines[3:]]),
    "duplicate_header": _header(lambda names: [*names[:-1], names[0]]),
    "renamed_column": _header(lambda names: [names[0] + "_New", *names[1:]]),
    "header_spelling": _header(lambda names: [f" {name.upper()} " for name in names]),
    "added_column": _added_column,
    "missing_column": _columns(lambda record: record[1:]),
    "reordered_columns": _columns(lambda record: record[::-1]),
    "extra_field": _rows(lambda record: ["1", *record]),
    "unclosed_quote": _unclosed_quote,
    "scientific_ids": _rows(_scientific),
    "lost_zeros": _rows(lambda record: [record[0].strip().lstrip("0"), *record[1:]]),
    "total_footer": lambda file: file.written([*file.lines, f"TOTAL{file.delimiter}{len(file.rows)}"]),
    "huge_field": _huge_field,
}
_FIXED: dict[str, Callable[[_Extract], bytes]] = {
    "one_short": lambda file: file.written([line[:-1] for line in file.lines]),
    "ten_short": lambda file: file.written([line[:-10] for line in file.lines]),
    # The two student ids change places, as between two years of the state's layout.
    "wrong_year_layout": lambda file: file.written(
        [line[:30] + line[40:50] + line[30:40] + line[50:] for line in file.lines]
    ),
}
DEFECTS: tuple[str, ...] = (*_ANY, *_DELIMITED, *_FIXED)
"""Every way to spoil a file; the last ones are for fixed width, those before them for delimited files."""


def spoil(path: Path, defect: str) -> None:
    """Rewrites the file with a defect of DEFECTS; ValueError if there is none such or it does not fit the file."""
    file = _read(path)
    ways = _ANY | (_FIXED if file.fixed_width else _DELIMITED)
    if defect not in ways:
        form = "a fixed-width" if file.fixed_width else "a delimited"
        raise ValueError(f"{defect} cannot be done to {form} file; choose one of {', '.join(ways)}.")
    path.write_bytes(ways[defect](file))


def _read(path: Path) -> _Extract:
    content = path.read_bytes()
    encoding = "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"
        text = content.decode(encoding)
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.removesuffix(newline).split(newline)
    counts = {delimiter: lines[0].count(delimiter) for delimiter in _DELIMITERS}
    best = max(counts, key=lambda delimiter: counts[delimiter])
    return _Extract(lines=lines, delimiter=best if counts[best] else "", newline=newline, encoding=encoding)
