"""Landing: a copy is what was delivered, whole and unchanged."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from district.extract import landing
from district.extract.landing import land
from district.run import NotArrived, Refused


def test_a_file_that_changes_while_it_is_copied_has_not_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "children.csv"
    path.write_bytes(b"a\n1\n")
    real = landing._blocks

    def growing(path: Path, member: str) -> Iterator[bytes]:
        yield from real(path, member)
        path.write_bytes(b"a\n1\n2\n")

    monkeypatch.setattr(landing, "_blocks", growing)
    with pytest.raises(NotArrived, match=r"children\.csv is still growing"):
        land(path, tmp_path / "landed")
    assert list((tmp_path / "landed").iterdir()) == []


def test_a_landed_copy_that_has_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "children.csv"
    path.write_bytes(b"a\n1\n")
    copy = land(path, tmp_path / "landed").path
    assert land(copy, tmp_path / "landed").path == copy
    copy.chmod(0o600)
    copy.write_bytes(b"a\n2\n")
    with pytest.raises(Refused, match="has changed on the disk"):
        land(copy, tmp_path / "landed")


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    delivery, landed = tmp_path / "children_1.csv", tmp_path / "landed"
    delivery.write_bytes(b"student_id\n1\n")
    landed.mkdir()
    for name, age in ((".lines-old", 100_000), (".landing-old", 100_000), (".lines-now", 60)):
        (landed / name).write_bytes(b"7000001,Quexaro")
        os.utime(landed / name, (time.time() - age,) * 2)
    copy = land(delivery, landed)
    assert {path.name for path in landed.iterdir()} == {copy.sha256, ".lines-now"}
