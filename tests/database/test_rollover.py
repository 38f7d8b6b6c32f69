"""The turn of the school year: rehearsed apart, judged by school, turned by a person; closed years are amended."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from commanding import run as run_command
from databases import TEMPLATE, copied_database, copy_database, leave
from district import pipeline
from district.database import engine
from district.demo.postgres import Server
from district.import_log import newest_night
from district.rollover.checks import GRADES
from district.rollover.rehearsal import rehearse
from district.rollover.telling import tell_readiness
from district.rollover.turning import turn_year, waiting_turn
from district.run import Aside, Held, NotAllowed, Refused
from district.settings import settings
from district.synthetic import generate_rollover
from importing import decide
from mailing import mail_server
from turning import ONE_DAY, Turn, enrollment, extract_of, hash_of, imported, next_year, read, rows, turning

LAST_NIGHT = "last_night_of_the_year"
PERSON = {"person": "data.person", "role": "data_person"}
REASON = "The board has adopted the calendar."


@pytest.fixture(scope="module")
def last_night(migrated: Server, tmp_path_factory: pytest.TempPathFactory) -> Turn:
    """The last night of the year has loaded; tests work on copies of it."""
    whole, half, place = (tmp_path_factory.mktemp(name) for name in ("whole", "half", "place"))
    generate_rollover(whole)
    generate_rollover(half, readiness=0.6)
    copy_database(migrated, TEMPLATE, LAST_NIGHT)
    with turning(whole, half, place, migrated.url(LAST_NIGHT, role=TEMPLATE)) as turn:
        turn.send(extract_of(whole / "night_1"))
        assert imported(turn.nights[0], "last night").state == "loaded"
    leave(migrated, LAST_NIGHT)
    return turn


@pytest.fixture
def turn(migrated: Server, last_night: Turn, tmp_path: Path) -> Iterator[Turn]:
    """A copy of the district after the last night of the year."""
    for name in ("drop", "landed"):
        shutil.copytree(last_night.place / name, tmp_path / name)
    with (
        copied_database(migrated, LAST_NIGHT) as url,
        turning(last_night.whole, last_night.half, tmp_path, url) as turn,
    ):
        yield turn


def turned(turn: Turn, *, folder: Path | None = None) -> None:
    """The year has been rehearsed, closed and turned on its first day."""
    turn.rehearse(folder or turn.whole, turn.nights[0])
    turn.send(extract_of(turn.whole / "night_2"))
    assert imported(turn.nights[1], "closing").state == "loaded"
    turn_year(turn.year, night=turn.first_day, reason=REASON, **PERSON)


# Rehearsal and readiness


def test_a_rehearsal_goes_from_sixty_to_a_hundred_percent(turn: Turn) -> None:
    night, before = turn.nights[0], hash_of(turn.year - 1)
    turn.rehearse(turn.half, night, "first")
    found, foretold = turn.ready(night), read(turn.half / "rollover.json")
    assert found.score == pytest.approx(foretold["readiness"], abs=0.03)
    assert not found.ready
    parts = {"rows": "sent", "codes": "accepted", "terms": "dated"}
    for school_id, school in foretold["schools"].items():
        for name, part in parts.items():
            share = found.part(school_id, part)
            assert (share == 0) == (name in school["missing"]), (school_id, name)
            # A child who goes on to a school that lacks its rows is missing at its own.
            assert part == "sent" or share in (0, 1)
    points = {(line.school_id, line.check): line.missing for line in found.checklist if line.part}
    codes = {school_id: school["unknown_codes"] for school_id, school in foretold["schools"].items()}
    assert {name: points.get((name, "rows"), 0) for name in codes} == codes
    assert all(line.what and line.owner == "data_person" for line in found.checklist)

    turn.rehearse(turn.whole, night, "second")
    found = turn.ready(night)
    assert (found.score, found.ready) == (1, True)
    assert not [line for line in found.checklist if line.part]
    expected = read(turn.whole / "rollover.json")
    without = {name: school["without_state_id"] for name, school in expected["schools"].items()}
    assert {line.school_id: line.missing for line in found.lines if line.check == "state ids"} == without
    assert hash_of(turn.year - 1) == before


def test_grades_are_promoted_as_the_matrix_says(turn: Turn) -> None:
    turn.rehearse(turn.whole, turn.nights[0])
    matrix: Counter[tuple[str, str]] = Counter()
    for (_, grade, then), children in turn.ready(turn.nights[0]).counted.matrix.items():
        matrix[grade, then] += children

    def standard(grade: str) -> str:
        return GRADES[int(grade) + 2] if grade else ""

    foretold = read(turn.whole / "rollover.json")["promotion"]
    assert matrix == Counter(
        {(standard(old), standard(new)): n for old, cells in foretold.items() for new, n in cells.items()}
    )


def test_no_run_of_the_night_takes_notice_of_a_rehearsal(turn: Turn) -> None:
    night = turn.nights[0]
    turn.rehearse(turn.whole, night + ONE_DAY)
    told = rows("select kind, unnoticed, partition from import_log.import_run order by id desc limit 1")
    assert told == [{"kind": "rehearsal", "unnoticed": True, "partition": str(night + ONE_DAY)}]
    with engine().connect() as connection:
        assert newest_night(connection, enrollment()) == night
    again = turn.rehearse(turn.whole, night + 2 * ONE_DAY, "again")
    assert again.state == "unchanged"


def test_what_a_rehearsal_holds_is_released_as_part_of_it(turn: Turn) -> None:
    run = turn.rehearse(turn.half, turn.nights[0])
    assert "2 of 4 schools held" in run.reason
    decide(enrollment(), "rehearsal/rehearsal", choice="approve", reason=REASON, **PERSON)
    released = pipeline.release(enrollment(), run_key="rehearsal/rehearsal")
    assert (released.state, released.rejected) == ("loaded", run.rejected)
    assert rows("select unnoticed from import_log.import_run where kind = 'release'") == [{"unnoticed": True}]


def edited(path: Path, folder: Path, **values: str) -> Path:
    """A copy of an extract in which every tenth row has other values."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    for number, line in enumerate(lines):
        line.update(values if number % 10 == 0 else {})
    copy = folder / path.name
    with copy.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    return copy


