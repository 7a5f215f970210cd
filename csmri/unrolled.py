"""The unrolled network: cascades of convolutions over (frame, y, x) with data consistency between them.

Every cascade looks at what moves, the image less its temporal mean, beside what rests, adds its correction, and gives
back what was measured. Backend-neutral; complex images are pairs of real and imaginary part in the last axis.

References
----------
Schlemper et al., IEEE TMI 2018, doi 10.1109/TMI.2017.2760978 (cascades with data consistency).
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from csmri.layers import AddCorrection, CineConvolution, CropLike, DataConsistency, Motion

BOTTOM_RATIO = 1.5
"""Channels at a quarter of the resolution over those at half."""


def build_unrolled(
    *,
    base_channels: int,
    cascades: int,
    weight: float = math.inf,
    cyclic: bool = True,
    seed: int = 0,
    precision: str = "float32",
) -> keras.Model:
    """Build the network: per cascade a small U in (y, x), 3x3x3 convolutions + ReLU at half and quarter resolution.

    Parameters
    ----------
    base_channels : int
        Of every layer at half resolution.
    cascades : int
    weight : float > 0
        Trust in the measurement, as in `layers.DataConsistency`; infinity puts acquired lines back.
    cyclic : bool
        Whether the last frame neighbours the first; otherwise the first and the last are held beyond the ends.
    seed : int
        Of the Glorot initialisation. The last layer of a cascade starts from zero: untrained, the network returns the
        initial reconstruction.
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

    def upward(
        features: KerasTensor, channels: int, name: str, *, activation: str | None, kernel: keras.Initializer | str
    ) -> KerasTensor:
        return layers.Conv3DTranspose(
            channels,
            (1, 2, 2),
            strides=(1, 2, 2),
            activation=activation,
            kernel_initializer=kernel,
            dtype=precision,
            name=name,
        )(features)

    def correction(features: KerasTensor, name: str) -> KerasTensor:
        bottom = round(BOTTOM_RATIO * base_channels)
        features = convolution(features, base_channels, f"{name}_encoder0_down", stride=2)
        skip = features = convolution(features, base_channels, f"{name}_encoder0_conv")
        features = convolution(features, bottom, f"{name}_encoder1_down", stride=2)
        for i in range(2):
            features = convolution(features, bottom, f"{name}_bottom_conv{i}")
        features = upward(features, base_channels, f"{name}_decoder0_up", activation="relu", kernel=glorot())
        features = CropLike(dtype=precision, name=f"{name}_decoder0_crop")([features, skip])
        features = layers.Add(dtype=precision, name=f"{name}_decoder0_add")([skip, features])
        features = convolution(features, base_channels, f"{name}_decoder0_conv")
        return upward(features, 2, f"{name}_output", activation=None, kernel="zeros")

    # --- normalisation: a cine's maximum is one, whatever its unit
    initial = keras.Input((None, None, None, 2), name="initial")
    mask = keras.Input((None, None), name="mask")
    peak = ops.max(ops.norm(initial, axis=-1, keepdims=True), axis=(1, 2, 3, 4), keepdims=True)
    peak = ops.where(peak > 0, peak, 1.0)
    start = initial / peak
    rest = ops.mean(start, axis=1, keepdims=True)

    # --- cascades
    image = start
    for i in range(cascades):
        features = Motion(name=f"cascade{i}_motion")([image, rest])
        features = correction(features, f"cascade{i}")
        image = AddCorrection(name=f"cascade{i}_add")([image, rest, features])
        image = DataConsistency(weight, name=f"cascade{i}_consistency")([image, start, mask])
    return keras.Model([initial, mask], image * peak, name="unrolled")
