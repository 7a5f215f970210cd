"""The iterative methods: three loops over the encoding, whose settings make them one published method or another.

All take any number of coils jointly: the unknown is one complex image (frame, y, x). Inside, it is (frame, x, y), so
that the transform of every iteration runs along the last axis; see `physics.encoding`. Thresholds are relative to the
robust scale of the initial reconstruction, which all start from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache, partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.acquisition import Acquisition, check_acquisition
from csmri.physics.differences import difference, norms, primal_dual, squared, squared_length
from csmri.physics.encoding import Encoding, as_weights, columns, in_phase, mirrored_share, with_phase
from csmri.physics.fourier import fft, ifft_y
from csmri.physics.initial import initial_images
from csmri.physics.phase import resting_phase
from csmri.physics.sampling import acceleration_factor

SCALE_QUANTILE = 0.999
"""Quantile of the initial magnitude that thresholds are relative to: the brightest tissue, not one bright pixel."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """When an iteration ends, and what is done with its last image.

    Parameters
    ----------
    strength, growth : float >= 0
        Of the penalty: strength R^growth, R the achieved acceleration.
    max_iterations : int >= 1
    tolerance : float >= 0
        Stop when an iteration changes the image by less than this part of its norm.
    consistent : bool
        Whether the acquired lines are put back at the end, which is right while noise is smaller than undersampling.
    """

    strength: float
    growth: float
    max_iterations: int
    tolerance: float = 1e-6
    consistent: bool = True

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            least = 1 if one.name.endswith("iterations") else 1e-6 if one.name == "step" else 0
            if not isinstance(value, bool) and not (value >= least and math.isfinite(value)):
                raise CsmriError(f"{type(self).__name__}: {one.name} must be {least:g} or more, got {value}")


@dataclass(frozen=True)
class Progress:
    """Where an iteration stands; a callback gets one after every step."""

    iteration: int
    max_iterations: int
    relative_change: float
    objective: float


Callback = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Result:
    """Images that a method reconstructed, and how it got there."""

    images: NDArray[np.complex64]
    """(frame, y, x), in the unit of the data."""
    relative_changes: tuple[float, ...] = ()
    """After every iteration, the norm of the image's change over that of the image."""
    objectives: tuple[float, ...] = ()
    """What is minimised, after every iteration, for images divided by their robust scale."""
    converged: bool = False
    """Whether the tolerance was met before the iterations ran out."""


@dataclass(frozen=True, eq=False)
class Problem:
    """An acquisition in the layout of iterations, divided by the robust scale of its initial reconstruction."""

    encoding: Encoding
    data: Any
    """(coil, frame, x, ky), complex64, in the order and unit of the plain transform."""
    start: Any
    """(frame, x, y), complex64: the initial reconstruction."""
    scale: float
    """The scale, in the unit of the data; 0 where all data are."""
    acceleration: float
    """Achieved acceleration of the mask."""
    cyclic: bool


def make_problem(acquisition: Acquisition) -> Problem:
    """Bring an acquisition to the layout of iterations; refuses arrays that do not belong together."""
    check_acquisition(acquisition)
    initial = initial_images(acquisition)
    scale = robust_scale(initial)
    divisor = ops.cast(scale or 1.0, "complex64")
    coils = columns(ifft_y(acquisition.data)) / divisor
    mask = as_weights(tf.signal.ifftshift(acquisition.mask, axes=-1))[:, tf.newaxis]
    maps = None if acquisition.maps is None else columns(acquisition.maps)[:, tf.newaxis]
    encoding = Encoding(mask, maps)
    acceleration = float(acceleration_factor(acquisition.mask))
    start = columns(initial) / divisor
    return Problem(encoding, mask * fft(coils), start, scale, acceleration, acquisition.cyclic)


