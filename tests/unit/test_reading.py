"""Reading any bytes: rows with the right line and values, or a refusal; never another exception, never with a value."""

from __future__ import annotations

import csv
import dataclasses
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from district.dataset import Column, Dataset, Files
from district.extract.landing import Arrival, land
from district.extract.reading import read_batches
from district.extract.records import records
from district.extract.shape import check_shape
from district.extract.values import convert
from district.layout import Layout
from district.run import Held, Refused

ABC = Dataset(
    name="abc",
    extract=Files("*.csv"),
    key=("a",),
    scope=("a",),
    columns=(Column("a", personal=True), Column("b"), Column("c", "decimal")),
)
LAYOUTS = [
    Layout(),
    Layout(quote=""),
    Layout(delimiter="\t"),
    Layout(encoding="cp1252"),
    Layout(encoding="utf-16"),
    Layout(header=False, columns={"a": 1, "b": 2, "c": 3}),
    Layout(fixed_width=True, columns={"a": (1, 2), "b": (3, 4), "c": (5, 5)}),
]
# What files are made of, the awkward parts most of all.
PIECES = st.sampled_from([*',,,\n\n\r\t"" a1\x1a\0\ufeff\u00e9\u2028\x85', "Zq", "\r\n", '""', "1E+05"])
TEXTS = st.lists(PIECES, max_size=40).map("".join)
FILES = st.one_of(
    TEXTS.map(lambda text: ("a,b,c\n" + text).encode()),
    TEXTS.map(str.encode),
    TEXTS.map(lambda text: ("a\tb\tc\r" + text).encode("utf-16")),
    st.lists(st.lists(st.text(st.sampled_from('Zq,"\n\r 1'), max_size=4), min_size=3, max_size=3), max_size=6).map(
        lambda rows: _written([["a", "b", "c"], *rows])
    ),
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda content: b"a,b,c\n" + content),
)


def _written(rows: list[list[str]]) -> bytes:
    import io

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def read(content: bytes, layout: Layout = LAYOUTS[0]) -> tuple[dict[int, dict[str, Any]], set[int]]:
    """The rows' text by line, and the lines of malformed ones."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "abc.csv")
        path.write_bytes(content)
        landed = land(path, Path(name, "landed"))
        plan = check_shape(landed, ABC, layout, Arrival(path=path, modified=0))
        rows: dict[int, dict[str, Any]] = {}
        malformed: set[int] = set()
        for batch in read_batches(landed, ABC, layout, plan):
            for column in ABC.columns:
                convert(column, batch.columns[column.name], layout, in_key=column.name in ABC.key)
            texts = {column: values.to_pylist() for column, values in batch.columns.items()}
            for place, line in enumerate(batch.numbers.to_pylist()):
                rows[line] = {column: values[place] for column, values in texts.items()}
            malformed |= {record.number for record in batch.malformed}
        # A fixed-width line of blanks is a row, whose required values are missing; elsewhere blanks are no record.
        found = [(record.line, record.text) for record in records(landed.path, layout)]
        lines = [line for line, content in found if line in rows or content.strip("\x1a \t")]
        header = lines[:1] if layout.header and not layout.fixed_width else []
        # Every record has one fate, under the line by which the quarantine finds it again.
        assert sorted([*rows, *malformed, *header]) == lines or not lines
        return rows, malformed


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(FILES, st.sampled_from(LAYOUTS))
@example(b'a,b,c\n1,"2\n3",4\n\n5,6" x,"7"\n', LAYOUTS[0])
@example(b'a,b,c\n6" x,y,"1"\n1,2,3\n', LAYOUTS[0])
def test_any_bytes_are_read_or_refused(content: bytes, layout: Layout) -> None:
    try:
        read(content, layout)
    except (Refused, Held) as stopped:
        assert "Zq" not in str(stopped)  # noqa: PT017 - either way is right


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.lists(st.text(st.sampled_from('Zq," 1'), min_size=1, max_size=5), min_size=3, max_size=3),
        min_size=1,
        max_size=9,
    )
)
def test_what_csv_writes_is_read_to_the_letter(rows: list[list[str]]) -> None:
    found, malformed = read(_written([["a", "b", "c"], *rows]))
    assert malformed == set()
    assert [list(row.values()) for row in found.values()] == rows
    assert list(found) == list(range(2, len(rows) + 2))


def test_a_row_s_line_is_that_of_the_file() -> None:
    rows, malformed = read(b'a,b,c\n\n1,"x\ny\n\nz",3\n\n2,y\n4,z,5\n')
    assert list(rows) == [3, 9]
    assert malformed == {8}


def test_a_batch_s_end_moves_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("district.extract.reading.BATCH_BYTES", 200)
    lines = ["a,b,c"]
    wanted = []
    for n in range(300):
        if n % 7 == 0:
            lines.append("")
        if n % 11 == 0:
            lines.append(f"{n},short")
        else:
            lines.append(f'{n},"two\nlines",{n}' if n % 5 == 0 else f"{n},plain,{n}")
            wanted.append((len("\n".join(lines[:-1]).split("\n")) + 1, str(n)))

    content = "\n".join(lines) + "\n"
    rows, malformed = read(content.encode())
    assert [(line, row["a"]) for line, row in rows.items()] == wanted
    shorts = {number for number, line in enumerate(content.split("\n"), start=1) if line.endswith(",short")}
    assert malformed == shorts


FIXED = Layout(fixed_width=True, columns={"a": (1, 3), "b": (4, 6), "c": (7, 8)})


def test_fixed_width_lines_are_cut_by_character_and_may_lack_their_last() -> None:
    rows, malformed = read("Zé1abc12\nZq2abc1\nshort\n\nZq3abc34\n".encode(), FIXED)
    assert rows == {
        1: {"a": "Zé1", "b": "abc", "c": "12"},
        2: {"a": "Zq2", "b": "abc", "c": "1"},
        5: {"a": "Zq3", "b": "abc", "c": "34"},
    }
    assert malformed == {3}


def test_another_year_s_line_length_is_refused() -> None:
    with pytest.raises(Refused, match=r"lines of 10 characters; the layout canonical has 8\. Which year is it of\?"):
        read(b"0123456789\n" * 5, FIXED)


def test_a_control_count_on_an_endless_line() -> None:
    with pytest.raises((Refused, Held)) as stopped:
        read(b"a,b,c\n" + b"Zq" * (24 << 20) + b"\n1,2,3\n")
    assert re.search(r"longer than \d+ MB", str(stopped.value))


def test_a_layout_without_quotes_takes_them_as_letters() -> None:
    rows, _ = read(b'a,b,c\n"Zq,"x,1\n', dataclasses.replace(LAYOUTS[0], quote=""))
    assert rows == {2: {"a": '"Zq', "b": '"x', "c": "1"}}
