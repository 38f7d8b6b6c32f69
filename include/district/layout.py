"""How a source writes a data set: delimiter or fixed width, encoding, where each column stands, formats."""

from __future__ import annotations

import codecs
import csv
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar

# Where a canonical column stands in a source: its header, its 1-based position, or its first and last character.
Place = str | int | tuple[int, int]


class LayoutError(ValueError):
    """A slip in a layout: names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One source's way to write a data set. Without a layout: UTF-8, commas, headers named as the columns are.

    ``columns`` gives each canonical column its place; a column that is absent from it (and from ``constants``)
    stands under its own name. Fixed width: every place is (first, last) character, 1-based and inclusive, or a
    field name of ``fields_file``, a CSV with the columns ``start,end,length,name``.
    """

    name: str = "canonical"
    source: str = "sis"
    """The source system, as the crosswalk names it."""
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    header: bool = True
    fixed_width: bool = False
    fields_file: str | None = None
    line_length: int | None = None
    """Characters of a fixed-width line; one fewer is accepted where the last field may be cut."""
    columns: Mapping[str, Place] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    """Columns that the source may leave out altogether; every other column must be in the file."""
    ignored: tuple[str, ...] = ()
    """Headers that are known and not loaded; ``("*",)``: all that the data set does not name."""
    constants: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Per column, a source's spelling of a value and ours: ``{"mark_type": {"Yes": "final"}}``."""
    patterns: Mapping[str, str] = field(default_factory=dict)
    """Per text column, the regular expression (RE2) that its source writes it by: ``{"student_id": "[0-9]{7}"}``.
    An id that lost its leading zeros in a spreadsheet is caught by it."""
    date_formats: tuple[str, ...] = ("%Y-%m-%d",)
    null_tokens: tuple[str, ...] = ("",)
    partitions: tuple[str, ...] = ()
    """Partition keys (administrations, school years) this layout is for; empty: all that no other layout claims."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        both = set(self.columns) & set(self.constants)
        if both:
            self._slip(f"{', '.join(sorted(both))} cannot be both a column and a constant")
        if self.fixed_width and not self.columns:
            self._slip("a fixed-width layout needs columns: with (first, last) places")
        if not self.fixed_width and len(self.delimiter) != 1:
            self._slip("the delimiter must be one character")
        try:
            encoding = codecs.lookup(self.encoding).name
        except (LookupError, ValueError):
            self._slip(f"Python knows no encoding {self.encoding}; utf-8, cp1252 and utf-16 are usual")
        # One name for one encoding; whether UTF-8 has a byte order mark is the file's affair.
        object.__setattr__(self, "encoding", encoding.removesuffix("-sig"))
        for name, pattern in self.patterns.items():
            try:
                re.compile(pattern)
            except re.error:
                self._slip(f"the pattern of {name} is no regular expression")
        for name, place in self.columns.items():
            if isinstance(place, tuple) and not (self.fixed_width and 1 <= place[0] <= place[1]):
                self._slip(f"column {name}: (first, last) is for fixed width, from 1, first not after last")
            if isinstance(place, int) and (self.header or self.fixed_width or place < 1):
                self._slip(f"column {name}: a position counts from 1 and needs header: false")
            if isinstance(place, str) and not self.header and not self.fixed_width:
                self._slip(f"column {name}: without a header row give its position, such as 3")

    @property
    def is_utf8(self) -> bool:
        """Whether the source writes UTF-8, with or without a byte order mark."""
        return self.encoding == "utf-8"

    @property
    def codec(self) -> str:
        """Python's name for decoding with; it takes a byte order mark off."""
        return "utf-8-sig" if self.is_utf8 else self.encoding

    def _slip(self, what: str) -> None:
        raise LayoutError(f"Layout {self.name}: {what}.")


def read_layout(path: Path) -> Layout:
    """The layout in a YAML file; LayoutError says which field is wrong and where."""
    import yaml
    from pydantic import TypeAdapter, ValidationError

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LayoutError(f"{path.name} is not a readable YAML file ({type(error).__name__}).") from None
    if not isinstance(content, dict):
        raise LayoutError(f"{path.name} must hold fields such as `delimiter:` and `columns:`.")
    content.setdefault("name", path.stem)
    try:
        layout = TypeAdapter(Layout).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if isinstance(slip := first.get("ctx", {}).get("error"), LayoutError):
            raise slip from None
        place = ".".join(str(part) for part in first["loc"]) or "layout"
        if first["type"] == "unexpected_keyword_argument":
            near = difflib.get_close_matches(place, [each.name for each in fields(Layout)], n=1)
            hint = f" Is {near[0]} meant?" if near else ""
            raise LayoutError(f"{path.name}: a layout has no field {place}.{hint}") from None
        raise LayoutError(f"{path.name}: {place}: {first['msg']}.") from None
    return with_fields(layout, path.parent)


def with_fields(layout: Layout, folder: Path) -> Layout:
    """The layout with field names of its ``fields_file`` turned into (first, last) places."""
    from dataclasses import replace

    if not layout.fields_file:
        return layout
    places: dict[str, tuple[int, int]] = {}
    number = 1
    try:
        with (folder / layout.fields_file).open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                if number > 1 and len(row) >= 4:
                    places[row[3].strip()] = (int(row[0]), int(row[1]))
    except (OSError, ValueError, csv.Error) as error:
        message = f"{layout.fields_file}, line {number}: {type(error).__name__}; it must be start,end,length,name."
        raise LayoutError(f"Layout {layout.name}: {message}") from None
    columns: dict[str, Place] = {}
    for name, place in layout.columns.items():
        if isinstance(place, str) and place not in places:
            raise LayoutError(f"Layout {layout.name}: {layout.fields_file} has no field {place} (for {name}).")
        columns[name] = places[place] if isinstance(place, str) else place
    length = layout.line_length or max(last for _, last in places.values())
    return replace(layout, columns=columns, line_length=length)


def layouts_of(dataset: str, folder: Path) -> list[Layout]:
    """All layouts kept for a data set: the YAML files of ``folder/<dataset>/``, by name."""
    return [read_layout(path) for path in sorted((folder / dataset).glob("*.yaml"))]


def choose_layout(default: Layout, others: list[Layout], *, partition: str) -> Layout:
    """The layout that claims the partition, else the data set's own; LayoutError if two claim it.

    A layout is chosen by what is delivered, never by whether a file happens to parse under it.
    """
    claiming = [layout for layout in others if partition in layout.partitions]
    if len(claiming) > 1:
        names = ", ".join(layout.name for layout in claiming)
        raise LayoutError(f"The layouts {names} all claim {partition}; leave it in one of them.")
    return claiming[0] if claiming else default
