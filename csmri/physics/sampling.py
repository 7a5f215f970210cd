"""K-t masks after two laws, and undersampling with them."""

from __future__ import annotations

import math

import tensorflow as tf

from csmri.config import Sampling
from csmri.core.errors import CsmriError

SCHLEMPER_WIDTH = 1 / 10
SCHLEMPER_CENTRE_LINES = 8
NEVER_HELD_OUT = 3
"""Central lines that a network is always given, where they were acquired: they have most of the energy, and the phase
and the scale that a network works in are taken from them."""


def check_acceleration(acceleration: float, n_ky: int, law: Sampling | None = None) -> None:
    """Refuse an acceleration that cannot be drawn from `n_ky` lines, or that leaves a law nothing to draw.

    Parameters
    ----------
    law : Sampling, optional
        Refused, too, is an acceleration at which all lines of a frame are centre lines: every frame would have the
        same ones, and what is never acquired cannot be interpolated. Without a law this is not looked at.
    """
    if not 1 <= acceleration <= n_ky:
        raise CsmriError(
            f"acceleration {acceleration:g} is impossible: it must lie between 1 (all lines) and the number of "
            f"phase-encode lines, {n_ky} (one line per frame)"
        )
    if law is None:
        return
    n_lines, n_centre = int(lines_per_frame(n_ky, acceleration, law)), centre_lines(law)
    if n_lines <= n_centre and n_lines < n_ky:
        other = 'mask_law = "gaussian"' if law.mask_law == "schlemper" else "fewer mask_centre_lines"
        highest = max(1.0, math.floor(100 * n_ky / (n_centre + 1)) / 100)
        raise CsmriError(
            f"acceleration {acceleration:g} leaves {n_lines} of {n_ky} lines per frame, and the {law.mask_law} law "
            f"always takes the {n_centre} central ones: the mask would be the same in every frame; lower the "
            f"acceleration to {highest:g} or less, or choose {other}"
        )


def centre_lines(law: Sampling) -> int:
    """Lines around DC that a law takes in every frame, as far as there are as many."""
    return SCHLEMPER_CENTRE_LINES if law.mask_law == "schlemper" else law.mask_centre_lines


def lines_per_frame(n_ky: int | tf.Tensor, acceleration: float | tf.Tensor, law: Sampling) -> tf.Tensor:
    """Lines that a law acquires in every frame, at least 1: Schlemper's rounds down, the Gaussian to the nearest."""
    ratio = tf.cast(n_ky, tf.float32) / tf.cast(acceleration, tf.float32)
    if law.mask_law == "schlemper":
        n_lines = tf.math.floor(ratio * (1 + 1e-6))  # 18 / 1.2 is 15, also where float32 makes 14.999999 of it
    else:
        n_lines = tf.math.round(ratio)
    return tf.maximum(tf.cast(n_lines, tf.int32), 1)


