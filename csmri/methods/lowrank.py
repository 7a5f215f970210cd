"""Low-rank plus sparse: a background of few temporal patterns plus dynamics with a sparse temporal spectrum."""

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
class LowRankPlusSparse(Settings):
    """Settings of `low_rank_plus_sparse`.

    Parameters
    ----------
    strength, growth : float >= 0
        The threshold of the sparse part is strength R^growth of the image's robust scale, R the achieved acceleration.
    rank_threshold : float in [0, 1)
        Threshold of the singular values of the low-rank part, relative to the largest of the interpolated cine.
    max_iterations : int >= 1
        Ends before convergence on purpose: under pure Gaussian masks, twice as many make a worse image.
    """

    strength: float = 7.5e-4
    growth: float = 0.7
    rank_threshold: float = 0.03
    max_iterations: int = 40
    tolerance: float = 1e-6


def low_rank_plus_sparse(
    hybrid: tf.Tensor,
    mask: tf.Tensor,
    settings: LowRankPlusSparse | None = None,
    *,
    cyclic: bool = True,
    callback: Callback | None = None,
) -> Result:
    """Split the cine into a low-rank part and one of sparse temporal spectrum that together fit the data.

    Minimises half the squared misfit of L + S plus the nuclear norm of L plus the l1 norm of the temporal spectrum of
    S, by iterative thresholding from L = the interpolated cine and S = 0.

    Parameters
    ----------
    hybrid : (frame, ky, x) or (coil, frame, ky, x), complex64
        Read only where the mask marks a line. Coils are reconstructed one by one.
    mask : (frame, ky), bool
    settings : LowRankPlusSparse, optional
    cyclic : bool
        Of the interpolated cine that the iteration starts from; the temporal Fourier transform always is.
    callback : callable, optional
        Called with a `Progress` after every iteration.

    Returns
    -------
    Result
        Complex images L + S (frame, y, x), or (coil, frame, y, x).

    References
    ----------
    Otazo et al., Magn Reson Med 2015, doi 10.1002/mrm.25240, table 1.
    """
    settings = settings or LowRankPlusSparse()
    run = partial(_run, settings=settings)
    return reconstruct_coils(hybrid, mask, run, settings, cyclic=cyclic, callback=callback)


def _run(problem: Problem, report: Callable[[float, float], bool], *, settings: LowRankPlusSparse) -> tf.Tensor:
    threshold = tf.constant(by_acceleration(settings.strength, settings.growth, problem), tf.float32)
    largest = float(tf.sqrt(tf.maximum(_singular(_gram(problem.start))[0][-1], 0)))
    rank_threshold = tf.constant(settings.rank_threshold * largest, tf.float32)
    basis, total, sparse, fitted = problem.basis, problem.start, tf.zeros_like(problem.start), problem.start
    for _ in range(settings.max_iterations):
        total, sparse, fitted, *told = _step(
            problem.data, problem.mask, basis, threshold, rank_threshold, total, sparse, fitted
        )
        if is_finished(report, told):
            break
    return total


@tf.function(
    input_signature=[COLUMNS, SAMPLED, tf.TensorSpec([None, None], tf.complex64), NUMBER, NUMBER, *[COLUMNS] * 3]
)
def _step(
    data: tf.Tensor,
    mask: tf.Tensor,
    basis: tf.Tensor,
    threshold: tf.Tensor,
    rank_threshold: tf.Tensor,
    total: tf.Tensor,
    sparse: tf.Tensor,
    fitted: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    # The data-consistent `fitted` turns the misfit into half the squared norm of fitted - L - S, which bounds it from
    # above; minimising that over L, then S, then renewing `fitted` never raises the objective. (Otazo's table 1 updates
    # L and S both from the previous pair; then a large part that moves from L to S is missing from both for a step.)
    low_rank, nuclear = shrink_singular_values(fitted - sparse, rank_threshold)
    shrunk = shrink(along_frames(basis, fitted - low_rank), threshold)
    sparse = along_frames(tf.linalg.adjoint(basis), shrunk)
    new = low_rank + sparse
    known = spectrum(new)
    objective = misfit(known, data, mask) + rank_threshold * nuclear + threshold * tf.reduce_sum(tf.abs(shrunk))
    return new, sparse, image(tf.where(mask, data, known)), relative_change(new, total), objective


def shrink_singular_values(columns: tf.Tensor, threshold: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Shrink the singular values of (frame, pixel), pixels being x and y; also their sum after that.

    By the eigenvectors of the small matrix (frame, frame); singular values below some 3e-4 of the largest are lost in
    rounding, which is less than any threshold in use.
    """
    eigenvalues, patterns = _singular(_gram(columns))
    singular = tf.sqrt(tf.maximum(eigenvalues, 0))
    kept = tf.maximum(singular - tf.cast(threshold, tf.float64), 0)
    factors = tf.cast(tf.math.divide_no_nan(kept, singular), tf.complex128)
    projection = tf.matmul(patterns * factors, patterns, adjoint_b=True)
    return along_frames(tf.cast(projection, tf.complex64), columns), tf.cast(tf.reduce_sum(kept), tf.float32)


def _gram(columns: tf.Tensor) -> tf.Tensor:
    """Inner products (frame, frame) of the frames."""
    flat = tf.reshape(columns, [tf.shape(columns)[0], -1])
    return tf.matmul(flat, flat, adjoint_b=True)


def _singular(gram: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Eigenvalues, ascending, and eigenvectors in columns."""
    values, vectors = tf.linalg.eigh(tf.cast(gram, tf.complex128))
    return tf.math.real(values), vectors
