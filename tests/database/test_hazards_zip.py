"""Zip files: damaged, dangerous, or not what the data set takes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile

import pytest

from district.dataset import Files
from importing import CHILDREN, Place, canaries_of
from shaping import HEAD, LINES, MORE, text


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def linked() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("children.csv")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


ZIPPED = dataclasses.replace(CHILDREN, extract=Files("children_*.zip", member="*.csv"))
GOOD = ("children.csv", text(HEAD, *LINES))
DAMAGED = bytearray(zipped(GOOD))
DAMAGED[60] ^= 0xFF
ENCRYPTED = bytearray(zipped(GOOD))
ENCRYPTED[6] |= 1
ENCRYPTED[ENCRYPTED.rindex(b"PK\x01\x02") + 8] |= 1


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        pytest.param(zipped(GOOD), "", id="17-good"),
        pytest.param(zipped(("__MACOSX/._children.csv", b"junk"), ("read.me", b"x"), GOOD), "", id="17-macosx"),
        pytest.param(zipped(("children.csv", text(HEAD) + b"0" * 200_000_000)), "file.zip_bomb", id="15-bomb"),
        pytest.param(zipped(("../children.csv", GOOD[1])), "file.zip_path", id="16-parent-folder"),
        pytest.param(zipped(("/children.csv", GOOD[1])), "file.zip_path", id="16-absolute"),
        pytest.param(zipped(("C:\\children.csv", GOOD[1])), "file.zip_path", id="16-drive"),
        pytest.param(zipped(GOOD, ("inner.zip", zipped(GOOD))), "file.zip_path", id="16-nested"),
        pytest.param(linked(), "file.zip_path", id="16-symlink"),
        pytest.param(zipped(GOOD, ("other.csv", GOOD[1])), "file.zip_member", id="16-two-members"),
        pytest.param(zipped(("read.me", b"x")), "file.zip_member", id="16-no-member"),
        pytest.param(zipped(), "file.zip_member", id="16-empty-zip"),
        pytest.param(
            zipped(*((f"{n}.txt", b"x") for n in range(1001)), GOOD), "file.zip_members", id="15-many-members"
        ),
        pytest.param(zipped(("children.csv", zipped(GOOD))), "file.kind", id="14-zip-in-a-csv-name"),
        pytest.param(bytes(DAMAGED), "file.zip", id="16-damaged"),
        pytest.param(bytes(ENCRYPTED), "file.zip", id="16-encrypted"),
        pytest.param(zipped(GOOD)[:-30], "file.zip", id="16-cut"),
        pytest.param(GOOD[1], "file.zip", id="16-no-zip"),
        pytest.param(b"", "file.zip", id="04-zero-bytes"),
    ],
)
def test_a_zip_meets_its_verdict(loaded: Place, content: bytes, rule: str) -> None:
    before = loaded.table_hash()
    (loaded.folder / "drop" / "children_1.csv").unlink()
    loaded.drop(content, name="children_1.zip")
    outcome = loaded.run(ZIPPED)
    assert outcome.rule_id == rule, outcome
    assert outcome.state == ("refused" if rule else "loaded")
    assert (loaded.table_hash() == before) == bool(rule)
    landed = [path.stat().st_size for path in (loaded.folder / "landed").iterdir()]
    assert max(landed) < 1 << 20
    assert len(landed) == (1 if rule and rule != "file.kind" else 2)  # no half landed file stays
    assert loaded.leaks(canaries_of(MORE)) == []


def test_14_a_zip_under_a_text_name(loaded: Place) -> None:
    outcome = loaded.night(zipped(GOOD))
    assert (outcome.state, outcome.rule_id) == ("refused", "file.kind")
    assert "zip or Excel" in outcome.message


def test_a_manifest_speaks_of_the_zip_that_was_delivered(loaded: Place) -> None:
    path = loaded.drop(zipped(GOOD), name="children_1.zip")
    manifest = path.with_name(path.name + ".manifest.json")
    manifest.write_text(json.dumps({"rows": 41, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    assert loaded.run(ZIPPED).state == "loaded"
