"""Readouts, as scanners store them one by one, put together to k-space of a cine: ISMRMRD and twix alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.kspace import KSpace, LazySlices
from csmri.formats.echoes import cut_off, first_samples
from csmri.formats.frame_times import frame_times
from csmri.formats.geometry import Slices
from csmri.formats.measured import check_size, common_mask, measured, quiet
from csmri.formats.parsing import plural

HEAD = np.dtype(
    [
        *((name, np.int64) for name in ("line", "partition", "average", "slice", "contrast", "phase", "repetition")),
        *((name, np.int64) for name in ("set", "n_samples", "n_coils", "centre", "before", "after")),
        *((name, np.float64) for name in ("measured_ms", "after_r_ms", "dwell_us")),
        *((name, np.float64, (3,)) for name in ("position", "read", "phase_encode", "normal")),
        ("is_reversed", np.bool_),
    ]
)
"""What is known of every readout. Counters from 0; `line` in the full matrix, DC at n // 2; `centre` is the sample of
the echo (see `echoes.py` for reversed readouts), `before` and `after` are samples to leave out; `measured_ms` and
`after_r_ms` are 0 where nothing is told."""
BATCH = 2**27
"""Bytes of readouts that are asked for at once."""

Heads = NDArray[np.void]
Read = Callable[[NDArray[np.intp]], NDArray[np.complex64]]


@dataclass(frozen=True, eq=False)
class Readouts:
    """The imaging readouts of one file, and what its header tells.

    Parameters
    ----------
    path : Path
    kind : str
        The format, for provenance.
    heads : array (readout,) of `HEAD`
        In the order of measuring.
    read : callable
        Numbers of readouts -> (readout, coil, sample); they have `n_samples` and `n_coils` of their heads.
    encoded : (ky, kx)
        The matrix that is encoded.
    field_mm : (y, x)
        Field of view of the encoded matrix; 0 where it is unknown.
    kept_mm : (y, x)
        That of the image; what the readout covers beyond it is to be cut off.
    thickness_mm : float, or None
    subject : str
    noise_covariance : as in `KSpace`
    promised : mapping
        Counter ("phase", "slice") -> how many the header says were measured, where it says more than one.
    notes : list of str
    """

    path: Path
    kind: str
    heads: Heads
    read: Read
    encoded: tuple[int, int]
    field_mm: tuple[float, float]
    kept_mm: tuple[float, float]
    thickness_mm: float | None
    subject: str
    noise_covariance: NDArray[np.complex64] | None = None
    promised: Mapping[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def assemble(readouts: Readouts) -> KSpace:
    """Put readouts in their places: frames, slices in the order of their positions, averages averaged.

    Raises
    ------
    CsmriError
        If there are several contrasts or sets, a third dimension is encoded, readouts or slices do not fit one
        another, or a line lies outside of the encoded matrix.
    """
    path, notes = readouts.path, readouts.notes
    frame_axis, use = _frame_axis(readouts)
    heads = readouts.heads[use]
    _check_alike(readouts, heads)
    numbers, place = np.unique(heads["slice"], return_inverse=True)
    where = _slices(readouts, heads, place, len(numbers))
    order = where.order() if where else np.arange(len(numbers))
    slice_of = np.argsort(order)[place]
    frame_of = heads[frame_axis] - heads[frame_axis].min()
    n_ky, n_kx = readouts.encoded
    shape = (len(numbers), int(heads["n_coils"][0]), int(frame_of.max()) + 1, n_ky, n_kx)
    check_size(path, 8 * int(np.prod(shape[1:], dtype=object)), "k-space in a slice")
    check_size(path, shape[0] * shape[2] * shape[3], "mask")
    mask = np.zeros((shape[0], *shape[2:4]), np.bool_)
    mask[slice_of, frame_of, heads["line"]] = True
    samples = first_samples(path, heads, n_kx, notes)
    lines = _Lines(readouts, use, heads, frame_of, slice_of, samples)
    times, cyclic = frame_times(frame_axis, heads, frame_of, slice_of, shape[2], notes)
    return measured(
        path,
        LazySlices(shape, lambda index: lines.slice(index, shape)),
        common_mask(mask),
        subject=readouts.subject,
        frame_times_ms=times,
        provenance=f"{path} ({readouts.kind})",
        noise_covariance=_noise(readouts, heads, frame_of, slice_of),
        cyclic=cyclic,
        **_geometry(readouts, where.sorted() if where else None, len(numbers)),
        notes=notes,
    )


def _frame_axis(readouts: Readouts) -> tuple[str, NDArray[np.intp]]:
    """Name of the counter of frames, and the numbers of the readouts to use."""
    heads, path = readouts.heads, readouts.path
    if not len(heads):
        raise CsmriError(f"{path}: holds no imaging readout; expected the raw data of a cine")
    for name, many in (("contrast", "contrasts (echoes)"), ("set", "sets")):
        if (count := len(np.unique(heads[name]))) > 1:
            raise CsmriError(f"{path}: holds {count} {many}, expected one; write each to a file of its own")
    if len(np.unique(heads["partition"])) > 1:
        count = len(np.unique(heads["partition"]))
        raise CsmriError(f"{path}: a third dimension is encoded ({count} partitions); csmri reads stacks of slices")
    phases, repetitions = (len(np.unique(heads[name])) for name in ("phase", "repetition"))
    use = np.arange(len(heads))
    if phases == 1 and repetitions == 1:
        raise CsmriError(
            f"{path}: this is no cine: every readout is of one cardiac phase and one repetition; expected frames"
        )
    if phases > 1 and repetitions > 1:
        first = heads["repetition"].min()
        readouts.notes.append(
            f"Taken: the {phases} cardiac phases of the first of {repetitions} repetitions, the others were left out."
        )
        return "phase", use[heads["repetition"] == first]
    return ("phase" if phases > 1 else "repetition"), use


def _check_alike(readouts: Readouts, heads: Heads) -> None:
    path, (n_ky, _) = readouts.path, readouts.encoded
    for name, what in (("phase", "frames"), ("slice", "slices")):
        count = len(np.unique(heads[name]))
        if count < readouts.promised.get(name, 0):
            raise CsmriError(
                f"{path}: the header promises {readouts.promised[name]} {what}, the readouts are of {count}; the file "
                "is cut off, copy it again, or leave the others out of the header"
            )
    for name, what in (("n_samples", "samples"), ("n_coils", "coils"), ("before", "samples to leave out")):
        different = np.flatnonzero(heads[name] != heads[name][0])
        if len(different):
            number = int(different[0])
            raise CsmriError(
                f"{path}: imaging readout {number + 1} has {heads[name][number]} {what}, those before it "
                f"{heads[name][0]}; the file is damaged or holds several measurements"
            )
    outside = np.flatnonzero((heads["line"] < 0) | (heads["line"] >= n_ky))
    if len(outside):
        number = int(outside[0])
        raise CsmriError(
            f"{path}: imaging readout {number + 1} is line {int(heads['line'][number]) + 1} of a matrix of "
            f"{n_ky} lines (ky); the header's matrix or centre line is wrong"
        )
    if not heads["n_samples"][0] or not heads["n_coils"][0]:
        raise CsmriError(f"{path}: the readouts hold no samples; the file is damaged, copy it again")


def _slices(readouts: Readouts, heads: Heads, place: NDArray[np.intp], n_slices: int) -> Slices | None:
    """Slices in the order of their numbers; None where the readouts do not tell where they lie."""
    first = np.array([np.argmax(place == number) for number in range(n_slices)])
    slices = Slices(*(heads[name][first] for name in ("position", "read", "phase_encode", "normal")))
    if not slices.is_told:
        readouts.notes.append("Orientation and position are unknown: the readouts do not tell them.")
        return None
    if not slices.is_parallel:
        raise CsmriError(
            f"{readouts.path}: the {n_slices} slices have different orientations, expected one stack; write each "
            "orientation to a file of its own"
        )
    if together := slices.at_one_place():
        readouts.notes.append(
            f"Orientation and position were dropped: the slices {', '.join(str(one + 1) for one in together)} are told "
            "to lie at one place; slices are in the order of their numbers."
        )
        return None
    return slices


@dataclass(frozen=True, eq=False)
class _Lines:
    """Reads the lines of a slice and puts each in its place."""

    readouts: Readouts
    use: NDArray[np.intp]
    heads: Heads
    frame: NDArray[np.int64]
    slice_index: NDArray[np.intp]
    start: NDArray[np.int64]

    def slice(self, index: int, shape: tuple[int, ...]) -> NDArray[np.complex64]:
        """K-space (coil, frame, ky, kx) of a slice."""
        kspace = np.zeros(shape[1:], np.complex64)
        count = np.zeros(shape[2:4], np.float32)
        before, after = cut_off(self.heads)
        n_bytes = 8 * int(self.heads["n_samples"][0] * self.heads["n_coils"][0])
        for chosen in _batches(np.flatnonzero(self.slice_index == index), n_bytes):
            values = self.readouts.read(self.use[chosen])
            for row, one in zip(chosen, values, strict=True):
                if self.heads["is_reversed"][row]:
                    one = one[:, ::-1]
                first, last = int(before[row]), one.shape[-1] - int(after[row])
                start = int(self.start[row])
                frame, line = int(self.frame[row]), int(self.heads["line"][row])
                with quiet():
                    kspace[:, frame, line, start + first : start + last] += one[:, first:last]
                count[frame, line] += 1
        if count.max() > 1:
            kspace /= np.maximum(count, 1)[:, :, None]
        return kspace


def _batches(rows: NDArray[np.intp], n_bytes: int) -> Iterator[NDArray[np.intp]]:
    """Rows in pieces of `BATCH`, a row having `n_bytes`."""
    step = max(1, BATCH // n_bytes)
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _noise(
    readouts: Readouts, heads: Heads, frame: NDArray[np.int64], slice_index: NDArray[np.intp]
) -> NDArray[np.complex64] | None:
    """Noise covariance of what averaging leaves."""
    noise = readouts.noise_covariance
    places = {tuple(one) for one in np.stack([slice_index, frame, heads["line"]], -1).tolist()}
    averages = len(heads) / len(places)
    if averages > 1:
        readouts.notes.append(f"Averaged: every line was measured {averages:.3g} times, as a mean.")
        noise = None if noise is None else (noise / averages).astype(np.complex64)
    return noise


def _geometry(readouts: Readouts, slices: Slices | None, n_slices: int) -> dict[str, Any]:
    """The fields `matrix`, `spacing_mm`, `slice_spacing_mm` and `affine`."""
    fields: dict[str, Any] = {"slice_spacing_mm": readouts.thickness_mm if n_slices == 1 else None}
    full, field_mm, kept_mm = readouts.encoded, readouts.field_mm, readouts.kept_mm
    if not all(np.isfinite(field_mm)) or min(field_mm) <= 0:
        readouts.notes.append("Pixel spacing is unknown: the header tells no field of view.")
        return fields
    spacing = (field_mm[0] / full[0], field_mm[1] / full[1])
    matrix = full
    if all(np.isfinite(kept_mm)) and min(kept_mm) > 0:
        kept = [min(n, round(kept_mm[axis] / spacing[axis])) for axis, n in enumerate(full)]
        matrix = (max(kept[0], 1), max(kept[1], 1))
    fields["matrix"] = matrix if matrix != full else None
    fields["spacing_mm"] = spacing
    if slices is None:
        return fields
    fields["affine"] = slices.affine(matrix, spacing, readouts.thickness_mm)
    if n_slices > 1 and (step := slices.step(None)) is not None:
        fields["slice_spacing_mm"] = float(np.linalg.norm(step))
        if not slices.is_even():
            places = ", ".join(f"{place:.1f}" for place in slices.along() - slices.along()[0])
            readouts.notes.append(f"The slices are not at equal distances: they lie at {places} mm.")
    return fields


def covariance(noise: NDArray, dwell_ratio: float) -> NDArray[np.complex64]:
    """Covariance (coil, coil), E[n n^H], of noise samples (coil, sample).

    Parameters
    ----------
    dwell_ratio : float
        Dwell time of the noise over that of imaging: the shorter the dwell time, the wider the band, the more noise.
    """
    noise = np.asarray(noise, np.complex128)
    with np.errstate(over="ignore"):  # what does not fit complex64 becomes infinite and is refused
        return (noise @ noise.conj().T / noise.shape[1] * dwell_ratio).astype(np.complex64)


def left_out(count: int, what: str) -> str:
    """Note on readouts that are no images."""
    return f"Left out: {plural(count, 'readout')} of {what}."
