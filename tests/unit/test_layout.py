"""Layouts: a slip names the layout and says what to do; the one that claims a delivery is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from district.layout import Layout, LayoutError, choose_layout, read_layout, with_fields


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("delimiter: [", "state.yaml is not a readable YAML file"),
        ("- a\n- b\n", "must hold fields such as"),
        ("", "must hold fields such as"),
        ("delimeter: ','\n", "a layout has no field delimeter. Is delimiter meant?"),
        ("delimiter: '||'\n", "Layout state: the delimiter must be one character"),
        ("header: maybe\n", "header: Input should be a valid boolean"),
        ("encoding: utf-88\n", "Layout state: Python knows no encoding utf-88"),
        ("columns: {student_id: [1, 7]}\n", "(first, last) is for fixed width"),
        ("columns: {student_id: 3}\n", "needs header: false"),
        ("header: false\ncolumns: {student_id: Number}\n", "give its position, such as 3"),
        ("columns: {student_id: Number}\nconstants: {student_id: '1'}\n", "cannot be both a column and a constant"),
        ("fixed_width: true\n", "needs columns: with (first, last) places"),
        ("fixed_width: true\ncolumns: {student_id: [7, 1]}\n", "first not after last"),
        ("patterns: {student_id: '['}\n", "the pattern of student_id is no regular expression"),
        ("fixed_width: true\nfields_file: gone.csv\ncolumns: {student_id: Id}\n", "gone.csv"),
    ],
)
def test_a_slip_says_what_to_do(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "state.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LayoutError) as slip:
        read_layout(path)
    assert words in str(slip.value)


def test_a_layout_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "state.yaml"
    with pytest.raises(LayoutError, match="FileNotFoundError"):
        read_layout(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LayoutError, match="UnicodeDecodeError"):
        read_layout(path)


def fixed(**more: Any) -> Layout:
    return Layout(name="state", fixed_width=True, fields_file="fields.csv", columns={"student_id": "Id"}, **more)


def test_fields_by_name(tmp_path: Path) -> None:
    (tmp_path / "fields.csv").write_text("start,end,length,name\n1,4,4,Year\n5,11,7,Id\n", encoding="utf-8")
    layout = with_fields(fixed(), tmp_path)
    assert (layout.columns, layout.line_length) == ({"student_id": (5, 11)}, 11)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("start,end,length,name\n5,11,7,Number\n", "has no field Id"),
        ("start,end,length,name\nfive,11,7,Id\n", "line 2"),
    ],
)
def test_a_field_list_with_a_slip(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "fields.csv").write_text(content, encoding="utf-8")
    with pytest.raises(LayoutError) as slip:
        with_fields(fixed(), tmp_path)
    assert words in str(slip.value)


def test_the_layout_that_claims_a_partition_is_chosen() -> None:
    default, old = Layout(name="now"), Layout(name="old", partitions=("2024-25_spring",))
    assert choose_layout(default, [old], partition="2024-25_spring") is old
    assert choose_layout(default, [old], partition="2025-26_spring") is default
    with pytest.raises(LayoutError, match="old, older all claim 2024-25_spring"):
        choose_layout(default, [old, Layout(name="older", partitions=("2024-25_spring",))], partition="2024-25_spring")
