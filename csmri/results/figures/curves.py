"""Figure 3: error of the training images against epoch, and where each transfer catches up with standalone learning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from csmri.core.names import PRETRAIN, STANDALONE
from csmri.data.runs import Log, relative_nmse
from csmri.results.figures.pictures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, caption_size, new_figure
from csmri.results.folder import Results
from csmri.results.tables import Saving, savings

COLOURS = (RED, BLUE, GREEN, PURPLE, ORANGE, SKY)
LINES = ("-", (0, (6, 1.5)), (0, (3, 1.2, 1, 1.2)), (0, (1.2, 1)))
"""Dashes tell the transfers apart in print without colour."""


@dataclass(frozen=True)
class Look:
    """How the line of a training is drawn."""

    colour: str
    line: Any


def looks(trainings: Iterable[str]) -> dict[str, Look]:
    """Look of every training but the pretraining, the same in all figures: standalone black, others in turn."""
    names = list(dict.fromkeys(trainings))
    shown = [name for name in names if name != PRETRAIN] or names
    others = [name for name in shown if name != STANDALONE]
    return {
        name: Look(BLACK, "-")
        if name == STANDALONE
        else Look(COLOURS[others.index(name) % len(COLOURS)], LINES[others.index(name) % len(LINES)])
        for name in shown
    }


def render_learning_curves(results: Results, path: str | Path, *, caption: str = "") -> None:
    """Draw figure 3: a line a training, mean over seeds, band from the lowest to the highest seed, log scale.

    The dashed level is standalone's last error, mean over seeds. A dot marks on the curve of a transfer the epoch at
    which it is first at or below standalone's last error, median over seeds each compared with its own; a bar through
    it spans the seeds.
    """
    shown = looks(name for name, _ in results.logs)
    found = {saving.training: saving for saving in savings(results)}
    with new_figure(path, figsize=(5.2, 3.7), layout="constrained") as figure:
        axes = figure.subplots()
        n_seeds = 0
        for name, look in shown.items():
            logs = [log for (training, _), log in results.logs.items() if training == name]
            n_seeds = max(n_seeds, len(logs))
            label = name.replace("_", " ") + (f": {found[name]}" if name in found else "")
            curve = draw_training(axes, logs, look.colour, look.line, label)
            if name in found:
                mark_goal(axes, found[name], curve, look.colour)
        if STANDALONE in shown:
            draw_level(axes, [log for (name, _), log in results.logs.items() if name == STANDALONE])
        finish_curves(axes, n_seeds, results.repeat)
        if caption:
            figure.supxlabel(caption, fontsize=caption_size(caption, 5.2), color=GREY)


def draw_training(axes: Axes, logs: Sequence[Log], colour: str, line: Any, label: str) -> NDArray[np.float64]:
    """Draw one training and return its mean curve; seeds that were stopped early count as far as they got."""
    curves, n_epochs = [_curve(log) for log in logs], max(len(log) for log in logs)
    table = np.full((len(logs), n_epochs), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    epochs, mean = np.arange(1, n_epochs + 1), np.nanmean(table, axis=0)
    marker = "." if n_epochs < 20 else ""
    axes.plot(epochs, mean, color=colour, linestyle=line, lw=1.4, marker=marker, ms=4, label=label, zorder=3)
    if len(logs) > 1:
        axes.fill_between(epochs, np.nanmin(table, axis=0), np.nanmax(table, axis=0), color=colour, alpha=0.2, lw=0)
    if all(log[-1].get("val_nmse") for log in logs):
        held_out = np.mean([_curve(log, "val_")[: min(map(len, logs))] for log in logs], axis=0)
        name = f"{label.partition(':')[0]}, validation"
        axes.plot(epochs[: len(held_out)], held_out, color=colour, linestyle=":", lw=1, label=name)
    return mean


def _curve(log: Log, prefix: str = "") -> list[float]:
    return list(relative_nmse(log, prefix=prefix).values())


def mark_goal(axes: Axes, saving: Saving, curve: NDArray[np.float64], colour: str) -> None:
    """Mark the epoch at which a transfer is as good as standalone learning at its end."""
    reached = [race.reached for race in saving.races if race.reached]
    if saving.reached is None:
        return
    epoch, height = saving.reached, curve[saving.reached - 1]
    axes.plot([min(reached), max(reached)], [height, height], color=colour, lw=2.2, alpha=0.6, zorder=4)
    axes.plot(epoch, height, marker="o", ms=6.5, mfc="white", mec=colour, mew=1.6, linestyle="none", zorder=5)
    axes.annotate(
        str(epoch), (epoch, height), (2, -6), textcoords="offset points", color=colour, fontsize=8, fontweight="bold",
        ha="left", va="top", zorder=6, path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def draw_level(axes: Axes, logs: Sequence[Log]) -> None:
    """Draw standalone's last error."""
    level = float(np.mean([_curve(log)[-1] for log in logs]))
    label = f"standalone after {max(len(log) for log in logs)} epochs: {level:.3g}"
    axes.axhline(level, color=GREY, linestyle="--", lw=0.9, label=label, zorder=2)


def finish_curves(axes: Axes, n_seeds: int, repeat: str = "seed") -> None:
    """Label the axes of learning curves and add the legend; curves are repeated with other seeds, or in other folds."""
    axes.set(
        xlabel="epoch",
        ylabel="NMSE of training images,\nrelative to initial reconstruction",
        yscale="log",
        xlim=(0, None),
    )
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    low, high = axes.get_ylim()
    if high / low < 2:  # hardly a decade of the ticks above
        axes.yaxis.set_major_locator(LogLocator(subs=(1, *np.arange(1.2, 9.9, 0.2))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    title = f"mean, lowest and highest of {n_seeds} {repeat}s" if n_seeds > 1 else ""
    legend = axes.legend(fontsize=7.5, handlelength=3, loc="upper right", framealpha=0.85, edgecolor="none")
    legend.set_title(title, FontProperties(size=7.5))
    legend.set_alignment("left")
