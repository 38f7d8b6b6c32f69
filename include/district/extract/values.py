"""From a source's text to a column's type: trimmed, normalised, converted, with a mask of what could not be."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from district.dataset import Column
from district.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa

# Characters that nobody sees and that make two equal ids differ: zero-width space and joiners, BOM, soft hyphen.
_INVISIBLE = "[\\x{200B}-\\x{200F}\\x{2060}\\x{FEFF}\\x{00AD}]"
# UTF-8 that was once read as cp1252: a capital A-tilde or a-circumflex before what was a continuation byte.
_MOJIBAKE = "[\\x{00C2}\\x{00C3}][\\x{0080}-\\x{00BF}]|\\x{00E2}\\x{20AC}"
_INTEGER = r"^[+-]?[0-9]{1,18}$"
_DECIMAL = r"^[+-]?([0-9]{1,14}(\.[0-9]{0,12})?|\.[0-9]{1,12})$"
# As spreadsheets write it: a course may be called 2E1, no id is 2.00E+06.
_SCIENTIFIC = r"^[0-9](\.[0-9]+[eE]\+?|[eE]\+)[0-9]+$"
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), "true"),
    **dict.fromkeys(("false", "f", "no", "n", "0"), "false"),
}
MAX_FIELD_BYTES = 65_536
TYPE_TITLES = {
    "integer": "a whole number",
    "decimal": "a number",
    "date": "a date",
    "boolean": "yes or no",
    "text": "written as its source writes it",
}


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A column of a batch: values in the column's type, and per kind of trouble the mask of its rows."""

    values: pa.Array
    bad: pa.Array | None = None
    """Rows whose text is no value of the type, or not written as the layout says."""
    too_long: pa.Array | None = None
    nul: pa.Array | None = None
    invisible: pa.Array | None = None
    mojibake: pa.Array | None = None
    scientific: pa.Array | None = None
    """Rows of an id that a spreadsheet turned into scientific notation."""


def convert(column: Column, text: pa.Array, layout: Layout, *, in_key: bool) -> Converted:
    """The source's text of one column, as values of the column's type; bad values become null and are masked."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, Any] = {}
    longest = pc.max(pc.binary_length(text)).as_py() or 0
    if longest > MAX_FIELD_BYTES:
        found["too_long"] = pc.greater(pc.binary_length(text), MAX_FIELD_BYTES)
        text = pc.if_else(found["too_long"], None, text)
    if pc.any(pc.match_substring(text, "\0")).as_py():
        found["nul"] = pc.match_substring(text, "\0")
        text = pc.if_else(found["nul"], None, text)
    text = _normalised(text, found)
    text = _without_nulls(text, column, layout, in_key=in_key)
    if translation := layout.values.get(column.name):
        text = _mapped(text, lambda value: translation.get(value, value))
    if column.type == "text":
        if pattern := layout.patterns.get(column.name):
            well_formed = pc.match_substring_regex(text, f"^(?:{pattern})$")
            if pc.all(well_formed).as_py() is False:
                found["bad"] = pc.invert(well_formed)
        if (in_key or column.name.endswith("_id")) and pc.any(pc.match_substring_regex(text, _SCIENTIFIC)).as_py():
            found["scientific"] = pc.match_substring_regex(text, _SCIENTIFIC)
        return Converted(values=text, **found)
    if column.type in ("integer", "decimal"):
        pattern, kind = (_INTEGER, pa.int64()) if column.type == "integer" else (_DECIMAL, pa.string())
        well_formed = pc.match_substring_regex(text, pattern)
        if pc.all(well_formed).as_py() is False:
            found["bad"] = pc.invert(well_formed)
            text = pc.if_else(well_formed, text, None)
        if column.type == "integer":  # Arrow knows no plus sign
            text = pc.replace_substring_regex(text, r"^\+", "", max_replacements=1)
        return Converted(values=pc.cast(text, kind), **found)
    parse = _boolean if column.type == "boolean" else _date_parser(layout.date_formats)
    parsed = _mapped(text, parse)
    if parsed.null_count > text.null_count:
        found["bad"] = pc.and_(pc.is_valid(text), pc.is_null(parsed))
    return Converted(values=pc.cast(parsed, pa.date32()) if column.type == "date" else parsed, **found)


def _normalised(text: pa.Array, found: dict[str, Any]) -> pa.Array:
    """Trimmed; where there is more than ASCII, without invisible characters and in NFC, so that equal ids are equal."""
    import pyarrow.compute as pc

    if pc.all(pc.string_is_ascii(text)).as_py() is not False:
        return pc.ascii_trim_whitespace(text)
    visible = pc.replace_substring_regex(text, _INVISIBLE, "")
    trimmed = pc.utf8_trim_whitespace(visible)
    padded = pc.not_equal(pc.ascii_trim_whitespace(text), trimmed)
    if pc.any(padded).as_py():
        found["invisible"] = padded
    mojibake = pc.match_substring_regex(trimmed, _MOJIBAKE)
    if pc.any(mojibake).as_py():
        found["mojibake"] = mojibake
    return pc.utf8_normalize(trimmed, form="NFC")


def _without_nulls(text: pa.Array, column: Column, layout: Layout, *, in_key: bool) -> pa.Array:
    """A child may be called Null, NA or None: in a literal column outside the key only an empty value is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tokens = [""] if column.literal and not in_key else ["", *layout.null_tokens]
    return pc.if_else(pc.is_in(text, value_set=pa.array(tokens, pa.string())), None, text)


def _mapped(text: pa.Array, change: Callable[[str], str | None]) -> pa.Array:
    """Each distinct value changed once: dates, codes and yes/no repeat, so a million rows cost a few hundred calls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = text.dictionary_encode()
    distinct = [change(value) for value in encoded.dictionary.to_pylist()]
    return pc.take(pa.array(distinct, pa.string()), encoded.indices)


def _boolean(value: str) -> str | None:
    return _BOOLEANS.get(value.casefold())


def _date_parser(formats: tuple[str, ...]) -> Callable[[str], str | None]:
    """Strict: Arrow's own parser takes 30 February for 2 March and the year 26 for the first century."""

    def parse(value: str) -> str | None:
        for wanted in formats:
            if wanted == "%Y-%m-%d" and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
                continue
            try:
                day = datetime.datetime.strptime(value, wanted).date()
            except ValueError:
                continue
            if day.year >= 1900:
                return day.isoformat()
        return None

    return parse
