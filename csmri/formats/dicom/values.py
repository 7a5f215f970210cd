"""How magnitudes are stored in 16 bits: slope and intercept, and the window that viewers open with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from csmri.formats.dicom.origin import Origin
from csmri.formats.gif import white_level

LARGEST = 2**16 - 1
FEWEST_STEPS = 256
"""The slope of the input is taken if the largest magnitude is at least so many steps of it."""


@dataclass(frozen=True)
class Scale:
    """Stored = (magnitude - intercept) / slope, one scale for the whole cine, so that nothing flickers.

    Parameters
    ----------
    slope, intercept : str
        As they stand in the file.
    is_of_input : bool
        Whether they are those of the DICOM input, in whose units its window is told, too.
    white : float
        Magnitude to show white where the input tells no window.
    """

    slope: str
    intercept: str
    is_of_input: bool
    white: float

    def store(self, magnitude: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Stored values (y, x) of an image; scaled again, they are within half a step of the magnitudes."""
        steps = np.rint((magnitude.astype(np.float64) - float(self.intercept)) / float(self.slope))
        return np.clip(steps, 0, LARGEST).astype("<u2")

    def window(self, source: Dataset) -> dict[str, object]:
        """Elements of the VOI LUT module, those of the input if its window is in the same units."""
        width = source.get("WindowWidth")
        widths = [width] if not hasattr(width, "__len__") or isinstance(width, str) else list(width)
        usable = self.is_of_input and source.get("PhotometricInterpretation") != "MONOCHROME1"
        if usable and source.get("WindowCenter") is not None and all(one and float(one) >= 1 for one in widths):
            names = ("WindowCenter", "WindowWidth", "VOILUTFunction", "WindowCenterWidthExplanation")
            return {name: source[name].value for name in names if name in source}
        window: dict[str, object] = {
            "WindowCenter": format_number_as_ds(self.white / 2),
            "WindowWidth": format_number_as_ds(self.white),
        }
        # Windows of the usual function are at least 1 wide.
        return window if self.white >= 1 else window | {"VOILUTFunction": "LINEAR_EXACT"}


def scale_of(magnitude: NDArray[np.float32], origins: Sequence[Sequence[Origin]]) -> Scale:
    """Choose the scale: that of the input if all its images have the same and it holds the magnitudes, else the finest.

    Parameters
    ----------
    magnitude : array (slice, frame, y, x)
    origins : slices of frames
    """
    smallest, largest, white = float(magnitude.min()), float(magnitude.max()), white_level(magnitude)
    told = {_told(origin) for frames in origins for origin in frames}
    if len(told) == 1 and (one := told.pop()) is not None:
        slope, intercept = map(float, one)
        if slope > 0:
            first, last = ((value - intercept) / slope for value in (smallest, largest))
            if first >= -0.5 and FEWEST_STEPS <= last <= LARGEST + 0.5:
                return Scale(*one, is_of_input=True, white=white)
    return Scale(format_number_as_ds(largest / LARGEST), "0", is_of_input=False, white=white)


def _told(origin: Origin) -> tuple[str, str] | None:
    """Slope and intercept of an input image as they are written there."""
    if not origin.source:
        return None
    for layer in origin.layers():
        if "RescaleSlope" in layer and layer.RescaleSlope is not None:
            return str(layer.RescaleSlope), str(layer.get("RescaleIntercept") or 0)
    return "1", "0"
