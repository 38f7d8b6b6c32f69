"""What a run found: ``results.json``, the table on the terminal and on the page, and the chart."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from systems import OURS, WORK

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
NIGHTS = HERE / "nights.json"
PAGE = HERE.parent / "docs" / "explanation" / "benchmarks.md"
Key = tuple[str, int, str]
"""Work, rows, system."""


def line(system: str, rows: int, night: int, found: dict[str, Any]) -> str:
    """One work's figures while the run goes on."""
    cpu, wall = found["cpu"] / found["raw"]["cpu"], found["wall"] / found["raw"]["wall"]
    steps = ", ".join(f"{step} {found[step]:.1f} s" for step in ("extract", "validate", "load") if step in found)
    return f"{WORK[night]}, {rows:,} rows, {system}: {cpu:.2f}x CPU, {wall:.2f}x wall {steps and f'({steps})'}"


def summary(key: Key, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds, each against its own raw COPY."""

    def median(value: Any, digits: int) -> float:
        return round(statistics.median(value(figures) for figures in found), digits)

    work, rows, system = key
    return {
        "work": work,
        "rows": rows,
        "system": system,
        "ratio_cpu": median(lambda f: f["cpu"] / f["raw"]["cpu"], 2),
        "ratio_wall": median(lambda f: f["wall"] / f["raw"]["wall"], 2),
        "imports_ratio_cpu": median(lambda f: f["imports_cpu"] / f["raw"]["cpu"], 2),
        "client_rss_mb": median(lambda f: f["client_rss_mb"], 0),
        "server_rss_mb": median(lambda f: f["server_rss_mb"], 0),
        "n": len(found),
    }


def merge(results: list[dict[str, Any]], replaced: tuple[str, ...]) -> list[dict[str, Any]]:
    """Writes the results beside earlier ones, of which those whose work begins so are dropped."""
    earlier = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    others = [result for result in earlier if not result["work"].startswith(replaced)]
    found = {identity(result): result for result in [*others, *results]}
    kept = sorted(found.values(), key=place)
    lines = ",\n".join(f"  {json.dumps(result)}" for result in kept)
    RESULTS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return kept


def identity(result: dict[str, Any]) -> tuple[str, int, str]:
    """What is measured anew replaces."""
    return result["work"], result["rows"], result["system"]


def place(result: dict[str, Any]) -> tuple[Any, ...]:
    """First nights before second ones, ours first, then the fastest."""
    works = list(WORK.values())
    work = works.index(result["work"]) if result["work"] in works else len(works)
    return work, result["work"], result["system"] != OURS, result["ratio_cpu"], result["rows"]


def table(results: list[dict[str, Any]]) -> list[list[str]]:
    """The rows of the table as texts, its heading first."""
    heading = ["work", "system", "rows", "CPU", "wall", "start and imports", "client MB", "server MB", "n"]
    return [heading] + [
        [
            result["work"], result["system"], f"{result['rows']:,}", f"{result['ratio_cpu']:.2f}",
            f"{result['ratio_wall']:.2f}", f"{result['imports_ratio_cpu']:.2f}", f"{result['client_rss_mb']:,.0f}",
            f"{result['server_rss_mb']:,.0f}", str(result["n"]),
        ]
        for result in sorted(results, key=place)
    ]  # fmt: skip


def print_table(results: list[dict[str, Any]]) -> None:
    """The table of this run."""
    print("\nraw COPY of the same file = 1.00; medians")
    print_rows(table(results))


def print_rows(rows: list[list[str]]) -> None:
    """A table on the terminal, its first two columns flush left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [text.rjust(width) for text, width in zip(row, widths, strict=True)]
        cells[:2] = [text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True)]
        print("  ".join(cells))


def write_page(results: list[dict[str, Any]]) -> None:
    """Rewrites the page's table of systems."""
    write_block("bench", markdown(table(results)))


def write_nights(students: int, rounds: int, rows: list[list[str]]) -> None:
    """Rewrites the page's tables of nights; a district of another size keeps what was measured last."""
    nights = json.loads(NIGHTS.read_text(encoding="utf-8")) if NIGHTS.exists() else {}
    nights[str(students)] = {"n": rounds, "table": rows}
    NIGHTS.write_text(json.dumps(nights) + "\n", encoding="utf-8")
    blocks = [
        f"{int(size):,} students, seconds, medians, n = {night['n']}:\n\n{markdown(night['table'])}"
        for size, night in sorted(nights.items(), key=lambda item: int(item[0]))
    ]
    write_block("bench-night", "\n\n".join(blocks))


def write_live(students: int, rows: list[list[str]]) -> None:
    """Rewrites the page's table of a night through a live Airflow."""
    write_block("bench-live", f"{students:,} students, seconds, one run:\n\n{markdown(rows)}")


def markdown(rows: list[list[str]]) -> str:
    """A table for the page."""
    heading, *body = rows
    lines = [heading, ["---"] * 2 + ["--:"] * (len(heading) - 2), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_block(name: str, body: str) -> None:
    """Replaces what stands between the two marks of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = PAGE.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        sys.exit(f"{PAGE.name} has no place for it; add two lines: {begin} and {end}")
    before, _, rest = text.partition(begin)
    PAGE.write_text(f"{before}{begin}\n\n{body}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def draw(results: list[dict[str, Any]]) -> None:
    """Draws the chart in the environment that has matplotlib."""
    python = HERE / ".venv-peers" / "bin" / "python"
    subprocess.run([python, HERE / "chart.py"], input=json.dumps(results), text=True, check=True)
