"""What people write: names and reasons, as they are kept, compared and refused."""

from __future__ import annotations

import re
import unicodedata

from district.run import NotAllowed

LONGEST_NAME = 100
LONGEST_REASON = 500
# Characters that show nothing, though Unicode counts them to the letters, the marks or the unassigned.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")


def name(text: str) -> str:
    """A person's name, as it is kept: in the usual form of its characters, and without any that show nothing.

    Raises:
        NotAllowed: it holds no letter, is too long, or is no text.
    """
    return _checked(_usual(text), "name", LONGEST_NAME, "Give the name of the person who decides.")


def reason(text: str, asked: str) -> str:
    """A reason, as it is kept: on one line, and without characters that show nothing.

    Raises:
        NotAllowed: it holds no letter, for which a sentence is ``asked`` with; is too long, or is no text.
    """
    return _checked(_visible(text), "reason", LONGEST_REASON, asked)


def same(person: str) -> str:
    """A name as it is compared: nobody becomes a second person by a capital letter or another way to write it."""
    return unicodedata.normalize("NFKC", _usual(person).casefold())


def _usual(text: str) -> str:
    return _visible(unicodedata.normalize("NFKC", _visible(text)))


def _visible(text: str) -> str:
    shown = (each for each in " ".join(text.split()) if unicodedata.category(each) not in ("Cc", "Cf"))
    return " ".join(_BLANK.sub("", "".join(shown)).split())


def _checked(text: str, what: str, longest: int, asked: str) -> str:
    if any(unicodedata.category(each) == "Cs" for each in text):
        raise NotAllowed(f"The {what} holds bytes that are no text; write it again.")
    if not any(each.isalpha() for each in text):
        raise NotAllowed(asked)
    if len(text) > longest:
        raise NotAllowed(f"The {what} has {len(text):,} characters; {longest} are allowed.")
    return text