def reconstruct(acquisition: Acquisition, settings: Settings, *, callback: Callback | None = None) -> Result:
    """Reconstruct an acquisition by the loop that the settings belong to.

    Parameters
    ----------
    acquisition : Acquisition
        Any number of coils, jointly.
    settings : TotalVariation, Thresholding or ConjugateGradient
    callback : callable, optional
        Called with a `Progress` after every iteration.

    Returns
    -------
    Result
    """
    problem = make_problem(acquisition)
    image, changes, objectives = problem.start, [], []
    for image, *told in LOOPS[type(settings)](problem, settings):  # noqa: B007 (the last one is the result)
        change, objective = (float(value) for value in told)
        changes.append(change)
        objectives.append(objective)
        if callback:
            callback(Progress(len(changes), settings.max_iterations, change, objective))
        if change <= settings.tolerance or len(changes) == settings.max_iterations:
            break
    if settings.consistent:
        image = problem.encoding.consistent(image, problem.data)
    converged = bool(changes) and changes[-1] <= settings.tolerance
    images = ops.convert_to_numpy(columns(image)) * np.float32(problem.scale)
    return Result(images, tuple(changes), tuple(objectives), converged)


# --- total variation: the primal-dual algorithm


@dataclass(frozen=True, kw_only=True)
class TotalVariation(Settings):
    """Half the squared misfit plus total variation in time and space.

    Parameters
    ----------
    strength : float >= 0
        Weight of the temporal differences.
    spatial_share : float >= 0
        Weight of the spatial differences relative to that of the temporal ones; 0 for time alone.
    step, growth : float > 0
        The primal step is step R^growth, R the achieved acceleration. It changes the way to the solution, not the
        solution; but the way is not gone to its end, and where more is missing, more has to move.
    phase_constrained : bool
        Whether the image has the resting phase of the initial reconstruction, so that its unknown is real; of one coil
        a line then tells of its mirror image, too. Wrong where the phase moves.
    max_iterations : int >= 1
        Ends before convergence on purpose: from the interpolated cine, the minimum itself is a worse image.

    References
    ----------
    Chambolle and Pock, J Math Imaging Vis 2011, doi 10.1007/s10851-010-0251-1; Feng et al., Magn Reson Med 2014, doi
    10.1002/mrm.24980 [temporal]; Haacke et al., J Magn Reson 1991, doi 10.1016/0022-2364(91)90253-P [phase].
    """

    strength: float = 4e-3
    spatial_share: float = 0.0
    step: float = 0.092
    growth: float = 1.9
    phase_constrained: bool = False
    max_iterations: int = 40
    tolerance: float = 1e-5


def total_variation(problem: Problem, settings: TotalVariation) -> Iterator[tuple[Any, Any, Any]]:
    """Image, relative change and objective of every iteration."""
    in_space = settings.spatial_share > 0
    primal = settings.step * problem.acceleration**settings.growth
    weights = settings.strength, settings.strength * settings.spatial_share
    phase = find_phase(problem.start) if settings.phase_constrained else None
    image = problem.start if phase is None else in_phase(problem.start, phase)
    differences = difference(image, cyclic=problem.cyclic, in_space=in_space)
    state = (image, differences, tuple(ops.zeros_like(one) for one in differences))
    # Steps whose product is 1 / the largest squared norm of the differences: 4 along each axis.
    numbers = _numbers(primal, 1 / (primal * (12 if in_space else 4)), *weights)
    mirror = phase is not None and problem.encoding.maps is None
    step = compiled(_total_variation_step, cyclic=problem.cyclic, mirror=mirror)
    while True:
        state, *told = step(problem.encoding.mask, problem.encoding.maps, problem.data, phase, numbers, state)
        yield (state[0] if phase is None else with_phase(state[0], phase), *told)


def find_phase(start: Any) -> Any:
    """Resting phase (1, x, y) of a cine (frame, x, y)."""
    return resting_phase(ops.mean(start, axis=0)[None])


def _total_variation_step(
    mask: Any, maps: Any, data: Any, phase: Any, numbers: Any, state: Any, *, cyclic: bool, mirror: bool
) -> tuple[Any, ...]:
    encoding = Encoding(mask, maps)
    primal, dual, temporal, spatial = (numbers[i] for i in range(4))
    share = primal / (1 + primal)
    misfit: Any = 0.0

    def fit(image: Any) -> Any:
        nonlocal misfit
        new = encoding.consistent(image, data, share * mirrored_share(mask) if mirror else share, phase=phase)
        # E^H (E image - data), shortened by the share, is what was taken off: of one coil it has the misfit's norm.
        misfit = 0.5 * energy(image - new) * ops.square(1 / primal)
        return new

    image, differences, duals = state
    new, following, moved = primal_dual(
        image, differences, duals, fit, primal=primal, dual=dual, weights=(temporal, spatial), cyclic=cyclic
    )
    # In the metric of the algorithm: the first step moves the dual alone, and must not look like the end.
    distance = energy(new - image) / primal + _energies(moved, duals) / dual
    size = energy(new) / primal + _energies(moved) / dual
    return (new, following, moved), _root_of_ratio(distance, size), misfit + norms(following, temporal, spatial)


