"""k-t FOCUSS: reweighted least squares of the temporal spectrum around the temporal mean."""

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
    energy,
    image,
    is_finished,
    reconstruct_coils,
    spectrum,
)

MATRIX = tf.TensorSpec([None, None], tf.complex64)


@dataclass(frozen=True, kw_only=True)
class KtFocuss(Settings):
    """Settings of `kt_focuss`.

    Parameters
    ----------
    strength, growth : float >= 0
        The weight of the squared norm is strength R^growth, R the achieved acceleration; it has no unit, because the
        weights of the spectrum are normalised to at most 1.
    power : float in [0, 1]
        Of the previous spectrum's magnitude that weighs the next; 1/2 is the l1 norm in the limit.
    max_iterations, inner_iterations : int >= 1
        Steps of conjugate gradients in all, and those after which the weights are renewed. More overfit.
    """

    strength: float = 3e-4
    growth: float = 0.9
    power: float = 0.5
    max_iterations: int = 30
    inner_iterations: int = 15
    tolerance: float = 1e-6


def kt_focuss(
    hybrid: tf.Tensor,
    mask: tf.Tensor,
    settings: KtFocuss | None = None,
    *,
    cyclic: bool = True,
    callback: Callback | None = None,
) -> Result:
    """Find the temporal spectrum about the mean image that fits the data with the least reweighted energy (FOCUSS).

    The mean and the first weights come from the interpolated cine. The objective of the result's history is that of
    the current weights, so it jumps where they are renewed.

    Parameters
    ----------
    hybrid : (frame, ky, x) or (coil, frame, ky, x), complex64
        Read only where the mask marks a line. Coils are reconstructed one by one.
    mask : (frame, ky), bool
    settings : KtFocuss, optional
    cyclic : bool
        Of the interpolated cine that the iteration starts from; the temporal Fourier transform always is.
    callback : callable, optional
        Called with a `Progress` after every step of conjugate gradients.

    Returns
    -------
    Result
        Complex images (frame, y, x), or (coil, frame, y, x).

    References
    ----------
    Jung et al., Magn Reson Med 2009, doi 10.1002/mrm.21757.
    """
    settings = settings or KtFocuss()
    run = partial(_run, settings=settings)
    return reconstruct_coils(hybrid, mask, run, settings, cyclic=cyclic, callback=callback)


def _run(problem: Problem, report: Callable[[float, float], bool], *, settings: KtFocuss) -> tf.Tensor:
    penalty = tf.constant(by_acceleration(settings.strength, settings.growth, problem), tf.float32)
    basis, mask = problem.basis, problem.mask
    mean = tf.reduce_mean(problem.start, axis=0, keepdims=True)
    residual = tf.where(mask, problem.data - spectrum(mean), tf.zeros_like(problem.data))
    dynamics = along_frames(basis, problem.start - mean)
    done, finished = 0, False
    while done < settings.max_iterations and not finished:
        weights = tf.abs(dynamics) ** settings.power
        weights = tf.math.divide_no_nan(weights, tf.reduce_max(weights))
        state = _begin(residual, mask, basis, weights, penalty, dynamics)
        for _ in range(min(settings.inner_iterations, settings.max_iterations - done)):
            *state, change, objective = _step(mask, basis, weights, penalty, *state)
            done += 1
            size = float(tf.sqrt(energy(problem.start)))
            finished = is_finished(report, (change / size if size else change, objective))
            if finished:
                break
        dynamics = tf.cast(weights, tf.complex64) * state[0]
    return mean + along_frames(tf.linalg.adjoint(basis), dynamics)


def _normal(mask: tf.Tensor, basis: tf.Tensor, weights: tf.Tensor, penalty: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Apply the normal operator of the weighted problem to a weighted spectrum (frequency, x, y)."""
    weights = tf.cast(weights, tf.complex64)
    predicted = spectrum(along_frames(tf.linalg.adjoint(basis), weights * values))
    back = along_frames(basis, image(tf.where(mask, predicted, tf.zeros_like(predicted))))
    return weights * back + tf.cast(penalty, tf.complex64) * values


@tf.function(input_signature=[COLUMNS, SAMPLED, MATRIX, tf.TensorSpec([None] * 3, tf.float32), NUMBER, COLUMNS])
def _begin(
    residual: tf.Tensor,
    mask: tf.Tensor,
    basis: tf.Tensor,
    weights: tf.Tensor,
    penalty: tf.Tensor,
    dynamics: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """Start conjugate gradients at the dynamics so far: solution, right-hand side, remainder, direction, constant."""
    complex_weights = tf.cast(weights, tf.complex64)
    right = complex_weights * along_frames(basis, image(residual))
    solution = tf.math.divide_no_nan(dynamics, complex_weights)
    remainder = right - _normal(mask, basis, weights, penalty, solution)
    constant = 0.5 * energy(residual) / tf.cast(tf.shape(residual)[-1], tf.float32)
    return solution, right, remainder, remainder, constant


@tf.function(input_signature=[SAMPLED, MATRIX, tf.TensorSpec([None] * 3, tf.float32), NUMBER, *[COLUMNS] * 4, NUMBER])
def _step(
    mask: tf.Tensor,
    basis: tf.Tensor,
    weights: tf.Tensor,
    penalty: tf.Tensor,
    solution: tf.Tensor,
    right: tf.Tensor,
    remainder: tf.Tensor,
    direction: tf.Tensor,
    constant: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """One step of conjugate gradients; also the norm of the image's change and the objective."""
    applied = _normal(mask, basis, weights, penalty, direction)
    before = energy(remainder)
    length = tf.math.divide_no_nan(before, _product(direction, applied))
    step = tf.cast(length, tf.complex64) * direction
    solution += step
    remainder -= tf.cast(length, tf.complex64) * applied
    turn = tf.math.divide_no_nan(energy(remainder), before)
    change = tf.sqrt(energy(tf.cast(weights, tf.complex64) * step))
    objective = constant - 0.5 * _product(solution, right + remainder)
    direction = remainder + tf.cast(turn, tf.complex64) * direction
    return solution, right, remainder, direction, constant, change, objective


def _product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Real part of the inner product."""
    return tf.reduce_sum(tf.math.real(tf.math.conj(a) * b))
