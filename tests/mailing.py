"""Mail servers of tests: real SMTP on a port of its own, with or without something that they do not take."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from district.demo.mail_catcher import MailFolder
from district.settings import settings


class Listening(Controller):
    """A server on a port of the system's choice."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Choosy(MailFolder):
    """Answers as told to a sender, a recipient or the mail itself; it stores what it takes."""

    def __init__(self, folder: Path, *, sender: str = "250 ok", recipient: str = "250 ok", held: str = "") -> None:
        super().__init__(folder)
        self.sender, self.recipient, self.held = sender, recipient, held

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        envelope.mail_from = address
        return self.sender

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if self.recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.held and b": held" in envelope.content:
            return self.held
        return await super().handle_DATA(server, session, envelope)


@contextmanager
def mail_server(folder: Path, handler: Any = None) -> Iterator[Path]:
    """A server that the settings point to; the folder that its mails come to."""
    controller = Listening(handler or MailFolder(folder), hostname="127.0.0.1", port=0)
    controller.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DISTRICT_SMTP_HOST", "127.0.0.1")
            patch.setenv("DISTRICT_SMTP_PORT", str(controller.port))
            settings.cache_clear()
            yield folder
    finally:
        settings.cache_clear()
        controller.stop()


def mails(folder: Path) -> list[EmailMessage]:
    """What the server has taken."""
    found = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in folder.glob("*.eml")]
    return sorted((mail for mail in found if isinstance(mail, EmailMessage)), key=lambda mail: str(mail["Message-ID"]))


def subjects(folder: Path) -> list[str]:
    """The subjects of what it has taken."""
    return [str(mail["Subject"]) for mail in mails(folder)]
