"""Sparsity of the temporal spectrum of every pixel, by the fast iterative shrinkage-thresholding algorithm."""

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
    along_frames,
    by_acceleration,
    image,
    is_finished,
    misfit,
    reconstruct_coils,
    relative_change,
    shrink,
    spectrum,
)


@dataclass(frozen=True, kw_only=True)
class TemporalFourierL1(Settings):
    """Settings of `temporal_fourier_l1`.

    Parameters
    ----------
    strength, growth : float >= 0
        The threshold is strength R^growth of the image's robust scale, R the achieved acceleration.
    max_iterations : int >= 1
        Ends before convergence on purpose: from the interpolated cine, the minimum itself is a worse image.
    """

    strength: float = 3e-4
    growth: float = 1.0
    max_iterations: int = 20
    tolerance: float = 1e-6


def temporal_fourier_l1(
    hybrid: tf.Tensor,
    mask: tf.Tensor,
    settings: TemporalFourierL1 | None = None,
    *,
    cyclic: bool = True,
    callback: Callback | None = None,
) -> Result:
    """Minimise half the squared misfit plus the l1 norm of every pixel's temporal spectrum without its mean (FISTA).

    Parameters
    ----------
    hybrid : (frame, ky, x) or (coil, frame, ky, x), complex64
        Read only where the mask marks a line. Coils are reconstructed one by one.
    mask : (frame, ky), bool
    settings : TemporalFourierL1, optional
    cyclic : bool
        Of the interpolated cine that the iteration starts from; the temporal Fourier transform always is.
    callback : callable, optional
        Called with a `Progress` after every iteration.

    Returns
    -------
    Result
        Complex images (frame, y, x), or (coil, frame, y, x).

    References
    ----------
    Beck and Teboulle, SIAM J Imaging Sci 2009, doi 10.1137/080716542 [FISTA];
    Gamper et al., Magn Reson Med 2008, doi 10.1002/mrm.21477 [x-f sparsity of dynamic MRI].
    """
    settings = settings or TemporalFourierL1()
    run = partial(_run, settings=settings)
    return reconstruct_coils(hybrid, mask, run, settings, cyclic=cyclic, callback=callback)


def _run(problem: Problem, report: Callable[[float, float], bool], *, settings: TemporalFourierL1) -> tf.Tensor:
    threshold = tf.constant(by_acceleration(settings.strength, settings.growth, problem), tf.float32)
    basis = problem.basis
    current = problem.start
    known = before = spectrum(current)
    momentum = 1.0
    for _ in range(settings.max_iterations):
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        beta = tf.constant((momentum - 1) / following, tf.float32)
        current, newest, *told = _step(problem.data, problem.mask, basis, threshold, beta, current, known, before)
        known, before, momentum = newest, known, following
        if is_finished(report, told):
            break
    return current


@tf.function(
    input_signature=[COLUMNS, SAMPLED, tf.TensorSpec([None, None], tf.complex64), NUMBER, NUMBER, *[COLUMNS] * 3]
)
def _step(
    data: tf.Tensor,
    mask: tf.Tensor,
    basis: tf.Tensor,
    threshold: tf.Tensor,
    beta: tf.Tensor,
    current: tf.Tensor,
    known: tf.Tensor,
    before: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    # The gradient step has length one and the transform is unitary, so it is hard consistency with the data.
    ahead = known + tf.cast(beta, tf.complex64) * (known - before)
    frequencies = along_frames(basis, image(tf.where(mask, data, ahead)))
    shrunk = shrink(frequencies[1:], threshold)
    new = along_frames(tf.linalg.adjoint(basis), tf.concat([frequencies[:1], shrunk], axis=0))
    newest = spectrum(new)
    objective = misfit(newest, data, mask) + threshold * tf.reduce_sum(tf.abs(shrunk))
    return new, newest, relative_change(new, current), objective
