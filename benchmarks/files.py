"""The files: attendance of three nights, as a SIS sends it and without its bad rows, and the enrollment behind it."""

from __future__ import annotations

import os
import random
from pathlib import Path

BAD_SHARE = 0.005
# Of a hundred lines of the first night; together about one.
CHANGED, REMOVED, ADDED = 0.007, 0.0015, 0.0015
NIGHTS = ("2027-06-10", "2027-06-11", "2027-06-12")


def make_files(work: Path, rows: int) -> Path:
    """The folder of files of that many rows; what an earlier run made is used again.

    ``attendance_<night>.txt`` holds bad rows, in four ways; ``clean_<night>.txt`` is the same file with these mended,
    for systems that stop at the first date that no calendar has. The third night brings the second one's file again.
    """
    folder = work / str(rows)
    if not (folder / "complete").exists():
        from district.synthetic import enrollment_file
        from district.synthetic.benchmark import students_for

        folder.mkdir(parents=True, exist_ok=True)
        enrollment_file(folder / "enrollment.csv", students_for(rows))
        for name, bad_share in (("attendance", BAD_SHARE), ("clean", 0.0)):
            write_nights(folder, name, rows, bad_share)
        (folder / "complete").touch()
    size = (folder / "attendance_1.txt").stat().st_size
    print(f"{rows:,} rows of attendance, {size / 1e6:.0f} MB, {BAD_SHARE:.1%} of them bad", flush=True)
    return folder


def write_nights(folder: Path, name: str, rows: int, bad_share: float) -> None:
    """Three nights of one file; the third is the second."""
    from district.synthetic import attendance_file

    narrow, first, second, third = (folder / f"{name}_{part}.txt" for part in ("narrow", 1, 2, 3))
    attendance_file(narrow, rows, bad_share=bad_share)
    widen(narrow, first)
    narrow.unlink()
    edit(first, second)
    third.unlink(missing_ok=True)
    os.link(second, third)


def widen(narrow: Path, wide: Path) -> None:
    """Adds two columns that a SIS exports and nobody loads: 11 columns and some 85 MB a million rows are usual."""
    with narrow.open(encoding="utf-8") as lines, wide.open("w", encoding="utf-8") as out:
        out.write(next(lines).rstrip("\n") + "\t10 Entered By\t11 Entered At\n")
        for number, line in enumerate(lines):
            out.write(f"{line[:-1]}\tteacher{number % 997:05d}\t2026-10-12T08:{number % 60:02d}:00-07:00\n")


def edit(first: Path, second: Path) -> None:
    """The next night's file: some lines with another reason, some gone, some of a later day."""
    from district.settings import settings
    from district.synthetic.plan import make_plan

    plan = make_plan(settings().district, size=1, seed=1, nights=1)
    # The first night's lines are of the days before; a child has twelve of them, so that no key comes twice.
    later = [day.isoformat() for day in plan.days[plan.start : plan.start + 12]]
    chance = random.Random(1)
    with first.open(encoding="utf-8") as lines, second.open("w", encoding="utf-8") as out:
        out.write(next(lines))
        for number, line in enumerate(lines):
            drawn = chance.random()
            if drawn < CHANGED:
                fields = line.split("\t")
                fields[8] = "Note from home"
                out.write("\t".join(fields))
            elif drawn >= CHANGED + REMOVED:
                out.write(line)
            if drawn > 1 - ADDED:
                fields = line.split("\t")
                fields[2] = later[number % 12]
                out.write("\t".join(fields))
