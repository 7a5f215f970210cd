"""Measured k-space or simulated undersampling -> initial reconstruction -> network -> image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from csmri import metrics
from csmri.cine import Cine, KSpace
from csmri.config import INITIAL, ZERO_FILLED, Sampling
from csmri.kspace.fourier import fft_y, ifft_x
from csmri.kspace.initial import initial_reconstruction, zero_filled
from csmri.kspace.sampling import check_acceleration, make_mask
from csmri.roi import Box
from csmri.seeds import derive_seed, subject_key
from csmri.weights import SavedNetwork, describe_saved_model, load_saved_model

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Corrector:
    """A trained network, ready to improve initial reconstructions."""

    name: str
    saved: SavedNetwork
    improve: Callable[[Images], Images]
    """Initial reconstruction (frame, y, x), any unit -> improved images of the same shape and unit."""


@dataclass(frozen=True, eq=False)
class SliceReconstruction:
    """All images of one slice, each (frame, y, x); `methods` in order: zero-filled, initial, then the networks."""

    mask: NDArray[np.bool_]
    methods: dict[str, Images]

    @property
    def achieved(self) -> float:
        """Acceleration of the mask: all lines over the acquired ones."""
        return float(self.mask.size / self.mask.sum())


def load_corrector(path: str | Path, *, name: str = "") -> Corrector:
    """Load a csmri SavedModel; see `weights.describe_saved_model` for what is refused.

    The name defaults to that of the run (`RUN/models/final`), or of the folder itself; `pretrained` is the network that
    csmri ships.
    """
    saved = describe_saved_model(path)
    serve = load_saved_model(path).signatures["serving_default"]

    def improve(initial: Images) -> Images:
        return serve(initial=tf.convert_to_tensor(initial, tf.float32))["improved"].numpy()

    return Corrector(name or model_name(Path(path)), saved, improve)


def model_name(path: Path) -> str:
    """Name a SavedModel by its run: `runs/transfer/models/final` is `transfer`, `.../epoch_010` `transfer@10`."""
    folder = path.resolve()
    if folder.parent.name != "models":
        return folder.name
    run = folder.parent.parent.name
    return run if folder.name == "final" else f"{run}@{folder.name.removeprefix('epoch_').lstrip('0')}"


def simulation_mask(
    law: Sampling, *, seed: int, subject: str, slice_index: int, n_frames: int, n_ky: int, acceleration: float
) -> NDArray[np.bool_]:
    """Mask (frame, ky) for testing: depends on nothing but the arguments, so that all methods meet the same one."""
    check_acceleration(acceleration, n_ky)
    derived = derive_seed(seed, subject_key(subject), slice_index, round(acceleration * 1000))
    return make_mask(derived, n_frames, n_ky, acceleration, law).numpy()


def reconstruct_slice(
    hybrid: tf.Tensor, mask: NDArray[np.bool_], *, correctors: tuple[Corrector, ...], cyclic: bool
) -> SliceReconstruction:
    """Reconstruct one slice with every method.

    Parameters
    ----------
    hybrid : (coil, frame, ky, x) or (frame, ky, x), complex64
        Coils are combined by the root of the sum of squares.
    mask : (frame, ky), bool
    """

    def combined(magnitude: tf.Tensor) -> Images:
        return (tf.norm(magnitude, axis=0) if magnitude.shape.rank == 4 else magnitude).numpy()

    initial = combined(initial_reconstruction(hybrid, mask, cyclic=cyclic))
    methods = {ZERO_FILLED: combined(zero_filled(hybrid, mask)), INITIAL: initial}
    methods |= {corrector.name: corrector.improve(initial) for corrector in correctors}
    return SliceReconstruction(mask, methods)


def simulate_slice(
    hybrid: tf.Tensor,
    acceleration: float,
    *,
    seed: int,
    subject: str,
    slice_index: int,
    law: Sampling,
    correctors: tuple[Corrector, ...],
) -> SliceReconstruction:
    """Undersample one fully sampled slice (frame, ky, x) with its mask for testing and reconstruct it."""
    n_frames, n_ky = hybrid.shape[:2]
    mask = simulation_mask(
        law,
        seed=seed,
        subject=subject,
        slice_index=slice_index,
        n_frames=n_frames,
        n_ky=n_ky,
        acceleration=acceleration,
    )
    return reconstruct_slice(hybrid, mask, correctors=correctors, cyclic=law.cyclic)


def simulate_slices(
    cine: Cine, acceleration: float, *, seed: int, law: Sampling, correctors: tuple[Corrector, ...]
) -> Iterator[SliceReconstruction]:
    """Undersample every slice of a fully sampled cine and reconstruct it, one slice at a time."""
    for index, images in enumerate(cine.images):
        yield simulate_slice(
            fft_y(images),
            acceleration,
            seed=seed,
            subject=cine.subject,
            slice_index=index,
            law=law,
            correctors=correctors,
        )


def measured_slices(
    measured: KSpace, *, law: Sampling, correctors: tuple[Corrector, ...]
) -> Iterator[SliceReconstruction]:
    """Reconstruct every slice of measured, undersampled k-space, one slice at a time."""
    for kspace in measured.kspace:
        yield reconstruct_slice(ifft_x(kspace), measured.mask, correctors=correctors, cyclic=law.cyclic)


def frame_quality(reference: Images, reconstructed: Images, box: Box) -> list[dict[str, float]]:
    """Quality of every frame of one slice, over the whole image and over the heart box.

    Returns
    -------
    list of dict
        Per frame `nmse`, `psnr` (dB), `ssim` and the same with suffix `_heart`. The data range of PSNR and SSIM is the
        maximum of the slice's reference over all frames. SSIM is NaN where the box is smaller than its 7x7 window.
    """
    peak = float(reference.max())
    rows = []
    for truth, image in zip(reference, reconstructed, strict=True):
        row = {}
        for suffix, (a, b) in {"": (truth, image), "_heart": (box.crop(truth), box.crop(image))}.items():
            row[f"nmse{suffix}"] = metrics.nmse(a, b)
            row[f"psnr{suffix}"] = metrics.psnr(a, b, data_range=peak) if peak else float("nan")
            row[f"ssim{suffix}"] = metrics.ssim(a, b, data_range=peak) if min(a.shape) >= 7 and peak else float("nan")
        rows.append(row)
    return rows
