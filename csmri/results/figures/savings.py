"""The saving by transfer learning against the length of standalone learning: when it is 50x, when 2x, when nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from csmri.core.names import short
from csmri.results.figures.curves import Look, looks
from csmri.results.figures.pictures import BLACK, GREY, caption_size, new_figure
from csmri.results.folder import Results
from csmri.results.tables.lengths import FIRST, SUSTAINED, SavingCurve, View, repeats, saving_curves

AGAINST = ("N, epochs of standalone learning", "images of N standalone epochs / of pretraining")
SAVING = ("saving in epochs of transfer", "saving in images,\npretraining counted")
PAPER_MARK: dict[str, Any] = {"marker": "D", "ms": 5.5, "mfc": "white", "linestyle": "none"}
LOWEST = 1e-9
"""Below every panel."""
CEILINGS = ((0.02, 0.98, "dotted: there after its first epoch"), (0.02, 0.98, "dotted: the pretraining alone"))
"""Place and text beside what no saving is above."""
HALO = [withStroke(linewidth=2.5, foreground="white")]
TICKS = (1.0, 2.0, 5.0)


def render_savings(results: Results, path: str | Path, *, caption: str = "") -> None:
    """Draw the saving against N and against images seen, in epochs and with the pretraining's images counted.

    A line is the sustained reading, median over seeds, its band reaches from the lowest to the highest seed; dots are
    the first reached, with the same range. A line ends at an arrow down where the transfer was never as good in the
    epochs that it was trained: the saving is below that. So may be the lowest seed: then the band goes on, lighter,
    downwards. Diamonds are the paper's. Without numbers of images only the first panel is drawn.
    """
    curves = saving_curves(results)
    found = looks(name for name, _ in results.logs)
    knows_images = any(_points(curve, SUSTAINED, View(True, True)).size for curve in curves)
    n = 2 if knows_images else 1
    width = 6.6 if knows_images else 4.6
    heights = (1.25, 1)[:n]
    with new_figure(path, figsize=(width, 2.0 * sum(heights) + 0.9), layout="constrained") as figure:
        panels = figure.subplots(n, n, squeeze=False, sharex="col", sharey="row", height_ratios=heights)
        for (row, column), axes in np.ndenumerate(panels):
            view = View(by_images=bool(column), counted=bool(row))
            for curve in curves:
                _draw_curve(axes, curve, found[curve.training], view)
            _draw_paper(axes, found, view)
            _finish(axes, curves, view)
            axes.label_outer()
        _explain(figure, curves, found)
        if caption:
            figure.supxlabel(caption, fontsize=caption_size(caption, width), color=GREY)


def _points(curve: SavingCurve, reading: str, view: View) -> NDArray[np.float64]:
    """Rows x, median, low, high, then what median, low and high are at most; NaN for what is not known."""
    columns = []
    for x, one in view.points(curve, reading):
        factors = (one.median, one.low, one.high)
        known = [factor.value if factor.known else np.nan for factor in factors]
        columns.append([x, *known, *(factor.value for factor in factors)])
    return np.array(columns).T.reshape(7, len(columns))


def _draw_curve(axes: Axes, curve: SavingCurve, look: Look, view: View) -> None:
    x, middle, *_ = _points(curve, FIRST, view)
    axes.plot(x, middle, ".", ms=3, mew=0, color=look.colour, alpha=0.8, zorder=3)
    x, middle, low, _, below, least, most = _points(curve, SUSTAINED, view)
    axes.plot(x, middle, color=look.colour, linestyle=look.line, lw=1.6, zorder=4)
    axes.fill_between(x, least, most, color=look.colour, alpha=0.22, lw=0, zorder=1)
    downwards = np.full_like(x, LOWEST)
    axes.fill_between(x, downwards, least, where=np.isnan(low), color=look.colour, alpha=0.08, lw=0, zorder=1)
    for i in np.flatnonzero(np.isnan(middle))[:1]:
        arrow = {"arrowstyle": "-|>", "color": look.colour, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (x[i], below[i] / 1.35), (x[i], below[i]), zorder=5, arrowprops=arrow)


def _draw_paper(axes: Axes, found: Mapping[str, Look], view: View) -> None:
    for i, (training, x, factor) in enumerate(view.paper):
        colour = found[training].colour if training in found else GREY
        axes.plot(x, factor, color=colour, mew=1.5, zorder=6, **PAPER_MARK)
        # At N = 100 they stand one above the other, so the second label goes to the other side.
        side = (0, 8) if view.by_images else (8, 0) if i % 2 else (-8, 0)
        horizontal = "center" if view.by_images else "left" if i % 2 else "right"
        axes.annotate(
            f"{factor:.2g}×", (x, factor), side, textcoords="offset points", color=colour, fontsize=7.5,
            fontweight="bold", ha=horizontal, va="center", zorder=7, path_effects=HALO,
        )  # fmt: skip


def _finish(axes: Axes, curves: Sequence[SavingCurve], view: View) -> None:
    points = [_points(curve, reading, view) for curve in curves for reading in curve.readings]
    drawn = np.concatenate([*(one[4:].ravel() for one in points), [factor for _, _, factor in view.paper]])
    xs = np.concatenate([*(one[0] for one in points), [x for _, x, _ in view.paper]])
    low, high = min(drawn.min() / 1.3, 0.6), drawn.max() * 1.9
    axes.set(yscale="log", ylim=(low, high), ylabel=SAVING[view.counted], xlabel=AGAINST[view.by_images])
    if view.by_images:
        axes.set(xscale="log", xlim=(xs.min() / 1.15, xs.max() * 1.6))
        axes.xaxis.set_major_locator(LogLocator(subs=TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.set(xlim=(0, xs.max() * 1.16))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(LogLocator(subs=TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.axhspan(low, 1, color=GREY, alpha=0.1, lw=0, zorder=0)
    axes.axhline(1, color=BLACK, lw=0.8, zorder=2)
    axes.text(0.985, 0.02, "saves nothing", transform=axes.transAxes, fontsize=7, color=GREY, ha="right")
    if view.by_images == view.counted:  # there the most that can be saved is the same for all transfers
        most = np.geomspace(low, high)
        axes.plot(most, most, color=GREY, lw=0.9, linestyle=":", zorder=1, scalex=False, scaley=False)
        axes.text(*CEILINGS[view.counted], transform=axes.transAxes, fontsize=7, color=GREY, va="top")
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _explain(figure: Figure, curves: Sequence[SavingCurve], found: Mapping[str, Look]) -> None:
    window = max(curve.window for curve in curves)
    n_repeats, repeat = repeats(curves)
    over = f", median and range of {n_repeats} {repeat}s" if n_repeats > 1 else ""
    drawn = [(short(curve.training), found[curve.training]) for curve in curves]
    handles = [Line2D([], [], color=look.colour, linestyle=look.line, lw=1.6, label=name) for name, look in drawn]
    handles.append(Line2D([], [], color=GREY, label="the paper, N = 100", **PAPER_MARK))
    mean = f"sustained (running means over {window} epochs)" if window > 1 else "sustained"
    legend = figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), fontsize=7.5, frameon=False, handlelength=3
    )
    legend.set_title(f"lines: {mean}{over}\ndots: first reached in a single epoch", FontProperties(size=7.5))
    legend.get_title().set_multialignment("center")
