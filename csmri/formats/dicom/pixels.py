"""The pixels of DICOM images, decoded frame by frame and in rescaled units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from csmri.core.errors import CsmriError
from csmri.formats.dicom.codestream import check_frame
from csmri.formats.dicom.header import Header, number, quiet_pydicom
from csmri.formats.dicom.stack import Stack
from csmri.formats.parsing import parsing, plural

PIXEL_TAGS = [
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData",
]  # fmt: skip


def read_images(stack: Stack, notes: list[str]) -> NDArray[np.float32]:
    """Images (slice, frame, y, x) of a stack in rescaled units, bright where the tissue is."""
    first = stack.headers[0][0]
    images = np.zeros((len(stack.headers), len(stack.headers[0]), *first.matrix), np.float32)
    places: dict[Path, list[tuple[Header, tuple[int, int]]]] = {}
    for slice_index, frames in enumerate(stack.headers):
        for frame, header in enumerate(frames):
            places.setdefault(header.path, []).append((header, (slice_index, frame)))
    n_padded = 0
    for path, wanted in places.items():
        for (header, place), (pixels, padding) in zip(wanted, _decoded(path, [h for h, _ in wanted]), strict=True):
            images[place] = _rescaled(pixels, header)
            if padding is not None:
                n_padded += _blank(images[place], pixels, padding)
    if n_padded:
        notes.append(f"Set to 0: {n_padded / images.size:.1%} of the pixels, which hold the PixelPaddingValue.")
    _check_twins(stack)
    _upright(images, stack, notes)
    return images


def _decoded(path: Path, headers: Sequence[Header]) -> Iterator[tuple[NDArray, tuple[float, float] | None]]:
    """Stored pixels (y, x) of images of one file, and the range of values that are padding."""
    with quiet_pydicom(), parsing(path, "a DICOM file", "remove it or export it again"):
        dataset = pydicom.dcmread(path, force=True, specific_tags=PIXEL_TAGS)
        _complete_meta(dataset)
        syntax = dataset.file_meta.TransferSyntaxUID
        padding = _padding(dataset)
    indices = [header.frame or 0 for header in headers]
    advice = "copy it again, it may be incomplete"
    if syntax.is_compressed and not syntax.is_deflated:
        advice = (
            f"its pixels are compressed ({syntax.name}): it may be incomplete, copy it again, or decompress it first, "
            "with `gdcmconv --raw` or `dcmdjpeg`"
        )
    frames: Iterator[NDArray] = iter(())
    for header in headers:
        with quiet_pydicom(), parsing(path, "a DICOM image", advice):
            if header is headers[0]:
                check_frame(dataset, header.matrix)
                frames = iter_pixels(dataset, indices=indices, raw=True)
            pixels = next(frames)
        if pixels.shape != header.matrix:
            raise CsmriError(f"{path}: expected {header.matrix} pixels (y, x), found {pixels.shape}; export it again")
        yield pixels, padding


def _complete_meta(dataset: Dataset) -> None:
    """Add the transfer syntax that a file without preamble was parsed as."""
    if "TransferSyntaxUID" in dataset.file_meta:
        return
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _rescaled(pixels: NDArray, header: Header) -> NDArray[np.float32]:
    return pixels.astype(np.float32) * np.float32(header.slope) + np.float32(header.intercept)


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


def _upright(images: NDArray[np.float32], stack: Stack, notes: list[str]) -> None:
    """Invert images that are stored as white where the value is low."""
    inverted = np.array([[header.is_inverted for header in frames] for frames in stack.headers])
    if inverted.any():
        largest = images[inverted].max()
        images[inverted] = largest - images[inverted]
        notes.append(
            f"Inverted {plural(int(inverted.sum()), 'image')} that are stored as MONOCHROME1 (low values are white): "
            f"the largest value, {largest:g}, became 0."
        )


def _check_twins(stack: Stack) -> None:
    taken = {id(header) for frames in stack.headers for header in frames}
    for kept, other in stack.twins:
        if id(kept) not in taken or kept.path.read_bytes() == other.path.read_bytes():
            continue
        (one, _), (two, _) = next(_decoded(kept.path, [kept])), next(_decoded(other.path, [other]))
        if not np.array_equal(one, two):
            raise CsmriError(
                f"{kept.path}: {other.name} has the same SOPInstanceUID and other pixels; remove the one that is not "
                "wanted"
            )
