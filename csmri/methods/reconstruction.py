"""Every method as one kind of thing: undersampled hybrid data and mask in, magnitude images out, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from csmri.config import Config, Sampling, make_config
from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.core.seeds import derive_seed, subject_key
from csmri.data.cine import Cine, KSpace
from csmri.methods.classical import Callback, find_method
from csmri.methods.model import SavedNetwork, load_network
from csmri.methods.task import task_of
from csmri.physics.coils import prepare
from csmri.physics.fourier import fft_y, ifft_x
from csmri.physics.sampling import check_acceleration, make_mask, undersample

Images = NDArray[np.float32]
Reconstruct = Callable[[tf.Tensor, NDArray[np.bool_]], Images]


@dataclass(frozen=True, eq=False)
class Reconstructor:
    """A method, classical or a trained network, ready to reconstruct one slice at a time."""

    name: str
    reconstruct: Reconstruct
    """Hybrid data (frame, ky, x) or (coil, frame, ky, x), complex64, read only where the mask (frame, ky), bool,
    marks a line -> magnitude (frame, y, x) in the unit of the data, of several coils the root of the sum of squares."""
    saved: SavedNetwork | None = None
    """None for a baseline. Its config tells the data consistency that is applied, also where that was chosen here."""
    n_parameters: int = 0
    """Trained numbers; 0 for a baseline."""


@dataclass(frozen=True, eq=False)
class SliceReconstruction:
    """All images of one slice, each (frame, y, x); `methods` in order: zero-filled, initial, then those asked for."""

    mask: NDArray[np.bool_]
    methods: dict[str, Images]
    seconds: dict[str, float]
    """Wall time that each method took."""

    @property
    def achieved(self) -> float:
        """Acceleration of the mask: all lines over the acquired ones."""
        return float(self.mask.size / self.mask.sum())


def baseline_reconstructor(
    name: str,
    *,
    cyclic: bool,
    callback: Callback | None = None,
    settings: Mapping[str, Any] | None = None,
    label: str = "",
) -> Reconstructor:
    """Make a method of `csmri.methods.classical` ready.

    Parameters
    ----------
    callback : callable, optional
        Hears of every iteration.
    settings : mapping, optional
        What differs from the method's default settings.
    label : str
        Name that records have for it, by default that of the method.

    Raises
    ------
    CsmriError
        If there is no such method, or it has no such setting.
    """
    method = find_method(name)
    own = changed_settings(name, settings or {})

    def reconstruct(hybrid: tf.Tensor, mask: NDArray[np.bool_]) -> Images:
        return method.reconstruct(hybrid, mask, own, cyclic=cyclic, callback=callback).magnitude

    return Reconstructor(label or name, reconstruct)


def changed_settings(name: str, settings: Mapping[str, Any]) -> Any:
    """Settings of a classical method, those given instead of its defaults; refuses what it has not."""
    defaults = find_method(name).settings
    known = [field.name for field in fields(defaults)]
    if unknown := [key for key in settings if key not in known]:
        raise CsmriError(f"{name} has no setting {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    try:
        return replace(defaults, **settings)
    except TypeError as error:
        raise CsmriError(f"{name}: cannot take {dict(settings)} ({error})") from error


def load_reconstructor(
    path: str | Path, *, name: str = "", consistency: str | None = None, consistency_weight: float | None = None
) -> Reconstructor:
    """Load a csmri SavedModel; see `weights.describe_saved_model` for what is refused.

    A U-net's SavedModel corrects magnitude images and knows no k-space, so that its data consistency, which its config
    describes, is applied here: the corrected magnitude with the phase of the initial reconstruction gets the acquired
    lines back. The unrolled network has it inside.

    Parameters
    ----------
    name : str
        Defaults to that of the run (`RUN/models/final`), or of the folder itself; a network that csmri ships
        keeps its own.
    consistency, consistency_weight
        In place of those in the config of a U-net.

    Raises
    ------
    CsmriError
        If another data consistency is asked of an unrolled network, or a weight of one that is not soft.
    """
    saved, network = load_network(path)
    changes = {"consistency": consistency, "consistency_weight": consistency_weight}
    saved = replace(saved, config=_changed(saved.config, path, **changes))
    apply = task_of(saved.config).reconstructor(network)

    def reconstruct(hybrid: tf.Tensor, mask: NDArray[np.bool_]) -> Images:
        coils = hybrid if len(hybrid.shape) == 4 else tf.convert_to_tensor(hybrid)[tf.newaxis]
        return tf.abs(apply(prepare(coils, mask, cyclic=saved.config.cyclic))).numpy()

    return Reconstructor(name or model_name(Path(path)), reconstruct, saved, network.count_params())


def _changed(config: Config, path: str | Path, **changes: Any) -> Config:
    given = {name: value for name, value in changes.items() if value is not None}
    if given and task_of(config).is_consistent:
        raise CsmriError(f"{path}: the unrolled network has its data consistency inside; it takes no other")
    config = make_config({**config.model_dump(), **given}, where=str(path))
    if "consistency_weight" in given and config.consistency != "soft":
        raise CsmriError(f"{path}: a weight is of soft data consistency, not of consistency = {config.consistency!r}")
    return config


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
    check_acceleration(acceleration, n_ky, law)
    derived = derive_seed(seed, subject_key(subject), slice_index, round(acceleration * 1000))
    return make_mask(derived, n_frames, n_ky, acceleration, law).numpy()


def reconstruct_slice(
    hybrid: tf.Tensor, mask: NDArray[np.bool_], *, reconstructors: Sequence[Reconstructor], cyclic: bool
) -> SliceReconstruction:
    """Reconstruct one slice by zero-filling, temporal interpolation, which every comparison has, and other methods.

    Parameters
    ----------
    hybrid : (coil, frame, ky, x) or (frame, ky, x), complex64
    mask : (frame, ky), bool
    cyclic : bool
        Whether the last frame neighbours the first in the initial reconstruction.
    """
    hybrid = undersample(hybrid, mask)  # what was not acquired is out of everyone's reach
    methods, seconds = {}, {}
    always = (baseline_reconstructor(name, cyclic=cyclic) for name in (ZERO_FILLED, INITIAL))
    for method in (*always, *reconstructors):
        begun = time.perf_counter()
        methods[method.name] = method.reconstruct(hybrid, mask)
        seconds[method.name] = time.perf_counter() - begun
    return SliceReconstruction(mask, methods, seconds)


def simulate_slice(
    hybrid: tf.Tensor,
    acceleration: float,
    *,
    seed: int,
    subject: str,
    slice_index: int,
    law: Sampling,
    reconstructors: Sequence[Reconstructor],
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
    return reconstruct_slice(hybrid, mask, reconstructors=reconstructors, cyclic=law.cyclic)


def simulate_slices(
    cine: Cine, acceleration: float, *, seed: int, law: Sampling, reconstructors: Sequence[Reconstructor]
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
            reconstructors=reconstructors,
        )


def measured_slices(
    measured: KSpace, *, law: Sampling, reconstructors: Sequence[Reconstructor]
) -> Iterator[SliceReconstruction]:
    """Reconstruct every slice of measured, undersampled k-space, one slice at a time."""
    for kspace in measured.kspace:
        yield reconstruct_slice(ifft_x(kspace), measured.mask, reconstructors=reconstructors, cyclic=law.cyclic)
