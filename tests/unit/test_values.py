"""Values: what text of a source becomes, and what is said to be none."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from district.dataset import Column, ColumnType
from district.extract.values import Converted, convert
from district.layout import Layout

LAYOUT = Layout(date_formats=("%Y-%m-%d", "%m/%d/%Y"), null_tokens=("", "NA", "N/A", "None", "Null"))


def converted(texts: list[str], kind: ColumnType = "text", *, layout: Layout = LAYOUT, **column: Any) -> Converted:
    in_key = bool(column.pop("in_key", False))
    return convert(Column("value", kind, **column), pa.array(texts, pa.string()), layout, in_key=in_key)


def one(text: str, kind: ColumnType = "text", **how: Any) -> tuple[object, bool]:
    """The value, and whether it was found to be none of its type."""
    found = converted([text], kind, **how)
    return found.values[0].as_py(), bool(found.bad and found.bad[0].as_py())


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-20", datetime.date(2026, 11, 20)),
        ("11/20/2026", datetime.date(2026, 11, 20)),
        ("1/2/2026", datetime.date(2026, 1, 2)),
        (" 2024-02-29 ", datetime.date(2024, 2, 29)),
    ],
)
def test_a_date_in_a_declared_format(text: str, day: datetime.date) -> None:
    assert one(text, "date") == (day, False)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30",
        "2025-02-29",
        "20/11/2026",
        "11/20/26",
        "2026-1-2",
        "20261120",
        "46346",
        "1899-12-31",
        "now",
        "2026-11-20T00:00",
        "-",
    ],
)
def test_no_date(text: str) -> None:
    assert one(text, "date") == (None, True)


def test_a_layout_s_order_decides_between_formats() -> None:
    assert one("03/04/2026", "date", layout=Layout(date_formats=("%d/%m/%Y",)))[0] == datetime.date(2026, 4, 3)


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("-7", -7), ("+7", 7), ("007", 7), ("9" * 18, int("9" * 18))])
def test_a_whole_number(text: str, number: int) -> None:
    assert one(text, "integer") == (number, False)


@pytest.mark.parametrize("text", ["7.0", "1,234", "1 234", "0x7", "1e3", "\u0667", "9" * 19, "+", "--7", "\u22127"])
def test_no_whole_number(text: str) -> None:
    assert one(text, "integer") == (None, True)


@pytest.mark.parametrize("text", ["1", "0.5", ".5", "5.", "-0.25", "+1.5"])
def test_a_decimal_is_handed_on_as_written(text: str) -> None:
    assert one(text, "decimal") == (text, False)


@pytest.mark.parametrize("text", ["1,5", "1e3", "nan", "inf", ".", "1.2.3", "$5", "50%"])
def test_no_decimal(text: str) -> None:
    assert one(text, "decimal") == (None, True)


@pytest.mark.parametrize(("text", "value"), [("Y", "true"), ("1", "true"), ("FALSE", "false"), ("no", "false")])
def test_yes_and_no(text: str, value: str) -> None:
    assert one(text, "boolean") == (value, False)


def test_no_yes_and_no_no() -> None:
    assert one("maybe", "boolean") == (None, True)


@pytest.mark.parametrize("name", ["Null", "NA", "None", "N/A", "True", "nan", "NaN"])
def test_a_child_may_be_called_so(name: str) -> None:
    assert one(name, personal=True, literal=True) == (name, False)


def test_what_is_nobody_s_name_is_null() -> None:
    assert one("NA") == (None, False)
    assert one("NA", personal=True) == (None, False)
    assert one("NA", personal=True, literal=True, in_key=True) == (None, False)
    assert one("NA", "decimal", personal=True) == (None, False)
    assert one("", personal=True, literal=True) == (None, False)
    assert one("   ", personal=True, literal=True) == (None, False)


def test_invisible_characters_go_and_are_told() -> None:
    found = converted(["70\u200b01", "\ufeff7002", "7003\u00a0", "7004 ", "7005"])
    assert found.values.to_pylist() == ["7001", "7002", "7003", "7004", "7005"]
    assert found.invisible.to_pylist() == [True, True, True, False, False]


def test_letters_are_composed() -> None:
    assert converted(["Mun\u0303oz", "Mu\u00f1oz"]).values.to_pylist() == ["Mu\u00f1oz"] * 2


@pytest.mark.parametrize(
    ("text", "garbled"),
    [
        ("Mu\u00c3\u00b1oz", True),
        ("\u00e2\u20ac\u2122", True),
        ("Mu\u00f1oz", False),
        ("\u00c3o", False),
        ("S\u00c3O", False),
    ],
)
def test_mojibake_is_told(text: str, garbled: bool) -> None:
    found = converted([text])
    assert bool(found.mojibake and found.mojibake[0].as_py()) == garbled
    assert found.values.to_pylist() == [text]


@pytest.mark.parametrize(
    ("text", "spoilt"), [("1.23E+09", True), ("1e+09", True), ("1.5E9", True), ("2E1", False), ("1E", False)]
)
def test_an_id_that_a_spreadsheet_spoilt(text: str, spoilt: bool) -> None:
    found = converted([text], in_key=True)
    assert bool(found.scientific and found.scientific[0].as_py()) == spoilt


def test_a_layout_s_pattern_and_translation() -> None:
    layout = Layout(patterns={"value": "[0-9]{4}"}, values={"value": {"none": "0000"}})
    found = converted(["0042", "42", "none", "00421", ""], layout=layout)
    assert found.bad.to_pylist() == [False, True, False, True, None]
    assert found.values.to_pylist()[2] == "0000"


@given(
    st.lists(st.text(max_size=12), min_size=1, max_size=8),
    st.sampled_from(["text", "integer", "decimal", "date", "boolean"]),
)
def test_any_text_is_a_value_or_is_told(texts: list[str], kind: ColumnType) -> None:
    found = converted([text.encode("utf-8", "ignore").decode() for text in texts], kind)
    assert len(found.values) == len(texts)
