"""Keras layers that know what was measured: made ready, total variation, data consistency.

Layouts as in `methods.layers`; k-space and maps are complex inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, ops

from csmri.methods.layers import Fixed, LikeFirst
from csmri.methods.phase_layers import InPhase, MovingPhase, WithPhase
from csmri.physics.differences import ascended, descended
from csmri.physics.encoding import Encoding
from csmri.physics.fourier import as_complex, from_pair, from_parts
from csmri.physics.fused import fused
from csmri.physics.linear import damped_least_squares
from csmri.physics.phase import resting_phase

NOISE_GAIN = 30.0
"""The noise of a pixel is a thirtieth of the image's maximum, or less: multiplied by this it is of the order of one."""
LARGEST = 12.0
"""Acceleration beyond which total variation takes no more iterations."""
SURPLUS = 4
"""Units of acceleration that total variation iterates for besides what is missing: it has to begin."""
RELAXATION = 1.9
"""Of total variation: on undersampled cines half as many iterations come as far as with 1."""
LEAST_DAMPING = 1e-6
"""Of the trained trust in an image; below it nothing is left to be trained."""


@keras.saving.register_keras_serializable(package="csmri")
class DataConsistency(LikeFirst):
    """Bring an image towards the measured data: [image, data, mask, maps, noise] -> image.

    It minimises |E x - data|^2 + damping |x - image|^2 by conjugate gradients from the image, every frame and column
    on its own. The damping is (noise / trust)^2, the trust in the image being trained: without noise of one coil the
    acquired lines are put back, exactly, in the one step that one coil takes.

    Called with `image` (batch, frame, x, y, 2), `data` (coil, batch, frame, x, ky) and `maps` (coil, batch, 1, x, y)
    complex, `mask` (batch, frame, x or 1, ky), and `noise` (batch, 1), in the unit of the image.

    Parameters
    ----------
    steps : int >= 1
        Of conjugate gradients for several coils.
    trust : float > 0
        In the image at first: the standard deviation of its error.
    """

    def __init__(self, steps: int, *, trust: float = 0.03, **options: Any) -> None:
        super().__init__(**options)
        self.steps, self.trust = steps, trust

    def build(self, input_shape: Any) -> None:
        start = keras.initializers.Constant(math.log(self.trust))
        self.log_trust = self.add_weight(name="log_trust", shape=(), initializer=start)

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, data, mask, maps, noise = inputs
        encoding = Encoding(ops.cast(mask, "complex64"), maps)
        damping = ops.square(ops.reshape(noise, (-1, 1, 1, 1)) / (ops.exp(self.log_trust) + LEAST_DAMPING))
        # Not E^H data - E^H E image: its rounding is no image of data, and steps of conjugate gradients blow it up.
        wanted = encoding.adjoint_residual(from_pair(image), data)

        def one_coil() -> KerasTensor:
            return wanted / as_complex(1 + damping)  # what is acquired is a projection

        def several() -> KerasTensor:
            return damped_least_squares(encoding.normal, wanted, damping, steps=self.steps, axes=(-1,))

        n_coils = ops.shape(maps)[0]
        if isinstance(n_coils, int):
            change = one_coil() if n_coils == 1 else several()
        else:
            change = ops.cond(n_coils == 1, one_coil, several)
        return image + ops.view_as_real(change)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "steps": self.steps, "trust": self.trust}


@keras.saving.register_keras_serializable(package="csmri")
class Measured(Fixed):
    """What all cascades know, divided by the maximum of the initial reconstruction, in its resting phase.

    Called with the inputs of the network but `cyclic`, and the maximum (batch, 1, 1, 1, 1). It gives `image`, turned
    back by `phase` (batch, 1, x, y, 2); `data`, `mask`, `maps`, which carry that phase, and `noise` as
    `DataConsistency` takes them; and `told` (batch, 3): the share of lines that was acquired, the noise, and one over
    the number of coils.
    """

    def call(self, inputs: list[KerasTensor]) -> dict[str, KerasTensor]:
        initial, data, mask, maps, noise, peak = (ops.stop_gradient(one) for one in inputs)
        mask = ops.cast(mask, "float32")
        image = from_pair(initial / peak)
        phase = resting_phase(ops.mean(image, axis=1))[:, None]
        coils = from_pair(ops.swapaxes(maps, 0, 1))[:, :, None] * phase[None]
        # In full: a complex product of arrays of one shape takes a third of one that repeats an axis.
        full_mask = mask[:, :, None] * ops.ones_like(initial[..., 0])
        noise = noise / peak[:, 0, 0, 0]
        n_coils = ops.cast(ops.shape(data)[1], "float32")
        share = ops.mean(mask, axis=(1, 2))[:, None]
        return {
            "image": ops.view_as_real(image * ops.conj(phase)),
            "phase": ops.view_as_real(phase),
            "data": from_pair(ops.swapaxes(data / peak[:, None], 0, 1)),
            "mask": full_mask,
            "maps": coils,
            "noise": noise,
            "told": ops.concatenate([share, NOISE_GAIN * noise, ops.ones_like(share) / n_coils], axis=1),
        }


