"""What all iterative baselines share: the measured data of one coil, the loop with its stopping rule, the result.

Inside the solvers images are (frame, x, y), so that the transform of every iteration runs along the last axis, and
the transform is TensorFlow's plain one: its shifts and signs, which `kspace.fourier` takes care of, are unitary and
diagonal in ky and cancel between an image and its spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.physics.consistency import combine
from csmri.physics.fourier import ifft_y
from csmri.physics.initial import initial_images
from csmri.physics.sampling import acceleration_factor, undersample

SCALE_QUANTILE = 0.999
"""Quantile of the initial magnitude that thresholds are relative to: the brightest tissue, not one bright pixel."""

COLUMNS = tf.TensorSpec([None, None, None], tf.complex64)
SAMPLED = tf.TensorSpec([None, 1, None], tf.bool)
NUMBER = tf.TensorSpec([], tf.float32)
"""Signatures of what compiled steps take; without sizes, so that cines of all sizes share one compilation."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """When an iteration ends, and what is done with its last image.

    Parameters
    ----------
    max_iterations : int >= 1
    tolerance : float >= 0
        Stop when an iteration changes the image by less than this part of its norm.
    consistent : bool
        Whether the acquired lines are put back at the end, which is right while noise is smaller than undersampling.
    """

    max_iterations: int
    tolerance: float
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

    coil: int
    iteration: int
    max_iterations: int
    relative_change: float
    objective: float


Callback = Callable[[Progress], None]


@dataclass(frozen=True)
class Convergence:
    """How the iteration of one coil went."""

    relative_changes: tuple[float, ...]
    """After every iteration, the norm of the image's change over that of the image."""
    objectives: tuple[float, ...]
    """What is minimised, after every iteration, for images divided by their robust scale."""
    converged: bool
    """Whether the tolerance was met before the iterations ran out."""


@dataclass(frozen=True, eq=False)
class Result:
    """Images that a baseline reconstructed, and how it got there."""

    images: NDArray[np.complex64]
    """(frame, y, x) or (coil, frame, y, x), in the unit of the data."""
    coils: tuple[Convergence, ...] = field(default=())
    """One for every coil, in order; none where nothing iterates."""

    @property
    def magnitude(self) -> NDArray[np.float32]:
        """Magnitude (frame, y, x), coils combined by the root of the sum of squares."""
        return combine(self.images).numpy()

    @property
    def iterations(self) -> int:
        """Most iterations that a coil took."""
        return max((len(coil.relative_changes) for coil in self.coils), default=0)

    @property
    def relative_change(self) -> float:
        """Largest change by the last iteration of a coil."""
        return max((coil.relative_changes[-1] for coil in self.coils if coil.relative_changes), default=0.0)


@dataclass(frozen=True, eq=False)
class Problem:
    """Measured data of one coil, divided by the robust scale of its initial image."""

    data: tf.Tensor
    """(frame, x, ky), complex64: `spectrum` of the zero-filled image; meaningless where not acquired."""
    mask: tf.Tensor
    """(frame, 1, ky), bool, in the order of `spectrum`."""
    start: tf.Tensor
    """(frame, x, y), complex64: the initial reconstruction, which every method starts from."""
    scale: float
    """The scale, in the unit of the data; 0 where all data are."""
    acceleration: float
    """Achieved acceleration of the mask."""

    @property
    def basis(self) -> tf.Tensor:
        """Orthonormal temporal Fourier transform as a matrix (frequency, frame); row 0 is the temporal mean."""
        n_frames = self.start.shape[0]
        return tf.constant(np.fft.fft(np.eye(n_frames), norm="ortho"), tf.complex64)

    def to_images(self, columns: tf.Tensor, *, consistent: bool) -> tf.Tensor:
        """Turn a solver's (frame, x, y) into images (frame, y, x) in the unit of the data."""
        if consistent:
            columns = image(tf.where(self.mask, self.data, spectrum(columns)))
        return tf.linalg.matrix_transpose(columns) * tf.cast(self.scale, tf.complex64)


Run = Callable[[Problem, Callable[[float, float], bool]], tf.Tensor]
"""Reconstructs (frame, x, y) of one problem; tells relative change and objective of every iteration; True ends it."""


def reconstruct_coils(
    hybrid: tf.Tensor, mask: tf.Tensor, run: Run, settings: Settings, *, cyclic: bool, callback: Callback | None
) -> Result:
    """Reconstruct every coil of (coil, frame, ky, x), or the one of (frame, ky, x), on its own."""
    hybrid, mask = checked(hybrid, mask)
    single = hybrid.shape.rank == 3
    images, coils = [], []
    for index, coil in enumerate(hybrid[tf.newaxis] if single else hybrid):
        problem = make_problem(coil, mask, cyclic=cyclic)
        changes: list[float] = []
        objectives: list[float] = []

        def report(change: float, objective: float) -> bool:
            changes.append(change)  # noqa: B023 (called within this turn of the loop)
            objectives.append(objective)  # noqa: B023
            if callback:
                callback(Progress(index, len(changes), settings.max_iterations, change, objective))  # noqa: B023
            return change <= settings.tolerance

        images.append(problem.to_images(run(problem, report), consistent=settings.consistent).numpy())
        converged = bool(changes) and changes[-1] <= settings.tolerance
        coils.append(Convergence(tuple(changes), tuple(objectives), converged))
    return Result(images[0] if single else np.stack(images), tuple(coils))


