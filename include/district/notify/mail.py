"""Mail: an outbox table, filled in the database's own transactions and emptied over SMTP; counts and titles only."""

from __future__ import annotations

import datetime
import smtplib
from dataclasses import dataclass
from email.message import EmailMessage
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert

from district import import_log
from district.counted import are
from district.database import engine
from district.issues import rules_of
from district.links import dag_of, question_url
from district.review.holds import expire, held_schools, review_of
from district.review.outcome import find_outcome
from district.review.tables import hold
from district.run import ImportStopped
from district.settings import settings
from district.tables import import_run, mail

# Issues that a mail names per data set; the import log has them all.
ISSUES_SHOWN = 5
# Nights without a run after which a data set is no longer missed.
REMEMBERED_NIGHTS = 14
# A run that stepped aside was not meant to load; the calendar has another in its place.
_GOOD = ("loaded", "unchanged", "restored", "aside")
# SMTP: from this code on, trying again will not help.
_PERMANENT = 500


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a task of a run asks people: its name in Airflow, and what waits, in a few words."""

    task: str
    subject: str


def queue_failure(connection: Connection, run_id: int) -> None:
    """Queues the mail that goes out at once when a run did not load, or a person must decide; once per failure."""
    run = connection.execute(select(import_run).where(import_run.c.id == run_id)).one()
    review = review_of(connection, run)
    if run.unnoticed or (run.state in (*_GOOD, "undone") and review is None):
        return
    subject = f"{run.dataset} of {run.partition}: {run.state}"
    if run.state in _GOOD:
        subject += f", and {are(len(held_schools(connection, run_id)), 'school')} held"
    when = f"{run.finished_at:%Y%m%d%H%M%S%f}"
    _queue(connection, f"failure/{run_id}/{run.state}/{when}", [run.owner], subject, [run], run.night, absent=[])


def remind(connection: Connection) -> int:
    """Ends what nobody decided about or released in time, and queues the mails that say so; returns how many runs."""
    runs = expire(connection)
    for run_id in runs:
        _queue_reminder(connection, run_id)
    return len(runs)


def _queue_reminder(connection: Connection, run_id: int) -> None:
    """Once for each hold. Of a rehearsal the readiness tells, night after night."""
    run = connection.execute(select(import_run).where(import_run.c.id == run_id)).one()
    outcome = find_outcome(connection, run_id)
    if run.unnoticed or outcome is None:
        return
    what = "approved and not released" if outcome.choice else "nobody decided"
    subject = f"{run.dataset} of {run.partition}: {what}, what was held stays out"
    headline = f"{outcome.sentence} The next delivery is judged anew."
    newest = connection.execute(select(func.max(hold.c.id)).where(hold.c.import_run_id == run_id)).scalar_one()
    key = f"reminder/{run_id}/{newest}"
    _queue(connection, key, [run.owner], subject, [run], run.night, absent=[], headline=headline)


def queue_question(connection: Connection, run_id: int, roles: list[str], question: Question) -> None:
    """Queues the mail that asks people to look at a run before it loads; once for each question of a try."""
    run = connection.execute(select(import_run).where(import_run.c.id == run_id)).one()
    # A run that is cleared keeps its number, and has other things to ask.
    key = f"question/{run_id}/{question.task}/{run.started_at:%Y%m%d%H%M%S%f}"
    subject = f"{run.dataset} of {run.partition}: {question.subject}"
    url = question_url(dag_of(run.dataset, run.kind), run.run_key, question.task)
    headline = f"{question.subject.capitalize()}. Nothing loads before that."
    _queue(connection, key, roles, subject, [run], run.night, absent=[], headline=headline, question=url)


def queue_text(connection: Connection, key: str, roles: list[str], subject: str, body: str) -> None:
    """Queues a mail of plain text, about something else than a run; once for each key."""
    values = {
        "key": key,
        "roles": roles,
        "subject": subject,
        "body_text": body,
        "body_html": _template("text.html.j2").render(subject=subject, body=body),
    }
    connection.execute(insert(mail).values(values).on_conflict_do_nothing(index_elements=["key"]))


def queue_digest(connection: Connection, night: datetime.date) -> int:
    """Queues one mail over all runs that no digest has told of yet; returns how many it tells of.

    That is the night's, and what else ended since the last digest: a backfill, a late arrival, a run by hand.
    """
    # A state's results that may still come are no failure, night after night.
    open_ones = [each.key for each in settings().district.administrations if night < each.results_end]
    awaited = and_(import_run.c.state == "missing", import_run.c.partition.in_(open_ones))
    query = select(import_run).where(
        import_run.c.finished_at.is_not(None), import_run.c.digest_id.is_(None), ~import_run.c.unnoticed, ~awaited
    )
    runs = list(connection.execute(query.order_by(import_run.c.dataset, import_run.c.id).with_for_update()))
    absent = _absent(connection, night)
    if not runs and not absent:
        return 0
    earlier = connection.execute(select(func.count()).where(mail.c.key.like(f"digest/{night}/%"))).scalar_one()
    if not runs and earlier:
        return 0
    shown = _standing(runs)
    bad = [run for run in shown if run.state not in _GOOD]
    apart = {state: sum(run.state == state for run in shown) for state in ("restored", "aside")}
    meant = len(shown) - apart["restored"]
    outcome = f"{len(bad)} of {meant} did not load" if bad else f"{meant - apart['aside']} loaded"
    outcome += f", {apart['restored']} undone" if apart["restored"] else ""
    outcome += ", schools are held" if any(run.state == "loaded" and run.reason for run in shown) else ""
    subject = f"Imports of {night}: {outcome}" + (" (addition)" if earlier else "")
    owners = sorted({run.owner for run in runs}) or ["data_person"]
    mail_id = _queue(connection, f"digest/{night}/{earlier + 1}", owners, subject, shown, night, absent=absent)
    told = import_run.c.id.in_([run.id for run in runs])
    connection.execute(update(import_run).where(told).values(digest_id=mail_id))
    return len(runs)


def send_digest(night: str) -> int:
    """Tells of the night's runs in one mail; runs that finish later are told of in an addition. Returns mails sent."""
    with engine().begin() as connection:
        remind(connection)
        queue_digest(connection, datetime.date.fromisoformat(night))
    return send_waiting()