@keras.saving.register_keras_serializable(package="csmri")
class SoftTotalVariation(LikeFirst):
    """Total variation in time and space with more weight on what is out of phase; nothing in it is trained.

    Called with [image, data, mask, maps] as `DataConsistency` and `cyclic` (batch, 1). Half of the iterations
    are in the resting phase; the others in the phase that moves, as it is found then. No gradient passes.

    Parameters
    ----------
    iterations : int >= 1
        For every unit of acceleration, up to `LARGEST` of them, and for `SURPLUS` more.
    temporal, spatial : float >= 0
        Weights of the differences, for images with a maximum of one.
    out_of_phase : (float, float)
        How many times as much the imaginary part weighs, in the resting and in the moving phase.
    step, growth : float > 0
        The primal step is step R^growth, R the acceleration.
    """

    def __init__(
        self,
        iterations: int,
        *,
        temporal: float = 2.5e-3,
        spatial: float = 6e-4,
        out_of_phase: tuple[float, float] = (3.0, 5.0),
        step: float = 0.55,
        growth: float = 0.8,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.iterations, self.temporal, self.spatial = iterations, temporal, spatial
        self.out_of_phase, self.step, self.growth = tuple(out_of_phase), step, growth

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, data, mask, maps, cyclic = (ops.stop_gradient(one) for one in inputs)
        encoding = Encoding(ops.cast(mask, "complex64"), maps)
        acceleration = 1 / ops.maximum(ops.mean(mask, axis=(1, 2, 3)), 1e-6)
        primal = (self.step * acceleration**self.growth)[:, None, None, None]
        # Where more is missing, more has to move.
        units = ops.minimum(ops.max(acceleration), LARGEST) + SURPLUS
        half = ops.cast(ops.ceil(self.iterations * units / 2), "int32")
        share, zero_filled = as_complex(primal / (1 + primal)), encoding.adjoint(data)

        def resting(image: KerasTensor) -> KerasTensor:
            return image - share * (encoding.normal(image) - zero_filled)

        image = self._minimise(image, resting, primal, cyclic, self.out_of_phase[0], half)
        phase = MovingPhase()([image, cyclic])
        frame = from_pair(phase)
        back = ops.conj(frame)

        def moving(image: KerasTensor) -> KerasTensor:
            return image - share * (encoding.normal(image * frame) - zero_filled) * back

        image = self._minimise(InPhase()([image, phase]), moving, primal, cyclic, self.out_of_phase[1], half)
        return ops.stop_gradient(WithPhase()([image, phase]))

    def _minimise(
        self,
        image: KerasTensor,
        fit: Callable[[KerasTensor], KerasTensor],
        primal: KerasTensor,
        cyclic: KerasTensor,
        out_of_phase: float,
        iterations: KerasTensor,
    ) -> KerasTensor:
        before, after = fused(descended), fused(ascended)
        dual = 1 / (12 * primal)  # 12 is the largest squared norm of the differences: 4 along each axis
        # In tensors, for a compiled function to be the same for both parts.
        heavier = [ops.convert_to_tensor(weight, "float32") for weight in (1.0, out_of_phase)]
        weights = [(self.temporal * one, self.spatial * one) for one in heavier]

        def iterate(_: KerasTensor, state: tuple[Any, ...]) -> tuple[Any, ...]:
            fitted = fit(from_parts(*(before(part, duals, primal) for part, duals in state)))
            return tuple(
                after(part, new, duals, dual, weight, cyclic, relaxation=RELAXATION)
                for (part, duals), new, weight in zip(state, (ops.real(fitted), ops.imag(fitted)), weights, strict=True)
            )

        parts = [image[..., 0], image[..., 1]]
        state = tuple((part, tuple(ops.zeros_like(part) for _ in range(3))) for part in parts)
        (real, _), (imaginary, _) = ops.fori_loop(0, iterations, iterate, state)
        return ops.stack([real, imaginary], axis=-1)

    def get_config(self) -> dict[str, Any]:
        names = ("iterations", "temporal", "spatial", "out_of_phase", "step", "growth")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
