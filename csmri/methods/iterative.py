"""What the iterative methods share: the problem, the loop with its stopping rule, and its arithmetic.

Three loops over the encoding (`total_variation`, `thresholding`, `conjugate_gradient`), whose settings make them one
published method or another. All take any number of coils jointly: the unknown is one complex image (frame, y, x).
Inside, it is (frame, x, y), so that the transform of every iteration runs along the last axis; see `physics.encoding`.
Thresholds are relative to the robust scale of the initial reconstruction, which all start from.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
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
from csmri.physics.differences import squared_length
from csmri.physics.encoding import Encoding, columns, encoding_of
from csmri.physics.fourier import fft
from csmri.physics.initial import initial_images
from csmri.physics.sampling import acceleration_factor

SCALE_QUANTILE = 0.999
"""Quantile of the initial magnitude that thresholds are relative to: the brightest tissue, not one bright pixel."""


KINDS: dict[str, Any] = {"int": int, "float": int | float, "bool": bool}
"""What a setting of each type may be."""
Steps = Iterator[tuple[Any, Any, Any]]
"""Image (frame, x, y), relative change and objective of every iteration, without end."""


@dataclass(frozen=True, kw_only=True)
class Settings(ABC):
    """When an iteration ends, and what is done with its last image.

    Parameters
    ----------
    strength, growth : float >= 0
        Of the penalty: strength R^growth, R the achieved acceleration.
    max_iterations : int >= 1
    tolerance : float >= 0
        Stop when an iteration changes the image by less than this part of its norm.
    consistent : bool
        Whether the acquired lines are put back at the end (of several coils in a step towards them). Where an
        acquisition tells its noise, which would come back with them, a part of each is, see `trusted_share`.
    """

    strength: float
    growth: float
    max_iterations: int
    tolerance: float = 1e-6
    consistent: bool = True

    def __post_init__(self) -> None:
        for one in fields(self):
            value, kind = getattr(self, one.name), KINDS[str(one.type)]
            if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
                raise CsmriError(f"{type(self).__name__}: {one.name} must be {one.type}, got {value!r}")
            least = 1 if one.name.endswith("iterations") else 1e-6 if one.name == "step" else 0
            most = 1 if one.name in ("power", "rank_threshold") else math.inf
            if not least <= value <= most or not math.isfinite(value):
                span = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
                raise CsmriError(f"{type(self).__name__}: {one.name} must be {span}, got {value}")

    @abstractmethod
    def iterate(self, problem: Problem) -> Steps:
        """Iterate from the initial reconstruction of a problem."""


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
    coils = _columns(encoding_of(acquisition).inverse(acquisition.data)) / divisor
    mask = ops.convert_to_tensor(np.fft.ifftshift(acquisition.mask, axes=-1)[:, np.newaxis], "complex64")
    maps = None if acquisition.maps is None else _columns(acquisition.maps)[:, None]
    encoding = Encoding(mask, maps)
    acceleration = float(acceleration_factor(acquisition.mask))
    start = _columns(initial) / divisor
    return Problem(encoding, mask * fft(coils), start, scale, acceleration, acquisition.cyclic)


def _columns(image: Any) -> Any:
    """As `columns`, in tensors of the Keras backend, which need not be TensorFlow's."""
    return columns(ops.convert_to_tensor(np.asarray(image), "complex64"))


def reconstruct(acquisition: Acquisition, settings: Settings, *, callback: Callback | None = None) -> Result:
    """Reconstruct an acquisition by the loop that the settings belong to.

    Parameters
    ----------
    acquisition : Acquisition
        Any number of coils, jointly.
    settings : Settings
        Of one of the loops.
    callback : callable, optional
        Called with a `Progress` after every iteration.

    Returns
    -------
    Result
    """
    problem = make_problem(acquisition)
    image, changes, objectives = problem.start, [], []
    for image, *told in settings.iterate(problem):  # noqa: B007 (the last one is the result)
        change, objective = (float(value) for value in told)
        changes.append(change)
        objectives.append(objective)
        if callback:
            callback(Progress(len(changes), settings.max_iterations, change, objective))
        if change <= settings.tolerance or len(changes) == settings.max_iterations:
            break
    if settings.consistent:
        share = trusted_share(acquisition) if float(acquisition.noise) else 1.0
        image = problem.encoding.consistent(image, problem.data, share)
    converged = bool(changes) and changes[-1] <= settings.tolerance
    images = ops.convert_to_numpy(columns(image)) * np.float32(problem.scale)
    return Result(images, tuple(changes), tuple(objectives), converged)


def trusted_share(acquisition: Acquisition) -> NDArray[np.float32]:
    """Part of each line (ky,), DC first, that is put back: how much of its change over time is signal, not noise.

    What an iteration does to an acquired line is to take off noise, and some of what moves. With v the variance over
    frames, of all coils and columns, and n that of the noise in it, the part is (v - n) / v; a line that was acquired
    once has that of its neighbours. [our choice: beside all lines put back, the heart-box NMSE of spatio-temporal TV at
    R = 4 changes by +0.7, 0 and -2 % at an SNR of 40, 25 and 15, with none put back by +4, +1 and -2 %; two ACDC
    patients, 8 coils]
    """
    data, mask = np.asarray(acquisition.data), np.asarray(acquisition.mask)[..., np.newaxis]
    n_acquired = mask.sum(axis=0)
    mean = data.sum(axis=1) / np.maximum(n_acquired, 1)
    changes = np.sum(np.abs(mask * (data - mean[:, np.newaxis])) ** 2, axis=(0, 1, 3))
    n_changes = np.maximum(n_acquired[:, 0] - 1, 0) * data.shape[0] * data.shape[3]
    noise = 2 * float(acquisition.noise) ** 2 * n_changes
    known = np.flatnonzero((n_changes > 0) & (changes > 0))
    if not known.size:
        return np.ones(mask.shape[1], np.float32)
    share = np.maximum(changes - noise, 0)[known] / changes[known]
    return np.fft.ifftshift(np.interp(np.arange(mask.shape[1]), known, share)).astype(np.float32)


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
    return ops.convert_to_tensor(np.fft.fft(np.eye(n_frames), norm="ortho"), "complex64")


def along_frames(matrix: Any, image: Any) -> Any:
    """Multiply (frame, x, y) by a matrix (anything, frame)."""
    shape = ops.shape(image)
    return ops.reshape(ops.matmul(matrix, ops.reshape(image, (shape[0], -1))), (ops.shape(matrix)[0], *shape[1:]))


def energies(vectors: Any, others: Any = None) -> Any:
    """Sum of squared magnitudes of several arrays, or of their differences from others."""
    if others is not None:
        vectors = tuple(a - b for a, b in zip(vectors, others, strict=True))
    return ops.sum(squared_length(vectors))


def root_of_ratio(part: Any, whole: Any) -> Any:
    """Root of a ratio of energies; 0 where both vanish."""
    return ops.sqrt(part / ops.maximum(whole, 1e-30))


def numbers_of(*values: float) -> Any:
    """Numbers of a step as one tensor, so that others do not trace it again."""
    return ops.convert_to_tensor(values, "float32")