def send_waiting() -> int:
    """Sends what waits in the outbox, oldest first, each mail once; returns how many.

    A mail that the server will never take is given up, as its row and `district status` say.

    Raises:
        ImportStopped: the mail server does not take mail now. What is committed stays, the mail waits.
    """
    sent = 0
    later: dict[int, str] = {}
    while True:
        with engine().begin() as connection:
            # Locked while it is sent, so that two tasks never send the same mail.
            query = select(mail).where(mail.c.sent_at.is_(None), mail.c.refused_at.is_(None), mail.c.id.not_in(later))
            oldest = query.order_by(mail.c.id).limit(1)
            waiting = connection.execute(oldest.with_for_update(skip_locked=True)).first()
            if waiting is None:
                break
            refusal = _send(waiting)
            values: dict[str, Any] = {"last_error": refusal.words if refusal else ""}
            if refusal is None:
                values["sent_at"] = func.clock_timestamp()
                sent += 1
            elif refusal.for_good:
                values["refused_at"] = func.clock_timestamp()
            else:
                later[waiting.id] = refusal.words
            connection.execute(update(mail).where(mail.c.id == waiting.id).values(**values))
    if later:
        why = "; ".join(sorted(set(later.values())))
        message = f"The mail server refused {len(later)} of {sent + len(later)} mails for now, and they wait: {why}."
        raise ImportStopped(message)
    return sent


def send_again() -> int:
    """Sends what waits and once more what was given up in the last nights; returns how many mails went out.

    Raises:
        ImportStopped: as of ``send_waiting``; what was given up then waits with the others.
    """
    with engine().begin() as connection:
        connection.execute(update(mail).where(_given_up()).values(refused_at=None))
    return send_waiting()


def refused_mails(connection: Connection) -> list[Row[Any]]:
    """Mails of the last nights that were given up."""
    return list(connection.execute(select(mail).where(_given_up()).order_by(mail.c.id)))


def _given_up() -> ColumnElement[bool]:
    return mail.c.refused_at > func.now() - datetime.timedelta(days=REMEMBERED_NIGHTS)


def _absent(connection: Connection, night: datetime.date) -> list[str]:
    """Nightly data sets that had a run in the last nights and have none tonight."""
    since = night - datetime.timedelta(days=REMEMBERED_NIGHTS)
    nightly = import_run.c.partition == func.to_char(import_run.c.night, "YYYY-MM-DD")
    recent = (
        select(import_run.c.dataset)
        .where(nightly, ~import_run.c.unnoticed, import_run.c.night.between(since, night))
        .distinct()
    )
    tonight = select(import_run.c.dataset).where(import_run.c.night == night, ~import_run.c.unnoticed)
    return sorted(connection.execute(recent.where(import_run.c.dataset.not_in(tonight))).scalars())


def _standing(runs: list[Row[Any]]) -> list[Row[Any]]:
    """The runs but for those that did not load and have loaded since: people were told of them at once."""
    loaded = {(run.dataset, run.partition): run.id for run in runs if run.state in _GOOD}
    return [run for run in runs if run.state in _GOOD or run.id > loaded.get((run.dataset, run.partition), 0)]


def _queue(
    connection: Connection,
    key: str,
    roles: list[str],
    subject: str,
    runs: list[Row[Any]],
    night: datetime.date,
    *,
    absent: list[str],
    headline: str = "",
    question: str = "",
) -> int | None:
    config = settings()
    story = {
        "district": config.district.name,
        "night": str(night),
        "headline": headline or _headline(connection, runs),
        "trouble": bool(absent) or any(run.state not in _GOOD or run.reason for run in runs),
        # What did not load comes first.
        "runs": [_told(connection, run, question) for run in sorted(runs, key=lambda run: run.state in _GOOD)],
        "absent": absent,
        "ui_url": config.ui_url,
    }
    values = {
        "key": key,
        "roles": roles,
        "subject": subject,
        "body_text": _template("digest.txt.j2").render(story),
        "body_html": _template("digest.html.j2").render(story),
    }
    statement = insert(mail).values(values).on_conflict_do_nothing(index_elements=["key"]).returning(mail.c.id)
    return connection.execute(statement).scalar()


