"""Mails that the server refuses: named with what to mend, and sent again once it is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from commanding import run
from district import pipeline
from district.run import ImportStopped
from importing import CHILDREN, NIGHT, Place, canaries_of, children, csv_bytes
from mailing import Choosy, mail_server, subjects

HELD = f"children of {NIGHT}: held"


def fail(place: Place) -> None:
    """A night that is held, and told of at once."""
    outcome = place.night(csv_bytes(children(20)))
    pipeline.finish(CHILDREN, partition=NIGHT, run_key=outcome.run_key)


def said(*arguments: str, code: int = 0) -> str:
    """What the command says, on one line however wide the terminal is."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_a_mail_refused_for_good_is_sent_again_once_its_address_is_mended(loaded: Place, tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    with mail_server(folder, Choosy(folder, recipient="550 no such user")):
        fail(loaded)
        told = said("status")
        assert f"Mail not sent ({HELD}): every recipient refused (550), mend the roles' addresses" in told
        assert "then run `district resend`." in told
        told = said("resend", code=1)
        assert f"Mail not sent ({HELD})" in told
        assert "Mails sent: 0." in told
    with mail_server(folder):
        assert said("resend") == "Mails sent: 1."
        assert subjects(folder) == [HELD]
        assert "Mail not sent" not in said("status")
        assert said("resend") == "No mail waits to be sent."
        assert subjects(folder) == [HELD]
    assert loaded.leaks(canaries_of(children(41))) == []


def test_a_refused_sender_is_said_to_be_the_one_to_mend(loaded: Place, tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    words = r"they wait: the sender's address refused \(550\), mend DISTRICT_MAIL_FROM"
    with mail_server(folder, Choosy(folder, sender="550 not from here")), pytest.raises(ImportStopped, match=words):
        fail(loaded)
    with mail_server(folder):
        assert said("resend") == "Mails sent: 1."
        assert subjects(folder) == [HELD]


def test_what_is_put_back_while_the_server_is_down_waits_for_the_next_try(loaded: Place, tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    with mail_server(folder, Choosy(folder, recipient="550 no such user")):
        fail(loaded)
    assert "could not be sent through" in said("resend", code=1)
    with mail_server(folder):
        assert said("resend") == "Mails sent: 1."
        assert subjects(folder) == [HELD]
