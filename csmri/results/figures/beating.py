"""The beating comparison: ground truth and methods side by side, error maps below, as an endless GIF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from csmri.core.names import GROUND_TRUTH, method_label, shown_methods
from csmri.evaluation.metrics import nmse
from csmri.formats.gif import write_pages
from csmri.results.figures.panels import error_scale, view_around, white_level
from csmri.results.figures.pictures import ORANGE, caption_size, own_style
from csmri.results.folder import Example
from csmri.results.tables.text import MISSING

DPI = 100
TILE, GAP, MARGIN, TITLE, HEADS, CAPTION = 2.4, 0.1, 0.14, 0.34, 0.46, 0.28
"""Inches: width of a panel, between panels, around all, for the title, for two lines of heads, for the caption."""
# Dark, as images are read and as the report shows them; gray, which the images need anyway.
PAGE, INK, SOFT = "#0c0c0c", "#e4e4e4", "#a8a8a8"
DARK = {"text.color": INK, "axes.edgecolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT}
ERRORS = "inferno"
N_GRAYS, N_ERRORS = 112, 64
"""Colours of images and letters, and of the error maps; a GIF has at most 256."""

Pixels = NDArray[np.uint8]


def render_beating(
    example: Example,
    path: str | Path,
    *,
    durations_ms: Sequence[int],
    show: Sequence[str] = (),
    spacing_mm: tuple[float, float] | None = None,
    caption: str = "",
) -> None:
    """Draw every frame of one slice as the methods have it, and below each method its absolute errors.

    Shown is the square around the heart box of figure 4. All frames share one gray window, one scale of errors and one
    palette, so that nothing flickers. Below the name of a method stands its NMSE x 10^3 in the heart box, the mean over
    the frames.

    Parameters
    ----------
    example : Example
        Images (frame, y, x).
    path : path
        `.gif`, replaced atomically.
    durations_ms : sequence of int
        How long each frame is shown.
    show : sequence of str
        Methods in order; those of `shown_methods` if empty.
    spacing_mm : (y, x), optional
        Of the pixels, where they may not be square.
    caption : str
        Attribution of the data, at the foot.
    """
    with own_style(**DARK):
        film = _Film(example, shown_methods(example.methods, show), spacing_mm, caption)
        write_pages(path, film.pages(), durations_ms, optimize=True)


class _Film:
    """A figure drawn once, and what is drawn anew on it in every frame."""

    def __init__(
        self, example: Example, methods: Sequence[str], spacing_mm: tuple[float, float] | None, caption: str
    ) -> None:
        self.example = example
        self.view = view_around(example.heart_box, example.reference.shape[1:])
        self.side = TILE * self.view.height / self.view.width * (spacing_mm[0] / spacing_mm[1] if spacing_mm else 1)
        self.foot = CAPTION if caption else MARGIN
        self.width = 2 * MARGIN + len(methods) * (TILE + GAP) + TILE
        self.height = TITLE + HEADS + 2 * self.side + GAP + self.foot
        self.figure = Figure((self.width, self.height), DPI, facecolor=PAGE)
        self.canvas = FigureCanvasAgg(self.figure)
        self.images: list[tuple[AxesImage, NDArray[np.floating]]] = []
        self.above: list[Artist] = []

        title = f"R = {example.acceleration:g} · {example.subject}, slice {example.slice}"
        self._write(MARGIN, self.height - 0.24, title, fontsize=9.5, fontweight="bold")
        if caption:
            size = caption_size(caption, self.width - 2 * MARGIN)
            self._write(self.width / 2, 0.1, caption, ha="center", fontsize=size, color=SOFT)
        peak = float(example.reference.max()) or 1.0
        errors = [100 * np.abs(example.methods[name].astype(np.float64) - example.reference) / peak for name in methods]
        percent, white = error_scale(map(self.view.crop, errors)), white_level(example)
        self._head(0, GROUND_TRUTH, "fully sampled")
        self._mark(self._panel(0, 0, example.reference, "gray", white))
        self._legend(self._axes(0, 1), percent)
        for column, (name, error) in enumerate(zip(methods, errors, strict=True), 1):
            self._head(column, method_label(name), f"heart-box NMSE {_heart_nmse(example, name)}")
            self._panel(column, 0, example.methods[name], "gray", white)
            self._panel(column, 1, error, ERRORS, percent)

    def pages(self) -> list[Image.Image]:
        """Every frame in the colours of the palette."""
        self.canvas.draw()  # all but what is animated
        still = self.canvas.copy_from_bbox(self.figure.bbox)
        pages: list[Pixels] = []
        n_frames = len(self.example.reference)
        for frame in range(n_frames):
            self.canvas.restore_region(still)
            self.counter.set_text(f"{frame + 1} / {n_frames}")
            for image, frames in self.images:
                image.set_data(frames[frame])
            for artist in (*(image for image, _ in self.images), *self.above):
                self.figure.draw_artist(artist)
            page = _indexed(np.asarray(self.canvas.buffer_rgba())[..., :3])
            # A step between two colours is below the noise: it would be half of the file, and flicker.
            pages.append(np.where(_differ(page, pages[-1]), page, pages[-1]) if pages else page)
        return [_coloured(page) for page in pages]

    def _axes(self, column: int, row: int) -> Axes:
        x, y = MARGIN + column * (TILE + GAP), self.foot + (1 - row) * (self.side + GAP)
        axes = self.figure.add_axes((x / self.width, y / self.height, TILE / self.width, self.side / self.height))
        axes.set_axis_off()
        return axes

    def _write(self, x: float, y: float, text: str, **style: object) -> None:
        self.figure.text(x / self.width, y / self.height, text, **style)  # type: ignore[arg-type]

    def _head(self, column: int, name: str, below: str) -> None:
        x, y = MARGIN + column * (TILE + GAP) + TILE / 2, self.height - TITLE
        size = min(9.0, 72 * TILE / (0.6 * len(name)))
        self._write(x, y - 0.17, name, ha="center", fontsize=size)
        self._write(x, y - 0.36, below, ha="center", fontsize=8, color=SOFT)

    def _panel(self, column: int, row: int, frames: NDArray[np.floating], colours: str, top: float) -> Axes:
        axes, shown = self._axes(column, row), self.view.crop(frames)
        image = axes.imshow(shown[0], colours, vmin=0, vmax=top, interpolation="bilinear", aspect="auto", animated=True)
        self.images.append((image, shown))
        return axes

    def _mark(self, axes: Axes) -> None:
        box = self.example.heart_box
        corner = (box.x - self.view.x - 0.5, box.y - self.view.y - 0.5)
        self.above.append(axes.add_patch(_box(corner, box.width, box.height, animated=True)))

    def _legend(self, axes: Axes, percent: float) -> None:
        """Colour bar of the error maps, what the box is, and the number of the frame, below the ground truth."""
        bar = axes.inset_axes((0.03, 0.03, 0.09, 0.94))
        bar.imshow(np.arange(255, -1, -1)[:, None], ERRORS, aspect="auto", extent=(0, 1, 0, percent))
        bar.set_xticks([])
        bar.yaxis.tick_right()
        bar.set_yticks(levels := [0, percent / 2, percent], [f"{level:g} %" for level in levels])
        bar.tick_params(labelsize=8, length=2.5, pad=3)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.text(0.4, 0.97, "absolute error,\n% of the slice's\nmaximum", fontsize=8, va="top", linespacing=1.3)
        axes.add_patch(_box((0.4, 0.53), 0.07, 0.07))
        axes.text(0.53, 0.565, "heart box", fontsize=8, va="center")
        axes.text(0.4, 0.19, "frame", fontsize=8, color=SOFT, va="bottom")
        self.counter = axes.text(0.4, 0.03, "", fontsize=15, va="bottom", animated=True)
        self.above.append(self.counter)


def _box(corner: tuple[float, float], width: float, height: float, animated: bool = False) -> Rectangle:
    # Not smoothed, so that it is one colour of the palette.
    return Rectangle(
        corner, width, height, fill=False, ec=ORANGE, lw=0.72, antialiased=False, snap=True, animated=animated
    )


def _heart_nmse(example: Example, method: str) -> str:
    """Mean over the frames, but for blank ones, which have none."""
    heart = (example.heart_box.crop(images) for images in (example.reference, example.methods[method]))
    every = [nmse(truth, image) for truth, image in zip(*heart, strict=True) if truth.any()]
    return f"{1e3 * np.mean(every):.2f} × 10⁻³" if every else MISSING


def _palette() -> Pixels:
    """Colours (colour, 3) of every frame: even steps of gray, those of the error maps, the heart box's."""
    grays = np.linspace(0, 1, N_GRAYS)[:, None].repeat(3, axis=1)
    errors = matplotlib.colormaps[ERRORS](np.linspace(0, 1, N_ERRORS))[:, :3]
    return np.round(255 * np.concatenate([grays, errors, [to_rgb(ORANGE)]])).astype(np.uint8)


def _indexed(pixels: Pixels) -> Pixels:
    """Find the nearest colour of the palette for every pixel (y, x, 3); nothing is dithered, which would flicker."""
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    packed, place = np.unique(red << 16 | green << 8 | blue, return_inverse=True)
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1)
    nearest = np.square(colours[:, None] - _palette()).sum(axis=2).argmin(axis=1)
    return nearest.astype(np.uint8)[place]


def _differ(page: Pixels, before: Pixels) -> NDArray[np.bool_]:
    """Where two pages are more than one step of the palette apart."""
    return np.abs(page.astype(int) - before) > 1


def _coloured(page: Pixels) -> Image.Image:
    image = Image.fromarray(page)
    image.putpalette(_palette().tobytes())
    return image
