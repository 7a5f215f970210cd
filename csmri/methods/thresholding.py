"""Thresholding: a background that is free or of low rank, plus dynamics with a sparse temporal spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keras import ops

from csmri.methods.iterative import (
    Problem,
    Settings,
    Steps,
    along_frames,
    compiled,
    numbers_of,
    root_of_ratio,
    temporal_fourier,
)
from csmri.physics.encoding import Encoding
from csmri.physics.linear import energy, squared


@dataclass(frozen=True, kw_only=True)
class Thresholding(Settings):
    """Half the squared misfit plus the l1 norm of every pixel's temporal spectrum about a background.

    Parameters
    ----------
    strength, growth : float >= 0
        The threshold of the spectrum is strength R^growth of the image's robust scale.
    rank_threshold : float in [0, 1)
        Threshold of the singular values of a low-rank background (L+S), relative to the largest of the interpolated
        cine; 0 for the temporal mean as background, which is not penalised.
    accelerated : bool
        Momentum of FISTA.
    max_iterations : int >= 1
        Ends before convergence on purpose: from the interpolated cine, the minimum itself is a worse image.

    References
    ----------
    Beck and Teboulle, SIAM J Imaging Sci 2009, doi 10.1137/080716542 [FISTA]; Gamper et al., Magn Reson Med 2008, doi
    10.1002/mrm.21477 [x-f sparsity]; Otazo et al., Magn Reson Med 2015, doi 10.1002/mrm.25240, table 1 [L+S; here L,
    then S, then the data are updated, which never raises the objective].
    """

    strength: float = 3e-4
    growth: float = 1.0
    rank_threshold: float = 0.0
    accelerated: bool = True
    max_iterations: int = 20

    def iterate(self, problem: Problem) -> Steps:
        threshold = self.strength * problem.acceleration**self.growth
        low_rank = self.rank_threshold > 0
        largest = math.sqrt(max(float(_singular(_gram(problem.start))[0][-1]), 0.0)) if low_rank else 0.0
        basis = temporal_fourier(problem.start.shape[0])
        known = problem.encoding.encode(problem.start)
        image, before, momentum = problem.start, (problem.start, known), 1.0
        sparse = ops.zeros_like(image)
        step = compiled(_thresholding_step, low_rank=low_rank)
        while True:
            following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            beta = (momentum - 1) / following if self.accelerated else 0.0
            numbers = numbers_of(threshold, self.rank_threshold * largest, beta)
            arguments = problem.encoding.mask, problem.encoding.maps, problem.data, basis, numbers
            new, newest, sparse, *told = step(*arguments, (image, known), before, sparse)
            before, image, known, momentum = (image, known), new, newest, following
            yield image, *told


def _thresholding_step(
    mask: Any, maps: Any, data: Any, basis: Any, numbers: Any, state: Any, before: Any, sparse: Any, *, low_rank: bool
) -> tuple[Any, ...]:
    encoding = Encoding(mask, maps)
    threshold, rank_threshold, beta = (numbers[i] for i in range(3))
    ahead, known = (now + ops.cast(beta, "complex64") * (now - was) for now, was in zip(state, before, strict=True))
    # A gradient step of length one; of one coil it is hard consistency with the data.
    fitted = ahead - encoding.combine(encoding.inverse(known - data))
    if low_rank:
        background, nuclear = shrink_singular_values(fitted - sparse, rank_threshold)
    else:
        background, nuclear = ops.mean(fitted, axis=0, keepdims=True), 0.0
    shrunk = shrink(along_frames(basis, fitted - background), threshold)
    sparse = along_frames(ops.conj(ops.transpose(basis)), shrunk)
    new = background + sparse
    newest = encoding.encode(new)
    misfit = 0.5 * energy(newest - data) / ops.cast(ops.shape(data)[-1], "float32")
    objective = misfit + rank_threshold * nuclear + threshold * ops.sum(ops.abs(shrunk))
    return new, newest, sparse, root_of_ratio(energy(new - state[0]), energy(new)), objective


def shrink_singular_values(image: Any, threshold: Any) -> tuple[Any, Any]:
    """Shrink the singular values of (frame, pixel), pixels being x and y; also their sum after that.

    By the eigenvectors of the small matrix (frame, frame); singular values below some 3e-4 of the largest are lost in
    rounding, which is less than any threshold in use.
    """
    eigenvalues, patterns = _singular(_gram(image))
    singular = ops.sqrt(ops.maximum(eigenvalues, 0.0))
    kept = ops.maximum(singular - threshold, 0.0)
    factors = ops.cast(kept / ops.maximum(singular, 1e-30), "complex64")
    projection = ops.matmul(patterns * factors, ops.conj(ops.transpose(patterns)))
    return along_frames(projection, image), ops.sum(kept)


def _gram(image: Any) -> Any:
    """Inner products (frame, frame) of the frames."""
    flat = ops.reshape(image, (ops.shape(image)[0], -1))
    return ops.matmul(flat, ops.conj(ops.transpose(flat)))


def _singular(gram: Any) -> tuple[Any, Any]:
    """Eigenvalues, ascending, and eigenvectors in columns."""
    values, vectors = ops.eigh(gram)
    return ops.real(values), vectors


def shrink(values: Any, threshold: Any) -> Any:
    """Shrink magnitudes by a threshold, to zero where they are smaller; the phase stays."""
    kept = ops.maximum(1 - threshold * ops.rsqrt(ops.maximum(squared(values), 1e-30)), 0.0)
    return values * ops.cast(kept, values.dtype)
