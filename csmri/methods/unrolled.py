"""The unrolled network: total variation, then cascades of convolutions over (frame, x, y) with data consistency.

It reconstructs complex cines of any number of coils, jointly. The maps carry the phase of what rests; in every cascade
the image is turned back by the phase that moves, too, so that what the convolutions see is as good as real whatever
the phase. First come some iterations of total variation, in which nothing is trained, with more weight on what is out
of phase. Then every cascade looks at what moves beside what rests, adds its correction, keeps as much of what is out of
phase as training taught it, and comes back to what was measured. Convolutions are two-dimensional, over neighbouring
frames side by side: the form that is fastest on a CPU.
Backend-neutral; complex images are pairs of real and imaginary part in the last axis.

References
----------
Schlemper et al., IEEE TMI 2018, doi 10.1109/TMI.2017.2760978 [cascades with data consistency]; Aggarwal et al., IEEE
TMI 2019, doi 10.1109/TMI.2018.2865356 [data consistency of several coils by conjugate gradients].
"""

from __future__ import annotations

from typing import Literal

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from csmri.methods.encoding_layers import DataConsistency, Measured, SoftTotalVariation
from csmri.methods.layers import (
    FrameConvolution,
    FrameTranspose,
    JointConvolution,
    Neighbours,
    PadTo,
    TemporalShift,
    TemporalSpectrum,
)
from csmri.methods.phase_layers import Corrected, InPhase, Motion, MovingPhase, WithPhase

Temporal = Literal["shift", "separable", "spectrum", "none"]
REACH = 2
"""Frames before and after that a convolution at full resolution sees."""