# --- thresholding: a background that is free or of low rank, plus dynamics with a sparse temporal spectrum


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


def thresholding(problem: Problem, settings: Thresholding) -> Iterator[tuple[Any, Any, Any]]:
    """Image, relative change and objective of every iteration."""
    threshold = settings.strength * problem.acceleration**settings.growth
    low_rank = settings.rank_threshold > 0
    largest = math.sqrt(max(float(_singular(_gram(problem.start))[0][-1]), 0.0)) if low_rank else 0.0
    basis = temporal_fourier(problem.start.shape[0])
    known = problem.encoding.encode(problem.start)
    image, before, momentum = problem.start, (problem.start, known), 1.0
    sparse = ops.zeros_like(image)
    step = compiled(_thresholding_step, low_rank=low_rank)
    while True:
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        beta = (momentum - 1) / following if settings.accelerated else 0.0
        numbers = _numbers(threshold, settings.rank_threshold * largest, beta)
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
    return new, newest, sparse, _root_of_ratio(energy(new - state[0]), energy(new)), objective


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


# --- conjugate gradients: reweighted temporal spectrum (FOCUSS), or SENSE


@dataclass(frozen=True, kw_only=True)
class ConjugateGradient(Settings):
    """Regularised least squares about an image that is known already.

    Parameters
    ----------
    strength, growth : float >= 0
        The weight of the squared norm is strength R^growth; it has no unit.
    reweighted : bool
        Whether the unknown is the temporal spectrum about the temporal mean, weighed by itself (FOCUSS); otherwise it
        is the image about the initial reconstruction (CG-SENSE), which of one coil has nothing to add to it.
    power : float in [0, 1]
        Of the previous spectrum's magnitude that weighs the next; 1/2 is the l1 norm in the limit.
    max_iterations, inner_iterations : int >= 1
        Steps in all, and those after which the weights are renewed. More overfit.

    References
    ----------
    Jung et al., Magn Reson Med 2009, doi 10.1002/mrm.21757 [k-t FOCUSS]; Pruessmann et al., Magn Reson Med 2001, doi
    10.1002/mrm.1241 [CG-SENSE].
    """

    strength: float = 3e-4
    growth: float = 0.9
    reweighted: bool = True
    power: float = 0.5
    max_iterations: int = 30
    inner_iterations: int = 15


def conjugate_gradient(problem: Problem, settings: ConjugateGradient) -> Iterator[tuple[Any, Any, Any]]:
    """Image, relative change and objective of every step; the objective jumps where weights are renewed."""
    start, encoding = problem.start, problem.encoding
    known = ops.mean(start, axis=0, keepdims=True) if settings.reweighted else start
    basis = temporal_fourier(start.shape[0]) if settings.reweighted else None
    back = None if basis is None else ops.conj(ops.transpose(basis))
    residual = problem.data - encoding.encode(known)
    unknown = start - known if basis is None else along_frames(basis, start - known)
    numbers = _numbers(settings.strength * problem.acceleration**settings.growth, math.sqrt(float(energy(start))))
    begin, step = compiled(_begin), compiled(_conjugate_gradient_step)
    while True:
        weights = None
        if basis is not None:
            weights = ops.abs(unknown) ** settings.power
            weights = ops.cast(weights / ops.maximum(ops.max(weights), 1e-30), "complex64")
        problem_of_step = encoding.mask, encoding.maps, basis, weights, numbers
        *state, constant = begin(*problem_of_step, residual, unknown)
        for _ in range(settings.inner_iterations):
            *state, change, objective = step(*problem_of_step, *state, constant)
            unknown = state[0] if weights is None else weights * state[0]
            yield known + (unknown if back is None else along_frames(back, unknown)), change, objective


def _weighted(basis: Any, weights: Any, values: Any, *, to_image: bool) -> Any:
    """Weighted spectrum to image, or its adjoint; nothing where there is no basis."""
    if basis is None:
        return values
    if to_image:
        return along_frames(ops.conj(ops.transpose(basis)), weights * values)
    return weights * along_frames(basis, values)


