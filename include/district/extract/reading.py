"""Reading: a landed file as batches of text columns, in the file's order, with every malformed record named."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from district.dataset import Dataset
from district.extract.landing import Landed
from district.extract.plan import Plan
from district.layout import Layout
from district.run import Refused

if TYPE_CHECKING:
    import pyarrow as pa

# Bytes of the file per batch: memory is bounded by this, not by the file. No sane record is longer.
BATCH_BYTES = 2 << 20
# So many records of the wrong width at a stretch are another file than the layout's.
MAX_MALFORMED = 100_000
_NEVER_IN_TEXT = "\x1f"


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """A record with another number of fields than the header, or another length than the layout."""

    number: int
    text: str


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Up to BATCH_BYTES of the file: each record's first line (the header's is 1) and the canonical columns as text."""

    numbers: pa.Array
    columns: dict[str, pa.Array]
    malformed: tuple[Malformed, ...]


def read_batches(landed: Landed, dataset: Dataset, layout: Layout, plan: Plan) -> Iterator[TextBatch]:
    """The file in batches of bounded size.

    Raises:
        Refused: a record is longer than a batch, or its quotes make records that no one can tell apart.
    """
    import numpy as np
    import pyarrow as pa

    lines = None if plan.lines is None else np.frombuffer(plan.lines, dtype=np.int64)
    pending: deque[Malformed] = deque()
    reader = _open(landed, layout, plan, pending)
    header = layout.header and not layout.fixed_width
    number = 0
    while True:
        try:
            block = reader.read_next_batch()
        except StopIteration:
            break
        except (pa.ArrowInvalid, UnicodeError) as error:
            raise _refusal(error, landed) from None
        numbers, skipped = _number(number, block.num_rows, pending)
        number += block.num_rows + len(skipped)
        if lines is not None and number > len(lines):
            raise _refusal(None, landed)
        if header and len(numbers) and numbers[0].as_py() == 1:
            block, numbers = block.slice(1), numbers.slice(1)
        if layout.fixed_width:
            block, numbers, wrong = _by_length(block, numbers, plan.width)
            skipped += wrong
        columns = _slice_lines(block, layout) if layout.fixed_width else _pick(block, plan)
        for name, value in layout.constants.items():
            columns[name] = pa.array([value] * block.num_rows, pa.string())
        yield TextBatch(
            numbers=numbers if lines is None else pa.array(lines[numbers.to_numpy() - 1]),
            columns={
                column.name: columns.get(column.name, pa.nulls(block.num_rows, pa.string()))
                for column in dataset.columns
            },
            malformed=_without_end_mark(skipped, lines),
        )
    if lines is not None and number + len(pending) != len(lines):
        raise _refusal(None, landed)
    if rest := _without_end_mark(pending, lines):
        empty = pa.array([], pa.string())
        yield TextBatch(
            numbers=pa.array([], pa.int64()),
            columns=dict.fromkeys((c.name for c in dataset.columns), empty),
            malformed=rest,
        )


def _without_end_mark(malformed: Iterable[Malformed], lines: Any) -> tuple[Malformed, ...]:
    """The malformed records by line. Some senders still close a file with Ctrl-Z; that is no record."""
    told = (record for record in malformed if record.text.strip("\x1a \t"))
    return tuple(told if lines is None else (Malformed(number=int(lines[r.number - 1]), text=r.text) for r in told))


def _open(landed: Landed, layout: Layout, plan: Plan, pending: deque[Malformed]) -> Any:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    def keep(row: Any) -> str:
        pending.append(Malformed(number=row.number, text=row.text))
        return "skip" if len(pending) < MAX_MALFORMED else "error"

    width = 1 if layout.fixed_width else plan.width
    indexes = [0] if layout.fixed_width else sorted(plan.places.values())
    try:
        return arrow_csv.open_csv(
            pa.OSFile(str(landed.path)),
            # One thread: only so does Arrow number the malformed records, and the work is bounded by one core anyway.
            arrow_csv.ReadOptions(
                use_threads=False,
                block_size=BATCH_BYTES,
                column_names=[f"f{index}" for index in range(width)],
                encoding="utf8" if layout.is_utf8 else layout.encoding,
            ),
            arrow_csv.ParseOptions(
                delimiter=_NEVER_IN_TEXT if layout.fixed_width else layout.delimiter,
                quote_char=layout.quote if layout.quote and not layout.fixed_width else False,
                newlines_in_values=bool(layout.quote) and landed.quotes > 0 and not layout.fixed_width,
                invalid_row_handler=keep,
            ),
            arrow_csv.ConvertOptions(
                column_types={f"f{index}": pa.string() for index in indexes},
                include_columns=[f"f{index}" for index in indexes],
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _refusal(error, landed) from None


def _refusal(error: Exception | None, landed: Landed) -> Refused:
    """Arrow's own words may hold a value; only their kind is passed on."""
    kind = (
        f"a line is longer than {BATCH_BYTES >> 20} MB"
        if "straddling" in str(error)
        else "its quotes do not tell its lines apart"
    )
    message = f"The file (sha256 {landed.sha256[:12]}) cannot be read: {kind}. Export it again."
    return Refused(message, rule_id="file.unreadable")


def _number(before: int, rows: int, pending: deque[Malformed]) -> tuple[pa.Array, list[Malformed]]:
    """Record numbers of the rows that follow record ``before``, and the malformed records between them.

    Arrow reads ahead: what it has reported in ``pending`` may belong to the next batch, and then stays there.
    """
    import numpy as np
    import pyarrow as pa

    skipped: list[Malformed] = []
    while pending and pending[0].number <= before + rows + len(skipped):
        skipped.append(pending.popleft())
    numbers = np.arange(before + 1, before + rows + len(skipped) + 1, dtype=np.int64)
    if skipped:
        numbers = np.delete(numbers, [record.number - before - 1 for record in skipped])
    return pa.array(numbers), skipped


def _pick(block: Any, plan: Plan) -> dict[str, pa.Array]:
    return {column: block.column(f"f{index}") for column, index in plan.places.items()}


def _by_length(block: Any, numbers: pa.Array, length: int) -> tuple[Any, pa.Array, list[Malformed]]:
    """Splits off lines that are not as long as the layout; a line one short has lost the blank of its last field."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.utf8_length(block.column(0))
    right = pc.is_in(lengths, value_set=pa.array([length - 1, length], lengths.type))
    if pc.all(right).as_py() is not False:
        return block, numbers, []
    wrong = pc.invert(right)
    wrong_lines = zip(numbers.filter(wrong).to_pylist(), block.column(0).filter(wrong).to_pylist(), strict=True)
    malformed = [Malformed(number=number, text=line) for number, line in wrong_lines]
    return block.filter(right), numbers.filter(right), malformed


def _slice_lines(block: Any, layout: Layout) -> dict[str, pa.Array]:
    import pyarrow.compute as pc

    line = block.column(0)
    return {
        column: pc.utf8_slice_codeunits(line, place[0] - 1, place[1])
        for column, place in layout.columns.items()
        if isinstance(place, tuple)
    }