def _told(connection: Connection, run: Row[Any], question: str) -> dict[str, Any]:
    issues = rules_of(connection, run.id)
    more = len(issues) - ISSUES_SHOWN
    in_airflow = run.kind != "release" and not run.run_key.startswith(import_log.BY_HAND)
    asks = in_airflow and review_of(connection, run) is not None
    return {
        **run._mapping,
        "good": run.state in _GOOD,
        "issues": issues[:ISSUES_SHOWN],
        "more": max(0, more),
        "question": question or (question_url(dag_of(run.dataset, run.kind), run.run_key) if asks else ""),
    }


def _headline(connection: Connection, runs: list[Row[Any]]) -> str:
    """The mail in a sentence, or two where a load was undone, for those who read no further."""
    undone = [run.dataset for run in runs if run.state == "restored"]
    if undone:
        others = [run for run in runs if run.state != "restored"]
        return f"Undone by a person: {', '.join(undone)}." + (f" {_headline(connection, others)}" if others else "")
    bad = [run for run in runs if run.state not in _GOOD]
    if not runs:
        return "No import ran."
    if not bad:
        runs = [run for run in runs if run.state != "aside"]
        if not runs:
            return "By the calendar, nothing was imported; see below."
        read, rejected = (sum(run._mapping[name] for run in runs) for name in ("read", "rejected"))
        loaded = "The import is" if len(runs) == 1 else f"All {len(runs)} imports are"
        aside = f"; {rejected:,} of {read:,} rows are rejected and kept aside" if rejected else ""
        held = {run.dataset: held_schools(connection, run.id) for run in runs if run.state == "loaded"}
        told = "".join(f" Of {name}, {are(len(schools), 'school')} held." for name, schools in held.items() if schools)
        return f"{loaded} loaded{aside}.{told}"
    names = ", ".join(f"{run.dataset} is {run.state}" for run in bad)
    tables = "Its table stays" if len(bad) == 1 else "Their tables stay"
    return f"{len(bad)} of {len(runs)} did not load: {names}. {tables} as before."


@lru_cache(maxsize=4)
def _template(name: str) -> Any:
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("district"), autoescape=name.endswith(".html.j2"))
    return environment.get_template(name)


def _recipients(roles: list[str]) -> list[str]:
    """The roles' addresses of today: a mail that waits goes to whom the settings name by then."""
    known = settings().district.roles
    return sorted({address for role in roles for address in known.get(role) or known.get("data_person", ())})


def _message(waiting: Row[Any], sender: str, recipients: list[str]) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = waiting.subject
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    # The same for every try, so that a mail sent twice by a killed task is recognised as one.
    message["Message-ID"] = f"<{waiting.key.replace('/', '.')}.{waiting.id}@district-imports>"
    message.set_content(waiting.body_text)
    message.add_alternative(waiting.body_html, subtype="html")
    return message


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    words: str
    """What was refused, and what to mend."""
    for_good: bool


def _send(waiting: Row[Any]) -> _Refusal | None:
    """Why the server did not take the mail; one that it refuses must not keep the others waiting behind it."""
    config = settings()
    recipients = _recipients(waiting.roles)
    if not recipients:
        roles = " or ".join(dict.fromkeys([*waiting.roles, "data_person"]))
        return _Refusal(words=f"no address for {roles}, give the role one", for_good=True)
    try:
        message = _message(waiting, config.mail_from, recipients)
        with smtplib.SMTP(config.smtp_host, config.smtp_port, timeout=config.smtp_timeout) as server:
            if config.smtp_starttls:
                server.starttls()
            if config.smtp_user:
                server.login(config.smtp_user, config.smtp_password.get_secret_value())
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as refused:
        codes = [code for code, _ in refused.recipients.values()]
        # Many a server says so, too, of a sender whom it does not take.
        mend = "mend the roles' addresses or, if they are right, DISTRICT_MAIL_FROM"
        words = f"every recipient refused ({codes[0]}), {mend}"
        return _Refusal(words=words, for_good=min(codes) >= _PERMANENT)
    except smtplib.SMTPDataError as refused:
        words = f"refused ({refused.smtp_code}), ask whoever runs the mail server"
        return _Refusal(words=words, for_good=refused.smtp_code >= _PERMANENT)
    except smtplib.SMTPSenderRefused as refused:
        # As a wrong password, this is mended in one place for all mails.
        words = f"the sender's address refused ({refused.smtp_code}), mend DISTRICT_MAIL_FROM"
        return _Refusal(words=words, for_good=False)
    except ValueError:
        return _Refusal(words="an address that is none, mend the roles' addresses or DISTRICT_MAIL_FROM", for_good=True)
    except (OSError, smtplib.SMTPException) as error:
        where = f"{config.smtp_host}:{config.smtp_port}"
        raise ImportStopped(
            f"Mail could not be sent through {where} ({type(error).__name__}). The load stands; the mail waits."
        ) from None
    return None
