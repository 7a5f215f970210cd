"""The unrolled network: cascades of convolutions over (frame, x, y) and data consistency by conjugate gradients.

It reconstructs complex cines of any number of coils, jointly. The maps carry the phase of what rests; in every cascade
the image is turned back by the phase that moves, too, so that what the convolutions see is as good as real whatever
the phase. A cascade looks at what moves beside what rests, adds its correction, keeps as much of what is out of phase
as training taught it, and comes back to what was measured. Convolutions run at half and quarter resolution, in two
dimensions over neighbouring frames: the form that is fastest on a CPU.
Backend-neutral; complex images are pairs of real and imaginary part in the last axis.

References
----------
Schlemper et al., IEEE TMI 2018, doi 10.1109/TMI.2017.2760978 [cascades with data consistency]; Aggarwal et al., IEEE
TMI 2019, doi 10.1109/TMI.2018.2865356 [data consistency of several coils by conjugate gradients].
"""

from __future__ import annotations

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from csmri.methods.layers import (
    Corrected,
    DataConsistency,
    FrameConvolution,
    FrameTranspose,
    InPhase,
    Measured,
    Motion,
    MovingPhase,
    Neighbours,
    PadTo,
    TemporalShift,
    WithPhase,
)


def build_unrolled(
    *,
    base_channels: int,
    cascades: int,
    cg_steps: int = 2,
    moving_frame: bool = True,
    seed: int = 0,
    precision: str = "float32",
) -> keras.Model:
    """Build the network: per cascade a small U of convolutions + ReLU at half and quarter resolution.

    Parameters
    ----------
    base_channels : int
        At half resolution; twice as many at a quarter.
    cascades : int
    cg_steps : int
        Steps of conjugate gradients a cascade for several coils; one coil takes one, which is exact.
    moving_frame : bool
        Whether a cascade turns the image back by the phase that moves; otherwise by the resting phase alone.
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

    def convolution(features: KerasTensor, channels: int, name: str, *, size: int = 3, stride: int = 1) -> KerasTensor:
        return FrameConvolution(
            channels,
            size,
            strides=stride,
            padding="same",
            activation=None if size == 4 else "relu",
            kernel_initializer=glorot(),
            dtype=precision,
            name=name,
        )(features)

    def enlarged(features: KerasTensor, channels: int, name: str, *, size: int, initializer: str = "") -> KerasTensor:
        return FrameTranspose(
            channels,
            size,
            strides=2,
            padding="same",
            kernel_initializer=initializer or glorot(),
            dtype=precision,
            name=name,
        )(features)

    def shifted(features: KerasTensor, name: str) -> KerasTensor:
        return TemporalShift(dtype=precision, name=name)([features, cyclic])

    def correction(motion: KerasTensor, before: KerasTensor | None, name: str) -> tuple[KerasTensor, KerasTensor]:
        """Correction of a cascade, and the features behind it, which the next one gets as `before`."""
        half, quarter = base_channels, 2 * base_channels
        moving, rest = ops.split(motion, [2], axis=-1)
        seen = layers.Concatenate(dtype=precision, name=f"{name}_seen")(
            [Neighbours(dtype=precision, name=f"{name}_neighbours")([moving, cyclic]), rest]
        )
        seen = PadTo(4, dtype=precision, name=f"{name}_pad")(seen)
        features = convolution(seen, half, f"{name}_encoder0_down", size=4, stride=2)
        conditions = layers.Dense(half, kernel_initializer=glorot(), name=f"{name}_encoder0_conditions")(told)
        features = features + ops.cast(conditions[:, None, None, None], features.dtype)
        if before is not None:
            features = features + before
        features = layers.ReLU(dtype=precision, name=f"{name}_encoder0_relu")(features)
        skip = convolution(features, half, f"{name}_encoder0_conv")
        features = convolution(skip, quarter, f"{name}_encoder1_down", stride=2)
        features = convolution(shifted(features, f"{name}_bottom_shift0"), quarter, f"{name}_bottom_conv0")
        features = convolution(shifted(features, f"{name}_bottom_shift1"), quarter, f"{name}_bottom_conv1")
        features = skip + enlarged(features, half, f"{name}_decoder0_up", size=2)
        features = convolution(features, half, f"{name}_decoder0_conv")
        return enlarged(features, 3, f"{name}_output", size=4, initializer="zeros"), features

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

    # --- cascades
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
