"""What the saving by transfer learning depends on: a row a variant of a study, savings left, errors right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from csmri.core.names import STANDALONE, pretraining_epochs, title, transfers
from csmri.results.figures.curves import looks
from csmri.results.figures.pictures import BLACK, GREY, WIDTH, caption_size, new_figure
from csmri.results.tables.lengths import PAPER, SUSTAINED, Curve, spread
from csmri.results.tables.variants import Row

ROW, HEAD = 0.36, 1.25
"""Height of a variant, and of what is around the variants [inches]."""
LENGTHS = (0.2, 0.4, 0.6, 0.8, 1)
"""Lengths N of standalone learning that are shown, as shares of the whole; the last stands out."""
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100)


def render_variants(rows: Sequence[Row], path: str | Path, *, caption: str = "") -> None:
    """Draw, of every variant, how many epochs its transfers save, and how good its networks are.

    On the left, a large dot is the saving against the whole standalone learning, small ones against shorter ones, the
    bar through the large dot spans the seeds; an arrow says that the transfer was never as good, so that the saving is
    less. Dashed lines are the paper's. On the right, the error of the test subjects.

    Parameters
    ----------
    rows : sequence of Row
        Of `tables.variants.variant_rows`.
    path : path
        .png, .svg or .pdf.
    """
    names = transfers(name for row in rows for name in row.left)
    styles = looks([STANDALONE, *names])
    with new_figure(path, figsize=(WIDTH, HEAD + ROW * len(rows)), layout="constrained") as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
        for place, row in enumerate(rows):
            for axes in (left, right):
                axes.axhspan(place - 0.5, place + 0.5, color="#F4F4F4" if place % 2 else "white", lw=0, zorder=0)
            for i, curve in enumerate(row.savings):
                _draw_saving(
                    left, curve, place + (i - (len(row.savings) - 1) / 2) * 0.36, styles[curve.training].colour
                )
            for i, (method, values) in enumerate(row.errors.items()):
                height = place + (i - (len(row.errors) - 1) / 2) * 0.24
                colour = styles[method].colour
                right.plot(values, [height] * len(values), color=colour, lw=1.6, alpha=0.5, solid_capstyle="butt")
                right.plot(fmean(values), height, "o", ms=4, color=colour)
        for name in names:
            left.plot(
                [],
                [],
                "o",
                ms=5,
                color=styles[name].colour,
                label=f"{title(name)} after {_epochs(name)} of pretraining",
            )
        right.plot([], [], "o", ms=4, color=BLACK, label=title(STANDALONE))
        for one in PAPER:
            if one.training in names:
                left.axvline(one.factor, color=styles[one.training].colour, ls="--", lw=0.9, zorder=1)
        left.axvline(1, color=GREY, lw=0.8, zorder=1)
        right.axvline(1, color=GREY, lw=0.8, zorder=1)
        n_epochs = max(curve.lengths[-1] for row in rows for curve in row.savings)
        left.set(
            xscale="log",
            xlabel=f"epochs saved, at N = {n_epochs} (large dots) and from N = {round(n_epochs * LENGTHS[0])} on",
        )
        left.xaxis.set_major_locator(FixedLocator(TICKS))
        left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        left.xaxis.set_minor_locator(NullLocator())
        right.set_xlabel("error of the test subjects,\nrelative to initial")
        left.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8, parse_math=False)
        left.set_ylim(len(rows) - 0.5, -0.5)
        for axes in (left, right):
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x", alpha=0.25, lw=0.6)
            axes.spines[["top", "right", "left"]].set_visible(False)
        figure.legend(loc="outside upper center", ncols=3, fontsize=7.5, frameon=False)
        text = "Dashed: the paper, at its N = 100.  " + caption
        figure.supxlabel(text, fontsize=caption_size(text, WIDTH), color=GREY, parse_math=False)


def _draw_saving(axes: Axes, curve: Curve, height: float, colour: str) -> None:
    savings = curve.readings[SUSTAINED]
    lengths = [n for n in (round(share * curve.lengths[-1]) for share in LENGTHS) if n in savings]
    for n in lengths:
        found = spread(savings[n])
        if found is None:
            continue
        last = n == lengths[-1]
        if last:
            axes.plot([found.low.value, found.high.value], [height] * 2, color=colour, lw=1.8, alpha=0.5, zorder=3)
        if found.median.known:
            axes.plot(
                found.median.value, height, "o", ms=6 if last else 2.5, color=colour, alpha=1 if last else 0.5, zorder=4
            )
        elif last:
            axes.plot(found.median.value, height, marker="<", ms=6, color=colour, mfc="white", zorder=4)


def _epochs(name: str) -> str:
    return f"{pretraining_epochs(name)} epochs"
