"""Every method as one kind of thing: an acquisition in, complex images out, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from csmri.config import Config, Sampling, make_config
from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, TENSORFLOW, ZERO_FILLED
from csmri.data.acquisition import Acquisition
from csmri.data.cine import Cine
from csmri.methods.classical import find_method
from csmri.methods.iterative import Callback
from csmri.methods.limits import Limits, Outside, Traits, network_limits, outside
from csmri.methods.model import SavedNetwork, describe_saved_model, load_network
from csmri.methods.runtime import choose_runtime
from csmri.methods.task import task_of
from csmri.physics.simulate import acquire, simulated_mask, simulated_slice

Images = NDArray[np.complex64]
Reconstruct = Callable[[Acquisition], Images]


@dataclass(frozen=True, eq=False)
class Reconstructor:
    """A method, classical or a trained network, ready to reconstruct one slice at a time."""

    name: str
    reconstruct: Reconstruct
    """Acquisition -> images (frame, y, x), complex64, in the unit of its data."""
    saved: SavedNetwork | None = None
    """None for a classical method. Its config tells the data consistency that is applied, also where that was chosen
    here."""
    n_parameters: int = 0
    """Trained numbers; 0 for a classical method."""
    limits: Limits = Limits()
    """Within what it was trained or tuned."""
    runtime: str = TENSORFLOW
    """What computes its images."""

    def outside(self, traits: Traits) -> list[Outside]:
        """In what an acquisition lies outside of the limits."""
        return outside(self.limits, traits, method=self.name)

    def magnitude(self, acquisition: Acquisition) -> NDArray[np.float32]:
        """Magnitude (frame, y, x) of what is reconstructed."""
        return tf.abs(self.reconstruct(acquisition)).numpy()  # NumPy's differs in the last bit


@dataclass(frozen=True, eq=False)
class SliceReconstruction:
    """All magnitude images of one slice, each (frame, y, x); in order: zero-filled, initial, then those asked for."""

    mask: NDArray[np.bool_]
    methods: dict[str, NDArray[np.float32]]
    seconds: dict[str, float]
    """Wall time that each method took."""
    reference: NDArray[np.float32] | None = None
    """Magnitude of the truth, where there is one."""
    kept: float = 1.0
    """Share of the energy that the compression of measured coils keeps."""
    outside: tuple[Outside, ...] = ()
    """What methods were not trained or tuned for."""

    @property
    def achieved(self) -> float:
        """Acceleration of the mask: all lines over the acquired ones."""
        return float(self.mask.size / self.mask.sum())


def baseline_reconstructor(
    name: str,
    *,
    callback: Callback | None = None,
    settings: Mapping[str, Any] | None = None,
    label: str = "",
) -> Reconstructor:
    """Make a classical method ready.

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
    own = method.changed(settings or {})

    def reconstruct(acquisition: Acquisition) -> Images:
        return method.reconstruct(acquisition, own, callback=callback).images

    return Reconstructor(label or name, reconstruct, limits=method.limits)


def load_reconstructor(
    path: str | Path,
    *,
    name: str = "",
    consistency: str | None = None,
    consistency_weight: float | None = None,
    runtime: str = TENSORFLOW,
) -> Reconstructor:
    """Load a csmri SavedModel; see `model.load_network` for what is refused.

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
    runtime : "tensorflow", "openvino" or "auto"
        What computes the images; they are the same but for rounding.

    Raises
    ------
    CsmriError
        If another data consistency is asked of an unrolled network, or a weight of one that is not soft, or a runtime
        that is not installed, or cannot compute this network.
    """
    if (backend := keras.backend.backend()) != "tensorflow":
        raise CsmriError(
            f"{path}: with KERAS_BACKEND={backend} csmri trains networks; to reconstruct with one, give the command "
            "again without it (what is done stays done)"
        )
    saved, network = load_network(path)
    changes = {"consistency": consistency, "consistency_weight": consistency_weight}
    saved = replace(saved, config=with_consistency(saved.config, path, **changes))
    task = task_of(saved.config)
    runtime = choose_runtime(runtime, task.runtimes, where=str(path))
    apply = task.reconstructor(network, runtime=runtime)
    return Reconstructor(
        name or model_name(Path(path)),
        lambda one: np.asarray(apply(one)),
        saved,
        network.count_params(),
        network_limits(saved.config, frames=saved.origin.frames, sides=saved.origin.sides),
        runtime,
    )


