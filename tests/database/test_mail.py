"""Mail through a real SMTP conversation: sent once, late rather than never, and without a value of any row."""

from __future__ import annotations

import smtplib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path

import pytest

from district import pipeline
from district.notify.mail import send_digest
from district.run import ImportStopped
from district.settings import settings
from importing import CHILDREN, NIGHT, Outcome, Place, canaries_of, children, csv_bytes
from mailing import Choosy, mail_server, mails


def finish(outcome: Outcome) -> None:
    pipeline.finish(CHILDREN, partition=NIGHT, run_key=outcome.run_key)


def whole(mail: EmailMessage) -> str:
    parts = [mail.get_body(("plain",)), mail.get_body(("html",))]
    return str(mail["Subject"]) + "".join(part.get_content() for part in parts if part)


def test_a_held_school_is_told_at_once_and_in_the_digest(loaded: Place, tmp_path: Path) -> None:
    rows = [row for row in children(41) if row["school_id"] == "0100" or int(row["student_id"]) > 7000020]
    with mail_server(tmp_path / "mail") as folder:
        finish(loaded.night(csv_bytes(rows)))
        send_digest(NIGHT)
        digest, at_once = sorted(mails(folder), key=lambda mail: str(mail["Subject"]))
    assert digest["Subject"] == f"Imports of {NIGHT}: 2 loaded, schools are held"
    assert "Of children, 1 school is held." in whole(digest)
    assert at_once["Subject"] == f"children of {NIGHT}: loaded, and 1 school is held"
    for mail in (at_once, digest):
        told = " ".join(whole(mail).split())
        assert "School 0101: 10 of 20 rows (50.0%) would be withdrawn" in told
        assert "`district holds`" in told
        assert [value for value in canaries_of(rows) if value in told] == []


def test_a_failure_is_told_at_once_and_once(loaded: Place, tmp_path: Path) -> None:
    with mail_server(tmp_path / "mail") as folder:
        held = loaded.night(csv_bytes(children(20)))
        finish(held)
        finish(held)
        (mail,) = mails(folder)
    assert mail["Subject"] == f"children of {NIGHT}: held"
    assert mail["To"] == "data@district.invalid"
    assert held.message in mail.get_body(("plain",)).get_content().replace("\n", " ")  # type: ignore[union-attr]


def test_a_good_run_sends_nothing_before_the_digest(loaded: Place, tmp_path: Path) -> None:
    with mail_server(tmp_path / "mail") as folder:
        finish(loaded.night(csv_bytes(children(41))))
        assert mails(folder) == []


def test_one_digest_a_night_and_an_addition_for_what_comes_later(loaded: Place, tmp_path: Path) -> None:
    with mail_server(tmp_path / "mail") as folder:
        send_digest("2026-11-18")
        loaded.night(csv_bytes(children(41)))
        assert send_digest(NIGHT) == 1
        assert send_digest(NIGHT) == 0
        loaded.night(csv_bytes(children(42)), age=60)
        assert send_digest(NIGHT) == 1
        subjects = [mail["Subject"] for mail in mails(folder)]
    assert [subject for subject in subjects if NIGHT in subject] == [
        f"Imports of {NIGHT}: 1 loaded",
        f"Imports of {NIGHT}: 1 loaded (addition)",
    ]


def test_two_digests_at_once_send_one_mail(loaded: Place, tmp_path: Path) -> None:
    with mail_server(tmp_path / "mail") as folder, ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(send_digest, [NIGHT] * 4))
        assert sum(sent) == 1
        assert len(mails(folder)) == 1


def test_85_while_the_mail_server_is_down_the_load_stays_and_the_mail_waits(loaded: Place, tmp_path: Path) -> None:
    outcome = loaded.night(csv_bytes(children(41)))
    with pytest.raises(ImportStopped, match=r"could not be sent through .*ConnectionRefusedError.*the mail waits"):
        send_digest(NIGHT)
    assert outcome.state == "loaded"
    assert len(loaded.standing()) == 41
    with mail_server(tmp_path / "mail") as folder:
        assert send_digest(NIGHT) == 1
        assert send_digest(NIGHT) == 0
        assert len(mails(folder)) == 1


def test_86_a_mail_server_that_hangs_is_given_up(loaded: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTRICT_SMTP_HOST", "127.0.0.1")
        patch.setenv("DISTRICT_SMTP_PORT", str(silent.getsockname()[1]))
        patch.setenv("DISTRICT_SMTP_TIMEOUT", "0.5")
        settings.cache_clear()
        began = time.monotonic()
        with pytest.raises(ImportStopped, match=r"TimeoutError|SMTPServerDisconnected"):
            send_digest(NIGHT)
        assert time.monotonic() - began < 10
    settings.cache_clear()
    assert loaded.rows("select count(*) as waiting from import_log.mail where sent_at is null") == [{"waiting": 1}]


def test_a_mail_that_is_refused_keeps_no_other_waiting(loaded: Place, tmp_path: Path) -> None:
    with mail_server(tmp_path / "mail", Choosy(tmp_path / "mail", held="554 no such mail here")) as folder:
        finish(loaded.night(csv_bytes(children(20))))
        send_digest(NIGHT)
        assert [mail["Subject"] for mail in mails(folder)] == [f"Imports of {NIGHT}: 1 of 2 did not load"]


def test_no_mail_holds_a_value(loaded: Place, tmp_path: Path) -> None:
    rows = [row | {"grade_level_code": row["last_name"], "last_name": "<b>K</b>"} for row in children(41)]
    with mail_server(tmp_path / "mail") as folder:
        finish(loaded.night(csv_bytes(rows)))
        bad = [row | ({"birth_date": "Quexarodate"} if n < 3 else {}) for n, row in enumerate(children(41))]
        finish(loaded.night(csv_bytes(bad), age=60))
        send_digest(NIGHT)
        told = "".join(map(whole, mails(folder)))
    assert "birth_date is not a date" in told
    assert [value for value in canaries_of(children(41)) | {"Quexaro"} if value in told] == []


def test_the_mail_s_own_server_speaks_smtp(tmp_path: Path) -> None:
    """What the other tests stand on: a mail that is sent is kept, readable by its owner only."""
    with mail_server(tmp_path / "mail") as folder:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = "A", "a@district.invalid", "b@district.invalid"
        with smtplib.SMTP("127.0.0.1", settings().smtp_port, timeout=5) as server:
            server.send_message(message)
        assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]
