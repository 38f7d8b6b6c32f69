"""A slip in the settings file, or in the environment, is one sentence that names the place; never a traceback."""

from __future__ import annotations

import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from commanding import run
from district.calendar.show import print_calendar
from district.settings import PROJECT, SettingsError, _read_district, settings

GOOD = (PROJECT / "include" / "settings" / "district.yaml").read_text(encoding="utf-8")
WINDOW = "name: back to school, around: first_day, days_before: 3, days_after: 21, scale: 3"
YEARS = "school_years:\n"
BLACKOUT = "{begin: 2026-01-01, end: 2027-12-31, reason: move, datasets: [enrolment]}"
TWICE = "    events: [{date: 2026-09-01, event: weather}, {date: 2026-09-01, event: make_up}]\n"
S2 = "{code: S2, begin: 2027-01-04, end: 2027-05-26}"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a text the settings file of this process; gives its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "district.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        monkeypatch.setenv("DISTRICT_FILE", str(path))
        monkeypatch.delenv("DISTRICT_DATABASE_URL", raising=False)
        return path

    settings.cache_clear()
    _read_district.cache_clear()
    yield write
    monkeypatch.undo()
    settings.cache_clear()
    _read_district.cache_clear()


def changed(before: str, after: str) -> str:
    """The project's own settings file with one change."""
    assert before in GOOD
    return GOOD.replace(before, after, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        # What is no date, no text, no time zone, or no YAML.
        (changed("first_day: 2026-08-12", "first_day: 2026-02-30"), "school_years.3.first_day: Input should be"),
        (changed("first_day: 2026-08-12", "first_day: 2026-13-12"), "school_years.3.first_day: Input should be"),
        (GOOD.replace("Cedar", "Ca\u00f1on").encode("latin-1"), ", line 2: a letter is not written in UTF-8"),
        (changed("name: Cedar", "name: \x01Cedar"), ", line 2: a control character"),
        (changed("name: Cedar", "name: : Cedar"), ", line 2: mapping values are not allowed here"),
        ("name: " + "[" * 3000 + "]" * 3000, ": it is nested too deeply"),
        (changed("America/Los_Angeles", "America/LosAngeles"), "timezone: America/LosAngeles is no time zone"),
        (changed("America/Los_Angeles", "../../etc/passwd"), "timezone: ../../etc/passwd is no time zone"),
        (changed("America/Los_Angeles", "America"), "timezone: America is no time zone"),
        (changed("America/Los_Angeles", '""'), "timezone: '' must be 1 to 200 printable characters"),
        # Counts of days, and years, without end.
        (changed("rehearsal_days: 90", "rehearsal_days: 99999999999999999999"), "calendar.rehearsal_days: "),
        (changed("closing_days: 60", "closing_days: 10000000"), "calendar.closing_days: "),
        (changed("days_before: 3", "days_before: 10000000"), "calendar.strictness.0.days_before: "),
        (GOOD + "school_year: []\n", "school_year: There is no entry of that name"),
        (changed("blackouts: []", "blackouts: none"), "calendar.blackouts: A list should stand here"),
        ("", "district.yaml: Entries should stand here"),
        (
            changed(YEARS, YEARS + "  - {end_year: 9999, first_day: 2027-08-09, last_day: 9999-12-31}\n"),
            "school_years.0.end_year: ",
        ),
        (
            changed(YEARS, YEARS + "  - {end_year: 2030, first_day: 2027-08-09, last_day: 2030-05-31}\n"),
            "school_years.0: school year 2030 has 1027 days",
        ),
        # What stands twice, or is nothing.
        (changed('school_id: "0101"', 'school_id: "0100"'), "there are two schools 0100"),
        (changed('school_id: "0101"', 'school_id: ""'), "schools.1.school_id: '' must be 1 to 200 printable"),
        (changed('school_id: "0101"', 'school_id: "0101 "'), "schools.1.school_id: '0101 ' must be"),
        (changed('school_id: "0101"', 'school_id: "01\\x011"'), "schools.1.school_id: '01\\x011' must be"),
        (changed("key: 2024-25_fall", "key: 2023-24_spring"), "there are two administrations 2023-24_spring"),
        (changed(S2, S2.replace("S2", "S1")), "school_years.3: school year 2027 has two terms S1"),
        (
            changed(YEARS, YEARS + "  - {end_year: 2027, first_day: 2027-06-01, last_day: 2027-06-20}\n"),
            "there are two school years 2027",
        ),
        (
            changed(f"      - {S2}\n", f"      - {S2}\n{TWICE}"),
            "school year 2027 has two events on 2026-09-01",
        ),
        (GOOD + "school_years: []\n", f", line {GOOD.count(chr(10)) + 1}: school_years stands twice"),
        (
            changed("data.person: [data_person]", "data.person: [data_person]\n  data.person: [technology_lead]"),
            "data.person stands twice",
        ),
        # Windows that would turn a gate off.
        (changed("scale: 3", "scale: 1000"), "calendar.strictness.0.scale: Input should be less than or equal to 3"),
        (changed("scale: 3", "scale: .inf"), "calendar.strictness.0.scale: "),
        (changed("scale: 3", "scale: .nan"), "calendar.strictness.0.scale: "),
        (changed(WINDOW, "name: always, begin: 2000-01-01, end: 2099-12-31, scale: 3"), "window always has 36525 days"),
        (changed("days_before: 3, days_after: 21", "days_before: 183, days_after: 183"), "back to school has 367 days"),
        (
            changed("scale: 3", "scale: 3, gates: {enrollment: {withdrawn: 1}}"),
            "calendar.strictness.0.gates.enrollment.withdrawn: 1 is more than 0.3",
        ),
        (
            changed("scale: 3", "scale: 3, gates: {enrollment: {grown: .inf}}"),
            "calendar.strictness.0.gates.enrollment.grown: inf is more than 9",
        ),
        # Data sets that are none.
        (
            changed("scale: 3", "scale: 3, gates: {enrolment: {withdrawn: 0.2}}"),
            "calendar.strictness.0.gates: There is no data set enrolment",
        ),
        (
            changed("blackouts: []", f"blackouts: [{BLACKOUT}]"),
            "Is enrollment meant?",
        ),
    ],
)  # fmt: skip
def test_a_slip_is_one_sentence(content: str | bytes, said: str, written: Any) -> None:
    path = written(content)
    result = run("calendar")
    assert result.exit_code == 1
    assert result.output.startswith(str(path))
    assert said in result.output
    assert result.output.count("\n") == 1


