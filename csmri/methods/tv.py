"""Total variation in time, or in time and space, by a primal-dual algorithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import tensorflow as tf

from csmri.methods.problem import (
    COLUMNS,
    NUMBER,
    SAMPLED,
    Callback,
    Problem,
    Result,
    Settings,
    by_acceleration,
    energy,
    image,
    is_finished,
    misfit,
    reconstruct_coils,
    spectrum,
)

DUAL = tf.TensorSpec([None, None, None, None], tf.complex64)
FLAG = tf.TensorSpec([], tf.bool)


@dataclass(frozen=True, kw_only=True)
class TemporalTv(Settings):
    """Settings of `temporal_tv`.

    Parameters
    ----------
    strength : float >= 0
        Weight of the temporal differences, relative to the image's robust scale.
    step, growth : float > 0
        The primal step is step R^growth, R the achieved acceleration. It changes the way to the solution, not the
        solution; but the way is not gone to its end, and where more is missing, more has to move.
    max_iterations : int >= 1
        Ends before convergence on purpose: from the interpolated cine, the minimum itself is a worse image.
    """

    strength: float = 4e-3
    step: float = 0.092
    growth: float = 1.9
    max_iterations: int = 40
    tolerance: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class SpatiotemporalTv(TemporalTv):
    """Settings of `spatiotemporal_tv`.

    Parameters
    ----------
    strength, step, growth, max_iterations
        As for `TemporalTv`.
    spatial_share : float >= 0
        Weight of the spatial differences relative to that of the temporal ones.
    """

    step: float = 0.088
    growth: float = 2.0
    spatial_share: float = 0.2
    max_iterations: int = 60


def temporal_tv(
    hybrid: tf.Tensor,
    mask: tf.Tensor,
    settings: TemporalTv | None = None,
    *,
    cyclic: bool = True,
    callback: Callback | None = None,
) -> Result:
    """Minimise half the squared misfit plus the l1 norm of the differences between neighbouring frames.

    Parameters
    ----------
    hybrid : (frame, ky, x) or (coil, frame, ky, x), complex64
        Read only where the mask marks a line. Coils are reconstructed one by one.
    mask : (frame, ky), bool
    settings : TemporalTv, optional
    cyclic : bool
        Whether the last frame neighbours the first.
    callback : callable, optional
        Called with a `Progress` after every iteration.

    Returns
    -------
    Result
        Complex images (frame, y, x), or (coil, frame, y, x).

    References
    ----------
    Chambolle and Pock, J Math Imaging Vis 2011, doi 10.1007/s10851-010-0251-1 [algorithm 1, theta = 1];
    Feng et al., Magn Reson Med 2014, doi 10.1002/mrm.24980 [temporal total variation].
    """
    settings = settings or TemporalTv()
    run = partial(_run, settings=settings, cyclic=cyclic, spatial_share=None)
    return reconstruct_coils(hybrid, mask, run, settings, cyclic=cyclic, callback=callback)


def spatiotemporal_tv(
    hybrid: tf.Tensor,
    mask: tf.Tensor,
    settings: SpatiotemporalTv | None = None,
    *,
    cyclic: bool = True,
    callback: Callback | None = None,
) -> Result:
    """Minimise half the squared misfit plus temporal differences plus isotropic spatial total variation.

    Parameters
    ----------
    hybrid, mask, cyclic, callback
        As for `temporal_tv`.
    settings : SpatiotemporalTv, optional

    Returns
    -------
    Result
        Complex images (frame, y, x), or (coil, frame, y, x).

    References
    ----------
    Chambolle and Pock, J Math Imaging Vis 2011, doi 10.1007/s10851-010-0251-1 [algorithm 1, theta = 1].
    """
    settings = settings or SpatiotemporalTv()
    run = partial(_run, settings=settings, cyclic=cyclic, spatial_share=settings.spatial_share)
    return reconstruct_coils(hybrid, mask, run, settings, cyclic=cyclic, callback=callback)


def _run(
    problem: Problem,
    report: Callable[[float, float], bool],
    *,
    settings: TemporalTv,
    cyclic: bool,
    spatial_share: float | None,
) -> tf.Tensor:
    temporal, spatial = settings.strength, settings.strength * (spatial_share or 0.0)
    # Steps whose product is 1 / the largest squared norm of the differences: 4 in time, and 4 each in y and x.
    primal = by_acceleration(settings.step, settings.growth, problem)
    dual = 1 / (primal * (4 if spatial_share is None else 12))
    numbers = [tf.constant(value, tf.float32) for value in (temporal, spatial, primal, dual)]
    flags = [tf.constant(cyclic), tf.constant(spatial_share is not None)]
    current = problem.start
    differences = difference(current, *flags)
    duals = tf.zeros_like(differences)
    for _ in range(settings.max_iterations):
        current, differences, duals, *told = _step(
            problem.data, problem.mask, *numbers, *flags, current, differences, duals
        )
        if is_finished(report, told):
            break
    return current


@tf.function(input_signature=[COLUMNS, SAMPLED, *[NUMBER] * 4, FLAG, FLAG, COLUMNS, DUAL, DUAL])
def _step(
    data: tf.Tensor,
    mask: tf.Tensor,
    temporal: tf.Tensor,
    spatial: tf.Tensor,
    primal: tf.Tensor,
    dual: tf.Tensor,
    cyclic: tf.Tensor,
    with_space: tf.Tensor,
    current: tf.Tensor,
    differences: tf.Tensor,
    duals: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    pulled = spectrum(current - tf.cast(primal, tf.complex64) * adjoint_difference(duals, cyclic))
    share = tf.cast(primal / (1 + primal), tf.complex64)
    known = tf.where(mask, pulled + share * (data - pulled), pulled)
    new = image(known)
    new_differences = difference(new, cyclic, with_space)
    new_duals = project(duals + tf.cast(dual, tf.complex64) * (2 * new_differences - differences), temporal, spatial)
    # In the metric of the algorithm: the first step moves the dual alone, and must not look like the end.
    moved = energy(new - current) / primal + energy(new_duals - duals) / dual
    size = energy(new) / primal + energy(new_duals) / dual
    change = tf.sqrt(tf.math.divide_no_nan(moved, size))
    penalty = temporal * tf.reduce_sum(tf.abs(new_differences[0]))
    penalty += spatial * tf.reduce_sum(tf.sqrt(_squared_length(new_differences[1:])))
    return new, new_differences, new_duals, change, misfit(known, data, mask) + penalty


def difference(columns: tf.Tensor, cyclic: tf.Tensor, with_space: tf.Tensor) -> tf.Tensor:
    """Forward differences of (frame, x, y) in time and, if wanted, in x and y.

    Returns
    -------
    tf.Tensor (1 or 3, frame, x, y), complex64
        The last one in space is zero, and so is that in time unless `cyclic`: then it leads back to the first frame.
    """
    wrapped = tf.where(cyclic, columns[:1], columns[-1:])
    temporal = (tf.concat([columns[1:], wrapped], axis=0) - columns)[tf.newaxis]
    return tf.cond(
        with_space,
        lambda: tf.concat([temporal, _forward(columns, 1)[tf.newaxis], _forward(columns, 2)[tf.newaxis]], axis=0),
        lambda: temporal,
    )


def adjoint_difference(duals: tf.Tensor, cyclic: tf.Tensor) -> tf.Tensor:
    """Adjoint of `difference`: (1 or 3, frame, x, y) to (frame, x, y)."""
    temporal = duals[0]
    last = tf.where(cyclic, temporal[-1:], tf.zeros_like(temporal[-1:]))
    temporal = tf.concat([temporal[:-1], last], axis=0)
    back = tf.concat([temporal[-1:], temporal[:-1]], axis=0) - temporal
    return tf.cond(
        tf.shape(duals)[0] == 3,
        lambda: back + _adjoint_forward(duals[1], 1) + _adjoint_forward(duals[2], 2),
        lambda: back,
    )


def project(duals: tf.Tensor, temporal: tf.Tensor, spatial: tf.Tensor) -> tf.Tensor:
    """Project (1 or 3, frame, x, y) to temporal magnitudes of at most `temporal`, spatial lengths of at most `spatial`.

    The proximal operator of the conjugate of the weighted norms.
    """

    def shortened(vectors: tf.Tensor, longest: tf.Tensor) -> tf.Tensor:
        squared = _squared_length(vectors)
        factor = tf.minimum(longest * tf.math.rsqrt(tf.maximum(squared, 1e-30)), 1)
        return vectors * tf.cast(factor, tf.complex64)

    return tf.concat([shortened(duals[:1], temporal), shortened(duals[1:], spatial)], axis=0)


def _squared_length(vectors: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.math.real(vectors * tf.math.conj(vectors)), axis=0)


def _forward(columns: tf.Tensor, axis: int) -> tf.Tensor:
    head = (columns[:, 1:] - columns[:, :-1]) if axis == 1 else (columns[:, :, 1:] - columns[:, :, :-1])
    return tf.pad(head, [[0, 1 if one == axis else 0] for one in range(3)])


def _adjoint_forward(dual: tf.Tensor, axis: int) -> tf.Tensor:
    inner = dual[:, :-1] if axis == 1 else dual[:, :, :-1]
    before, after = ([[0, 0]] * axis + [pad] + [[0, 0]] * (2 - axis) for pad in ([0, 1], [1, 0]))
    return tf.pad(inner, after) - tf.pad(inner, before)
