"""The methods that fill missing lines without iterating: with zeros, from the nearest frame, between two frames."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from csmri.methods.problem import Callback, Result, checked
from csmri.physics.fourier import ifft_y
from csmri.physics.initial import initial_images
from csmri.physics.interpolation import nearest_acquired


@dataclass(frozen=True)
class Direct:
    """Nothing to set."""


def zero_filled(
    hybrid: tf.Tensor,
    mask: tf.Tensor,
    settings: Direct | None = None,
    *,
    cyclic: bool = True,
    callback: Callback | None = None,
) -> Result:
    """Leave zeros where nothing was acquired.

    Parameters
    ----------
    hybrid : (frame, ky, x) or (coil, frame, ky, x), complex64
        Read only where the mask marks a line.
    mask : (frame, ky), bool
    settings, cyclic, callback
        Of no effect here; every baseline takes them.

    Returns
    -------
    Result
        Complex images (frame, y, x), or (coil, frame, y, x).
    """
    hybrid, mask = checked(hybrid, mask)
    return Result(ifft_y(hybrid).numpy())


def view_sharing(
    hybrid: tf.Tensor,
    mask: tf.Tensor,
    settings: Direct | None = None,
    *,
    cyclic: bool = True,
    callback: Callback | None = None,
) -> Result:
    """Take every missing line from the nearest frame that acquired it, the earlier of two equally near.

    Parameters
    ----------
    hybrid, mask, settings, callback
        As for `zero_filled`.
    cyclic : bool
        Whether the last frame neighbours the first.

    References
    ----------
    Foo et al., Radiology 1995;195:471-478 [view sharing in cine MRI].
    """
    hybrid, mask = checked(hybrid, mask)
    before, after, weight = nearest_acquired(mask, cyclic=cyclic)
    frame = tf.where(weight > 0.5, after, before)
    lines = tf.stack([frame, tf.broadcast_to(tf.range(mask.shape[1]), frame.shape)], axis=-1)
    coils = hybrid if hybrid.shape.rank == 4 else hybrid[tf.newaxis]
    shared = tf.stack([tf.gather_nd(coil, lines) for coil in coils])
    return Result(ifft_y(shared if hybrid.shape.rank == 4 else shared[0]).numpy())


def temporal_interpolation(
    hybrid: tf.Tensor,
    mask: tf.Tensor,
    settings: Direct | None = None,
    *,
    cyclic: bool = True,
    callback: Callback | None = None,
) -> Result:
    """Interpolate missing lines linearly in time: the initial reconstruction that all other methods start from.

    Parameters
    ----------
    hybrid, mask, settings, callback
        As for `zero_filled`.
    cyclic : bool
        Whether the last frame neighbours the first.
    """
    hybrid, mask = checked(hybrid, mask)
    return Result(initial_images(hybrid, mask, cyclic=cyclic).numpy())
