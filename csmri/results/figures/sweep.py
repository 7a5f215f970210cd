"""A sweep as a picture: what every method leaves of the initial error, as numbers on colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import TwoSlopeNorm

from csmri.results.figures.pictures import BLACK, GREY, WIDTH, caption_size, new_figure
from csmri.results.tables.sweep import Ratios

ROW, HEAD = 0.21, 0.75
"""Height of a method and of what stands above the methods [inches]."""


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
