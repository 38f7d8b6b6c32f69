"""Draws the parts of two nights (JSON on standard input) as ``docs/images/profile.svg``; runs where matplotlib is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from chart import BAR, HIGHLIGHT, INK
from matplotlib import pyplot as plt

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "profile.svg"
SMALL = 0.015


def main() -> None:
    """A column of bars for each night, in shares of its time; what is hardly seen is part of the rest."""
    nights = {title: shares(parts) for title, parts in json.load(sys.stdin).items()}
    mpl.rcParams |= {"svg.hashsalt": "profile", "svg.fonttype": "none", "font.family": "sans-serif"}
    heights = [len(parts) for parts in nights.values()]
    figure, panels = plt.subplots(
        len(nights), 1, figsize=(9, 0.3 * sum(heights) + 1.6), height_ratios=heights, sharex=True
    )
    for axes, (title, parts) in zip(panels, nights.items(), strict=True):
        colours = [BAR if name == "all else" else HIGHLIGHT for name in parts]
        axes.barh(list(parts), list(parts.values()), color=colours, height=0.7)
        axes.invert_yaxis()
        axes.set_title(title, color=INK, fontsize=10, loc="left")
        axes.tick_params(colors=INK, labelsize=9)
        axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
        for place, share in enumerate(parts.values()):
            axes.text(share + 0.004, place, f"{share:.0%}", va="center", color=INK, fontsize=9)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(INK)
    figure.tight_layout()
    figure.savefig(PICTURE, transparent=True, bbox_inches="tight", metadata={"Date": None})


def shares(parts: dict[str, float]) -> dict[str, float]:
    """Of the whole; small ones are in the rest."""
    whole = sum(parts.values())
    told = {name: seconds / whole for name, seconds in parts.items() if seconds / whole >= SMALL and name != "all else"}
    return told | {"all else": 1 - sum(told.values())}


if __name__ == "__main__":
    main()
