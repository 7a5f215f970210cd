"""The heart boxes of a store, to be looked at: quality is judged inside them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from csmri.data.roi import Box
from csmri.results.figures.pictures import ORANGE, new_figure

N_COLUMNS = 6
MOST = 60
"""Subjects that a picture shows: to draw it takes some 5 MiB a subject."""
View = tuple[str, NDArray[np.float32], NDArray[np.float64], Box]
"""Subject, temporal mean (y, x) of its middle slice, motion map (y, x) of all slices, heart box."""


def render_heart_boxes(views: Iterable[View], path: str | Path) -> list[Path]:
    """Draw, for every subject, the middle slice and what moves, with the heart box on both.

    Returns
    -------
    list of Path
        The pictures: `path`, and for more subjects than one of them shows `heart_boxes_2.png` and so on. Only the views
        of one are held at a time.
    """
    path, views, drawn = Path(path), iter(views), list[Path]()
    while page := list(itertools.islice(views, MOST)):
        name = f"{path.stem}_{len(drawn) + 1}{path.suffix}" if drawn else path.name
        drawn.append(path.with_name(name))
        _render_page(page, drawn[-1])
    return drawn


def _render_page(views: Sequence[View], path: Path) -> None:
    n_columns = min(N_COLUMNS, len(views))
    n_rows = math.ceil(len(views) / n_columns)
    with new_figure(path, figsize=(2.2 * n_columns, 1.4 * n_rows), layout="constrained") as figure:
        axes = figure.subplots(n_rows, 2 * n_columns, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for i, (subject, mean, motion, box) in enumerate(views):
            row, column = divmod(i, n_columns)
            panels: tuple[NDArray[np.floating], ...] = (mean, motion)
            for axis, image in zip(axes[row, 2 * column : 2 * column + 2], panels, strict=True):
                axis.imshow(image, cmap="gray", vmin=0, vmax=np.quantile(image, 0.995) or 1)
                corner = box.x - 0.5, box.y - 0.5
                axis.add_patch(Rectangle(corner, box.width, box.height, fill=False, color=ORANGE, linewidth=1))
            axes[row, 2 * column].set_title(subject, fontsize=7, loc="left")