def test_a_rehearsal_takes_no_row_of_the_current_year(turn: Turn, tmp_path: Path) -> None:
    before = hash_of(turn.year - 1)
    turn.set_calendar(turn.whole)
    turn.send(edited(next_year(turn.whole), tmp_path, SchoolYear=str(turn.year - 1)), to="next_year")
    with pytest.raises(Refused, match=rf"rows are of school year {turn.year - 1}"):
        rehearse(turn.nights[0], run_key="mixed")
    assert (hash_of(turn.year - 1), hash_of(turn.year)) == (before, hash_of(1))
    assert rows("select * from import_log.year_turn") == []


def test_a_night_takes_no_row_of_the_next_year(turn: Turn, tmp_path: Path) -> None:
    before = hash_of(turn.year - 1)
    turn.set_calendar(turn.whole)
    turn.send(edited(extract_of(turn.whole / "night_2"), tmp_path, SchoolYear=str(turn.year)))
    with pytest.raises(Refused) as refused:
        imported(turn.nights[1], "mixed")
    assert refused.value.rule_id == "file.next_year"
    assert hash_of(turn.year - 1) == before


def test_children_who_were_not_promoted_and_numbers_that_went_to_others(turn: Turn, tmp_path: Path) -> None:
    """Everybody of a tenth of the rows stays in first grade, and was born on another day."""
    night = turn.nights[0]
    turn.set_calendar(turn.whole)
    turn.send(edited(next_year(turn.whole), tmp_path, Grade_Level="1", DOB="1/2/2015"), to="next_year")
    rehearse(night, run_key="edited")
    found = turn.ready(night)
    missing: Counter[str] = Counter()
    for line in found.checklist:
        missing[line.check] += line.missing
    reused = rows(
        "select count(*) n from district.enrollment t where school_year = :year and birth_date = '2015-01-02' "
        "and exists (select from district.enrollment o where o.school_year < :year and o.student_id = t.student_id "
        "and o.birth_date <> t.birth_date)",
        year=turn.year,
    )[0]["n"]
    assert missing["numbers"] == reused > 50
    assert missing["grades"] > 50
    assert found.score < 1


def test_enrollments_left_open_count_once_the_year_is_over(turn: Turn) -> None:
    turn.rehearse(turn.whole, turn.nights[0])
    assert turn.ready(turn.nights[0]).score == 1
    late = turn.ready(turn.nights[1])
    query = "select count(*) n from district.enrollment where exit_date is null and school_year < :year"
    still_open = rows(query, year=turn.year)[0]["n"]
    assert sum(line.missing for line in late.lines if line.check == "ended") == still_open > 1000
    turn.send(extract_of(turn.whole / "night_2"))
    imported(turn.nights[1], "closing")
    late = turn.ready(turn.nights[1])
    assert not [line for line in late.lines if line.check == "ended" and line.missing]
    assert late.score == pytest.approx(1, abs=0.001)  # a grade that was corrected since


