"""Fully sampled cine in, undersampled acquisitions out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack, overload

import numpy as np

from csmri.api.arguments import Images, as_array, as_cine, check_number, check_seed, law_of, slices_of
from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.data.acquisition import Acquisition
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.methods.measured import Preparation, prepared_slices
from csmri.methods.reconstruction import Reconstructor, simulated_acquisition
from csmri.physics.sampling import check_acceleration

MASK_FIELDS = ("mask_law", "mask_width", "mask_centre_lines", "cyclic")


class Simulated(TypedDict, total=False):
    """What is simulated otherwise than the sampling says: the fields of `csmri.Sampling`."""

    mask_law: str
    mask_width: float
    mask_centre_lines: int
    cyclic: bool
    phase: str
    phase_static: float
    phase_moving: float
    phase_drift: float
    phase_shift: float
    coils: int
    snr: float


@overload
def simulate(
    cine: Cine | KSpace,
    acceleration: float,
    *,
    slice_index: int,
    seed: int = 0,
    sampling: Sampling | Reconstructor | None = None,
    **changes: Unpack[Simulated],
) -> Acquisition:
    """Acquire one slice."""


@overload
def simulate(
    cine: Cine | KSpace,
    acceleration: float,
    *,
    slice_index: None = None,
    seed: int = 0,
    sampling: Sampling | Reconstructor | None = None,
    **changes: Unpack[Simulated],
) -> list[Acquisition]:
    """Acquire all slices."""


@overload
def simulate(
    cine: Images,
    acceleration: float,
    *,
    slice_index: int | None = None,
    seed: int = 0,
    sampling: Sampling | Reconstructor | None = None,
    **changes: Unpack[Simulated],
) -> Acquisition:
    """Acquire an array."""


def simulate(
    cine: Cine | KSpace | Images,
    acceleration: float,
    *,
    slice_index: int | None = None,
    seed: int = 0,
    sampling: Sampling | Reconstructor | None = None,
    **changes: Unpack[Simulated],
) -> Acquisition | list[Acquisition]:
    """Undersample a fully sampled cine as `csmri reconstruct --acceleration` does: the same seed gives the same data.

    Parameters
    ----------
    cine : Cine, array (frame, y, x), or KSpace
        An array counts as slice 0 of the subject "array": what is drawn comes from seed, subject and slice. Of measured
        k-space, all lines of which were acquired, the mask alone is simulated; coils are whitened, compressed and
        calibrated.
    acceleration : float in [1, number of phase-encode lines]
    slice_index : int, optional
        Slice of the cine; all of them if left out.
    seed : int >= 0
        Of mask, phase, coils and noise.
    sampling : Sampling or network, optional
        By default `csmri.Sampling()`; of a network what it was trained with.
    changes
        Fields of `csmri.Sampling` that are to be otherwise: `phase="moving"`, `coils=8`, `snr=25`,
        `mask_law="schlemper"`, ...

    Returns
    -------
    Acquisition, or of a cine without `slice_index` a list of them, one a slice

    Raises
    ------
    CsmriError
        If something cannot be simulated.
    """
    if isinstance(cine, KSpace):
        return _undersampled(cine, acceleration, slice_index, int(seed), sampling, changes)
    if not isinstance(cine, Cine) and np.ndim(as_array(cine, "simulate")) != 3:
        raise CsmriError(
            f"simulate: expected a Cine or an array (frame, y, x), got an array of shape {np.shape(cine)}; "
            "several slices (slice, frame, y, x) are csmri.Cine(images, subject)"
        )
    law = law_of(sampling, changes)
    check_seed(seed, "simulate")
    record = as_cine(cine, "simulate")
    check_number(acceleration, "simulate: acceleration")
    check_acceleration(acceleration, record.matrix[0], law)
    one = slice_index if isinstance(cine, Cine) else slice_index or 0
    acquisitions = [
        simulated_acquisition(
            record.images[index], float(acceleration), law, seed=int(seed), subject=record.subject, slice_index=index
        )
        for index in slices_of(record, one, "simulate")
    ]
    return acquisitions if one is None else acquisitions[0]


def _undersampled(
    kspace: KSpace,
    acceleration: float,
    slice_index: int | None,
    seed: int,
    sampling: Sampling | Reconstructor | None,
    changes: Mapping[str, Any],
) -> Acquisition | list[Acquisition]:
    if given := [name for name in changes if name not in MASK_FIELDS]:
        raise CsmriError(
            f"{kspace.provenance or kspace.subject}: is measured k-space, of which the mask alone is simulated; leave "
            f"out {given[0]}"
        )
    how = Preparation(acceleration=float(acceleration), law=law_of(sampling, changes), seed=seed)
    if slice_index is None:
        return [one.acquisition for one in prepared_slices(kspace, how)]
    if not 0 <= slice_index < kspace.n_slices:
        raise CsmriError(f"simulate: slice_index = {slice_index!r}: expected 0 to {kspace.n_slices - 1}")
    return next(itertools.islice(prepared_slices(kspace, how), slice_index, None)).acquisition
