"""Draws results (JSON on standard input) as ``docs/images/benchmarks.svg``; runs where matplotlib is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "benchmarks.svg"
OURS, FIRST = "District Imports", "first night"
# Grey and blue that stand out from white and from black alike; the ground stays transparent.
INK, BAR, HIGHLIGHT = "#7d8590", "#9aa4af", "#2f81f7"


def main() -> None:
    """A bar for each system and night, first nights above; of several sizes the largest."""
    largest: dict[tuple[str, str], dict[str, Any]] = {}
    for result in json.load(sys.stdin):
        key = (result["work"], result["system"])
        if "night" in result["work"] and result["rows"] >= largest.get(key, result)["rows"]:
            largest[key] = result
    bars = sorted(largest.values(), key=lambda result: (result["work"] != FIRST, result["ratio_cpu"]))
    places = [number + (result["work"] != FIRST) for number, result in enumerate(bars)]  # a gap between the two
    colours = [HIGHLIGHT if result["system"] == OURS else BAR for result in bars]
    mpl.rcParams |= {"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.family": "sans-serif"}
    figure, axes = plt.subplots(figsize=(9, 0.34 * len(bars) + 1.4))
    axes.barh(places, [result["ratio_cpu"] for result in bars], color=colours, height=0.7)
    axes.set_xscale("log")
    axes.set_xlim(left=min([0.5, *(result["ratio_cpu"] * 0.7 for result in bars)]))
    axes.set_yticks(places, [label(result) for result in bars])
    axes.invert_yaxis()
    axes.axvline(1, color=INK, linewidth=1)
    axes.tick_params(colors=INK, which="both", labelsize=9)
    axes.xaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))
    axes.set_xlabel("CPU of client and server, raw COPY of the same file = 1 (log scale; shorter is better)", color=INK)
    for place, result, text in zip(places, bars, axes.get_yticklabels(), strict=True):
        colour = HIGHLIGHT if result["system"] == OURS else INK
        text.set_color(colour)
        ratio = result["ratio_cpu"]
        axes.text(max(ratio, 1) * 1.05, place, f"{ratio:.3g}", va="center", color=colour, fontsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(INK)
    figure.savefig(PICTURE, transparent=True, bbox_inches="tight", metadata={"Date": None})


def label(result: dict[str, Any]) -> str:
    """Who, what and how many rows."""
    rows = result["rows"]
    size = f"{rows / 1e6:g}M" if rows >= 1_000_000 else f"{rows / 1e3:g}k"
    work = "" if result["work"] == FIRST else f", {result['work']}"
    return f"{result['system']}{work} ({size})"


if __name__ == "__main__":
    main()
