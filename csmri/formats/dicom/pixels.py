"""The pixels of DICOM images, decoded frame by frame and in rescaled units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels
from pydicom.uid import RLELossless

from csmri.core.errors import CsmriError
from csmri.formats.dicom.compressed import Decoder
from csmri.formats.dicom.header import Header, number, quiet_pydicom, transfer_syntax
from csmri.formats.dicom.stack import Stack
from csmri.formats.parsing import parsing, plural

PIXEL_TAGS = [
    0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102,
    0x00280103, 0x00280120, 0x00280121, 0x7FE00001, 0x7FE00002, 0x7FE00010,
]  # fmt: skip
# The largest stored value is white in all of a scale where no more than this share of the range is left above it.
FULL_SCALE = 0.25


class Stored(NamedTuple):
    """One decoded image as it is stored."""

    pixels: NDArray  # (y, x)
    padding: tuple[float, float] | None  # range of values that are no tissue
    ceiling: float  # largest value that could be stored


def read_images(stack: Stack, notes: list[str]) -> NDArray[np.float32]:
    """Images (slice, frame, y, x) of a stack in rescaled units, bright where the signal is high."""
    first = stack.headers[0][0]
    images = np.zeros((len(stack.headers), len(stack.headers[0]), *first.matrix), np.float32)
    places: dict[Path, list[tuple[Header, tuple[int, int]]]] = {}
    for slice_index, frames in enumerate(stack.headers):
        for frame, header in enumerate(frames):
            places.setdefault(header.path, []).append((header, (slice_index, frame)))
    n_padded, ceiling = 0, -np.inf
    with Decoder(PIXEL_TAGS) as decoder:
        for path, wanted in places.items():
            headers = [header for header, _ in wanted]
            for (header, place), stored in zip(wanted, _decoded(path, headers, decoder), strict=True):
                with np.errstate(all="ignore"):  # a damaged scale makes infinite values, which Cine refuses
                    images[place] = stored.pixels * header.slope + header.intercept
                if stored.padding is not None:
                    n_padded += _blank(images[place], stored.pixels, stored.padding)
                ceiling = max(ceiling, stored.ceiling * header.slope + header.intercept)
        _check_twins(stack, decoder)
    if n_padded:
        notes.append(f"Set to 0: {n_padded / images.size:.1%} of the pixels, which hold the PixelPaddingValue.")
    _upright(images, ceiling, stack, notes)
    return images


def _decoded(path: Path, headers: Sequence[Header], decoder: Decoder) -> Iterator[Stored]:
    """Images of one file."""
    with quiet_pydicom(), parsing(path, "a DICOM file", "remove it or export it again"):
        dataset = pydicom.dcmread(path, force=True, specific_tags=PIXEL_TAGS)
        syntax = transfer_syntax(dataset)
        dataset.file_meta.TransferSyntaxUID = syntax  # files without preamble lack it
        outside = syntax.is_encapsulated and syntax != RLELossless
        padding, ceiling = _padding(dataset), _ceiling(dataset)
    indices = [header.frame or 0 for header in headers]
    advice = "copy it again, it may be incomplete"
    if syntax.is_encapsulated:
        advice = (
            f"its pixels are compressed ({syntax.name}): copy it again, it may be damaged, or decompress it first, "
            "with `gdcmconv --raw` or `dcmdjpeg`"
        )
    with quiet_pydicom():
        if outside:
            frames = decoder.frames(path, indices)
        else:
            frames = iter_pixels(dataset, indices=indices, raw=True)
    for header in headers:
        with quiet_pydicom(), parsing(path, "a DICOM image", advice):
            pixels = next(frames)
        if pixels.shape != header.matrix:
            raise CsmriError(f"{path}: expected {header.matrix} pixels (y, x), found {pixels.shape}; export it again")
        yield Stored(pixels, padding, ceiling)


def _ceiling(dataset: Dataset) -> float:
    bits = number(dataset, "BitsStored") or number(dataset, "BitsAllocated") or 16
    return 2.0 ** (bits - bool(number(dataset, "PixelRepresentation"))) - 1


def _padding(dataset: Dataset) -> tuple[float, float] | None:
    value, limit = number(dataset, "PixelPaddingValue"), number(dataset, "PixelPaddingRangeLimit")
    if value is None:
        return None
    return (value, value) if limit is None else (min(value, limit), max(value, limit))


def _blank(image: NDArray[np.float32], pixels: NDArray, padding: tuple[float, float]) -> int:
    """Set padding to 0 where its value is beyond all others, and count the pixels that this changed."""
    padded = (pixels >= padding[0]) & (pixels <= padding[1])
    others = pixels[~padded]
    if not padded.any() or not others.size or (others.min() <= padding[1] and padding[0] <= others.max()):
        return 0
    changed = padded & (image != 0)
    image[changed] = 0
    return int(np.count_nonzero(changed))


def _upright(images: NDArray[np.float32], ceiling: float, stack: Stack, notes: list[str]) -> None:
    """Invert images that are stored as white where the value is low."""
    inverted = np.array([[header.is_inverted for header in frames] for frames in stack.headers])
    if inverted.any():
        smallest, largest = float(images[inverted].min()), float(images[inverted].max())
        if largest <= ceiling <= largest + FULL_SCALE * (largest - smallest):
            largest = ceiling
        images[inverted] = np.float32(largest) - images[inverted]
        notes.append(
            f"Inverted {plural(int(inverted.sum()), 'image')} that are stored as MONOCHROME1 (low values are white): "
            f"the value {largest:g} became 0."
        )


def _check_twins(stack: Stack, decoder: Decoder) -> None:
    """Refuse images that claim to be the same and are not."""
    taken = {id(header) for frames in stack.headers for header in frames}
    for kept, other in stack.twins:
        with parsing(other.path, "a DICOM file", "remove it or export it again"):
            if id(kept) not in taken or kept.path.read_bytes() == other.path.read_bytes():
                continue
        one, two = next(_decoded(kept.path, [kept], decoder)), next(_decoded(other.path, [other], decoder))
        if not np.array_equal(one.pixels, two.pixels):
            raise CsmriError(
                f"{kept.path}: {other.name} has the same SOPInstanceUID and other pixels; remove the one that is not "
                "wanted"
            )
