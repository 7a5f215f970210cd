"""What the saving by transfer learning depends on: a row a variant of a study, savings left, errors right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from csmri.core.names import STANDALONE, pretraining_epochs, short, transfers
from csmri.results.figures.curves import looks
from csmri.results.figures.pictures import GREY, WIDTH, caption_size, new_figure
from csmri.results.tables.lengths import PAPER, SUSTAINED, SavingCurve, spread
from csmri.results.tables.variants import Row

ROW, HEAD = 0.36, 1.25
"""Height of a variant, and of what is around the variants [inches]."""
LENGTHS = (0.2, 0.4, 0.6, 0.8, 1)
"""Lengths N of standalone learning that are shown, as shares of the whole; the last stands out."""
STRIPES = ("white", "#F4F4F4")
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
    styles = looks([STANDALONE, *transfers(name for row in rows for name in row.left)])
    with new_figure(path, figsize=(WIDTH, HEAD + ROW * len(rows)), layout="constrained") as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
        for place, row in enumerate(rows):
            for axes in (left, right):
                axes.axhspan(place - 0.5, place + 0.5, color=STRIPES[place % 2], lw=0, zorder=0)
            for height, curve in zip(_heights(place, len(row.savings), 0.36), row.savings, strict=True):
                _draw_saving(left, curve, height, styles[curve.training].colour)
            for height, (method, values) in zip(
                _heights(place, len(row.errors), 0.24), row.errors.items(), strict=True
            ):
                _draw_errors(right, values, height, styles[method].colour)
        for name, look in styles.items():
            left.plot([], [], "o", ms=5, color=look.colour, label=_label(name))
        for one in PAPER:
            if one.training in styles:
                left.axvline(one.races[0].factor, color=styles[one.training].colour, ls="--", lw=0.9, zorder=1)
        _finish(left, right, rows)
        figure.legend(loc="outside upper center", ncols=len(styles), fontsize=7.5, frameon=False)
        text = "Dashed: the paper, at its N = 100.  " + caption
        figure.supxlabel(text, fontsize=caption_size(text, WIDTH), color=GREY, parse_math=False)


def _heights(place: int, n: int, step: float) -> list[float]:
    """Heights of so many things in one row."""
    return [place + (i - (n - 1) / 2) * step for i in range(n)]


def _label(training: str) -> str:
    epochs = pretraining_epochs(training)
    return (
        f"{short(training)}: transfer, {epochs} epochs of pretraining" if epochs else f"{short(training)}: standalone"
    )


def _finish(left: Axes, right: Axes, rows: Sequence[Row]) -> None:
    lengths = _shown(max((curve for row in rows for curve in row.savings), key=lambda curve: curve.lengths[-1]))
    small = ", ".join(map(str, lengths[:-1]))
    left.set(xscale="log", xlabel=f"times fewer epochs than N = {lengths[-1]} of standalone\n(small dots: N = {small})")
    left.xaxis.set_major_locator(FixedLocator(TICKS))
    left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    left.xaxis.set_minor_locator(NullLocator())
    left.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8, parse_math=False)
    left.set_ylim(len(rows) - 0.5, -0.5)
    right.set_xlabel("error of the test subjects,\nrelative to initial")
    for axes in (left, right):
        axes.axvline(1, color=GREY, lw=0.8, zorder=1)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.25, lw=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)


def _shown(curve: SavingCurve) -> list[int]:
    return sorted({round(share * curve.lengths[-1]) for share in LENGTHS} & set(curve.lengths))


def _draw_errors(axes: Axes, values: Sequence[float], height: float, colour: str) -> None:
    axes.plot(values, [height] * len(values), color=colour, lw=1.6, alpha=0.5, solid_capstyle="butt")
    axes.plot(fmean(values), height, "o", ms=4, color=colour)


def _draw_saving(axes: Axes, curve: SavingCurve, height: float, colour: str) -> None:
    savings = curve.readings[SUSTAINED]
    lengths = _shown(curve)
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
