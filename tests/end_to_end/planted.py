"""Names and ids that stand nowhere but in the extracts, planted in good rows and in every kind of bad one."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

CANARY = "Quexaro"
"""Part of every planted name."""
BAD_DATE = "31/02/1887"


def plant(district: Path) -> frozenset[str]:
    """Gives every child of the extracts a planted name; returns the ids of all children, which leak just as badly."""
    ids: set[str] = set()
    for path in sorted(district.glob("night_*/enrollment_*.csv")):
        header, *rows = _read(path)
        surname, first, sis, state = (
            header.index(name) for name in ("Last_Name", "First_Name", "Student_Number", "State_StudentNumber")
        )
        for row in rows:
            for place in (surname, first):
                # One that shows a defect keeps it, and an empty one stays empty.
                if len(row) > place and row[place] not in ("", "N/A"):
                    row[place] += f"-{CANARY}"
            ids |= {
                value for place in (sis, state) if len(row) > place and re.fullmatch(r"\d{7,}", value := row[place])
            }
        _write(path, [header, *rows])
    for path in sorted(district.glob("night_*/attendance_*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        # The last column is what the family gave as the reason.
        planted = [f"{line} {CANARY}" if line.rsplit("\t", 1)[-1] not in ("", "N/A") else line for line in lines[1:]]
        path.write_text("".join(f"{line}\n" for line in [lines[0], *planted]), encoding="utf-8")
    assert len(ids) > 1000
    return frozenset(ids)


def enrollment_trouble(path: Path) -> tuple[int, int]:
    """Appends bad rows that hold planted names where names do not belong: how many, and how many good ones besides."""
    header, *rows = _read(path)
    sound = dict(zip(header, rows[0], strict=True)) | {"Last_Name": CANARY, "First_Name": CANARY, "ExitDate": ""}
    columns = ("EntryDate", "DOB", "ExitDate", "Grade_Level", "ExitCode", "EntryCode", "Primary", "FTE", "SchoolID")
    bad = [sound | {"Student_Number": f"99010{n:02d}", name: f"{CANARY}{n}"} for n, name in enumerate(columns)]
    bad += [
        sound | {"Student_Number": "9902001", "DOB": BAD_DATE},
        sound | {"Student_Number": f"{CANARY}7"},
        sound | {"Student_Number": ""},
        sound | {"Student_Number": "9902002", "SchoolYear": CANARY},
        sound | {"Student_Number": "9902003", "Track": CANARY * 10_000},
        # Two that differ under one key.
        sound | {"Student_Number": "9902004"},
        sound | {"Student_Number": "9902004", "Last_Name": f"{CANARY}twin"},
    ]
    lines = [[row[name] for name in header] for row in bad]
    lines += [[*lines[0], CANARY], lines[1][:-1]]
    hostile = f"{CANARY}'); drop table district.enrollment; -- {{{{ 7*7 }}}} %s =cmd()"
    good = [sound | {"Student_Number": "9902005", "State_StudentNumber": "9999902005", "Last_Name": hostile}]
    _write(path, [header, *rows, *lines, *([row[name] for name in header] for row in good)])
    return len(lines), len(good)


def trouble(path: Path, delimiter: str) -> int:
    """Appends bad rows to an extract of a data set with a parent, a planted name in each column; returns how many."""
    first, second = (line.split(delimiter) for line in path.read_text(encoding="latin-1").splitlines()[:2])
    stranger = ["9903000", *second[1:]]
    bad = [[*stranger[:n], f"{CANARY}{n}", *stranger[n + 1 :]] for n in range(1, len(first))]
    bad += [[f"{CANARY}0", *second[1:]], [*stranger, CANARY], [CANARY], [f"={CANARY}()", *second[1:]]]
    newline = _newline(path)
    with path.open("a", encoding="latin-1", newline="") as file:
        file.write("".join(delimiter.join(row) + newline for row in bad))
    return len(bad)


def web_page(path: Path) -> bytes:
    """A page in place of the extract; this one even lists children."""
    cells = "".join(f"<tr><td>{CANARY}</td><td>{row[0]}</td></tr>" for row in _read(path)[1:50])
    return (
        f"<!DOCTYPE html><html><body><h1>Session of {CANARY} expired</h1><table>{cells}</table></body></html>".encode()
    )


def _read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _write(path: Path, rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=_newline(path)).writerows(rows)
    path.write_bytes(out.getvalue().encode())


def _newline(path: Path) -> str:
    return "\r\n" if b"\r\n" in path.read_bytes()[:4096] else "\n"
