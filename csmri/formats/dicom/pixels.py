"""The pixels of one DICOM image, decoded and in rescaled units."""

from __future__ import annotations

import numpy as np
import pydicom
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.formats.dicom.header import Header, quiet_pydicom
from csmri.formats.parsing import parsing


def read_pixels(header: Header) -> NDArray[np.float32]:
    """Image (y, x) in rescaled units."""
    path = header.path
    with quiet_pydicom(), parsing(path, "a DICOM file", "remove it or export it again"):
        dataset = pydicom.dcmread(path)
        syntax = dataset.file_meta.TransferSyntaxUID
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    advice = "copy it again, it may be incomplete"
    if syntax.is_compressed:
        advice = f"its pixels are compressed ({syntax.name}): decompress them first, with `gdcmconv --raw`"
    with quiet_pydicom(), parsing(path, "a DICOM image", advice):
        pixels = dataset.pixel_array
    if pixels.shape != header.matrix:
        raise CsmriError(f"{path}: expected {header.matrix} pixels (y, x), found {pixels.shape}; export it again")
    return pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)