def test_a_broken_file_stops_no_other_rehearsal(turn: Turn) -> None:
    folder = turn.place / "dags"
    shutil.copytree(settings().dags_folder, folder)
    (folder / "clubs.py").write_text("1 / 0", encoding="utf-8")
    shutil.copyfile(folder / "enrollment.py", folder / "enrollment_copy.py")
    turn.patch.setenv("DISTRICT_DAGS_FOLDER", str(folder))
    assert turn.rehearse(turn.half, turn.nights[0]).state == "loaded"


def test_no_year_is_rehearsed_before_its_day(turn: Turn) -> None:
    turn.set_calendar(turn.whole)
    turn.send(next_year(turn.whole), to="next_year")
    with pytest.raises(Aside, match="It begins on"):
        rehearse(turn.nights[0] - 60 * ONE_DAY, run_key="early")
    assert rows("select count(*) n from import_log.import_run where kind = 'rehearsal'") == [{"n": 0}]


def test_the_owners_hear_of_what_has_changed_and_of_nothing_else(turn: Turn, tmp_path: Path) -> None:
    night = turn.nights[0]
    with mail_server(tmp_path / "mails"):
        turn.rehearse(turn.half, night)
        assert not tell_readiness(night).ready
        tell_readiness(night)
        turn.rehearse(turn.whole, night, "second")
        tell_readiness(night)
    mails = rows("select subject, body_text, sent_at from import_log.mail order by id")
    assert [mail["subject"] for mail in mails] == [
        f"School year {turn.year}: 60% ready",
        f"School year {turn.year}: 100% ready",
    ]
    assert all(mail["sent_at"] for mail in mails)
    known = {row["student_id"] for row in rows("select student_id from district.enrollment")}
    said = " ".join(mail["body_text"] for mail in mails) + str(rows("select * from import_log.readiness"))
    assert not [number for number in known if number in said]
    assert rows("select count(distinct checked_at) n from import_log.readiness") == [{"n": 3}]


def test_the_turn_waits_for_no_mail(turn: Turn) -> None:
    """The mail server is down: the mail waits, and the readiness stands for the question that follows."""
    turn.rehearse(turn.half, turn.nights[0])
    assert tell_readiness(turn.nights[0]).lines
    assert rows("select sent_at from import_log.mail") == [{"sent_at": None}]


# The turn


def test_a_rehearsed_year_waits_for_its_turn(turn: Turn) -> None:
    turn.rehearse(turn.whole, turn.nights[0])
    day, ending = turn.first_day, turn.year - 1
    assert (turn.status(ending, day), turn.status(turn.year, day)) == ("current", "next")
    turn.send(next_year(turn.whole))
    with pytest.raises(Refused):
        imported(day, "too early")
    before = hash_of(ending), hash_of(turn.year)

    turn.send(extract_of(turn.whole / "night_2"))
    imported(turn.nights[1], "closing")
    closed = hash_of(ending)
    turn_year(turn.year, night=day + ONE_DAY, reason=REASON, **PERSON)
    assert (hash_of(ending), hash_of(turn.year)) == (closed, before[1]), "the step changes no row"
    assert (turn.status(ending, day), turn.status(turn.year, day)) == ("current", "next")
    assert (turn.status(ending, day + ONE_DAY), turn.status(turn.year, day + ONE_DAY)) == ("closing", "current")
    assert rows("select kind, choice, partition, person, role, reason from import_log.decision") == [
        {"kind": "year", "choice": "approve", "partition": str(turn.year), "reason": REASON, **PERSON}
    ]

    turn.send(next_year(turn.whole))
    assert imported(day + ONE_DAY, "first night").state == "unchanged", "it was rehearsed to the byte"
    assert hash_of(ending) == closed
    turn.send(extract_of(turn.whole / "night_2"))
    with pytest.raises(Refused):
        imported(day + 2 * ONE_DAY, "yesterday's year")


def test_a_year_that_nobody_rehearsed_turns_by_its_date(turn: Turn) -> None:
    turn.set_calendar(turn.whole)
    assert turn.status(turn.year, turn.first_day) == "current"
    with pytest.raises(NotAllowed, match="not rehearsed"):
        turn_year(turn.year, night=turn.first_day, reason=REASON, **PERSON)


