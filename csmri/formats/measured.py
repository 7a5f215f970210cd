"""What k-space of every format goes through: sizes against the file, the mask against the zeros, DC to the centre."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.kspace import KSpace, LazySlices
from csmri.formats.parsing import plural

HARMLESS = 2**29
"""Bytes that any file may ask for; below a quarter of 2 GiB, because a slice is copied on its way."""
COMPRESSION = 32
"""How much larger than its file k-space may be beyond that: most of it is zeros, at an acceleration of 16 and more."""
NEAR_DC = 16
"""The neighbourhood of DC is a sixteenth of the axis to either side."""
CERTAIN = 10
"""How many times the energy of the centre the corner must have: it is hundreds in k-space of a body, and 1 in noise."""

Mask = NDArray[np.bool_]
Slice = NDArray[np.complex64]


def quiet() -> np.errstate:
    """For arithmetic with what may be NaN or infinite: `KSpace` refuses it by name."""
    return np.errstate(invalid="ignore", over="ignore")


def check_size(path: Path, n_bytes: int, what: str) -> None:
    """Refuse what a header promises and its file cannot hold, before memory is taken for it.

    Raises
    ------
    CsmriError
        If `n_bytes` are more than `HARMLESS` and more than `COMPRESSION` times the file (a folder's or pair's largest).
    """
    if n_bytes > HARMLESS and n_bytes > COMPRESSION * path.stat().st_size:
        raise CsmriError(
            f"{path}: the header promises {n_bytes / 2**20:,.0f} MiB of {what}, but the file has "
            f"{path.stat().st_size / 2**20:,.1f} MiB; it is damaged or cut off, copy it again"
        )


def measured(path: Path, kspace: NDArray | LazySlices, mask: NDArray | None, **fields: Any) -> KSpace:
    """Make the record of what was read: check mask against zeros, and undo a transform that leaves DC in the corner.

    Of an array every slice is checked at once, of `LazySlices` each when it is read. DC is looked for in the slice in
    the middle of the stack.

    Parameters
    ----------
    path : Path
        What messages name.
    kspace : (slice, coil, frame, ky, kx)
    mask : as `as_mask` takes it, or None
        None: every line that is not zero was acquired; reads everything once.
    fields
        Of `KSpace`.

    Raises
    ------
    CsmriError
        As `KSpace`, and if lines are marked as acquired that are zero in all coils, or not marked that hold data.
    """
    notes = list(fields.pop("notes", ()))
    provenance = fields.pop("provenance", "") or str(path)
    if len(kspace.shape) != 5:
        raise CsmriError(f"{path}: expected k-space (slice, coil, frame, ky, kx), found shape {tuple(kspace.shape)}")
    if mask is None:
        notes.append("There is no mask: every k-space line that is not zero was taken as acquired.")
        marked = mask_of_zeros(kspace)
    else:
        marked = as_mask(path, mask, kspace.shape)
    record = KSpace(kspace, marked, provenance=str(path), **fields)
    middle = record.n_slices // 2
    example = np.asarray(record.kspace[middle])
    with quiet():
        marked = _without_padding(example, marked, middle, notes)
        undo = _to_centre(example, marked if marked.ndim == 2 else marked[middle], notes)

    def sound(index: int, one: Slice) -> Slice:
        check_mask(path, one, marked if marked.ndim == 2 else marked[index], index)
        with quiet():
            for step in undo:
                one = step(one)
        return one

    return replace(
        record,
        kspace=_mapped(record.kspace, sound, changes=bool(undo)),
        mask=np.fft.fftshift(marked, -1) if any(step.axis == -2 for step in undo) else marked,
        provenance=provenance,
        notes=tuple(notes),
    )


def as_mask(path: Path, mask: NDArray, shape: tuple[int, ...]) -> Mask:
    """Mask (frame, ky) or (slice, frame, ky) of True and False, from one of 0 and 1 in any common layout.

    Parameters
    ----------
    mask : (ky,), (frame, ky), (slice, frame, ky), (frame, ky, kx) or (slice, frame, ky, kx)
        With kx only where it is the same along kx: whole lines are acquired.
    shape : (slice, coil, frame, ky, kx)

    Raises
    ------
    CsmriError
        If it fits k-space of this shape in none of these ways, or holds other values.
    """
    n_slices, n_coils, n_frames, n_ky, n_kx = shape
    mask = np.asarray(mask)
    if mask.dtype.kind not in "buif" or not np.isin(mask, (0, 1)).all():
        raise CsmriError(f"{path}: expected a mask (frame, ky) of True and False, found other values ({mask.dtype})")
    mask = mask.astype(np.bool_)
    if mask.shape in ((n_frames, n_ky), (n_slices, n_frames, n_ky)):
        return mask
    if mask.shape == (n_ky,):
        return np.broadcast_to(mask, (n_frames, n_ky)).copy()
    if mask.shape in ((n_frames, n_ky, n_kx), (n_slices, n_frames, n_ky, n_kx)):
        if (mask != mask[..., :1]).any():
            raise CsmriError(f"{path}: the mask differs along kx; csmri reads whole lines, a mask (frame, ky)")
        return mask[..., 0]
    hint = ""
    if n_coils != n_frames and mask.shape in ((n_coils, n_ky), (n_slices, n_coils, n_ky), (n_coils, n_ky, n_kx)):
        hint = "; k-space seems to be (slice, frame, coil, ky, kx): put the coil before the frame"
    elif mask.shape == (n_ky, n_frames):
        hint = "; transpose the mask"
    raise CsmriError(
        f"{path}: expected a boolean mask (frame, ky) of shape {(n_frames, n_ky)}, or one for each of "
        f"{plural(n_slices, 'slice')}, got shape {mask.shape} with k-space of shape {tuple(shape)}{hint}"
    )


def mask_of_zeros(kspace: NDArray | LazySlices) -> Mask:
    """Mask of the lines that are not zero in all coils: (frame, ky), or (slice, frame, ky) where slices differ."""
    return common_mask(np.stack([held_lines(kspace[index]) for index in range(kspace.shape[0])]))


def held_lines(kspace: Slice) -> Mask:
    """Lines (frame, ky) of a slice (coil, frame, ky, kx) that are not zero in some coil."""
    with quiet():
        return np.asarray(kspace.any(axis=(0, 3)))


def common_mask(masks: Mask) -> Mask:
    """Mask (frame, ky) of slices that have the same, else as it is, (slice, frame, ky)."""
    return masks[0] if (masks == masks[:1]).all() else masks


def check_mask(path: Path, kspace: Slice, mask: Mask, slice_index: int) -> None:
    """Refuse a mask (frame, ky) that the zeros of a slice (coil, frame, ky, kx) contradict."""
    held = held_lines(kspace)
    empty, unmarked = mask & ~held, held & ~mask
    if not empty.any() and not unmarked.any():
        return
    if not held.any():
        return  # a slice of zeros: KSpace.slice_of says so in better words
    frame, line = (int(number) + 1 for number in np.argwhere(empty | unmarked)[0])
    hint = "correct the mask"
    if (np.fft.fftshift(mask, -1) == held).all():
        hint = "the mask fits when it is shifted by half of ky (numpy.fft.fftshift)"
    elif (~mask == held).all():
        hint = "the mask fits inverted: True must mean acquired"
    raise CsmriError(
        f"{path}: mask and k-space disagree in slice {slice_index + 1}: {plural(int(empty.sum()), 'line')} marked as "
        f"acquired but zero in all coils, {int(unmarked.sum())} not marked that hold data, the first in frame {frame}, "
        f"ky {line}; {hint}"
    )


def _mapped(kspace: Any, sound: Callable[[int, Slice], Slice], *, changes: bool) -> NDArray | LazySlices:
    if isinstance(kspace, LazySlices):
        read = kspace.read
        return LazySlices(kspace.shape, lambda index: sound(index, read(index)))
    slices: Iterable[Slice] = (sound(index, one) for index, one in enumerate(kspace))
    if changes:
        return np.stack(list(slices))
    for _ in slices:  # checked only
        pass
    return kspace


def _without_padding(kspace: Slice, mask: Mask, slice_index: int, notes: list[str]) -> Mask:
    """Unmark lines at the ends of ky that are zero in all frames: partial phase encoding, filled up with zeros."""
    frames = held_lines(kspace)
    held: Mask = np.asarray(np.any(frames, axis=0), np.bool_).reshape(-1)
    if not held.any():
        return mask
    lines = np.arange(len(held))
    padding = (lines < np.argmax(held)) | (lines > len(held) - 1 - np.argmax(held[::-1]))
    marked = mask if mask.ndim == 2 else mask[slice_index]
    # Where anything else disagrees as well the mask is merely wrong, and shall not be bent until it fits.
    fits_otherwise = ((marked & ~padding) == frames).all()
    if not marked[:, padding].any() or padding[len(held) // 2] or not fits_otherwise:
        return mask
    notes.append(f"Taken as not acquired: {padding.sum()} lines at the ends of ky, which are zero in every frame.")
    return mask & ~padding


def _to_centre(kspace: Slice, mask: Mask, notes: list[str]) -> list[_Shift]:
    """Steps that bring DC to the centre of ky and kx, none where it is there or nothing is certain."""
    count = np.maximum(mask.sum(axis=0), 1)
    # In double precision and of size 1, so that squares neither overflow nor vanish.
    mean = kspace.sum(axis=1, dtype=np.complex128) / count[:, None]
    size = np.abs(mean).max()
    if not np.isfinite(size) or not size:
        return []  # KSpace says what is wrong
    mean /= size
    steps = []
    for axis, name in ((-2, "ky"), (-1, "kx")):
        energy = np.square(np.abs(mean)).sum(axis=tuple({0, 1, 2} - {3 + axis}))
        where = dc_place(energy)
        if where == "centre":
            continue
        if where == "unclear":
            notes.append(f"Along {name} there is more energy in the corner than in the centre, where DC is expected.")
            continue
        shift = _Shift(axis=axis, starts_first=_starts_at_first_pixel(mean, axis))
        steps.append(shift)
        mean = shift(mean)
        first = ", and the image began at its first pixel, as numpy.fft.fft2 has it" if shift.starts_first else ""
        notes.append(f"Moved to the centre of {name}: DC was in the corner, which holds most of the energy{first}.")
    return steps


def dc_place(energy: NDArray) -> str:
    """Tell where DC is along an axis: "centre", "corner", or "unclear".

    It is in the corner if the strongest line is there, half of all energy, and `CERTAIN` times that of the centre.

    Parameters
    ----------
    energy : (k,)
        Of the time average, summed over all other axes.
    """
    n, width = len(energy), max(1, len(energy) // NEAR_DC)
    if n < 8:
        return "centre"
    from_first = np.minimum(np.arange(n), n - np.arange(n))
    corner = float(energy[from_first <= width].sum())
    centre = float(energy[np.abs(np.arange(n) - n // 2) <= width].sum())
    if corner <= CERTAIN * centre or from_first[np.argmax(energy)] > width:
        return "centre"
    return "corner" if corner > energy.sum() / 2 else "unclear"


class _Shift:
    """Undo, along one axis, a transform without numpy.fft.fftshift."""

    def __init__(self, *, axis: int, starts_first: bool):
        self.axis, self.starts_first = axis, starts_first

    def __call__(self, kspace: NDArray) -> NDArray[np.complex64]:
        kspace = np.fft.fftshift(kspace, self.axis)
        if not self.starts_first:
            return kspace
        n = kspace.shape[self.axis]
        ramp = np.exp(2j * math.pi * (np.arange(n) - n // 2) * (n // 2) / n).astype(np.complex64)
        return kspace * ramp.reshape((-1,) + (1,) * (-1 - self.axis))


def _starts_at_first_pixel(mean: NDArray, axis: int) -> bool:
    """Whether an image (coil, ky, kx) was transformed from its first pixel on, not from its centre.

    Then it lies wrapped around the edge. Told by where its energy is: a body is in the middle of its image. Where that
    does not tell, the plain transform is the likelier.
    """
    image = np.fft.ifft(mean, axis=axis)  # as from the first pixel
    energy = np.square(np.abs(image)).sum(axis=tuple({0, 1, 2} - {3 + axis}))
    n = len(energy)
    spread = np.square(np.arange(n) - n // 2)
    return float(spread @ energy) <= 1.1 * float(spread @ np.fft.fftshift(energy))
