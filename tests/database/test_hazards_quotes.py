"""Quotes: line breaks and delimiters inside of them, and quotes that nobody closes."""

from __future__ import annotations

import pytest

from importing import Place
from shaping import HEAD, LINES, Case, header, line_of, loads, meet_verdict, refused, text, with_line

CASES = [
    loads("29-newline-in-quotes", with_line(3, line_of(2, last_name='"Quexaro\nTwo"'))),
    loads("29-newline-in-quotes-crlf", text(HEAD, line_of(1, last_name='"Quexaro\r\nOne"'), *LINES[1:], end="\r\n")),
    loads(
        "29-bad-row-after-newline-in-quotes",
        text(HEAD, line_of(1, last_name='"Quexaro\n\n\nOne"'), line_of(2, fte="much"), *LINES[2:]),
        issues={"children.fte.type": 1},
        rejected=(6,),
    ),
    refused(
        "30-unclosed-quote",
        with_line(20, line_of(19, last_name='"Quexaro019')),
        "file.unclosed_quote",
        "line 20",
        "Mend that line",
    ),
    refused(
        "30-two-unclosed-quotes",
        text(
            HEAD,
            *LINES[:9],
            line_of(10, last_name='"Quexaro010'),
            *LINES[10:29],
            line_of(30, last_name='"Quexaro030'),
            *LINES[30:],
        ),
        "file.unclosed_quote",
        "line 11",
    ),
    refused(
        "30-two-unclosed-quotes-in-neighbours",
        text(HEAD, *LINES[:9], line_of(10, last_name='"Quexaro010'), line_of(11, last_name='"Quexaro011'), *LINES[11:]),
        "file.unclosed_quote",
        "line 11",
    ),
    refused(
        "30-unclosed-quote-in-last-line",
        with_line(42, line_of(41, last_name='"Quexaro041')),
        "file.unclosed_quote",
        "line 42",
    ),
    loads("30-inch-mark", with_line(3, line_of(2, last_name='Quexaro 6" tall'))),
    loads("30-quote-at-the-end", with_line(3, line_of(2, last_name='Quexaro"'))),
    loads("31-quoted-delimiter", with_line(3, line_of(2, last_name='"Quexaro, Junior"'))),
    loads("31-doubled-quotes", with_line(3, line_of(2, last_name='"Quexaro ""Q"" Two"'))),
    refused(
        "30-unclosed-quote-in-the-header",
        header(lambda names: [*names[:3], '"last_name', *names[4:]]),
        "file.unclosed_quote",
        "in the header line",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_file_meets_its_verdict(loaded: Place, case: Case) -> None:
    meet_verdict(loaded, case)


def test_a_quoted_line_break_is_kept_in_its_value(place: Place) -> None:
    place.night(with_line(3, line_of(2, last_name='"Quexaro\nTwo"')))
    assert place.standing()["7000002", "0101", 2027]["last_name"] == "Quexaro\nTwo"
    lines = place.rows("select source_line from district.children where student_id >= '7000003' order by student_id")
    # The row after the line break stands in line 5 of the file, not in line 4.
    assert lines[0]["source_line"] == 5
