"""Ways to transfer: which weights of a pretrained network are trained, how fast, and how they are saved.

Layers are known by their names, so that any functional network of csmri will do: `encoder{level}_...`, `bottom_...`,
`decoder{level}_...`, a prefix `cascade{i}_` in front or none; whatever else has weights is the head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import layers, ops

from csmri.config import Config
from csmri.core.errors import CsmriError
from csmri.methods.layers import FrameConvolution, FrameTranspose, JointConvolution

FROZEN = {"frozen-encoder": ("encoder",), "frozen-decoder": ("decoder", "head")}
"""Way -> parts that keep their pretrained weights. The bottom belongs to neither half and is trained in both ways: it
takes the encoder's features and makes the decoder's, so that whichever half is trained needs it to reach the other."""


def prepare(network: keras.Model, way: str) -> keras.Model:
    """Freeze or reparametrise a network that has its pretrained weights, for whoever compiles it next.

    Parameters
    ----------
    way : str
        As `Config.transfer`; those that are no matter of single weights leave the network as it is.
    """
    if way == "scale-shift":
        return _scaled(network)
    if frozen := [layer for layer in _weighted(network) if part(layer.name) in FROZEN.get(way, ())]:
        for layer in frozen:
            layer.trainable = False
    elif way in FROZEN:
        raise CsmriError(f"transfer = {way!r}: no layer of the network {network.name!r} is named after that half")
    return network


def part(layer: str) -> str:
    """Tell the part of the network that a layer belongs to by its name: encoder, bottom, decoder or head."""
    return next((name for name in ("encoder", "bottom", "decoder") if name in layer), "head")


def trained_parameters(network: keras.Model) -> int:
    """Count the numbers that training may change."""
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def _weighted(network: keras.Model) -> list[keras.Layer]:
    """Layers with weights, from input to output."""
    return [layer for layer in network.layers if layer.weights]


# --- scale and shift: every kernel is the pretrained one times a trained number per output channel


class _ScaleShift:
    """Of a convolution: the kernel is not trained, a scale per output channel is; the bias is the shift.

    The scale multiplies the kernel, as Keras's LoRA adds to it: folded into it, it leaves the layer that was.
    """

    channels_axis = -1
    _kernel: keras.Variable
    bias: keras.Variable
    use_bias: bool
    filters: int

    def add_weight(self, *args: Any, **options: Any) -> keras.Variable:
        if options.get("name") in ("kernel", "scale"):
            # Both in float32 until they are multiplied, so that folding them changes no bit of the result.
            options |= {"autocast": False, "trainable": options["name"] == "scale"}
        return super().add_weight(*args, **options)  # type: ignore[misc]

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)  # type: ignore[misc]
        self.scale = self.add_weight(name="scale", shape=(self.filters,), initializer="ones")

    @property
    def kernel(self) -> Any:
        return ops.cast(self.folded_kernel(), self.compute_dtype)  # type: ignore[attr-defined]

    @kernel.setter
    def kernel(self, value: keras.Variable) -> None:
        self._kernel = value

    def folded_kernel(self) -> Any:
        """Kernel of the layer without a scale that computes the same, float32."""
        shape = [1] * len(self._kernel.shape)
        shape[self.channels_axis] = self.filters
        return ops.multiply(self._kernel, ops.reshape(self.scale, shape))

    # A convolution saves kernel and bias alone, whatever other weights it has.
    def save_own_variables(self, store: Any) -> None:
        keras.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        keras.Layer.load_own_variables(self, store)


@keras.saving.register_keras_serializable("csmri")
class ScaledConv2D(_ScaleShift, layers.Conv2D):
    """Conv2D with a pretrained kernel that is only scaled."""


@keras.saving.register_keras_serializable("csmri")
class ScaledFrameConvolution(_ScaleShift, FrameConvolution):
    """FrameConvolution with a pretrained kernel that is only scaled."""


@keras.saving.register_keras_serializable("csmri")
class ScaledJointConvolution(_ScaleShift, JointConvolution):
    """JointConvolution with a pretrained kernel that is only scaled."""


@keras.saving.register_keras_serializable("csmri")
class ScaledConv2DTranspose(_ScaleShift, layers.Conv2DTranspose):
    """Conv2DTranspose with a pretrained kernel that is only scaled."""

    channels_axis = -2


@keras.saving.register_keras_serializable("csmri")
class ScaledFrameTranspose(_ScaleShift, FrameTranspose):
    """FrameTranspose with a pretrained kernel that is only scaled."""

    channels_axis = -2


SCALED: dict[type[keras.Layer], type[keras.Layer]] = {
    layers.Conv2D: ScaledConv2D,
    FrameConvolution: ScaledFrameConvolution,
    JointConvolution: ScaledJointConvolution,
    layers.Conv2DTranspose: ScaledConv2DTranspose,
    FrameTranspose: ScaledFrameTranspose,
}
UNSCALED = {scaled: plain for plain, scaled in SCALED.items()}


def folded(network: keras.Model) -> keras.Model:
    """The network with the layers it was built of, scales multiplied into the kernels: what a SavedModel is made of.

    The same network where there is no scale.
    """
    if not any(type(layer) in UNSCALED for layer in network.layers):
        return network
    plain = rebuilt(network, UNSCALED)
    for layer, origin in zip(plain.layers, network.layers, strict=True):
        if isinstance(origin, _ScaleShift):
            layer.set_weights([ops.convert_to_numpy(origin.folded_kernel()), *_bias(origin)])
        else:
            layer.set_weights(origin.get_weights())
    return plain


def _scaled(network: keras.Model) -> keras.Model:
    if not any(type(layer) in SCALED for layer in network.layers):
        raise CsmriError(
            f"transfer = 'scale-shift': no layer of the network {network.name!r} is a convolution to scale"
        )
    scaled = rebuilt(network, SCALED)
    for layer, origin in zip(scaled.layers, network.layers, strict=True):
        if isinstance(layer, _ScaleShift):
            layer._kernel.assign(origin.kernel)
            if layer.use_bias:
                layer.bias.assign(origin.bias)
        else:  # what is no convolution stays as it is and is trained
            layer.set_weights(origin.get_weights())
    return scaled


def _bias(layer: Any) -> list[Any]:
    return [ops.convert_to_numpy(layer.bias)] if layer.use_bias else []


def rebuilt(network: keras.Model, kinds: Mapping[type[keras.Layer], type[keras.Layer]]) -> keras.Model:
    """Build the same network with layers of other kinds, untrained; what is frozen stays so."""
    # A model of its own over the same layers, since a compiled one would be compiled again.
    bare = keras.Model(network.input, network.output, name=network.name)
    return keras.models.clone_model(
        bare, clone_function=lambda layer: kinds.get(type(layer), type(layer)).from_config(layer.get_config())
    )


# --- discriminative learning rates: the further from the output, the slower


def learning_rates(network: keras.Model, rate_decay: float) -> dict[str, float]:
    """Learning rate of every layer, 1 at the output.

    A stage is a run of weighted layers with one name up to the last `_`: `encoder0` is `encoder0_conv0` and
    `encoder0_conv1`. From the output to the input every stage has `rate_decay` times the rate of the one before. A skip
    connection is no short cut: the first encoder is the furthest, since its features are the most general.
    """
    rates: dict[str, float] = {}
    rate, stage = 1.0, ""
    for layer in reversed(_weighted(network)):
        previous, stage = stage, layer.name.rpartition("_")[0]
        if rates and stage != previous:
            rate *= rate_decay
        rates[layer.name] = rate
    return rates


class _Paced:
    """Of an optimizer: the learning rate is multiplied by that of the variable's layer.

    The rate, not the gradient: to Adam a smaller gradient is no smaller step.
    """

    def __init__(self, *args: Any, rates: dict[str, float], **options: Any) -> None:
        super().__init__(*args, **options)
        self.rates = rates

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        known = self._trainable_variables[self._get_variable_index(variable)]  # type: ignore[attr-defined]
        rate = self.rates[known.path.rpartition("/")[0]]
        super().update_step(gradient, variable, learning_rate * rate)  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rates": dict(self.rates)}  # type: ignore[misc]


@keras.saving.register_keras_serializable("csmri")
class PacedAdam(_Paced, keras.optimizers.Adam):
    """Adam with a learning rate per layer."""


@keras.saving.register_keras_serializable("csmri")
class PacedRMSprop(_Paced, keras.optimizers.RMSprop):
    """RMSprop with a learning rate per layer."""


@keras.saving.register_keras_serializable("csmri")
class PacedSGD(_Paced, keras.optimizers.SGD):
    """SGD with a learning rate per layer."""


PACED: dict[type[keras.Optimizer], Callable[..., keras.Optimizer]] = {
    keras.optimizers.Adam: PacedAdam.from_config,
    keras.optimizers.RMSprop: PacedRMSprop.from_config,
    keras.optimizers.SGD: PacedSGD.from_config,
}


def paced(optimizer: keras.Optimizer, network: keras.Model, config: Config) -> keras.Optimizer:
    """The optimizer with a learning rate per layer where the way to transfer is discriminative, else as it is."""
    if config.transfer != "discriminative":
        return optimizer
    rates = learning_rates(network, config.rate_decay)
    return PACED[type(optimizer)]({**optimizer.get_config(), "rates": rates})
