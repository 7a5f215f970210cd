"""Animated GIF of a cine, one panel a slice, to look at; written, never read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csmri.core.files import replacing
from csmri.data.cine import Cine

WINDOW_PERCENTILE = 99.5
UNKNOWN_FRAME_MS = 50
GAP = 2  # pixels of black between panels
TICK_MS = 10  # GIF counts time in hundredths of a second
SHORTEST_MS = 20  # browsers slow down frames that are shorter


def write(path: str | Path, cine: Cine) -> None:
    """Write the magnitude as an endless animation, all slices in a grid, in real time where the times are known.

    Parameters
    ----------
    path : path
        `.gif`, replaced atomically.
    cine : Cine
        White is the 99.5th percentile of the whole cine.
    """
    write_pages(path, [Image.fromarray(page) for page in grid(cine)], durations_ms(cine))


def write_pages(
    path: str | Path, pages: Sequence[Image.Image], durations: Sequence[int], *, optimize: bool = False
) -> None:
    """Write pages as an endless animation, each shown for its time in ms; `path` is replaced atomically.

    With `optimize` only what changes from page to page is written, which needs a colour that no page uses.
    """
    with replacing(path) as temporary:
        pages[0].save(
            temporary, save_all=True, append_images=pages[1:], duration=list(durations), loop=0, optimize=optimize
        )


def grid(cine: Cine) -> NDArray[np.uint8]:
    """Lay out the slices of every frame in rows of panels, 12 slices as 3 rows of 4.

    Parameters
    ----------
    cine : Cine
        Images (slice, frame, y, x).

    Returns
    -------
    array (frame, y, x), uint8
        Windowed so that 255 is the 99.5th percentile.
    """
    magnitude = cine.magnitude
    levels = (np.clip(magnitude / white_level(magnitude), 0, 1) * 255).round().astype(np.uint8)
    n_slices, n_frames, height, width = levels.shape
    n_columns = math.ceil(math.sqrt(n_slices))
    n_rows = math.ceil(n_slices / n_columns)
    pages = np.zeros(
        (n_frames, n_rows * height + (n_rows - 1) * GAP, n_columns * width + (n_columns - 1) * GAP), np.uint8
    )
    for index, panel in enumerate(levels):
        top, left = index // n_columns * (height + GAP), index % n_columns * (width + GAP)
        pages[:, top : top + height, left : left + width] = panel
    return pages


def white_level(magnitude: NDArray[np.float32]) -> float:
    """Value that is shown white: the 99.5th percentile of images (slice, frame, y, x), above zero."""
    # Where nearly all pixels are zero the percentile is zero too; the maximum never is.
    return float(np.percentile(magnitude, WINDOW_PERCENTILE)) or float(magnitude.max())


def edges_ms(cine: Cine) -> NDArray[np.float64]:
    """Times (frame + 1,) in ms at which frames begin and the last one, as long as the mean, ends; from 0."""
    if cine.frame_times_ms is None:
        return np.arange(cine.n_frames + 1, dtype=np.float64) * UNKNOWN_FRAME_MS
    times = np.asarray(cine.frame_times_ms, np.float64) - float(cine.frame_times_ms[0])
    return np.append(times, times[-1:] * len(times) / (len(times) - 1))


def durations_ms(cine: Cine) -> list[int]:
    """Time (frame,) each frame is shown, in ms: multiples of 10 whose sum keeps step with the heart."""
    # Rounding the edges and not the intervals: 38 ms frames become 40, 40, 30, ... and the beat keeps its length.
    ticks = np.round(edges_ms(cine) / TICK_MS).astype(int)
    return [max(SHORTEST_MS, int(ticks_shown) * TICK_MS) for ticks_shown in np.diff(ticks)]
