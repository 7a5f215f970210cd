"""Seconds a frame of the paper's U-net: Keras, the SavedModel, csmri's reconstruct, and what others take for the same.

    python benchmarks/inference.py [--size 256] [--rounds 5]

16, 32 and 64 channels of the paper's depth, float32 and, where the processor has it, bfloat16. All compute the same
function, with the same weights, which is checked. Beside them, the share of the machine's matrix products in float32.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import peers
import tensorflow as tf
from harness import Records, options, version_of

from csmri.config import Config, Sampling, make_config
from csmri.core.names import OPENVINO, TENSORFLOW
from csmri.core.provenance import computes_bfloat16_in_software
from csmri.methods.model import load_network, write_saved_model
from csmri.methods.reconstruction import load_reconstructor, simulated_acquisition
from csmri.methods.task import task_of
from csmri.phantom import make_subject

FRAMES = {16: 8, 32: 4, 64: 2}
"""As many of them at once for every number of channels: some seconds a contender."""
CEILING, KERAS = "matrix product", "Keras"
SIDE = 3072
CASCADE = "unrolled network, convolutions of a cascade"


def operations(network: keras.Model, size: int) -> float:
    """Multiplications and additions of the convolutions of one frame (size, size)."""
    total = 0.0
    for layer in network.layers:
        if not layer.get_weights():
            continue
        level, kernel = layer.name.partition("_")[0], layer.get_weights()[0]
        depth = sum(one.name.endswith("_pool") for one in network.layers)
        number = depth if level == "bottom" else int(level[-1]) if level[-1].isdigit() else 0
        taps = kernel.size / (4 if layer.name.endswith("_up") else 1)  # a pixel of an enlarged image has one tap
        total += 2 * taps * (size >> number) ** 2
    return total


def ceiling(rounds: int) -> list[float]:
    """Operations a second of float32 matrix products."""
    one = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    found = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        one @ one
        found.append(2 * SIDE**3 / (time.perf_counter() - begun))
    return found[1:]


def contenders(config: Config, acquisition: Any, records: Records) -> dict[str, Callable[[], Any]]:
    """Whoever computes this network here; with its weights, of no use, but the same for all."""
    network = task_of(config).build()
    is_bfloat16 = "bfloat16" in config.precision
    n_frames, size = acquisition.mask.shape[0], acquisition.data.shape[-1]
    frames = np.random.default_rng(0).random((n_frames, size, size, 1), np.float32)
    signature = [tf.TensorSpec(frames.shape, tf.float32)]
    bare = tf.function(lambda one: network(one, training=False), input_signature=signature).get_concrete_function()
    inputs = tf.constant(frames)
    found: dict[str, Callable[[], Any]] = {KERAS: lambda: bare(inputs).numpy()}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        write_saved_model(network, model, config=config, epoch=0)
        signature_of_model = tf.saved_model.load(str(model)).signatures["serving_default"]
        initial = tf.constant(frames[..., 0])
        found["SavedModel"] = lambda: signature_of_model(initial=initial)["improved"].numpy()
        runtimes = [TENSORFLOW, *([OPENVINO] if version_of(OPENVINO) else [])]
        for runtime in runtimes:
            reconstructor = load_reconstructor(model, runtime=runtime)
            found[f"csmri reconstruct, {runtime}"] = lambda one=reconstructor: one.reconstruct(acquisition)
    plain = task_of(config.model_copy(update={"precision": "float32"})).build()
    plain.set_weights(network.get_weights())
    others: dict[str, tuple[str, Callable[[], peers.Run]]] = {
        "PyTorch": ("torch", lambda: peers.run_torch(plain, frames, bfloat16=is_bfloat16)),
        "OpenVINO": (OPENVINO, lambda: peers.run_openvino(plain, frames, bfloat16=is_bfloat16)),
        "ONNX Runtime": ("onnxruntime", lambda: peers.run_onnxruntime(plain, frames)),
    }
    exact = np.asarray(plain(frames))
    for name, (library, make) in others.items():
        if is_bfloat16 and name == "ONNX Runtime":
            continue  # it has none on a CPU
        if not (version_of(library) and (library != "onnxruntime" or version_of("torch"))):
            records.skip(name, f"{library} is not installed (pip install '.[peers]')")
            continue
        try:
            run = make()
        except Exception as error:
            records.skip(name, f"{type(error).__name__}: {str(error).splitlines()[0]}")
            continue
        difference = float(np.max(np.abs(run() - exact)))
        assert difference < (0.05 if is_bfloat16 else 1e-4), f"{name} computes something else: {difference}"
        found[name] = run
    return found


def cascade(size: int, n_frames: int = 20) -> dict[str, Callable[[], Any]]:
    """Compute the convolutions of one cascade of the shipped unrolled network, all that is real in it."""
    _, network = load_network("pretrained-unrolled")
    measured = network.get_layer("measured").output
    told = next(one for one in measured.values() if len(one.shape) == 2) if isinstance(measured, dict) else None
    told = told if told is not None else next(one for one in measured if one.shape[1:] == (3,))
    layers = ("cascade1_motion", "cascade0_decoder0_relu")
    inputs = [*(network.get_layer(name).output for name in layers), told, network.inputs[-1]]
    outputs = [network.get_layer(name).output for name in ("cascade1_head_output", "cascade1_decoder0_relu")]
    part = keras.Model(inputs, outputs)
    rng, image = np.random.default_rng(0), (1, n_frames, size, size)
    values = [0.1 * rng.standard_normal((*image, 4)), rng.random((*image, 12)), [[0.25, 0.0, 1.0]], [[1.0]]]
    values = [np.asarray(one, np.float32) for one in values]
    signature = [tf.TensorSpec(one.shape, tf.float32) for one in values]
    function = tf.function(lambda *one: part(list(one), training=False), input_signature=signature)
    traced, tensors = function.get_concrete_function(), [tf.constant(one) for one in values]
    found: dict[str, Callable[[], Any]] = {"TensorFlow": lambda: traced(*tensors)[0].numpy()}
    if version_of(OPENVINO):
        compiled = peers.in_openvino(function)
        found["OpenVINO"] = lambda: compiled(values)[0]
    return found


def main() -> None:
    asked = options(__doc__, size=256, rounds=5)
    records = Records("inference")
    records.add("float32", CEILING, "GFLOP/s", *(one / 1e9 for one in ceiling(asked.rounds)))
    precisions = ["float32", *([] if computes_bfloat16_in_software() else ["mixed_bfloat16"])]
    if len(precisions) == 1:
        records.skip("bfloat16", "the processor computes it in software")
    for channels, n_frames in FRAMES.items():
        images = make_subject(0, size=asked.size, n_slices=1, n_frames=n_frames).images[0]
        one = simulated_acquisition(images, 2.0, Sampling(), seed=0, subject="phantom", slice_index=0)
        for precision in precisions:
            config = make_config({"base_channels": channels, "precision": precision}, where=__file__)
            case = f"{channels} channels, {precision.removeprefix('mixed_')}"
            records.time(case, contenders(config, one, records), rounds=asked.rounds, per=n_frames)
            if precision == "float32":
                records.add(case, KERAS, "GFLOP", operations(task_of(config).build(), asked.size) / 1e9)
    records.time(CASCADE, cascade(asked.size), rounds=asked.rounds)
    records.write(asked.out)


if __name__ == "__main__":
    main()