def make_mask(
    seed: tf.Tensor, n_frames: int | tf.Tensor, n_ky: int | tf.Tensor, acceleration: float | tf.Tensor, law: Sampling
) -> tf.Tensor:
    """Draw the acquired phase-encode lines of every frame, without replacement and anew in each frame.

    The Gaussian law has density exp(-k^2 / 2 sd^2) with sd = `law.mask_width` n_ky, and round(n_ky / acceleration)
    lines per frame of which `law.mask_centre_lines` are always the central ones (paper section 2.1). Schlemper's law
    has density exp(-k^2 / 2 sd^2) + 1 / (2 acceleration) with sd = n_ky / 10, and int(n_ky / acceleration) lines
    of which 8 are the central ones (Schlemper et al., IEEE TMI 2018, doi 10.1109/TMI.2017.2760978).

    Lines are whole, so that the acceleration achieved, `acceleration_factor`, is not the one asked for: of 95 lines at
    8, the Gaussian law takes 12, which is 7.92, and Schlemper's 11, which is 8.64. Laws are compared by what was
    achieved.

    Parameters
    ----------
    seed : (2,) integers
        From `seeds.derive_seed`.
    acceleration : float in [1, n_ky]

    Returns
    -------
    tf.Tensor (frame, ky), bool
        True = acquired; the same number of lines in every frame, and the central one in at least one of them.
    """
    acceleration = tf.cast(acceleration, tf.float32)
    offset = tf.range(n_ky) - n_ky // 2
    n_lines = lines_per_frame(n_ky, acceleration, law)
    if law.mask_law == "schlemper":
        width, floor = SCHLEMPER_WIDTH, 0.5 / acceleration
    else:
        width, floor = law.mask_width, tf.constant(0.0)

    standard_score = tf.cast(offset, tf.float32) / (width * tf.cast(n_ky, tf.float32))
    # In logarithms, so that a narrow Gaussian does not underflow far from DC.
    log_density = tf.reduce_logsumexp(
        tf.stack([-0.5 * standard_score**2, tf.fill(tf.shape(standard_score), tf.math.log(floor))]), axis=0
    )
    n_centre = tf.minimum(centre_lines(law), n_lines)
    is_centre = (offset >= -(n_centre // 2)) & (offset < n_centre - n_centre // 2)

    # Gumbel's trick: the n largest keys are a draw of n without replacement from the density.
    uniform = tf.random.stateless_uniform([n_frames, n_ky], seed, minval=1e-30, alg="philox")
    keys = tf.where(is_centre, tf.float32.max, log_density - tf.math.log(-tf.math.log(uniform)))
    rank = tf.argsort(tf.argsort(keys, direction="DESCENDING", stable=True), stable=True)
    return _with_dc(rank, n_lines, keys[:, n_ky // 2])


def _with_dc(rank: tf.Tensor, n_lines: tf.Tensor, dc_keys: tf.Tensor) -> tf.Tensor:
    """Mask of the first `n_lines` of every frame; the line of DC is in one of them.

    A draw may leave it out of all frames of a short cine: at R = 8 of one in 300 of 15 frames, one in 70 of 12. Nothing
    can interpolate it then, the image is lost, and its error, some hundred times that of others, throws a training off.
    It replaces the last line of the frame that was nearest to taking it.
    """
    n_frames, n_ky = tf.unstack(tf.shape(rank))
    mask, is_dc = rank < n_lines, tf.range(n_ky) == n_ky // 2
    is_lost = ~tf.reduce_any(mask & is_dc)
    nearest = tf.range(n_frames) == tf.argmax(dc_keys, output_type=tf.int32)
    return tf.where(is_lost & nearest[:, tf.newaxis], (rank < n_lines - 1) | is_dc, mask)


def hold_out(mask: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """Draw which of the acquired lines of every frame are held out from a network, to be predicted by it.

    All with one probability, as the acquired ones are dense in the centre already. The central ones are always left, as
    Yaman et al. leave a small centre, too.

    Parameters
    ----------
    mask : (frame, ky), bool
        True = acquired.
    share : float in (0, 1)
        Of the acquired lines of a frame, rounded, at least one; but neither the last one nor the `NEVER_HELD_OUT`.
    seed : (2,) integers
        From `seeds.derive_seed`.

    Returns
    -------
    tf.Tensor (frame, ky), bool
        True = held out, among the lines of the mask.

    References
    ----------
    Yaman et al., Magn Reson Med 2020, doi 10.1002/mrm.28378.
    """
    n_ky = tf.shape(mask)[1]
    may = mask & (tf.abs(tf.range(n_ky) - n_ky // 2) > NEVER_HELD_OUT // 2)

    def count(lines: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(lines, tf.int32), axis=1, keepdims=True)

    wanted = tf.maximum(tf.cast(tf.round(share * tf.cast(count(mask), tf.float32)), tf.int32), 1)
    number = tf.minimum(tf.minimum(wanted, count(may)), count(mask) - 1)
    keys = tf.where(may, tf.random.stateless_uniform(tf.shape(mask), seed, alg="philox"), -1.0)
    rank = tf.argsort(tf.argsort(keys, direction="DESCENDING", stable=True), stable=True)
    return rank < number


def acceleration_factor(mask: tf.Tensor) -> tf.Tensor:
    """Achieved acceleration: all k-t lines over the acquired ones, of a mask (frame, ky)."""
    return tf.cast(tf.size(mask), tf.float32) / tf.reduce_sum(tf.cast(mask, tf.float32))


def undersample(kspace: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Set the lines that the mask (frame, ky) did not acquire to zero in (..., frame, ky, x or kx)."""
    return choose_lines(mask, kspace, tf.zeros_like(kspace))


def choose_lines(mask: tf.Tensor, kspace: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Take the lines that the mask (frame, ky) or (ky) marks from one (..., frame, ky, x or kx), else from another.

    `tf.where` gives the same, bit for bit, and takes six times as long.
    """
    kspace, shape = tf.convert_to_tensor(kspace), tf.shape(kspace)
    condition = tf.reshape(tf.broadcast_to(mask, shape[:-1]), [-1])
    one, another = (tf.reshape(lines, [-1, shape[-1]]) for lines in (kspace, other))
    return tf.ensure_shape(tf.reshape(tf.raw_ops.Select(condition=condition, x=one, y=another), shape), kspace.shape)
