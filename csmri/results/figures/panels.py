"""Examples -> exactly the pixels that figure 4 shows, as one 8-bit contact sheet an acceleration.

Images of a data set may not be committed, but a figure made from them may. So figure 4 is always drawn from these
panels: of one slice one frame, the profile of one line, and error maps, windowed and rounded to 8 bits. Whoever has
them draws the same figure, byte for byte, without the data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.core.names import shown_methods
from csmri.core.texts import write_text
from csmri.data.roi import Box
from csmri.evaluation.metrics import nmse
from csmri.results.folder import Example

SHEET = "fig4_panels.json"
SHOWN_ACCELERATIONS = (4.0, 8.0)
"""Of the paper's figure 4."""
ERROR_SCALES = (1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 100)
"""Tops that the scale of the error maps may have, in % of the image maximum."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Panels:
    """One acceleration of figure 4: columns are the methods, and the ground truth last."""

    subject: str
    slice: int
    frame: int
    acceleration: float
    methods: tuple[str, ...]
    nmse_heart: tuple[float, ...]
    """Of the frame shown, a number a method; NaN where the heart box is without content."""
    box: Box
    """Heart box in pixels of the panels."""
    line: int
    """Row of the panels whose profile is shown."""
    white: float
    """Magnitude drawn white, in the unit of the images; black is 0."""
    error_percent: float
    """Absolute error at the top of the error maps' scale, in % of the maximum of the slice's reference."""
    images: Pixels
    """(column, y, x)"""
    profiles: Pixels
    """(column, frame, x)"""
    errors: Pixels
    """(method, y, x)"""


def choose_examples(examples: Sequence[Example], subject: str = "") -> list[Example]:
    """Choose what figure 4 shows, before anyone has seen it: the middle slice of a subject, at 4 and 8.

    Parameters
    ----------
    subject : str
        The first of the examples if empty.

    Raises
    ------
    CsmriError
        If there is no example, or none of the subject.
    """
    if not examples:
        raise CsmriError("no examples to draw; expected those that `csmri study` or `csmri evaluate` keep")
    of_subject = [example for example in examples if example.subject == (subject or examples[0].subject)]
    if not of_subject:
        raise CsmriError(f"no examples of {subject}; the examples are of {examples[0].subject}")
    slices = sorted({example.slice for example in of_subject})
    of_slice = [example for example in of_subject if example.slice == slices[len(slices) // 2]]
    shown = [example for example in of_slice if example.acceleration in SHOWN_ACCELERATIONS] or of_slice
    return sorted(shown, key=lambda example: example.acceleration)


def make_panels(examples: Sequence[Example], show: Sequence[str] = ()) -> list[Panels]:
    """Cut, window and round what the figure shows; error maps of all examples share one scale.

    Columns are the methods to show, in that order, or those of `shown_methods`.

    All is decided by the reference inside the heart box: the frame is the one that differs most from the temporal mean
    (usually end-systole), the line the one at the centre of motion, white the brightest 2 %. The view is a square
    around the box.
    """
    shown = [_Shown(example, show) for example in examples]
    percent = error_scale(one.errors for one in shown)
    return [one.panels(percent) for one in shown]


def error_scale(errors: Iterable[NDArray[np.float64]]) -> float:
    """Top of the scale of some error maps, in % as they are: a round number that hardly a pixel exceeds."""
    top = max(float(np.quantile(one, 0.995)) for one in errors)
    return float(next((scale for scale in ERROR_SCALES if scale >= top), ERROR_SCALES[-1]))


def white_level(example: Example) -> float:
    """Magnitude that is drawn white: all but the brightest 2 % of the heart box are darker."""
    return float(f"{np.quantile(example.heart_box.crop(example.reference), 0.98) or 1:.5g}")


class _Shown:
    """What is shown of an example, not yet rounded."""

    def __init__(self, example: Example, show: Sequence[str]) -> None:
        self.example = example
        self.methods = tuple(shown_methods(example.methods, show))
        self.frame, self.view = moving_frame(example), view_around(example.heart_box, example.reference.shape[1:])
        every = [example.methods[name] for name in self.methods] + [example.reference]
        self.views = np.stack([self.view.crop(images) for images in every]).astype(np.float64)
        peak = float(example.reference.max()) or 1.0
        errors = np.abs(self.views[:-1, self.frame] - self.views[-1, self.frame])
        self.errors = 100 * errors / peak  # in %

    def panels(self, error_percent: float) -> Panels:
        example, view, box = self.example, self.view, self.example.heart_box
        heart = box.crop(example.reference)
        white = white_level(example)
        present = heart.any(axis=(1, 2))
        motion = heart[present].var(axis=0).sum(axis=1) if present.any() else np.zeros(box.height)  # of every row
        centre = round(float(np.average(np.arange(box.height), weights=motion))) if motion.any() else box.height // 2
        line = box.y + centre - view.y
        truth = box.crop(example.reference[self.frame])
        quality = [nmse(truth, box.crop(example.methods[name][self.frame])) for name in self.methods]
        return Panels(
            example.subject,
            example.slice,
            self.frame,
            example.acceleration,
            self.methods,
            tuple(float(f"{value:.4g}") for value in quality),
            Box(box.y - view.y, box.x - view.x, box.height, box.width),
            line,
            white,
            error_percent,
            _rounded(self.views[:, self.frame] / white),
            _rounded(self.views[:, :, line] / white),
            _rounded(self.errors / error_percent),
        )


def moving_frame(example: Example) -> int:
    """Frame that differs most from the temporal mean inside the heart box of the reference.

    Frames without content there are not looked at, unless all are: they would differ most.
    """
    heart = example.heart_box.crop(example.reference)
    present = heart.any(axis=(1, 2))
    if not present.any():
        return 0
    motion = ((heart - heart[present].mean(axis=0)) ** 2).sum(axis=(1, 2))
    return int(np.argmax(np.where(present, motion, -1)))


def view_around(box: Box, matrix: tuple[int, ...]) -> Box:
    """Square a quarter larger than the longer side of the box around it, as far as the image (y, x) goes."""
    side = round(1.25 * max(box.height, box.width))
    height, width = min(side, matrix[0]), min(side, matrix[1])
    y = int(np.clip(box.y + (box.height - height) // 2, 0, matrix[0] - height))
    x = int(np.clip(box.x + (box.width - width) // 2, 0, matrix[1] - width))
    return Box(y, x, height, width)


def write_panels(panels: Sequence[Panels], folder: Path, *, caption: str = "") -> list[Path]:
    """Write a contact sheet an acceleration and the description of all; earlier sheets in the folder go.

    Rows of a sheet: images, profiles, error maps; columns without space between them.
    """
    described = []
    for old in folder.glob("fig4_panels_R*.png"):
        old.unlink()
    for one in panels:
        name = f"fig4_panels_R{one.acceleration:g}.png"
        with replacing(folder / name) as partial:
            Image.fromarray(_sheet(one)).save(partial, optimize=True)
        fields = {key: value for key, value in asdict(one).items() if key not in ("images", "profiles", "errors")}
        fields["nmse_heart"] = [value if math.isfinite(value) else None for value in one.nmse_heart]
        size = {"tile": one.images.shape[1:], "n_frames": one.profiles.shape[1]}
        described.append({"sheet": name, **fields, "box": one.box._asdict(), **size})
    text = json.dumps({"caption": caption, "rows": ["images", "profiles", "errors"], "panels": described}, indent=1)
    write_text(folder / SHEET, text + "\n")
    return [*(folder / str(one["sheet"]) for one in described), folder / SHEET]


def read_panels(folder: Path) -> tuple[list[Panels], str]:
    """Read what `write_panels` wrote: the panels and the caption."""
    path = folder / SHEET
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        return [_read_sheet(folder, dict(one)) for one in described["panels"]], str(described["caption"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CsmriError(
            f"{path}: not the panels of figure 4, or its sheets are missing or damaged ({error}); "
            "`csmri figures` writes them where examples.npz is"
        ) from error


def _sheet(panels: Panels) -> Pixels:
    n_columns, height, width = panels.images.shape
    n_frames = panels.profiles.shape[1]
    sheet = np.zeros((2 * height + n_frames, n_columns * width), np.uint8)
    for column in range(n_columns):
        x = slice(column * width, (column + 1) * width)
        sheet[:height, x] = panels.images[column]
        sheet[height : height + n_frames, x] = panels.profiles[column]
        if column < len(panels.errors):
            sheet[height + n_frames :, x] = panels.errors[column]
    return sheet


def _read_sheet(folder: Path, one: dict[str, Any]) -> Panels:
    with Image.open(folder / one.pop("sheet")) as image:
        sheet = np.asarray(image.convert("L"))
    (height, width), n_frames = one.pop("tile"), one.pop("n_frames")
    n_columns = len(one["methods"]) + 1
    if sheet.shape != (2 * height + n_frames, n_columns * width):
        raise ValueError(f"a sheet has {sheet.shape[0]} x {sheet.shape[1]} pixels, not those of its tiles")
    tiles = sheet.reshape(len(sheet), n_columns, width).swapaxes(0, 1)
    quality = tuple(math.nan if value is None else float(value) for value in one["nmse_heart"])
    one |= {"box": Box(**one["box"]), "methods": tuple(one["methods"]), "nmse_heart": quality}
    return Panels(
        **one,
        images=tiles[:, :height],
        profiles=tiles[:, height : height + n_frames],
        errors=tiles[:-1, height + n_frames :],
    )


def _rounded(values: NDArray[np.float64]) -> Pixels:
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