def _normal(mask: Any, maps: Any, basis: Any, weights: Any, numbers: Any, values: Any) -> Any:
    applied = Encoding(mask, maps).normal(_weighted(basis, weights, values, to_image=True))
    return _weighted(basis, weights, applied, to_image=False) + ops.cast(numbers[0], "complex64") * values


def _begin(
    mask: Any, maps: Any, basis: Any, weights: Any, numbers: Any, residual: Any, unknown: Any
) -> tuple[Any, ...]:
    """Start at the unknown so far: solution, right-hand side, remainder, direction, constant of the objective."""
    right = _weighted(basis, weights, Encoding(mask, maps).adjoint(residual), to_image=False)
    solution = unknown
    if weights is not None:
        present = ops.abs(weights) > 0
        solution = ops.where(present, unknown / ops.where(present, weights, ops.ones_like(weights)), 0 * unknown)
    remainder = right - _normal(mask, maps, basis, weights, numbers, solution)
    constant = 0.5 * energy(residual) / ops.cast(ops.shape(residual)[-1], "float32")
    return solution, right, remainder, remainder, constant


def _conjugate_gradient_step(
    mask: Any,
    maps: Any,
    basis: Any,
    weights: Any,
    numbers: Any,
    solution: Any,
    right: Any,
    remainder: Any,
    direction: Any,
    constant: Any,
) -> tuple[Any, ...]:
    """One step; also the norm of the image's change over that of the image, and the objective."""
    applied = _normal(mask, maps, basis, weights, numbers, direction)
    before = energy(remainder)
    length = ops.cast(before / ops.maximum(_product(direction, applied), 1e-30), "complex64")
    step = length * direction
    solution, remainder = solution + step, remainder - length * applied
    turn = ops.cast(energy(remainder) / ops.maximum(before, 1e-30), "complex64")
    change = ops.sqrt(energy(step if weights is None else weights * step)) / ops.maximum(numbers[1], 1e-30)
    objective = constant - 0.5 * _product(solution, right + remainder)
    return solution, right, remainder, remainder + turn * direction, change, objective


# --- what the loops share

LOOPS: dict[type[Settings], Callable[[Problem, Any], Iterator[tuple[Any, Any, Any]]]] = {
    TotalVariation: total_variation,
    Thresholding: thresholding,
    ConjugateGradient: conjugate_gradient,
}


@cache
def compiled(step: Callable[..., Any], **static: Any) -> Callable[..., Any]:
    """A step with its static options, as a graph where that is TensorFlow's to make; sizes share one where they can."""
    step = partial(step, **static)
    return tf.function(step, reduce_retracing=True) if keras.backend.backend() == "tensorflow" else step


def robust_scale(images: Any) -> float:
    """Return the 99.9th percentile of the magnitude, which thresholds are relative to."""
    magnitude = np.abs(images).ravel()
    return float(np.partition(magnitude, place := math.ceil(SCALE_QUANTILE * (magnitude.size - 1)))[place])


def temporal_fourier(n_frames: int) -> Any:
    """Orthonormal temporal Fourier transform as a matrix (frequency, frame); row 0 is the temporal mean."""
    return tf.constant(np.fft.fft(np.eye(n_frames), norm="ortho"), tf.complex64)


def along_frames(matrix: Any, image: Any) -> Any:
    """Multiply (frame, x, y) by a matrix (anything, frame)."""
    shape = ops.shape(image)
    return ops.reshape(ops.matmul(matrix, ops.reshape(image, (shape[0], -1))), (ops.shape(matrix)[0], *shape[1:]))


def energy(values: Any) -> Any:
    """Sum of squared magnitudes, float32."""
    return ops.sum(squared(values))


def _energies(vectors: Any, others: Any = None) -> Any:
    if others is not None:
        vectors = tuple(a - b for a, b in zip(vectors, others, strict=True))
    return ops.sum(squared_length(vectors))


def _product(a: Any, b: Any) -> Any:
    """Real part of the inner product."""
    return ops.sum(ops.real(a) * ops.real(b) + ops.imag(a) * ops.imag(b))


def _root_of_ratio(part: Any, whole: Any) -> Any:
    return ops.sqrt(part / ops.maximum(whole, 1e-30))


def _numbers(*values: float) -> Any:
    """Numbers of a step as one tensor, so that others do not trace it again."""
    return ops.convert_to_tensor(values, "float32")
