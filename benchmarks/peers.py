"""The same work done by others: the U-net in PyTorch, OpenVINO and ONNX Runtime, total variation by BART and sigpy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from csmri.core.workers import threads
from csmri.data.acquisition import Acquisition
from csmri.methods.iterative import make_problem
from csmri.physics.fourier import fft_x

Run = Callable[[], NDArray[np.float32]]


def torch_unet(network: keras.Model) -> Any:
    """`csmri.methods.unet` in PyTorch, with the weights of a Keras network: (frame, channel, y, x)."""
    import torch
    from torch import nn

    torch.set_num_threads(threads())

    def of(name: str) -> nn.Module:
        kernel, bias = (torch.tensor(np.array(one)) for one in network.get_layer(name).get_weights())
        if "_up" in name:  # Keras: (y, x, out, in); PyTorch: (in, out, y, x)
            layer: nn.Module = nn.ConvTranspose2d(kernel.shape[3], kernel.shape[2], 2, stride=2)
            weight = kernel.permute(3, 2, 0, 1)
        else:
            layer = nn.Conv2d(kernel.shape[2], kernel.shape[3], kernel.shape[0], padding=kernel.shape[0] // 2)
            weight = kernel.permute(3, 2, 0, 1)
        layer.load_state_dict({"weight": weight.contiguous(), "bias": bias})
        return layer

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depth = sum(one.name.endswith("_pool") for one in network.layers)
            names = [one.name for one in network.layers if one.get_weights()]
            self.parts = nn.ModuleDict({name: of(name) for name in names})

        def double(self, features: Any, name: str) -> Any:
            for i in range(2):
                features = torch.relu_(self.parts[f"{name}_conv{i}"](features))
            return features

        def forward(self, features: Any) -> Any:
            skips = []
            for level in range(self.depth):
                features = self.double(features, f"encoder{level}")
                skips.append(features)
                features = nn.functional.max_pool2d(features, 2)
            features = self.double(features, "bottom")
            for level in reversed(range(self.depth)):
                features = self.parts[f"decoder{level}_up"](features)
                features = self.double(torch.cat([skips[level], features], 1), f"decoder{level}")
            return torch.sigmoid(self.parts["normalised_error"](features))

    return UNet().to(memory_format=torch.channels_last)


def run_torch(network: keras.Model, frames: NDArray[np.float32], *, bfloat16: bool = False) -> Run:
    """Forward in PyTorch, of frames (frame, y, x, channel)."""
    import torch

    module = torch_unet(network).eval()
    inputs = torch.tensor(frames).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)

    def run() -> NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return module(inputs).float().permute(0, 2, 3, 1).numpy()

    return run


def run_onnxruntime(network: keras.Model, frames: NDArray[np.float32]) -> Run:
    """Forward in ONNX Runtime, exported from PyTorch."""
    import onnxruntime
    import torch

    inputs = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "unet.onnx"
        torch.onnx.export(torch_unet(network).eval(), (torch.tensor(inputs),), str(path), dynamo=False)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads()
        session = onnxruntime.InferenceSession(path.read_bytes(), settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: inputs})[0].transpose(0, 2, 3, 1)


def run_openvino(network: keras.Model, frames: NDArray[np.float32], *, bfloat16: bool = False) -> Run:
    """Forward in OpenVINO, for this size alone."""
    import tensorflow as tf

    signature = [tf.TensorSpec(frames.shape, tf.float32)]
    function = tf.function(lambda one: network(one, training=False), input_signature=signature)
    compiled = in_openvino(function, bfloat16=bfloat16)
    return lambda: compiled(frames)[0]


def in_openvino(function: Any, *, bfloat16: bool = False) -> Any:
    """Compile a function of TensorFlow that has a signature."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    precision = "bf16" if bfloat16 else "f32"
    hints = {"INFERENCE_NUM_THREADS": threads(), "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    return openvino.Core().compile_model(openvino.convert_model(function), "CPU", hints)


def torch_step(network: keras.Model, inputs: NDArray[np.float32], target: NDArray[np.float32]) -> Callable[[], Any]:
    """One step of Adam on the mean squared error, in PyTorch."""
    import torch

    module = torch_unet(network).train()
    weights = list(module.parameters())
    first, second = ([torch.zeros_like(one) for one in weights] for _ in range(2))
    one, wanted = (
        torch.tensor(values).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        for values in (inputs, target)
    )

    def step() -> float:
        loss = torch.nn.functional.mse_loss(module(one), wanted)
        gradients = torch.autograd.grad(loss, weights)
        # Not torch.optim, whose import of a compiler crashes beside TensorFlow.
        with torch.no_grad():
            torch._foreach_lerp_(first, gradients, 0.1)
            torch._foreach_mul_(second, 0.999)
            torch._foreach_addcmul_(second, gradients, gradients, 0.001)
            roots = torch._foreach_sqrt(second)
            torch._foreach_add_(roots, 1e-8)
            torch._foreach_addcdiv_(weights, first, roots, -1e-4)
        return float(loss)

    return step


# --- classical reconstruction


def why_no_bart() -> str:
    """Empty where BART is installed."""
    return "" if shutil.which("bart") else "BART is not installed (Debian: bart)"


def bart_version() -> str:
    return subprocess.check_output(["bart", "version"], text=True).strip()


def bart_pics(
    acquisition: Acquisition, weight: float, n_iterations: int, folder: Path
) -> tuple[NDArray[np.complex64], float]:
    """Images (frame, y, x) by temporal total variation of BART, in the unit of the data, and the seconds it took."""
    kspace = fft_x(acquisition.data).numpy()
    n_coils, n_frames, n_ky, n_kx = kspace.shape
    # BART's axes from the last on: 10 is time, 3 the coils, 1 and 0 phase encoding and readout.
    _write(folder / "kspace", kspace.transpose(1, 0, 2, 3).reshape(n_frames, *[1] * 6, n_coils, 1, n_ky, n_kx))
    _write(folder / "maps", _maps(acquisition)[:, np.newaxis])
    scale = make_problem(acquisition).scale
    begun = time.perf_counter()
    options = ["-w", str(scale), "-R", f"T:1024:0:{weight}", "-i", str(n_iterations)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads())}
    command = ["bart", "pics", *options, "kspace", "maps", "out"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    seconds = time.perf_counter() - begun
    shape = [int(n) for n in (folder / "out.hdr").read_text().splitlines()[1].split()]
    images = np.fromfile(folder / "out.cfl", np.complex64).reshape(shape[::-1]).squeeze()
    return images * scale, seconds


def sigpy_tv(acquisition: Acquisition, weight: float, n_iterations: int) -> NDArray[np.complex64]:
    """Images (frame, y, x) by sigpy's total variation in space, frame by frame: it has none in time."""
    from sigpy.mri.app import TotalVariationRecon

    kspace, maps, scale = fft_x(acquisition.data).numpy(), _maps(acquisition), make_problem(acquisition).scale
    frames = [
        TotalVariationRecon(
            one / scale, maps, weight, weights=mask[:, np.newaxis], max_iter=n_iterations, show_pbar=False
        ).run()
        for one, mask in zip(kspace.swapaxes(0, 1), np.asarray(acquisition.mask, np.float32), strict=True)
    ]
    return np.stack(frames) * scale


def _maps(acquisition: Acquisition) -> NDArray[np.complex64]:
    if acquisition.maps is not None:
        return np.asarray(acquisition.maps)
    return np.ones((1, *np.shape(acquisition.data)[2:]), np.complex64)


def _write(path: Path, array: NDArray[Any]) -> None:
    """Write an array, of the axes of BART reversed."""
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape[::-1])) + "\n")
    np.ascontiguousarray(array, np.complex64).tofile(path.with_suffix(".cfl"))
