"""Encoding and shape: a file that is not what its layout says. Each case: the verdict, the table, and no leak."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from district.dataset import Dataset, Files
from district.layout import Layout
from importing import CHILDREN, HEADER, Outcome, Place, canaries_of, child, children, csv_bytes, with_gate

BOM = b"\xef\xbb\xbf"
ROWS = children()
PLAIN = csv_bytes(ROWS)
# One child more than the first night's, so that a file that loads is seen to have loaded.
MORE = children(41)
HEAD, *LINES = csv_bytes(MORE).decode().splitlines()
CP1252 = dataclasses.replace(CHILDREN, layout=dataclasses.replace(CHILDREN.layout, encoding="cp1252"))
UTF16 = dataclasses.replace(CHILDREN, layout=dataclasses.replace(CHILDREN.layout, encoding="utf-16"))
POSITIONS = dataclasses.replace(
    CHILDREN,
    layout=Layout(header=False, columns={name: place for place, name in enumerate(HEADER, start=1)}),
)


def text(*lines: str, end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


def with_line(number: int, line: str) -> bytes:
    """The file with another line in that place (the header is line 1)."""
    lines = [HEAD, *LINES]
    lines[number - 1] = line
    return text(*lines)


def line_of(number: int, **values: str) -> str:
    return ",".join(child(number, **values).values())


def columns(change: Callable[[list[str]], list[str]]) -> bytes:
    """Every record changed, the header too."""
    return text(*(",".join(change(line.split(","))) for line in (HEAD, *LINES)))


def records(change: Callable[[list[str]], list[str]]) -> bytes:
    """Every record but the header changed."""
    return text(HEAD, *(",".join(change(line.split(","))) for line in LINES))


def header(change: Callable[[list[str]], list[str]]) -> bytes:
    return text(",".join(change(HEAD.split(","))), *LINES)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, and the verdict on it: refused or held with a rule and words, or loaded with issues and lost rows."""

    id: str
    content: bytes
    state: str = "loaded"
    rule: str = ""
    words: tuple[str, ...] = ()
    issues: Mapping[str, int] = field(default_factory=dict)
    rejected: tuple[int, ...] = ()
    """Lines of the file that are in quarantine."""
    standing: int = 41
    dataset: Dataset = CHILDREN
    canaries: tuple[str, ...] = ()


def refused(id: str, content: bytes, rule: str, *words: str, state: str = "refused", **more: object) -> Case:  # noqa: A002
    return Case(id=id, content=content, state=state, rule=rule, words=words, **more)


def loads(id: str, content: bytes, **more: object) -> Case:  # noqa: A002
    return Case(id=id, content=content, **more)


