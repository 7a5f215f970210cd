"""What computes the images of a network: TensorFlow, or OpenVINO, which is faster on many processors."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from csmri.core.errors import CsmriError
from csmri.core.names import AUTO, OPENVINO, TENSORFLOW
from csmri.core.workers import threads
from csmri.physics.fused import fusing

SIZES = 4
"""Of images that are kept compiled at a time."""
Results = dict[str, tf.Tensor]
Serve = tuple[Callable[..., Results], Sequence[tf.TensorSpec]]
"""What a SavedModel computes, and its signature."""


def is_installed(runtime: str) -> bool:
    """Whether a runtime can be had; TensorFlow always can."""
    # A module that is None in here is one that may not be imported.
    return runtime == TENSORFLOW or bool(sys.modules.get(runtime) or importlib.util.find_spec(runtime))


def choose_runtime(asked: str, offered: Sequence[str], *, where: str) -> str:
    """Choose one of `offered`, the best first: that asked for, or the first that is installed.

    Raises
    ------
    CsmriError
        If the one asked for is not offered by the network, or not installed.
    """
    if asked == AUTO:
        return next(one for one in offered if is_installed(one))
    if asked not in offered:
        raise CsmriError(
            f"{where}: runs in {' or '.join(offered)}, not in {asked}; leave out the runtime, or say {AUTO}"
        )
    if not is_installed(asked):
        raise CsmriError(f"{where}: {asked} is not installed; install it (pip install 'csmri[{asked}]') or say {AUTO}")
    return asked


def compiled(serve: Serve, *, runtime: str = TENSORFLOW, precision: str = "float32") -> Callable[..., Results]:
    """Compile what is served once for cines of all sizes; it takes the inputs of the signature by name."""
    return _in_openvino(serve, precision) if runtime == OPENVINO else _in_tensorflow(serve)


def _in_tensorflow(serve: Serve) -> Callable[..., Results]:
    function, signature = serve
    if keras.backend.backend() != "tensorflow":
        return function
    with fusing():
        return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()


def _in_openvino(serve: Serve, precision: str) -> Callable[..., Results]:
    # It would tell its maker of every import and every network that it compiles.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    function, signature = serve
    graph = openvino.convert_model(tf.function(function, input_signature=signature, autograph=False))
    options = {
        "INFERENCE_NUM_THREADS": threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if "bfloat16" in precision else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()

    @functools.lru_cache(maxsize=SIZES)
    def of_shapes(*shapes: tuple[str, tuple[int, ...]]) -> Any:
        # For any size it takes up to twice as long.
        graph.reshape({name: list(shape) for name, shape in shapes})
        return core.compile_model(graph, "CPU", options)

    def run(**inputs: Any) -> Results:
        arrays = {name: np.asarray(values) for name, values in inputs.items()}
        # Of a lone number it wants one that could be written.
        arrays = {name: array if array.ndim else array.copy() for name, array in arrays.items()}
        found = of_shapes(*((name, array.shape) for name, array in arrays.items()))(arrays)
        return {"improved": tf.convert_to_tensor(found["improved"])}

    return run
