"""A real SMTP server that delivers nothing: each mail becomes one file that only its owner can read.

Run it by itself: ``python -m district.demo.mail_catcher --port 1025 --folder .demo/mail``
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import itertools
import os
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller


class MailFolder:
    """aiosmtpd's handler: stores each accepted mail as ``<time>-<number>.eml``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._numbers = itertools.count(1)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keeps the mail under its final name only once it is whole."""
        now = datetime.datetime.now(datetime.UTC)
        path = self.folder / f"{now:%Y%m%dT%H%M%S}-{os.getpid()}-{next(self._numbers):04d}.eml"
        part = path.with_suffix(".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"X-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n".encode())
            file.write(envelope.original_content or b"")
        part.rename(path)
        return "250 stored"


def catch_mail(host: str, port: int, folder: Path) -> None:
    """Serves until the process is told to end."""
    controller = Controller(MailFolder(folder), hostname=host, port=port)
    controller.start()
    try:
        asyncio.new_event_loop().run_forever()
    finally:
        controller.stop()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Stores every mail as a file; delivers none.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1025)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    catch_mail(arguments.host, arguments.port, arguments.folder)


if __name__ == "__main__":
    main()
