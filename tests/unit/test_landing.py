"""Landing: a copy is what was delivered, whole and unchanged."""

from __future__ import annotations

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
