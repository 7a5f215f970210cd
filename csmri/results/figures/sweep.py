"""A sweep as pictures: what every method leaves of the initial error, as numbers on colours, and as lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from csmri.core.names import BASELINES
from csmri.results.figures.pictures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    WIDTH,
    caption_size,
    new_figure,
)
from csmri.results.tables.sweep import Ratios

ROW, HEAD = 0.21, 0.75
"""Height of a method and of what stands above the methods [inches]."""
BEST = 3
"""Classical methods that are told apart by colour; the others are grey."""
LEGEND_COLUMNS, LEGEND_LINE, LEGEND_HANDLE, LEGEND_LETTER = 4, 0.13, 0.45, 0.048
"""Of the lines' legend: columns at most, and sizes [inches]."""
LEAST, MOST = 0.15, 1.6
"""Ratios that the lines show; what is worse than most leaves the picture at the top."""


def render_sweep(found: Sequence[Ratios], path: str | Path, *, caption: str = "") -> None:
    """Draw a row a method and a block of columns an acquisition; blue is better than the initial reconstruction.

    Parameters
    ----------
    found : sequence of Ratios
        With the same methods.
    path : path
        .png, .svg or .pdf.
    """
    methods = list(dict.fromkeys(method for one in found for method in one.of_method))
    blocks = [
        np.array([[one.of_method.get(m, {}).get(a, math.nan) for a in one.accelerations] for m in methods])
        for one in found
    ]
    every = np.concatenate([np.log2(block).ravel() for block in blocks])
    reach = max(0.5, float(np.nanmax(np.abs(every[np.isfinite(every)]), initial=0.5)))
    height = HEAD + ROW * len(methods) + (0.15 if caption else 0)
    with new_figure(path, figsize=(WIDTH, height), layout="constrained") as figure:
        widths = [len(one.accelerations) for one in found]
        axes = figure.subplots(1, len(found), squeeze=False, width_ratios=widths)[0]
        for number, (axis, one, block) in enumerate(zip(axes, found, blocks, strict=True)):
            axis.imshow(
                np.log2(block), cmap="RdBu_r", norm=TwoSlopeNorm(0, -reach, reach), aspect="auto", interpolation="none"
            )
            for (row, column), value in np.ndenumerate(block):
                if math.isfinite(value):
                    dark = abs(math.log2(value)) > 0.65 * reach if value > 0 else True
                    colour = "white" if dark else BLACK
                    axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
            axis.set_title(one.acquisition, fontsize=8, parse_math=False)
            axis.set_xticks(range(len(one.accelerations)), [f"R = {a:g}" for a in one.accelerations], fontsize=6.5)
            labels = methods if number == 0 else [""] * len(methods)
            axis.set_yticks(range(len(methods)), labels, fontsize=6.5, parse_math=False)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
        note = "NMSE in the heart box over that of the initial reconstruction; below 1 is better."
        text = f"{note}  {caption}" if caption else note
        figure.supxlabel(text, fontsize=caption_size(text, WIDTH), color=GREY, parse_math=False)


def render_sweep_lines(found: Sequence[Ratios], path: str | Path, *, caption: str = "") -> None:
    """Draw error against acceleration, a panel an acquisition: networks thick, the best classical methods in colour.

    Parameters
    ----------
    found : sequence of Ratios
        With the same methods.
    path : path
        .png, .svg or .pdf.
    """
    styles = _styles(found)
    columns = min(len(found), 4)
    rows = -(-len(found) // columns)
    names = _legend_columns(styles)
    further = -(-len(styles) // names) - -(-len(styles) // LEGEND_COLUMNS)
    size = WIDTH, 2.3 * rows + 0.75 + LEGEND_LINE * further
    with new_figure(path, figsize=size, layout="constrained") as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis, one in zip(panels.flat, found, strict=False):
            axis.axhline(1, color=BLACK, lw=0.8, linestyle=(0, (4, 2)))
            for method, style in styles.items():
                values = [one.of_method.get(method, {}).get(a, math.nan) for a in one.accelerations]
                axis.plot(one.accelerations, values, label=method, **style)
            axis.set_title(one.acquisition, fontsize=8, parse_math=False)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_ylim(LEAST, MOST)
            axis.xaxis.set_major_locator(FixedLocator(list(one.accelerations)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.yaxis.set_major_locator(FixedLocator([0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.5]))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_minor_locator(NullLocator())
            axis.grid(axis="y", color="#DDDDDD", lw=0.5)
            axis.tick_params(length=2, labelsize=6.5)
            axis.spines[["top", "right"]].set_visible(False)
        for axis in panels.flat[len(found) :]:
            axis.set_visible(False)
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=names, fontsize=6.5, frameon=False)
        figure.supylabel("NMSE in the heart box\nover that of the initial reconstruction", fontsize=7)
        text = f"Against acceleration R; below 1 is better.  {caption}"
        figure.supxlabel(text, fontsize=caption_size(text, WIDTH), color=GREY, parse_math=False)


def _legend_columns(names: Iterable[str]) -> int:
    """How many columns of a legend the longest name leaves room for."""
    widest = LEGEND_HANDLE + LEGEND_LETTER * max(map(len, names), default=0)
    return max(1, min(LEGEND_COLUMNS, int(WIDTH / widest)))


def _styles(found: Sequence[Ratios]) -> dict[str, dict[str, object]]:
    """How the line of every method looks, networks last and so on top."""
    methods = list(dict.fromkeys(method for one in found for method in one.of_method))
    classical = [method for method in methods if method in BASELINES]
    means = {method: [one.mean(method) for one in found if method in one.of_method] for method in classical}
    best = sorted(classical, key=lambda method: float(np.nanmean(means[method])))[:BEST]
    colours = dict(zip(best, (ORANGE, SKY, GREEN), strict=False))
    styles: dict[str, dict[str, object]] = {}
    for method in sorted(classical, key=lambda method: method in best):
        styles[method] = {"color": colours.get(method, "#BBBBBB"), "lw": 1.3 if method in best else 0.8}
    networks = [method for method in methods if method not in BASELINES]
    for colour, method in zip((RED, BLUE, PURPLE, BLACK) * len(networks), networks, strict=False):
        styles[method] = {"color": colour, "lw": 2.0, "marker": "o", "ms": 3.5}
    return styles
