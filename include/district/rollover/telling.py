"""Telling: the readiness is written down night after night, and mailed to the owners when it has changed."""

from __future__ import annotations

import datetime
from contextlib import suppress

from sqlalchemy import func, select

from district.database import engine
from district.notify.mail import queue_text, send_waiting
from district.rollover.readiness import Readiness, assess, record
from district.rollover.rehearsal import rehearsed_year
from district.rollover.show import as_text, headline
from district.run import ImportStopped
from district.tables import mail


def tell_readiness(night: datetime.date) -> Readiness:
    """Judges what there is for the year that is rehearsed, writes it down, and mails what is new.

    Raises:
        Aside: no year is rehearsed. ImportStopped: as of ``assess``.
    """
    with engine().begin() as connection:
        found = assess(connection, rehearsed_year(connection, night).end_year, night)
        if record(connection, found):
            begin = f"readiness/{found.school_year}/"
            earlier = connection.execute(select(func.count()).where(mail.c.key.startswith(begin))).scalar_one()
            owners = sorted({line.owner for line in found.lines})
            subject = f"School year {found.school_year}: {found.score:.0%} ready"
            queue_text(connection, f"{begin}{earlier + 1}", owners, subject, as_text(found))
    # The turn of the year waits for no mail server: the nightly digest sends what is left, and is red until it can.
    with suppress(ImportStopped):
        send_waiting()
    return found


def note(found: Readiness, points: int = 4) -> str:
    """The readiness in a few lines, for the note of an Airflow run, which takes a thousand characters."""
    return "\n".join([f"**{headline(found)}**", "", *as_text(found, points).splitlines()[2:]])