def with_runtime(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `load_reconstructor` that name the runtime which this machine chooses."""
    config = describe_saved_model(arguments["path"]).config
    chosen = choose_runtime(arguments["runtime"], task_of(config).runtimes, where=str(arguments["path"]))
    return {**arguments, "runtime": chosen}


@dataclass(frozen=True)
class MethodSpec:
    """A method as data, which another process can make ready.

    Parameters
    ----------
    baseline : str
        Name of a classical method; empty for a network.
    model : tuple of pairs
        Arguments of `load_reconstructor`.
    """

    baseline: str = ""
    model: tuple[tuple[str, Any], ...] = ()

    def load(self) -> Reconstructor:
        """Make it ready, as the functions above do."""
        return baseline_reconstructor(self.baseline) if self.baseline else load_reconstructor(**dict(self.model))


def with_consistency(config: Config, path: str | Path, **changes: Any) -> Config:
    """Config of a network with another data consistency, by the names of its fields; None changes nothing.

    Raises
    ------
    CsmriError
        As `load_reconstructor`; `path` names what is refused.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if given and task_of(config).is_consistent:
        raise CsmriError(f"{path}: the unrolled network has its data consistency inside; it takes no other")
    config = make_config({**config.model_dump(), **given}, where=str(path))
    if "consistency_weight" in given and config.consistency != "soft":
        raise CsmriError(f"{path}: a weight is of soft data consistency, not of consistency = {config.consistency!r}")
    return config


def notes_on(methods: Iterable[Reconstructor]) -> list[str]:
    """Say which networks do not tell on whom they were trained, before they are judged on held-out subjects."""
    return [
        f"{method.name}: does not tell on whom it was trained; see to it that it was on none of these subjects."
        for method in methods
        if method.saved and not method.saved.origin.is_complete
    ]


def model_name(path: Path) -> str:
    """Name a SavedModel by its run: `runs/transfer/models/final` is `transfer`, `.../epoch_010` `transfer@10`."""
    folder = path.resolve()
    if folder.parent.name != "models":
        return folder.name
    run = folder.parent.parent.name
    return run if folder.name == "final" else f"{run}@{folder.name.removeprefix('epoch_').lstrip('0')}"


def reconstruct_slice(
    acquisition: Acquisition, *, reconstructors: Sequence[Reconstructor], mask_law: str = ""
) -> SliceReconstruction:
    """Reconstruct one slice by zero-filling, temporal interpolation, which every comparison has, and other methods.

    `mask_law` is that of a simulated mask, to tell who was not trained for it.
    """
    methods, seconds = {}, {}
    always = (baseline_reconstructor(name) for name in (ZERO_FILLED, INITIAL))
    for method in (*always, *reconstructors):
        begun = time.perf_counter()
        methods[method.name] = method.magnitude(acquisition)
        seconds[method.name] = time.perf_counter() - begun
    traits = Traits(acquisition, mask_law)
    found = tuple(one for method in reconstructors for one in method.outside(traits))
    return SliceReconstruction(np.asarray(acquisition.mask), methods, seconds, outside=found)


def simulated_acquisition(
    images: NDArray[Any], acceleration: float, law: Sampling, *, seed: int, subject: str, slice_index: int
) -> Acquisition:
    """Undersample one fully sampled slice (frame, y, x) for testing: depends on nothing but the arguments."""
    place: dict[str, Any] = {"seed": seed, "subject": subject, "slice_index": slice_index}
    mask = simulated_mask(law, shape=images.shape[:2], acceleration=acceleration, **place)
    return acquire(simulated_slice(images, law, **place), mask)


def simulate_slices(
    cine: Cine, acceleration: float, *, seed: int, law: Sampling, reconstructors: Sequence[Reconstructor]
) -> Iterator[SliceReconstruction]:
    """Undersample every slice of a fully sampled cine and reconstruct it, one slice at a time."""
    for index, images in enumerate(cine.images):
        acquisition = simulated_acquisition(
            images, acceleration, law, seed=seed, subject=cine.subject, slice_index=index
        )
        done = reconstruct_slice(acquisition, reconstructors=reconstructors, mask_law=law.mask_law)
        yield replace(done, reference=np.abs(images))
