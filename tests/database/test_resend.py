"""Mails that the server refuses: named with what to mend, and sent again once it is mended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from commanding import run
from district import pipeline
from district.notify.mail import send_waiting
from district.run import ImportStopped
from district.settings import _read_district
from importing import CHILDREN, NIGHT, Place, canaries_of, children, csv_bytes
from mailing import Choosy, mail_server, mails, subjects

HELD = f"children of {NIGHT}: held"


@pytest.fixture(autouse=True)
def _fresh_roles() -> Iterator[None]:
    """Tests change the settings file, which is read once per process."""
    yield
    _read_district.cache_clear()


def fail(place: Place, owner: str = "data_person") -> None:
    """A night that is held, and told of at once."""
    dataset = dataclasses.replace(CHILDREN, owner=owner)
    outcome = place.night(csv_bytes(children(20)), dataset=dataset)
    pipeline.finish(dataset, partition=NIGHT, run_key=outcome.run_key)


def replace_roles(place: Place, old: str, new: str) -> None:
    path = place.folder / "district.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    _read_district.cache_clear()


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


def test_a_role_without_an_address_is_spoken_for_by_the_data_person(loaded: Place, tmp_path: Path) -> None:
    replace_roles(loaded, "[tests@district.invalid]", "[]")
    with mail_server(tmp_path / "mail") as folder:
        fail(loaded, owner="assessment_lead")
        assert [mail["To"] for mail in mails(folder)] == ["data@district.invalid"]


def test_a_mail_for_which_there_is_no_address_is_named_with_its_role(loaded: Place, tmp_path: Path) -> None:
    replace_roles(loaded, "[data@district.invalid]", "[]")
    with mail_server(tmp_path / "mail") as folder:
        fail(loaded)
        assert f"Mail not sent ({HELD}): no address for data_person, give the role one" in said("status")
        replace_roles(loaded, "data_person: []", "data_person: [new@district.invalid]")
        assert said("resend") == "Mails sent: 1."
        assert [mail["To"] for mail in mails(folder)] == ["new@district.invalid"]


@pytest.mark.parametrize("now", [{"recipient": "450 later"}, {"held": "451 later"}, {"sender": "451 later"}])
def test_a_mail_refused_for_now_waits_and_is_sent_once(loaded: Place, tmp_path: Path, now: dict[str, str]) -> None:
    folder = tmp_path / "mail"
    with (
        mail_server(folder, Choosy(folder, **now)),
        pytest.raises(ImportStopped, match=r"refused 1 of 1 mails for now, and they wait: .*\(45[01]\)"),
    ):
        fail(loaded)
    assert loaded.rows("select 1 from import_log.mail where sent_at is null and refused_at is null") != []
    assert "Mail not sent" not in said("status")
    with mail_server(folder):
        assert send_waiting() == 1
        assert send_waiting() == 0
        assert subjects(folder) == [HELD]
    assert loaded.rows("select last_error from import_log.mail") == [{"last_error": ""}]
