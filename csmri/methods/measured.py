"""Reconstruct measured k-space, slice by slice: as it was undersampled, or undersampled once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL
from csmri.data.acquisition import Acquisition
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.methods.limits import Tally, Traits
from csmri.methods.reconstruction import Reconstructor, SliceReconstruction, reconstruct_slice
from csmri.physics.encoding import encoding_of
from csmri.physics.prepare import VIRTUAL_COILS, calibrate, middle, prepare
from csmri.physics.sampling import check_acceleration
from csmri.physics.simulate import simulated_mask

SAME_UNIT = 2.0
"""Factor within which images are taken to be in the unit of the truth; noise and undersampling change them by less."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How measured k-space is made ready.

    Parameters
    ----------
    cyclic : bool
        Whether the last frame neighbours the first; what the file says takes precedence unless `overrule`.
    virtual_coils : int >= 1
        Coils to keep at most.
    acceleration : float, or None
        Undersample k-space that was fully acquired by this factor; None leaves it as it was measured.
    law : Sampling
        Of the masks that are simulated.
    seed : int
        Of the masks that are simulated.
    """

    cyclic: bool = True
    overrule: bool = False
    virtual_coils: int = VIRTUAL_COILS
    acceleration: float | None = None
    law: Sampling = Sampling()
    seed: int = 0


@dataclass(frozen=True, eq=False)
class PreparedSlice:
    """A slice ready to be reconstructed."""

    acquisition: Acquisition
    kept: float
    """Share of the energy that coil compression keeps."""
    reference: NDArray[np.float32] | None = None
    """Magnitude (frame, y, x) of all lines, combined by the same maps, where they were undersampled here."""


def prepared_slices(measured: KSpace, how: Preparation) -> Iterator[PreparedSlice]:
    """Whiten, compress and calibrate one slice after the other, each read when its turn comes.

    Raises
    ------
    CsmriError
        If a slice cannot be read, or is to be undersampled and was not fully acquired.
    """
    where = measured.provenance or measured.subject
    if how.acceleration is not None:
        if not measured.is_full:
            raise CsmriError(f"{where}: is undersampled as it was measured; leave out the acceleration")
        check_acceleration(how.acceleration, measured.kspace.shape[3], how.law)
    cyclic = how.cyclic if how.overrule or measured.cyclic is None else measured.cyclic
    n_x = measured.matrix[1] if measured.matrix else None
    for index, kspace in enumerate(measured.slices()):
        mask = measured.mask_of(index)
        if how.acceleration is not None:
            mask = simulated_mask(
                how.law,
                seed=how.seed,
                subject=measured.subject,
                slice_index=index,
                shape=(mask.shape[0], mask.shape[1]),
                acceleration=how.acceleration,
            )
        try:
            calibration = calibrate(
                kspace, mask, noise_covariance=measured.noise_covariance, virtual_coils=how.virtual_coils, n_x=n_x
            )
        except CsmriError as error:
            raise CsmriError(f"{where}: {error}") from error
        one = prepare(kspace, mask, calibration, n_x=n_x, cyclic=cyclic)
        reference = None
        if how.acceleration is not None:
            full = prepare(kspace, np.ones_like(mask), calibration, n_x=n_x, cyclic=cyclic)
            reference = np.abs(encoding_of(full).adjoint(full.data))
        yield PreparedSlice(one, calibration.kept, reference)


def reconstruct_measured(
    measured: KSpace, how: Preparation, reconstructor: Reconstructor, *, tally: Tally | None = None
) -> NDArray[np.complex64]:
    """Complex images (slice, frame, y, x) of measured k-space by one method; `tally` learns what it is not made for."""
    rows = _rows(measured)
    images = []
    for index, one in enumerate(prepared_slices(measured, how)):
        images.append(reconstructor.reconstruct(one.acquisition)[:, rows])
        _check_finite(measured, index, reconstructor.name, images[-1])
        if tally is not None:
            tally.add(index, reconstructor.outside(Traits(one.acquisition)))
    return np.stack(images)


def measured_slices(
    measured: KSpace, how: Preparation, *, reconstructors: Sequence[Reconstructor]
) -> Iterator[SliceReconstruction]:
    """Reconstruct every slice of measured k-space by all methods; rows beyond the image's are cut off."""
    rows = _rows(measured)
    for index, one in enumerate(prepared_slices(measured, how)):
        law = how.law.mask_law if how.acceleration is not None else ""
        done = reconstruct_slice(one.acquisition, reconstructors=reconstructors, mask_law=law)
        methods = {name: images[:, rows] for name, images in done.methods.items()}
        for name, images in methods.items():
            _check_finite(measured, index, name, images)
        reference = None if one.reference is None else one.reference[:, rows]
        yield replace(done, methods=methods, reference=reference, kept=one.kept)


def check_truth(truth: Cine, measured: KSpace) -> None:
    """Refuse a truth that has not as many slices, frames or pixels as will be reconstructed.

    Raises
    ------
    CsmriError
    """
    matrix = measured.matrix or measured.kspace.shape[3:]
    wanted = (measured.n_slices, measured.n_frames, *matrix)
    if truth.images.shape != wanted:
        raise CsmriError(
            f"{truth.provenance or truth.subject}: the truth has the shape {truth.images.shape} (slice, frame, y, x), "
            f"what is reconstructed {wanted}; give that of the same measurement"
        )


def with_truth(done: Sequence[SliceReconstruction], truth: Cine) -> tuple[list[SliceReconstruction], float]:
    """Give reconstructions the truth to be compared with, and bring them to its unit where theirs is another.

    Returns
    -------
    list of SliceReconstruction
    factor : float
        That all images were multiplied by: 1 where the units are the same, `SAME_UNIT`, else the one that makes the
        initial reconstruction as bright as the truth.

    """
    initial = np.stack([one.methods[INITIAL] for one in done])
    magnitude = truth.magnitude
    # Where the truth is bright, and averaged over time: noise makes magnitudes larger, most of all in the dark.
    bright = magnitude.mean(axis=1) > magnitude.mean(axis=1).max() / 2
    found = float(initial.mean(axis=1)[bright].sum())
    factor = float(magnitude.mean(axis=1)[bright].sum()) / found if found else 1.0
    if 1 / SAME_UNIT < factor < SAME_UNIT:
        factor = 1.0
    compared = [
        replace(
            one,
            reference=reference,
            methods={name: np.float32(factor) * images for name, images in one.methods.items()},
        )
        for one, reference in zip(done, magnitude, strict=True)
    ]
    return compared, factor


def _check_finite(measured: KSpace, index: int, method: str, images: NDArray) -> None:
    """Refuse what overflowed, as squares of values beyond 1e19 do in single precision."""
    if not np.isfinite(images).all():
        where = measured.provenance or measured.subject
        raise CsmriError(
            f"{where}: slice {index + 1} of {measured.n_slices}: {method} gave values that are not finite; look for "
            "samples of k-space that are out of all proportion, and export the data again or leave the slice out"
        )


def _rows(measured: KSpace) -> slice:
    """Place of the image's rows among those of ky."""
    return middle(measured.kspace.shape[3], measured.matrix[0]) if measured.matrix else slice(None)
