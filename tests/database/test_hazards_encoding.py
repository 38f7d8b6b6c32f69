"""Kind, encoding and line ends: files in other bytes than their layout says."""

from __future__ import annotations

import dataclasses

import pytest

from district.layout import Layout
from importing import CHILDREN, Place
from shaping import BOM, HEAD, LINES, Case, line_of, loads, meet_verdict, refused, text, with_line

CP1252 = dataclasses.replace(CHILDREN, layout=dataclasses.replace(CHILDREN.layout, encoding="cp1252"))
UTF16 = dataclasses.replace(CHILDREN, layout=dataclasses.replace(CHILDREN.layout, encoding="utf-16"))
MUNOZ = "Quexaro-Muñoz"

CASES = [
    refused("04-zero-bytes", b"", "file.zero_bytes", "zero bytes", "ask the sender"),
    refused("05-header-only", text(HEAD), "file.header_only", "no rows", state="held"),
    refused("05-header-only-no-newline", HEAD.encode(), "file.header_only", "no rows", state="held"),
    refused("05-header-only-ctrl-z", text(HEAD) + b"\x1a", "file.header_only", "no rows", state="held"),
    refused("05-header-and-blank-lines", text(HEAD, "", ""), "file.header_only", "no rows", state="held"),
    refused("05-blank-lines-only", b"\n\n\n", "file.no_header", "header"),
    refused("13-html", b"<!DOCTYPE html>\n<html><body>Quexaro001</body></html>\n", "file.kind", "web page"),
    refused("13-html-after-bom", BOM + b"\r\n <HTML><p>Sign in, please</p>\n", "file.kind", "web page"),
    refused("13-json-error", b'{"error": "session expired", "code": 401}\n', "file.no_header", "header"),
    refused("14-gzip", b"\x1f\x8b\x08\x00" + b"x" * 50, "file.kind", "gzip", "export it as text"),
    refused("14-old-excel", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 50, "file.kind", "Excel"),
    loads("21-utf8-bom", BOM + text(HEAD, *LINES)),
    refused("22-double-bom", BOM + BOM + text(HEAD, *LINES), "file.encoding", "two byte order marks"),
    refused(
        "23-cp1252",
        with_line(3, line_of(2, last_name=MUNOZ)).decode().encode("cp1252"),
        "file.encoding",
        "not UTF-8 at byte",
        "cp1252",
        canaries=("Muñoz", "Mu\ufffdoz"),
    ),
    loads("23-cp1252-declared", with_line(3, line_of(2, last_name=MUNOZ)).decode().encode("cp1252"), dataset=CP1252),
    refused("23-cut-inside-a-letter", text(HEAD, *LINES) + "7,Ñ".encode()[:-1], "file.encoding", "not UTF-8 at byte"),
    refused("24-utf16", text(HEAD, *LINES).decode().encode("utf-16"), "file.encoding", "UTF-16 from byte 0"),
    refused("24-utf16-without-mark", text(HEAD, *LINES).decode().encode("utf-16-le"), "file.encoding", "UTF-16"),
    loads("24-utf16-declared", text(HEAD, *LINES).decode().encode("utf-16"), dataset=UTF16),
    refused(
        "24-utf16-declared-cut",
        text(HEAD, *LINES).decode().encode("utf-16")[:-1],
        "file.encoding",
        "utf-16",
        dataset=UTF16,
    ),
    loads(
        "25-mojibake",
        with_line(3, line_of(2, last_name="QuexaroMuÃ±oz")),
        issues={"children.last_name.mojibake": 1},
        canaries=("MuÃ",),
    ),
    loads(
        "26-nul",
        with_line(3, line_of(2, last_name="Quexaro\0nul")),
        issues={"children.row.nul": 1},
        rejected=(3,),
        canaries=("xaro\0nul",),
    ),
    loads(
        "26-nul-in-id",
        with_line(3, line_of(2, student_id="70\x0000002")),
        issues={"children.row.nul": 1},
        rejected=(3,),
    ),
    loads("27-cr-only", text(HEAD, *LINES, end="\r")),
    loads("27-crlf", text(HEAD, *LINES, end="\r\n")),
    loads("28-mixed", text(HEAD, *LINES[:20]) + text(*LINES[20:], end="\r\n"), issues={"file.mixed_newlines": 1}),
    loads("28-mixed-cr-lf", text(HEAD, *LINES[:20], end="\r") + text(*LINES[20:]), issues={"file.mixed_newlines": 1}),
    loads("45-ctrl-z", text(HEAD, *LINES) + b"\x1a"),
    loads("45-ctrl-z-and-newline", text(HEAD, *LINES) + b"\x1a\r\n", issues={"file.mixed_newlines": 1}),
    loads(
        "46-blank-lines",
        text(*(part for line in (HEAD, *LINES) for part in (line, ""))),
        issues={"file.blank_lines": 1},
    ),
    loads("46-blank-lines-crlf", text(HEAD, "", "", *LINES, end="\r\n"), issues={"file.blank_lines": 1}),
    loads(
        "46-bad-row-after-blank-lines",
        text(HEAD, "", "", line_of(1, fte="much"), *LINES[1:]),
        issues={"file.blank_lines": 1, "children.fte.type": 1},
        rejected=(4,),
    ),
    loads("46-blank-first-line", text("", HEAD, *LINES), issues={"file.blank_lines": 1}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_file_meets_its_verdict(loaded: Place, case: Case) -> None:
    meet_verdict(loaded, case)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "UTF-8", "utf8", "U8", "UTF_8"])
def test_utf_8_by_any_name(loaded: Place, encoding: str) -> None:
    dataset = dataclasses.replace(CHILDREN, layout=Layout(encoding=encoding))
    outcome = loaded.night(BOM + text(HEAD, *LINES), dataset=dataset)
    assert (outcome.state, outcome.message, loaded.issues(outcome)) == ("loaded", "", {})