def test_what_is_right_is_shown(written: Any) -> None:
    named = "blackouts: [{begin: 2026-12-19, end: 2026-12-21, reason: move, datasets: [enrollment, attendance]}]"
    bent = changed("blackouts: []", named).replace("Cedar Valley Unified", '"[/red] Cedar"', 1)
    written(
        "\ufeff" + bent.replace("scale: 3", "scale: 3, gates: {enrollment: {withdrawn: 0.3}}").replace("\n", "\r\n")
    )
    console = Console(width=120, file=StringIO())
    print_calendar(datetime.date(2026, 12, 20), console)
    assert "[/red] Cedar on Sunday" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("HOLD_HOURS", value) for value in ("inf", "nan", "1e12", "0", "-1", "soon")),
        *(("STABLE_SECONDS", value) for value in ("inf", "nan", "-1", "1e12")),
        *(("POLL_SECONDS", value) for value in ("inf", "0", "1e12")),
        *(("SMTP_TIMEOUT", value) for value in ("inf", "0", "-1")),
        *(("SMTP_PORT", value) for value in ("0", "65536")),
        *(("READY_SHARE", value) for value in ("nan", "1.1")),
    ],
)
def test_a_setting_out_of_bounds_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"DISTRICT_{name}", value)
    settings.cache_clear()
    try:
        with pytest.raises(SettingsError, match=f"^The environment variable DISTRICT_{name}: Input should be .*[.]$"):
            settings()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
