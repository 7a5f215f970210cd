"""K-space of a whole cine as a scanner would write it: phase, coils, noise and masks of a law, of every slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from csmri.config import Sampling
from csmri.core.seeds import derive_seed, subject_key
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace, LazySlices
from csmri.physics.fourier import fft_x
from csmri.physics.sampling import check_acceleration, undersample
from csmri.physics.simulate import conditions_of, mean_signal, measure, simulated_mask, with_phase_of

DISTANCE_MM = 10.0
"""Of slices whose distance is not known: short-axis stacks have 8 to 10."""


def scan(cine: Cine, law: Sampling, *, acceleration: float, seed: int) -> KSpace:
    """Measure a fully sampled cine.

    Phase, coils and masks are those of `simulate` for the same seed. The noise is as strong in every slice, as that of
    a scanner is; its covariance is in the record.

    Parameters
    ----------
    cine : Cine
        Its magnitude is the truth; complex images keep their phase unless the law simulates one.
    law : Sampling
    acceleration : float
        1 acquires every line.
    seed : int

    Returns
    -------
    KSpace
        Made slice by slice, when it is asked for; a mask for every slice.
    """
    check_acceleration(acceleration, cine.matrix[0], law)
    cine = _with_place(cine)
    masks = np.stack([_mask(cine, law, acceleration, seed, index) for index in range(cine.n_slices)])
    conditions = conditions_of(law)
    deviation = float(mean_signal(tf.abs(cine.images))) / law.snr if law.snr else 0.0

    def scan_slice(index: int) -> NDArray[np.complex64]:
        derived = derive_seed(seed, subject_key(cine.subject), index)
        images = with_phase_of(cine.images[index], conditions, seed=derived)
        full = measure(images, conditions, seed=derived, deviation=deviation)
        return np.asarray(undersample(fft_x(full.data), masks[index]))

    noise = 2 * deviation**2 * np.eye(law.coils, dtype=np.complex64)
    return KSpace(
        LazySlices((cine.n_slices, law.coils, cine.n_frames, *cine.matrix), scan_slice),
        masks,
        cine.subject,
        spacing_mm=cine.spacing_mm,
        slice_spacing_mm=cine.slice_spacing_mm,
        frame_times_ms=cine.frame_times_ms,
        affine=cine.affine,
        provenance=f"simulated with seed {seed} of {cine.provenance or cine.subject}",
        notes=cine.notes,
        noise_covariance=noise if deviation else None,
        cyclic=law.cyclic,
    )


def _with_place(cine: Cine) -> Cine:
    """Where only distances are known, lay axial slices into the isocentre: a scanner always knows where it measures."""
    if cine.affine is not None or cine.spacing_mm is None:
        return cine
    y, x = cine.spacing_mm
    lengths = np.array([x, y, cine.slice_spacing_mm or DISTANCE_MM])
    affine = np.diag([*lengths, 1.0])
    affine[:3, 3] = -lengths * (np.array([cine.matrix[1], cine.matrix[0], cine.n_slices]) - 1) / 2
    note = "The cine does not tell where it was measured; its slices were laid into the isocentre, axial."
    return replace(cine, affine=affine, notes=(*cine.notes, note))


def _mask(cine: Cine, law: Sampling, acceleration: float, seed: int, index: int) -> NDArray[np.bool_]:
    shape = (cine.n_frames, cine.matrix[0])
    if acceleration == 1:
        return np.ones(shape, np.bool_)
    return simulated_mask(
        law, seed=seed, subject=cine.subject, slice_index=index, shape=shape, acceleration=acceleration
    )
