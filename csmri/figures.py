"""Records -> figures; never runs a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from csmri.errors import CsmriError
from csmri.records import Example
from csmri.roi import Box

TITLES = {"initial": "initial (IR)", "standalone": "standalone (SL)", "transfer": "transfer (TL)"}
UNDATED = {".png": ("Software",), ".svg": ("Date",), ".pdf": ("CreationDate", "Creator", "Producer")}
"""Suffixes of pictures, and what matplotlib would write into the file that changes."""

ERROR_GAIN = 5
"""Error maps are drawn this many times brighter than the images."""


def picture_suffix(path: str | Path) -> str:
    """Tell the format of a picture from its name, before any work is done."""
    suffix = Path(path).suffix.lower()
    if suffix not in UNDATED:
        raise CsmriError(f"{path}: cannot tell the format of the picture; end the name in {', '.join(UNDATED)}")
    return suffix


def render_learning_curves(logs: Mapping[str, Sequence[Mapping[str, str]]], path: str | Path) -> None:
    """Draw figure 3: NMSE of the reconstructed training images against epoch, one line a run, log scale.

    Parameters
    ----------
    logs : run name -> rows of its log.csv
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for i, (name, rows) in enumerate(logs.items()):
        epochs = [int(row["epoch"]) for row in rows]
        values = [float(row["nmse"]) * 1e3 for row in rows]
        axes.plot(epochs, values, color=f"C{i}", marker=".", label=name)
        if rows and rows[-1].get("val_nmse"):
            held_out = [float(row["val_nmse"]) * 1e3 for row in rows]
            axes.plot(epochs, held_out, color=f"C{i}", linestyle="--", label=f"{name}, validation")
    axes.set(xlabel="epoch", ylabel="NMSE of reconstructed images × 10³", yscale="log")
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter("{x:.3g}")
    axes.grid(which="both", alpha=0.25)
    axes.legend(frameon=False)
    _save(figure, path)


def render_reconstructions(examples: Sequence[Example], path: str | Path, *, caption: str = "") -> None:
    """Draw figure 4: per example the methods' images and the ground truth, temporal profiles and error maps under them.

    The frame shown is the one that differs most from the temporal mean inside the heart box (usually end-systole). The
    profile runs along the marked line; time runs downwards over two cycles. Error maps are |reconstructed - reference|,
    `ERROR_GAIN` times brighter than the images; all panels of an example share one window.
    """
    shown = [method for method in examples[0].methods if method != "zero-filled"]
    n_columns = len(shown) + 1
    aspect = _window(examples[0])[1].height / _window(examples[0])[1].width
    figure = Figure(figsize=(2.1 * n_columns, len(examples) * (2.1 * aspect * 2 + 1.5)), layout="constrained")
    blocks = figure.subfigures(len(examples), 1, squeeze=False)[:, 0]
    for block, example in zip(blocks, examples, strict=True):
        block.suptitle(
            f"R = {example.acceleration:g} · {example.subject}, slice {example.slice}", fontsize=10, fontweight="bold"
        )
        axes = block.subplots(3, n_columns, height_ratios=[aspect, 0.55, aspect])
        _draw_example(axes, example, shown)
    if caption:
        figure.supxlabel(caption, fontsize=7, color="0.35")
    _save(figure, path)


def _draw_example(axes: Any, example: Example, shown: Sequence[str]) -> None:
    frame, view = _window(example)
    peak = float(np.quantile(view.crop(example.reference), 0.995))
    line = example.heart_box.y + example.heart_box.height // 2
    for column, name in enumerate([*shown, "ground truth"]):
        images = example.reference if name == "ground truth" else example.methods[name]
        image, profile, error = axes[:, column]
        image.imshow(view.crop(images[frame]), cmap="gray", vmin=0, vmax=peak, interpolation="bilinear")
        image.set_title(TITLES.get(name, name), fontsize=9)
        cycles = np.tile(view.crop(images)[:, line - view.y], (2, 1))
        profile.imshow(cycles, cmap="gray", vmin=0, vmax=peak, aspect="auto", interpolation="bilinear")
        if name == "ground truth":
            box = example.heart_box
            image.add_patch(
                Rectangle((box.x - view.x, box.y - view.y), box.width, box.height, fill=False, color="gold", lw=1)
            )
            image.axhline(line - view.y, color="deepskyblue", lw=0.8, linestyle="--")
            error.set_visible(False)
        else:
            difference = np.abs(view.crop(images[frame]) - view.crop(example.reference[frame]))
            error.imshow(difference, cmap="magma", vmin=0, vmax=peak / ERROR_GAIN, interpolation="bilinear")
    for panel, label in zip(axes[:, 0], ("image", "time ↓", f"error × {ERROR_GAIN}"), strict=True):
        panel.set_ylabel(label, fontsize=8)
    for panel in axes.flat:
        _bare(panel)


def _window(example: Example) -> tuple[int, Box]:
    """Frame to show, and the part of the image: the heart box with half its size around it."""
    heart = example.heart_box.crop(example.reference)
    frame = int(np.argmax(((heart - heart.mean(axis=0)) ** 2).sum(axis=(1, 2))))
    n_y, n_x = example.reference.shape[1:]
    box = example.heart_box
    y, x = max(0, box.y - box.height // 2), max(0, box.x - box.width // 2)
    end_y, end_x = min(n_y, box.y + box.height * 3 // 2), min(n_x, box.x + box.width * 3 // 2)
    return frame, Box(y, x, end_y - y, end_x - x)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def _save(figure: Figure, path: str | Path) -> None:
    # Without date, version and random names in it, the same records give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "csmri"}):
        figure.savefig(path, dpi=160, metadata=dict.fromkeys(UNDATED[picture_suffix(path)]))
