"""Lines: which differ between two deliveries, whatever they hold and however many turns it takes."""

from __future__ import annotations

from array import array
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from district.extract import lines
from district.extract.landing import Landed, land
from district.extract.lines import Lines, differ, one_line_each, only_lines
from district.extract.plan import Plan
from district.layout import Layout

LINE = st.sampled_from([b"a", b"b", b"c", b"d,1", b"d,2", b"\xc3\xa9", b"x\r", b" "])
FILE = st.lists(LINE, min_size=1, max_size=30)
HEADLESS = Layout(header=False, columns={"a": 1})


def landed(folder: Path, content: bytes) -> Landed:
    delivery = folder / "delivery.csv"
    delivery.write_bytes(content)
    return land(delivery, folder / "landed")


@settings(deadline=None)
@given(FILE, FILE, st.booleans(), st.booleans(), st.sampled_from([2, 1_000]), st.sets(st.integers(1, 30)))
def test_lines_that_both_have_once_are_the_same(
    older: list[bytes], newer: list[bytes], header: bool, ends: bool, turn: int, anew: set[int]
) -> None:
    anew = {number for number in anew if number <= len(older)}
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "TURN", turn)
        patch.setattr(lines, "BLOCK", 7)
        patch.setattr(lines, "CHUNK", 3)
        copies = [landed(Path(name), b"\n".join(file) + b"\n" * ends) for file in (older, newer)]
        found = differ(
            *(Lines(copy.path) for copy in copies), header=header, anew=np.array(sorted(anew), dtype=np.int64)
        )
    begin = 1 if header else 0
    usable = [n for n in range(begin, len(older) - 1) if n + 1 not in anew]
    usable_too = list(range(begin, len(newer) - 1))
    times, times_too = Counter(older[n] for n in usable), Counter(newer[n] for n in usable_too)
    same = {line for line, count in times.items() if count == 1 and times_too[line] == 1}
    assert found.gone.tolist() == [n + 1 for n in range(begin, len(older)) if n not in usable or older[n] not in same]
    assert found.came.tolist() == [
        n + 1 for n in range(begin, len(newer)) if n not in usable_too or newer[n] not in same
    ]
    assert found.same == len(same)


@settings(deadline=None)
@given(FILE, st.booleans(), st.booleans(), st.sets(st.integers(2, 30)))
def test_picked_lines_are_read_with_their_numbers(
    file: list[bytes], header: bool, ends: bool, chosen: set[int]
) -> None:
    numbers = np.array(sorted(number for number in chosen if number <= len(file)), dtype=np.int64)
    layout = Layout() if header else HEADLESS
    with TemporaryDirectory() as name:
        copy = landed(Path(name), b"\n".join(file) + b"\n" * ends)
        with only_lines(copy, layout, Plan(width=1), Lines(copy.path), numbers) as (part, plan):
            picked = part.path.read_bytes()
            mode = part.path.stat().st_mode & 0o777
        wanted = [1, *numbers.tolist()] if header else numbers.tolist()
        assert not part.path.exists()
    assert plan.lines == array("q", wanted)
    assert picked == b"".join(file[number - 1] + b"\n" for number in wanted) or not wanted
    assert mode == 0o600


def test_the_hashes_are_kept_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    copy = landed(tmp_path, b"a\nb\n")
    Lines(copy.path)
    kept = copy.path.with_name(copy.path.name + ".lines")
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(bytes(24))
    assert Lines(copy.path).count == 1


@pytest.mark.parametrize(
    ("content", "layout", "numbers", "said"),
    [
        (b"a\n1\n2\n", Layout(), None, True),
        (b"a\r\n1\r\n", Layout(), None, True),
        (b"a\r1\r", Layout(), None, False),
        (b"a\n\n1\n", Layout(), [1, 3], False),
        (b'a\n"1\n2"\n3\n', Layout(), [1, 2, 4], False),
        (b'a\n"1"\n"2"\n', Layout(), [1, 2, 3], True),
        (b"a\n1\n", Layout(encoding="cp1252"), None, True),
        ("a\n1\n".encode("utf-16"), Layout(encoding="utf-16"), None, False),
    ],
)
def test_lines_stand_for_rows_where_each_is_a_record(
    tmp_path: Path, content: bytes, layout: Layout, numbers: list[int] | None, said: bool
) -> None:
    plan = Plan(width=1, lines=None if numbers is None else array("q", numbers))
    assert one_line_each(landed(tmp_path, content), layout, plan) is said
