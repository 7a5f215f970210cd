"""The Keras functional U-net of figure 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


def build_unet(
    *,
    base_channels: int,
    depth: int,
    frames: int = 1,
    initial_output: float = 0.5,
    acceleration_input: bool = False,
    seed: int = 0,
    precision: str = "float32",
) -> keras.Model:
    """Build the U-net: per level two 3x3 convolutions + ReLU, 2x2 max-pooling down, 2x2 transpose convolution up.

    Parameters
    ----------
    base_channels : int
        Channels of the first level; every level below has twice as many.
    depth : int
        Number of poolings; y and x must be multiples of 2**depth.
    frames : int
        Channels of the input: the frame to correct in the middle, neighbours in time before and after it.
    initial_output : float in (0, 1)
        What the sigmoid gives where its features are zero, by its bias.
    acceleration_input : bool
        Whether a last channel of the input tells the share of acquired lines.
    seed : int
        Of the Glorot initialisation.
    precision : "float32" or "mixed_bfloat16"
        Arithmetic of the convolutions. The sigmoid output is float32 in either case.

    Returns
    -------
    keras.Model
        (frame, y, x, channel) -> (frame, y, x, 1) in (0, 1); the normalised error of equation (2).
    """
    # Here, so that figures can be drawn of a network without waiting for TensorFlow where none is.
    import keras
    from keras import layers

    # --- building blocks
    n_layers = 0

    def glorot() -> keras.Initializer:
        nonlocal n_layers
        n_layers += 1
        return keras.initializers.GlorotUniform(seed=int(np.random.SeedSequence([seed, n_layers]).generate_state(1)[0]))

    def double_convolution(features: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
        for i in range(2):
            features = layers.Conv2D(
                channels,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=glorot(),
                dtype=precision,
                name=f"{name}_conv{i}",
            )(features)
        return features

    # --- encoder, bottom, decoder
    inputs = keras.Input((None, None, frames + acceleration_input), name="normalised_initial")
    features, skips = inputs, []
    for level in range(depth):
        features = double_convolution(features, base_channels * 2**level, f"encoder{level}")
        skips.append(features)
        features = layers.MaxPooling2D(2, dtype=precision, name=f"encoder{level}_pool")(features)
    features = double_convolution(features, base_channels * 2**depth, "bottom")
    for level in reversed(range(depth)):
        channels = base_channels * 2**level
        features = layers.Conv2DTranspose(
            channels, 2, strides=2, kernel_initializer=glorot(), dtype=precision, name=f"decoder{level}_up"
        )(features)
        features = layers.Concatenate(dtype=precision, name=f"decoder{level}_concat")([skips[level], features])
        features = double_convolution(features, channels, f"decoder{level}")

    # --- head and model
    outputs = layers.Conv2D(
        1,
        1,
        activation="sigmoid",
        kernel_initializer=glorot(),
        bias_initializer=keras.initializers.Constant(np.log(initial_output / (1 - initial_output))),
        dtype="float32",
        name="normalised_error",
    )(features)
    return keras.Model(inputs, outputs, name="unet")