def test_who_may_turn_the_year_when_and_with_what_reason(turn: Turn) -> None:
    turn.rehearse(turn.half, turn.nights[0])
    day = turn.first_day
    with engine().connect() as connection:
        nights = (day - ONE_DAY, day, day + 366 * ONE_DAY)
        assert [waiting_turn(connection, night) for night in nights] == [None, turn.year, None]
    for said, why in (
        ({"role": "assessment_lead"}, "needs the role data_person"),
        ({"person": " "}, "Give the name"),
        ({"reason": " "}, "Give a reason"),
        ({"reason": "It begins\udcff."}, "no text"),
        ({"night": day - ONE_DAY}, "at the earliest"),
        (
            {"night": day + 366 * ONE_DAY},
            r"ends on .* before .*; give the night from which it is to be the current one",
        ),
        ({}, "% ready, and 98% are asked for"),
    ):
        with pytest.raises(NotAllowed, match=why):
            turn_year(turn.year, **{"night": day, "reason": REASON, **PERSON, **said})
    assert turn.status(turn.year, day) == "next"
    turn_year(turn.year, night=day, reason=REASON, although_not_ready=True, **PERSON)
    assert turn.status(turn.year, day) == "current"
    assert rows("select choice from import_log.decision") == [{"choice": "although_not_ready"}]
    with pytest.raises(NotAllowed, match="already"):
        turn_year(turn.year, night=day, reason=REASON, although_not_ready=True, **PERSON)


# Closed years


def test_a_correction_of_a_closed_year_lands_as_an_amendment(turn: Turn) -> None:
    turned(turn)
    file, night = extract_of(turn.whole / "closed_year"), turn.first_day + 70 * ONE_DAY
    before = hash_of(turn.year - 1), hash_of(turn.year)
    held = imported(night, "cli-late", file)
    assert (held.state, "is closed" in held.reason) == ("held", True)
    assert (hash_of(turn.year - 1), hash_of(turn.year)) == before
    with pytest.raises(Held):
        pipeline.release(enrollment(), run_key="cli-late")
    with pytest.raises(NotAllowed, match="Give a reason"):
        decide(enrollment(), "cli-late", choice="approve", reason="", **PERSON)
    decide(enrollment(), "cli-late", choice="approve", reason="Audit of the exits.", **PERSON)
    released = pipeline.release(enrollment(), run_key="cli-late")
    foretold = list(read(turn.whole / "expected.json")["nights"].values())[2]["enrollment"]["table"]
    assert released.state == "loaded"
    assert (released.inserted, released.updated) == (foretold["inserted"], foretold["updated"])
    assert hash_of(turn.year) == before[1], "the current year stays as it is"
    assert hash_of(turn.year - 1) != before[0]
    again = imported(night + ONE_DAY, "cli-again", file)
    assert again.state == "unchanged"


def test_a_correction_of_a_closing_year_loads(turn: Turn) -> None:
    turned(turn)
    assert turn.status(turn.year - 1, turn.nights[2]) == "closing"
    late = imported(turn.nights[2], "cli-late", extract_of(turn.whole / "closed_year"))
    assert late.state == "loaded"


# By hand


def test_the_year_turns_by_the_command_line(turn: Turn, tmp_path: Path) -> None:
    turn.set_calendar(turn.half)
    turn.send(next_year(turn.half), to="next_year")
    night, day = str(turn.nights[0]), str(turn.first_day)
    with mail_server(tmp_path / "mails"):
        rehearsed = run_command("rehearse", "--night", night)
    assert rehearsed.exit_code == 0, rehearsed.output
    assert f"School year {turn.year} is 60% ready" in rehearsed.output
    shown = run_command("readiness", "--night", night)
    assert ("0105" in shown.output, "not mapped" in shown.output, "Promotion" in shown.output) == (True, True, True)
    said = ("--person", "data.person", "--reason", REASON)
    refused = run_command("turn-year", str(turn.year), *said, "--night", day)
    assert (refused.exit_code, "98% are asked for" in refused.output) == (1, True)
    stranger = run_command("turn-year", str(turn.year), "--person", "x", "--reason", REASON, "--night", day)
    assert (stranger.exit_code, "needs the role" in stranger.output) == (1, True)
    done = run_command("turn-year", str(turn.year), *said, "--night", day, "--although-not-ready")
    assert (done.exit_code, f"school year {turn.year} begins on {day}" in done.output) == (0, True)
    shown = run_command("calendar", "--date", day)
    assert str(turn.year) in shown.output
    assert settings().district.name in shown.output