def checked(hybrid: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Refuse data and mask that do not belong together; zero what was not acquired."""
    hybrid, mask = tf.convert_to_tensor(hybrid), tf.convert_to_tensor(mask)
    if hybrid.shape.rank not in (3, 4) or 0 in hybrid.shape:
        raise CsmriError(
            f"expected hybrid data (frame, ky, x) or (coil, frame, ky, x), none of them 0, got {tuple(hybrid.shape)}"
        )
    if mask.dtype != tf.bool or mask.shape != hybrid.shape[-3:-1]:
        raise CsmriError(
            f"expected a boolean mask (frame, ky) of shape {tuple(hybrid.shape[-3:-1])}, "
            f"got {mask.dtype.name} of shape {tuple(mask.shape)}"
        )
    if not tf.reduce_any(mask):
        raise CsmriError("the mask marks no k-space line as acquired: there is nothing to reconstruct from")
    return undersample(tf.cast(hybrid, tf.complex64), mask), mask


def make_problem(hybrid: tf.Tensor, mask: tf.Tensor, *, cyclic: bool) -> Problem:
    """Prepare the data (frame, ky, x) of one coil, zero where the mask (frame, ky) did not acquire."""
    initial = initial_images(hybrid, mask, cyclic=cyclic)
    scale = robust_scale(initial)
    divisor = tf.cast(scale or 1.0, tf.complex64)
    zero_filled = tf.linalg.matrix_transpose(ifft_y(hybrid))
    return Problem(
        spectrum(zero_filled / divisor),
        tf.signal.ifftshift(mask, axes=-1)[:, tf.newaxis],
        tf.linalg.matrix_transpose(initial) / divisor,
        scale,
        float(acceleration_factor(mask)),
    )


def robust_scale(images: tf.Tensor) -> float:
    """Return the 99.9th percentile of the magnitude, which thresholds are relative to."""
    magnitude = tf.reshape(tf.abs(images), [-1])
    n = magnitude.shape[0]
    return float(tf.math.top_k(magnitude, n - math.ceil(SCALE_QUANTILE * (n - 1))).values[-1])


def spectrum(columns: tf.Tensor) -> tf.Tensor:
    """Transform (frame, x, y) to (frame, x, ky), DC first, not normalised: sqrt(n_ky) times a unitary transform."""
    return tf.signal.fft(columns)


def image(spectrum: tf.Tensor) -> tf.Tensor:
    """Invert `spectrum`."""
    return tf.signal.ifft(spectrum)


def misfit(spectrum: tf.Tensor, data: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Half the squared norm of what a spectrum misses of the data, in the unit of images."""
    n_ky = tf.cast(tf.shape(data)[-1], tf.float32)
    return 0.5 * energy(tf.where(mask, spectrum - data, tf.zeros_like(data))) / n_ky


def energy(values: tf.Tensor) -> tf.Tensor:
    """Sum of squared magnitudes, float32."""
    return tf.nn.l2_loss(tf.math.real(values)) * 2 + tf.nn.l2_loss(tf.math.imag(values)) * 2


def relative_change(new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """Norm of the change over the norm of the new image; 0 where both vanish."""
    return tf.sqrt(tf.math.divide_no_nan(energy(new - old), energy(new)))


def along_frames(matrix: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Multiply (frame, x, y) by a matrix (anything, frame)."""
    shape = tf.shape(columns)
    product = tf.matmul(matrix, tf.reshape(columns, [shape[0], -1]))
    return tf.reshape(product, tf.concat([[tf.shape(matrix)[0]], shape[1:]], axis=0))


def shrink(values: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Shrink magnitudes by a threshold, to zero where they are smaller; the phase stays."""
    squared = tf.math.real(values * tf.math.conj(values))
    kept = tf.maximum(1 - threshold * tf.math.rsqrt(tf.maximum(squared, 1e-30)), 0)
    return values * tf.cast(kept, values.dtype)


def by_acceleration(value: float, growth: float, problem: Problem) -> float:
    """Evaluate the law by which a setting follows the achieved acceleration R: value R^growth."""
    return value * problem.acceleration**growth


def is_finished(report: Callable[[float, float], bool], told: Sequence[tf.Tensor]) -> bool:
    """Report the relative change and the objective that a step returned."""
    change, objective = (float(value) for value in told)
    return report(change, objective)
