"""Files that are not what their layout says: each a case with its verdict, what then stands, and no leak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from district.dataset import Dataset
from importing import CHILDREN, Outcome, Place, canaries_of, child, children, csv_bytes

BOM = b"\xef\xbb\xbf"
# One child more than the first night's, so that a file that loads is seen to have loaded.
MORE = children(41)
HEAD, *LINES = csv_bytes(MORE).decode().splitlines()


def text(*lines: str, end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


def with_line(number: int, line: str) -> bytes:
    """The file with another line in that place (the header is line 1)."""
    lines = [HEAD, *LINES]
    lines[number - 1] = line
    return text(*lines)


def line_of(number: int, **values: str) -> str:
    return ",".join(child(number, **values).values())


def columns(change: Callable[[list[str]], list[str]]) -> bytes:
    """Every record changed, the header too."""
    return text(*(",".join(change(line.split(","))) for line in (HEAD, *LINES)))


def records(change: Callable[[list[str]], list[str]]) -> bytes:
    """Every record but the header changed."""
    return text(HEAD, *(",".join(change(line.split(","))) for line in LINES))


def header(change: Callable[[list[str]], list[str]]) -> bytes:
    return text(",".join(change(HEAD.split(","))), *LINES)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, and the verdict on it: refused or held with a rule and words, or loaded with issues and lost rows."""

    id: str
    content: bytes
    state: str = "loaded"
    rule: str = ""
    words: tuple[str, ...] = ()
    issues: Mapping[str, int] = field(default_factory=dict)
    rejected: tuple[int, ...] = ()
    """Lines of the file that are in quarantine."""
    standing: int = 41
    dataset: Dataset = CHILDREN
    canaries: tuple[str, ...] = ()


def refused(id: str, content: bytes, rule: str, *words: str, state: str = "refused", **more: object) -> Case:  # noqa: A002
    return Case(id=id, content=content, state=state, rule=rule, words=words, **more)


def loads(id: str, content: bytes, **more: object) -> Case:  # noqa: A002
    return Case(id=id, content=content, **more)


def meet_verdict(loaded: Place, case: Case) -> None:
    """The night with the case's file ends as the case says."""
    before = loaded.table_hash()
    outcome = loaded.night(case.content, dataset=case.dataset)
    assert outcome.state == case.state, outcome
    assert outcome.rule_id == case.rule
    for words in case.words:
        assert words in outcome.message
    if case.state == "loaded":
        _loaded_as_expected(loaded, case, outcome)
    else:
        assert loaded.table_hash() == before
        assert len(loaded.standing()) == 40
    assert loaded.leaks({*canaries_of(MORE), *case.canaries}) == []


def _loaded_as_expected(loaded: Place, case: Case, outcome: Outcome) -> None:
    assert outcome.summary is not None
    run = outcome.summary
    assert run.read == run.loaded + run.rejected + run.superseded
    standing = loaded.standing()
    # Who was sent, even in a bad line, has not vanished.
    assert run.withdrawn == 0
    assert len(standing) == case.standing
    assert ("7000041", "0100", 2027) in standing
    issues = loaded.issues(outcome)
    for rule, rows in case.issues.items():
        assert issues.pop(rule, 0) == rows, rule
    if case.issues:
        assert issues == {}
    assert [row["source_line"] for row in loaded.quarantined()] == list(case.rejected)