LONG = "Quexarolong" + "x" * 70_000
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
    loads("29-newline-in-quotes", with_line(3, line_of(2, last_name='"Quexaro\nTwo"'))),
    loads("29-newline-in-quotes-crlf", text(HEAD, line_of(1, last_name='"Quexaro\r\nOne"'), *LINES[1:], end="\r\n")),
    loads(
        "29-bad-row-after-newline-in-quotes",
        text(HEAD, line_of(1, last_name='"Quexaro\n\n\nOne"'), line_of(2, fte="much"), *LINES[2:]),
        issues={"children.fte.type": 1},
        rejected=(6,),
    ),
    refused(
        "30-unclosed-quote",
        with_line(20, line_of(19, last_name='"Quexaro019')),
        "file.unclosed_quote",
        "line 20",
        "Mend that line",
    ),
    refused(
        "30-two-unclosed-quotes",
        text(
            HEAD,
            *LINES[:9],
            line_of(10, last_name='"Quexaro010'),
            *LINES[10:29],
            line_of(30, last_name='"Quexaro030'),
            *LINES[30:],
        ),
        "file.unclosed_quote",
        "line 11",
    ),
    refused(
        "30-two-unclosed-quotes-in-neighbours",
        text(HEAD, *LINES[:9], line_of(10, last_name='"Quexaro010'), line_of(11, last_name='"Quexaro011'), *LINES[11:]),
        "file.unclosed_quote",
        "line 11",
    ),
    refused(
        "30-unclosed-quote-in-last-line",
        with_line(42, line_of(41, last_name='"Quexaro041')),
        "file.unclosed_quote",
        "line 42",
    ),
    loads("30-inch-mark", with_line(3, line_of(2, last_name='Quexaro 6" tall'))),
    loads("30-quote-at-the-end", with_line(3, line_of(2, last_name='Quexaro"'))),
    loads("31-quoted-delimiter", with_line(3, line_of(2, last_name='"Quexaro, Junior"'))),
    loads("31-doubled-quotes", with_line(3, line_of(2, last_name='"Quexaro ""Q"" Two"'))),
    refused(
        "32-extra-field-in-every-row",
        records(lambda record: ["1", *record]),
        "file.row_fields",
        "7 headers and 8 fields",
        "no row was read",
    ),
    refused(
        "32-a-field-less-in-every-row", records(lambda record: record[1:]), "file.row_fields", "7 headers and 6 fields"
    ),
    loads("33-long-row", with_line(3, line_of(2) + ",1"), issues={"children.row.fields": 1}, rejected=(3,)),
    loads("34-short-row", with_line(3, line_of(2)[:-2]), issues={"children.row.fields": 1}, rejected=(3,)),
    refused(
        "33-too-many-long-rows",
        text(HEAD, *(line + ",1" for line in LINES[:8]), *LINES[8:]),
        "gate.rejected",
        "rejected",
        state="held",
    ),
    refused(
        "35-duplicate-header", header(lambda names: [*names[:-1], names[0]]), "file.duplicate_header", "student_id"
    ),
    refused(
        "35-duplicate-by-spelling",
        header(lambda names: ["Student ID", "STUDENT_ID", *names[2:]]),
        "file.duplicate_header",
        "2 times",
    ),
    loads("35-positions", text(*LINES), dataset=POSITIONS),
    refused(
        "36-renamed",
        header(lambda names: [*names[:3], "Surname_Last", *names[4:]]),
        "file.column_missing",
        "'last_name'",
    ),
    refused(
        "36-nearest",
        header(lambda names: [*names[:3], "last_nam", *names[4:]]),
        "file.column_missing",
        "Did 'last_nam' take its place?",
    ),
    refused(
        "36-a-long-value-is-no-hint",
        header(lambda names: [*names[:3], "Quexaro001 " + "last_name " * 9, *names[4:]]),
        "file.column_missing",
        "'last_name'. Mend the export",
    ),
    refused(
        "30-unclosed-quote-in-the-header",
        header(lambda names: [*names[:3], '"last_name', *names[4:]]),
        "file.unclosed_quote",
        "in the header line",
    ),
    loads(
        "40-missing-and-optional",
        columns(lambda record: record[:-1]),
        dataset=dataclasses.replace(
            with_gate(CHILDREN, updated=1), layout=dataclasses.replace(CHILDREN.layout, optional=("fte",))
        ),
        issues={"file.column_absent": 1},
    ),
    refused("36-no-header", text(*LINES), "file.no_header", "header"),
    refused(
        "36-no-header-twin-values",
        text(*(line_of(n, last_name=f"70{n:05d}") for n in range(1, 42))),
        "file.no_header",
        "header",
    ),
    loads("37-reordered", columns(lambda record: record[::-1])),
    loads(
        "38-spelling",
        header(lambda names: ["\u200bStudent ID ", *(name.upper() for name in names[1:])]),
        issues={"file.header_spelling": 7},
    ),
    loads(
        "39-new-column",
        columns(lambda record: [*record, "homeroom" if record[0] == "student_id" else "Quexaroroom"]),
        issues={"file.new_column": 1},
        canaries=("Quexaroroom",),
    ),
    loads("39-new-column-with-nul", columns(lambda record: [*record, "home\0room"]), issues={"file.new_column": 1}),
    refused(
        "40-missing",
        columns(lambda record: record[:3] + record[4:]),
        "file.column_missing",
        "'last_name'",
        "Mend the export",
    ),
    *(
        refused(
            f"41-{name}", text(HEAD, *LINES).replace(b",", mark), "file.delimiter", f"separated by {name}", "says comma"
        )
        for name, mark in (("tab", b"\t"), ("semicolon", b";"), ("bar", b"|"), ("caret", b"^"))
    ),
    loads(
        "42-long-field",
        with_line(3, line_of(2, last_name=LONG)),
        issues={"children.row.field_too_long": 1},
        rejected=(3,),
        canaries=("Quexarolong",),
    ),
    loads(
        "42-long-id",
        with_line(3, line_of(2, student_id=LONG)),
        issues={"children.row.field_too_long": 1},
        rejected=(3,),
    ),
    refused(
        "42-endless-line", text(HEAD, *LINES, "y" * (40 << 20), *LINES), "file.unreadable", "a line is longer than"
    ),
    refused(
        "43-ten-times",
        text(HEAD, *(line_of(n) for n in range(1, 401))),
        "gate.grown",
        "10.0 times",
        "Nothing was changed",
        state="held",
    ),
    loads("44-total", text(HEAD, *LINES, "TOTAL,41"), issues={"children.row.fields": 1}, rejected=(43,)),
    loads(
        "44-total-padded",
        text(HEAD, *LINES, "TOTAL,41,,,,,"),
        issues={"children.school_year.required": 1, "children.grade_level_code.required": 1},
        rejected=(43,),
    ),
    loads("44-commas-only", text(HEAD, *LINES, ",,,,,,"), rejected=(43,)),
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
    before = loaded.table_hash()
    outcome = loaded.night(case.content, dataset=case.dataset)
    assert outcome.state == case.state, outcome
    assert outcome.rule_id == case.rule
    for words in case.words:
        assert words in outcome.message
    if case.state == "loaded":
        _loaded_as_expected(loaded, case, outcome)
    else:
        assert loaded.table_hash() == before
        assert len(loaded.standing()) == 40
    assert loaded.leaks({*canaries_of(MORE), *case.canaries}) == []


