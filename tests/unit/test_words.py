"""Names and reasons: what is kept of them, which are the same, and which are refused in a sentence."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from district.review import words
from district.run import NotAllowed


def _reason(text: str) -> str:
    return words.reason(text, "Give a reason.")


@pytest.mark.parametrize(
    "written",
    ["ANN", " ann ", "ann\u200b", "\uff41\uff4e\uff4e", "an\x00n", "\x1bann", "a\u00adnn", "ann\ufe0f", "ann\u3164"],
)
def test_one_person_however_the_name_is_written(written: str) -> None:
    assert words.same(written) == words.same("ann")
    assert words.same(words.name(written)) == words.same("ann")


@pytest.mark.parametrize(
    "nothing", ["", " ", "\u00a0", "\u200b", "\x00", "\x1b\x01", "\u3164\u2060", "...", "12", "\u2800"]
)
def test_what_holds_no_letter_is_refused(nothing: str) -> None:
    for check in (words.name, _reason):
        with pytest.raises(NotAllowed, match="Give "):
            check(nothing)


def test_what_is_no_text_or_too_long_is_refused() -> None:
    for check, longest in ((words.name, 100), (_reason, 500)):
        assert check("x" * longest) == "x" * longest
        with pytest.raises(NotAllowed, match=f"has {longest + 1} characters; {longest} are allowed"):
            check("x" * (longest + 1))
        with pytest.raises(NotAllowed, match="bytes that are no text"):
            check("a\udcffb")


def test_a_reason_keeps_its_words_on_one_line() -> None:
    assert _reason(" The school\n was\tsplit\x1b[31m\u200b. ") == "The school was split[31m."
    assert words.name("Núñez, Zoë 9") == "Núñez, Zoë 9"


@given(st.text(alphabet=st.characters(), max_size=60))
@settings(max_examples=1000)
def test_whatever_is_kept_can_be_stored_shown_and_compared(written: str) -> None:
    for check in (words.name, _reason):
        try:
            kept = check(written)
        except NotAllowed:
            continue
        kept.encode()
        assert check(kept) == kept
        assert not {unicodedata.category(each) for each in kept} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert words.same(kept) == words.same(written)
