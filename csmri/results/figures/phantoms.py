"""Cines one below the other, phantoms beside real ones: what moves, how much, and how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from csmri.data.cine import Cine
from csmri.results.figures.pictures import GREY, WIDTH, caption_size, new_figure

NOTE = "Window of each picture: 0 to its 99.5th percentile. Phantoms show no real person."
COLUMNS = 5


def render_phantoms(cines: Sequence[Cine], path: str | Path, *, caption: str = "") -> None:
    """Draw a row a cine: towards the base, the middle at rest and most contracted, towards the apex, one column.

    The column is the one of the largest motion in the middle slice, over two beats.

    Parameters
    ----------
    cines : sequence of Cine
    path : path
        .png, .svg or .pdf.
    caption : str
        Attribution of real images.
    """
    text = f"{NOTE} {caption}".rstrip()
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0.01)
    with new_figure(path, figsize=(WIDTH, 1.5 * len(cines) + 0.25), layout=layout) as figure:
        rows = figure.subplots(len(cines), COLUMNS, squeeze=False)
        for row, cine in zip(rows, cines, strict=True):
            images = base_first(cine.magnitude)
            for axis, (title, picture) in zip(row, _pictures(images), strict=True):
                white = np.percentile(picture, 99.5) or 1
                axis.imshow(picture, cmap="gray", vmin=0, vmax=white, aspect="auto", interpolation="bilinear")
                axis.set_box_aspect(images.shape[2] / images.shape[3])
                axis.set_title(title, fontsize=6.5, pad=2)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            moves = f"{100 * dynamic_fraction(images):.1f} % of the energy varies"
            row[0].set_ylabel(f"{cine.subject}\n{moves}", fontsize=6.5)
        figure.supxlabel(text, fontsize=caption_size(text, WIDTH), color=GREY)


def _pictures(images: NDArray[np.float32]) -> list[tuple[str, NDArray[np.float32]]]:
    n, middle = len(images), images[len(images) // 2]
    column = int(np.argmax(middle.var(axis=0).sum(axis=0)))
    return [
        ("towards the base", images[n // 6, 0]),
        ("middle, end-diastole", middle[0]),
        ("middle, end-systole", middle[most_contracted(middle)]),
        ("towards the apex", images[n - 1 - n // 5, 0]),
        (f"column {column} over two beats", np.tile(middle[:, :, column].T, (1, 2))),
    ]


def dynamic_fraction(images: NDArray[np.float32]) -> float:
    """Share of the energy of images (slice, frame, y, x) that varies over time."""
    change = images - images.mean(axis=1, keepdims=True)
    return float(np.sum(change**2) / (np.sum(images**2) or 1))


def most_contracted(images: NDArray[np.float32]) -> int:
    """Frame of images (frame, y, x) least like the first one."""
    return int(np.argmax(np.sum((images - images[0]) ** 2, axis=(1, 2))))


def base_first(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (slice, frame, y, x) with the slices of the larger motion in the first half."""
    motion = images.var(axis=1).sum(axis=(1, 2))
    half = len(images) // 2
    return images if motion[:half].sum() > motion[half:].sum() else images[::-1]
