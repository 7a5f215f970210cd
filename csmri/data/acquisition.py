"""The record `Acquisition`: one slice as a scanner gives it, which every method takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from csmri.core.errors import CsmriError


@dataclass(frozen=True, eq=False)
class Acquisition:
    """Undersampled k-t data of one slice, in hybrid space: kx is fully read, so its transform cancels.

    Made by `physics.simulate` of a fully sampled cine, and by `physics.coils.prepare` of measured k-space. Fields may
    be NumPy arrays or TensorFlow tensors, also inside `tf.data`.

    Parameters
    ----------
    data : (coil, frame, ky, x), complex64
        DC at index n_ky // 2, zero where not acquired.
    mask : (frame, ky), bool
        True = acquired, in every coil.
    maps : (coil, y, x), complex64, or None
        Coil sensitivity maps, root sum of squares 1 wherever there is signal. None for one coil, whose sensitivity is
        1 everywhere.
    noise : float >= 0
        Standard deviation of the noise in the real and in the imaginary part of `data`, in its unit; 0 where there is
        none or it is not known.
    cyclic : bool
        Whether the last frame neighbours the first, as in a gated cardiac cycle.
    """

    data: Any
    mask: Any
    maps: Any = None
    noise: Any = 0.0
    cyclic: bool = True

    @property
    def n_coils(self) -> int:
        return int(self.data.shape[0])

    def of_coil(self, coil: int) -> Acquisition:
        """Return one coil alone, as if its sensitivity were 1 everywhere."""
        return replace(self, data=self.data[coil : coil + 1], maps=None)


def check_acquisition(acquisition: Acquisition) -> Acquisition:
    """Refuse arrays that do not belong together or from which nothing can be reconstructed."""
    data, mask, maps = acquisition.data, acquisition.mask, acquisition.maps
    if len(data.shape) != 4 or 0 in data.shape:
        raise CsmriError(f"expected data (coil, frame, ky, x), none of them 0, got {tuple(data.shape)}")
    frames_and_lines = tuple(data.shape[1:3])
    if tuple(mask.shape) != frames_and_lines or "bool" not in str(mask.dtype):
        raise CsmriError(
            f"expected a boolean mask (frame, ky) of shape {frames_and_lines}, got {mask.dtype} of {tuple(mask.shape)}"
        )
    wanted = (data.shape[0], *data.shape[2:])
    if maps is None and data.shape[0] > 1:
        raise CsmriError(f"{data.shape[0]} coils need coil sensitivity maps (coil, y, x) of shape {tuple(wanted)}")
    if maps is not None and tuple(maps.shape) != wanted:
        raise CsmriError(f"expected maps (coil, y, x) of shape {tuple(wanted)}, got {tuple(maps.shape)}")
    if maps is not None:
        total = np.linalg.norm(np.asarray(maps), axis=0)
        if not (np.isclose(total, 1, atol=0.01) | (total == 0)).all():
            raise CsmriError(
                f"expected maps whose root sum of squares is 1, or 0 where there is no signal, got {total.min():g} to "
                f"{total.max():g}; divide them by it"
            )
    if not np.asarray(mask).any():
        raise CsmriError("the mask marks no k-space line as acquired: there is nothing to reconstruct from")
    return acquisition
