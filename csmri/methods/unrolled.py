"""The unrolled network: total variation, then cascades of convolutions over (frame, y, x) with data consistency.

First come some iterations of phase-constrained total variation, in which nothing is trained. Then every cascade looks
at what moves, the image less its temporal mean, beside what rests; it drops what is out of the resting phase, adds its
correction, and gives back what was measured. The features behind a correction go on to the next cascade.
Backend-neutral; complex images are pairs of real and imaginary part in the last axis.

References
----------
Schlemper et al., IEEE TMI 2018, doi 10.1109/TMI.2017.2760978 (cascades with data consistency).
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from csmri.methods.layers import (
    AddCorrection,
    CineConvolution,
    CropLike,
    DataConsistency,
    Motion,
    RestingPhase,
    TotalVariation,
)
from csmri.methods.total_variation import PHASE_CONSTRAINED

TV_ITERATIONS = PHASE_CONSTRAINED.max_iterations
"""Of total variation before the first cascade; more of them hardly help at low accelerations."""
WIDENING = (1, 3, 4)
"""Channels at full, half and quarter resolution, over `base_channels`."""


def build_unrolled(
    *,
    base_channels: int,
    cascades: int,
    weight: float = math.inf,
    cyclic: bool = True,
    seed: int = 0,
    precision: str = "float32",
) -> keras.Model:
    """Build the network: per cascade a small U of 3x3x3 convolutions + ReLU, pooled twice by strides in y and x.

    Parameters
    ----------
    base_channels : int
        At full resolution; three and four times as many at half and quarter.
    cascades : int
    weight : float > 0
        Trust in the measurement, as in `layers.DataConsistency`; infinity puts acquired lines back.
    cyclic : bool
        Whether the last frame neighbours the first; otherwise the first and the last are held beyond the ends.
    seed : int
        Of the Glorot initialisation. The last layer of a cascade starts from zero: untrained, the network is total
        variation, then projections onto images of the resting phase and onto the data, `cascades` times.
    precision : "float32" or "mixed_bfloat16"
        Arithmetic of the convolutions; images and data consistency are float32 in either case.

    Returns
    -------
    keras.Model
        [initial (batch, frame, y, x, 2), mask (batch, frame, ky)] -> improved (batch, frame, y, x, 2), in the unit of
        `initial`, whose acquired lines must be the measured ones. Any number of frames, any y and x.
    """
    # --- building blocks
    n_layers = 0

    def glorot() -> keras.Initializer:
        nonlocal n_layers
        n_layers += 1
        return keras.initializers.GlorotUniform(seed=int(np.random.SeedSequence([seed, n_layers]).generate_state(1)[0]))

    def convolution(features: KerasTensor, channels: int, name: str, *, stride: int = 1) -> KerasTensor:
        return CineConvolution(
            channels,
            3,
            strides=(1, stride, stride),
            activation="relu",
            kernel_initializer=glorot(),
            cyclic=cyclic,
            dtype=precision,
            name=name,
        )(features)

    def up_and_add(features: KerasTensor, skip: KerasTensor, name: str) -> KerasTensor:
        features = layers.Conv3DTranspose(
            skip.shape[-1],
            (1, 2, 2),
            strides=(1, 2, 2),
            activation="relu",
            kernel_initializer=glorot(),
            dtype=precision,
            name=f"{name}_up",
        )(features)
        features = CropLike(dtype=precision, name=f"{name}_crop")([features, skip])
        return layers.Add(dtype=precision, name=f"{name}_add")([skip, features])

    def correction(motion: KerasTensor, before: KerasTensor | None, name: str) -> tuple[KerasTensor, KerasTensor]:
        """Correction of a cascade, and the features behind it, which the next one gets as `before`."""
        full, half, quarter = (base_channels * ratio for ratio in WIDENING)
        features = motion
        if before is not None:
            features = layers.Concatenate(dtype=precision, name=f"{name}_before")([motion, before])
        features = convolution(features, full, f"{name}_encoder0_conv0")
        skip0 = features = convolution(features, full, f"{name}_encoder0_conv1")
        features = convolution(features, half, f"{name}_encoder1_down", stride=2)
        skip1 = features = convolution(features, half, f"{name}_encoder1_conv")
        features = convolution(features, quarter, f"{name}_bottom_down", stride=2)
        features = convolution(features, quarter, f"{name}_bottom_conv")
        features = convolution(up_and_add(features, skip1, f"{name}_decoder1"), half, f"{name}_decoder1_conv")
        features = convolution(up_and_add(features, skip0, f"{name}_decoder0"), full, f"{name}_decoder0_conv")
        # The motion once more, so that what is linear in it needs no ReLU.
        last = layers.Concatenate(dtype=precision, name=f"{name}_last")([features, motion])
        output = CineConvolution(
            2, 3, kernel_initializer="zeros", cyclic=cyclic, dtype=precision, name=f"{name}_output"
        )
        return output(last), features

    # --- normalisation: a cine's maximum is one, whatever its unit
    initial = keras.Input((None, None, None, 2), name="initial")
    mask = keras.Input((None, None), name="mask")
    # Not ops.norm, whose symbolic form JAX refuses.
    peak = ops.sqrt(ops.max(ops.sum(ops.square(initial), axis=-1, keepdims=True), axis=(1, 2, 3, 4), keepdims=True))
    start = initial / ops.where(peak > 0, peak, 1.0)
    rest = ops.mean(start, axis=1, keepdims=True)
    phase = RestingPhase(name="phase")(rest)

    # --- total variation, then cascades
    image = TotalVariation(TV_ITERATIONS, cyclic=cyclic, name="total_variation")([start, phase, mask])
    image, features = DataConsistency(weight, name="total_variation_consistency")([image, start, mask]), None
    for i in range(cascades):
        motion = Motion(name=f"cascade{i}_motion")([image, rest, phase])
        change, features = correction(motion, features, f"cascade{i}")
        image = AddCorrection(name=f"cascade{i}_add")([image, phase, change])
        image = DataConsistency(weight, name=f"cascade{i}_consistency")([image, start, mask])
    return keras.Model([initial, mask], image * peak, name="unrolled")