def build_unrolled(
    *,
    base_channels: int,
    cascades: int,
    cg_steps: int = 2,
    moving_frame: bool = True,
    start_iterations: int = 2,
    temporal: Temporal = "shift",
    seed: int = 0,
    precision: str = "float32",
) -> keras.Model:
    """Build the network: per cascade a small U of convolutions + ReLU, pooled twice by strides in y and x.

    Parameters
    ----------
    base_channels : int
        At full resolution; two and four times as many at half and quarter.
    cascades : int
    cg_steps : int
        Steps of conjugate gradients a cascade for several coils; one coil takes one, which is exact.
    moving_frame : bool
        Whether a cascade turns the image back by the phase that moves; otherwise by the resting phase alone.
    start_iterations : int
        Of total variation before the first cascade, for every unit of acceleration and four more; 0 for none.
    temporal : "shift", "separable", "spectrum" or "none"
        How convolutions below full resolution see other frames: a third of the channels from either neighbour; by
        convolutions over three frames after those in space, (2+1)-D; by an addition that is linear in the temporal
        spectrum; or not at all.
    seed : int
        Of the Glorot initialisation. The last layer of a cascade starts from zero: untrained, the network takes off
        some of what is out of phase, and puts the measurement back, `cascades` times.
    precision : "float32" or "mixed_bfloat16"
        Arithmetic of the convolutions; images and data consistency are float32 in either case.

    Returns
    -------
    keras.Model
        [initial (batch, frame, x, y, 2), data (batch, coil, frame, x, ky, 2), mask (batch, frame, ky), maps (batch,
        coil, x, y, 2), noise (batch, 1), cyclic (batch, 1)] -> improved (batch, frame, x, y, 2), in the unit of
        `initial`. Data are of the plain transform, DC first, zero where not acquired, see `physics.encoding`; so is
        the mask. `noise` is the standard deviation in the real part of an image's pixel, 0 for none or not known;
        `cyclic` is 1 where the last frame neighbours the first. Any number of frames, any y and x.
    """
    # --- building blocks
    n_layers = 0

    def glorot() -> keras.Initializer:
        nonlocal n_layers
        n_layers += 1
        return keras.initializers.GlorotUniform(seed=int(np.random.SeedSequence([seed, n_layers]).generate_state(1)[0]))

    def convolution(
        features: KerasTensor,
        channels: int,
        name: str,
        *,
        kernel: int = 3,
        stride: int = 1,
        activation: str | None = "relu",
    ) -> KerasTensor:
        return FrameConvolution(
            channels,
            kernel,
            strides=stride,
            padding="same",
            activation=activation,
            kernel_initializer=glorot(),
            dtype=precision,
            name=name,
        )(features)

    def enlarged(features: KerasTensor, channels: int, name: str) -> KerasTensor:
        return FrameTranspose(channels, 2, strides=2, kernel_initializer=glorot(), dtype=precision, name=name)(features)

    def over_frames(features: KerasTensor, channels: int, name: str, number: str = "") -> KerasTensor:
        """A convolution over space, and the frames beside."""
        convolved = f"{name}_conv{number}"
        if temporal == "shift":
            shifted = TemporalShift(dtype=precision, name=f"{name}_shift{number}")([features, cyclic])
            return convolution(shifted, channels, convolved)
        if temporal == "separable":
            features = convolution(features, channels, convolved)
            seen = Neighbours(dtype=precision, name=f"{name}_seen{number}")([features, cyclic])
            return convolution(seen, channels, f"{name}_frames{number}", kernel=1)
        if temporal == "spectrum":
            spectral = TemporalSpectrum(channels, kernel_initializer=glorot(), name=f"{name}_spectrum{number}")
            features = features + ops.cast(spectral(features), features.dtype)
        return convolution(features, channels, convolved)

    def correction(motion: KerasTensor, before: KerasTensor | None, name: str) -> tuple[KerasTensor, KerasTensor]:
        """Correction of a cascade, and the features behind it, which the next one gets as `before`."""
        full, half, quarter = (base_channels * 2**level for level in range(3))
        motion = PadTo(4, dtype=precision, name=f"{name}_pad")(motion)
        moving, rest = ops.split(motion, [2], axis=-1)
        seen = Neighbours(REACH, dtype=precision, name=f"{name}_seen")([moving, cyclic, rest])
        features = convolution(seen, full, f"{name}_encoder0_conv", activation=None)
        conditions = layers.Dense(full, kernel_initializer=glorot(), name=f"{name}_encoder0_conditions")(told)
        features = features + ops.cast(conditions[:, None, None, None], features.dtype)
        if before is not None:
            features = features + before
        skip0 = features = layers.ReLU(dtype=precision, name=f"{name}_encoder0_relu")(features)
        features = convolution(features, half, f"{name}_encoder1_down", stride=2)
        skip1 = features = over_frames(features, half, f"{name}_encoder1")
        features = convolution(features, quarter, f"{name}_bottom_down", stride=2)
        features = over_frames(features, quarter, f"{name}_bottom", "0")
        features = over_frames(features, quarter, f"{name}_bottom", "1")
        features = skip1 + enlarged(features, half, f"{name}_decoder1_up")
        features = over_frames(features, half, f"{name}_decoder1")
        features = layers.ReLU(dtype=precision, name=f"{name}_decoder0_relu")(
            skip0 + enlarged(features, full, f"{name}_decoder0_up")
        )
        # What is seen once more: what is linear in it, as smoothing in time is, needs no features.
        output = JointConvolution(
            2, 3, padding="same", kernel_initializer="zeros", dtype=precision, name=f"{name}_head_output"
        )
        return output([features, seen]), features

    # --- what was measured, of a cine whose maximum is one, in the frame of its resting phase
    initial = keras.Input((None, None, None, 2), name="initial")
    data = keras.Input((None, None, None, None, 2), name="data")
    mask = keras.Input((None, None), name="mask")
    maps = keras.Input((None, None, None, 2), name="maps")
    noise = keras.Input((1,), name="noise")
    cyclic = keras.Input((1,), name="cyclic")
    # Not ops.norm, whose symbolic form JAX refuses.
    largest = ops.sqrt(ops.max(ops.sum(ops.square(initial), axis=-1), axis=(1, 2, 3)))
    largest = ops.reshape(largest, (-1, 1, 1, 1, 1))
    peak = ops.where(largest > 0, largest, 1.0)
    measured = Measured(name="measured")([initial, data, mask, maps, noise, peak])
    image, phase, told = measured.pop("image"), measured.pop("phase"), measured.pop("told")

    def consistent(image: KerasTensor, name: str) -> KerasTensor:
        known = [measured[key] for key in ("data", "mask", "maps", "noise")]
        return DataConsistency(cg_steps, name=f"{name}_consistency")([image, *known])

    # --- total variation, then cascades
    if start_iterations:
        known = [measured[key] for key in ("data", "mask", "maps")]
        image = SoftTotalVariation(start_iterations, name="total_variation")([image, *known, cyclic])
    image, features = consistent(image, "initial"), None
    for i in range(cascades):
        name = f"cascade{i}"
        turned = image
        if moving_frame:
            frame = MovingPhase(name=f"{name}_phase")([image, cyclic])
            turned = InPhase(name=f"{name}_in_phase")([image, frame])
        motion = Motion(name=f"{name}_motion")([turned, frame if moving_frame else image])
        change, features = correction(motion, features, name)
        turned = Corrected(name=f"{name}_head_corrected")([turned, change])
        if moving_frame:
            turned = WithPhase(name=f"{name}_with_phase")([turned, frame])
        image = consistent(turned, name)
    improved = WithPhase(name="resting_phase")([image, phase]) * largest  # nothing stays nothing
    return keras.Model([initial, data, mask, maps, noise, cyclic], improved, name="unrolled")