def _loaded_as_expected(loaded: Place, case: Case, outcome: Outcome) -> None:
    assert outcome.summary is not None
    run = outcome.summary
    assert run.read == run.loaded + run.rejected + run.superseded
    standing = loaded.standing()
    # Who was sent, even in a bad line, has not vanished.
    assert run.withdrawn == 0
    assert len(standing) == case.standing
    assert ("7000041", "0100", 2027) in standing
    issues = loaded.issues(outcome)
    for rule, rows in case.issues.items():
        assert issues.pop(rule, 0) == rows, rule
    if case.issues:
        assert issues == {}
    assert [row["source_line"] for row in loaded.quarantined()] == list(case.rejected)


def test_40_a_column_that_is_emptied_is_a_warning_and_one_that_stays_empty_a_note(loaded: Place) -> None:
    layout = dataclasses.replace(CHILDREN.layout, columns={"fte": "FTE_Share"}, optional=("fte",))
    dataset = dataclasses.replace(with_gate(CHILDREN, updated=1), layout=layout)
    told = []
    for night, (count, age) in enumerate(((41, 7200), (42, 3600)), start=19):
        file = "\n".join(line.rpartition(",")[0] for line in csv_bytes(children(count)).decode().splitlines()) + "\n"
        outcome = loaded.night(file.encode(), age=age, dataset=dataset, night=f"2026-11-{night}")
        assert outcome.state == "loaded", outcome.message
        assert {row["fte"] for row in loaded.standing().values()} == {None}
        query = "select severity, cause, title from import_log.import_issue i join import_log.import_run r "
        query += "on r.id = import_run_id where i.rule_id = 'file.column_absent' and run_key = :key"
        told += loaded.rows(query, key=outcome.run_key)
    assert [(issue["severity"], issue["cause"]) for issue in told] == [("warning", "FTE_Share"), ("info", "FTE_Share")]
    assert "the load empties it" in told[0]["title"]
    assert loaded.leaks(canaries_of(MORE)) == []


def test_a_quoted_line_break_is_kept_in_its_value(place: Place) -> None:
    place.night(with_line(3, line_of(2, last_name='"Quexaro\nTwo"')))
    assert place.standing()["7000002", "0101", 2027]["last_name"] == "Quexaro\nTwo"
    lines = place.rows("select source_line from district.children where student_id >= '7000003' order by student_id")
    # The row after the line break stands in line 5 of the file, not in line 4.
    assert lines[0]["source_line"] == 5


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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "UTF-8", "utf8", "U8", "UTF_8"])
def test_utf_8_by_any_name(loaded: Place, encoding: str) -> None:
    dataset = dataclasses.replace(CHILDREN, layout=Layout(encoding=encoding))
    outcome = loaded.night(BOM + text(HEAD, *LINES), dataset=dataset)
    assert (outcome.state, outcome.message, loaded.issues(outcome)) == ("loaded", "", {})
