"""What the commands do, for Python: arrays and records in and out; `import csmri` has all of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from csmri.config import EVALUATION_ACCELERATIONS, Config, Sampling, read_config
from csmri.config.base import checked
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.core.names import BASELINES
from csmri.data.acquisition import Acquisition, check_acquisition
from csmri.data.cine import Cine, KSpace
from csmri.data.records import QUALITIES, Item, Outcome, Record, mean_over_subjects
from csmri.data.roi import Box, heart_box, heart_box_notes
from csmri.data.store import Store, StoreWriter, open_store, splits_of
from csmri.evaluation.evaluate import common_law, with_direct
from csmri.evaluation.evaluate import evaluate as evaluate_store
from csmri.evaluation.metrics import frame_quality
from csmri.learning import train as training
from csmri.methods.model import SHIPPED
from csmri.methods.reconstruction import (
    Reconstructor,
    baseline_reconstructor,
    load_reconstructor,
    measured_acquisitions,
    notes_on,
    simulated_acquisition,
)
from csmri.physics.extent import measure_extent
from csmri.physics.sampling import check_acceleration
from csmri.results.figures import middle_slice, picture_suffix, render_example
from csmri.results.folder import Example

Images = NDArray[np.number[Any]]
Magnitude = NDArray[np.float32]
ARRAY = "array"
"""Subject that an array counts as."""
SEEDS = 2**31
SHIPPED_NAMES = " or ".join(f'"{name}"' for name in SHIPPED)


class Simulated(TypedDict, total=False):
    """What is simulated otherwise than the sampling says: the fields of `csmri.Sampling`."""

    mask_law: str
    mask_width: float
    mask_centre_lines: int
    cyclic: bool
    phase: str
    phase_static: float
    phase_moving: float
    phase_drift: float
    phase_shift: float
    coils: int
    snr: float


@dataclass(frozen=True)
class Quality:
    """How good images are: means over frames, and over slices where there are several.

    The range of PSNR and SSIM is the maximum of a slice's reference. NaN where no image has content.
    """

    nmse: float
    nmse_heart: float
    """In the heart box, as all with this ending."""
    psnr: float
    """[dB]"""
    psnr_heart: float
    ssim: float
    ssim_heart: float
    heart_box: Box
    """Rows from y, columns from x, height and width in pixels."""
    notes: tuple[str, ...] = ()
    """Why the heart box may miss the heart, a sentence each."""

    def __str__(self) -> str:
        whole, heart = (
            f"NMSE {self._value('nmse', suffix):.3g}, PSNR {self._value('psnr', suffix):.2f} dB, "
            f"SSIM {self._value('ssim', suffix):.4f}"
            for suffix in ("", "_heart")
        )
        return "\n".join([f"heart box: {heart}; whole image: {whole}", *(f"note: {note}" for note in self.notes)])

    def _value(self, metric: str, suffix: str) -> float:
        return float(getattr(self, metric + suffix))


@overload
def simulate(
    cine: Cine | KSpace,
    acceleration: float,
    *,
    slice_index: int,
    seed: int = 0,
    sampling: Sampling | Reconstructor | None = None,
    **changes: Unpack[Simulated],
) -> Acquisition:
    """Acquire one slice."""


@overload
def simulate(
    cine: Cine | KSpace,
    acceleration: float,
    *,
    slice_index: None = None,
    seed: int = 0,
    sampling: Sampling | Reconstructor | None = None,
    **changes: Unpack[Simulated],
) -> list[Acquisition]:
    """Acquire all slices."""


@overload
def simulate(
    cine: Images,
    acceleration: float,
    *,
    slice_index: int | None = None,
    seed: int = 0,
    sampling: Sampling | Reconstructor | None = None,
    **changes: Unpack[Simulated],
) -> Acquisition:
    """Acquire an array."""


def simulate(
    cine: Cine | KSpace | Images,
    acceleration: float,
    *,
    slice_index: int | None = None,
    seed: int = 0,
    sampling: Sampling | Reconstructor | None = None,
    **changes: Unpack[Simulated],
) -> Acquisition | list[Acquisition]:
    """Undersample a fully sampled cine as `csmri reconstruct --acceleration` does: the same seed gives the same data.

    Parameters
    ----------
    cine : Cine, or array (frame, y, x)
        An array counts as slice 0 of the subject "array": what is drawn comes from seed, subject and slice.
    acceleration : float in [1, number of phase-encode lines]
    slice_index : int, optional
        Slice of the cine; all of them if left out.
    seed : int >= 0
        Of mask, phase, coils and noise.
    sampling : Sampling or network, optional
        By default `csmri.Sampling()`; of a network what it was trained with.
    changes
        Fields of `csmri.Sampling` that are to be otherwise: `phase="moving"`, `coils=8`, `snr=25`,
        `mask_law="schlemper"`, ...

    Returns
    -------
    Acquisition, or of a cine without `slice_index` a list of them, one a slice

    Raises
    ------
    CsmriError
        If something cannot be simulated.
    """
    if isinstance(cine, KSpace):
        raise CsmriError(
            f"{cine.provenance or cine.subject}: is measured k-space, nothing is simulated of it; "
            "give it to csmri.reconstruct as it is"
        )
    if not isinstance(cine, Cine) and np.ndim(_array(cine, "simulate")) != 3:
        raise CsmriError(
            f"simulate: expected a Cine or an array (frame, y, x), got an array of shape {np.shape(cine)}; "
            "several slices (slice, frame, y, x) are csmri.Cine(images, subject)"
        )
    law = _law(sampling, changes)
    if not isinstance(seed, int | np.integer) or not 0 <= seed < SEEDS:
        raise CsmriError(f"simulate: seed = {seed!r}: expected a whole number from 0 to {SEEDS - 1}")
    record = _as_cine(cine, "simulate")
    _check_number(acceleration, "simulate: acceleration")
    check_acceleration(acceleration, record.matrix[0], law)
    one = slice_index if isinstance(cine, Cine) else slice_index or 0
    acquisitions = [
        simulated_acquisition(
            record.images[index], float(acceleration), law, seed=int(seed), subject=record.subject, slice_index=index
        )
        for index in _slices(record, one, "simulate")
    ]
    return acquisitions if one is None else acquisitions[0]


def reconstruct(
    acquisition: Acquisition | KSpace | Sequence[Acquisition],
    method: str | None = None,
    *,
    model: str | Path | Reconstructor | None = None,
    settings: Mapping[str, Any] | None = None,
) -> NDArray[np.complex64]:
    """Reconstruct undersampled data by a classical method or a network.

    Parameters
    ----------
    acquisition : Acquisition, sequence of them, or KSpace
        What `csmri.simulate` makes, or measured k-space of `csmri.read`: of several coils the sensitivity maps are
        estimated from the data, and all coils are reconstructed jointly.
    method : str, optional
        Classical method: "initial", "spatiotemporal-tv", ...; a wrong name is answered with all of them.
    model : path, name or network, optional
        Instead of a method: what `csmri.load_model` takes or returns.
    settings : mapping, optional
        What differs from the classical method's default settings, as {"max_iterations": 20}.

    Returns
    -------
    array (frame, y, x), complex64
        In the unit of the data; (slice, frame, y, x) of several acquisitions or of k-space.

    Raises
    ------
    CsmriError
        If data, method or model do not fit.
    """
    if (method is None) == (model is None):
        raise CsmriError(
            f"reconstruct: give one of method ({', '.join(BASELINES)}) and model (a folder that csmri.train wrote, "
            f"{SHIPPED_NAMES})"
        )
    if method is None:
        if settings:
            raise CsmriError("reconstruct: settings are of classical methods; a network has its own")
        assert model is not None
        reconstructor = _network(model)
    elif not isinstance(method, str):
        raise CsmriError(f"reconstruct: method = {_kind(method)}: expected a name; a network is given as model=")
    else:
        reconstructor = baseline_reconstructor(method, settings=settings)
    if isinstance(acquisition, Acquisition):
        return reconstructor.reconstruct(_checked(acquisition, "reconstruct"))
    if isinstance(acquisition, KSpace):
        for note in notes_on([reconstructor], has_phase=True):
            warnings.warn(note, stacklevel=2)
        acquisitions = list(measured_acquisitions(acquisition, cyclic=common_law([reconstructor]).cyclic))
    elif isinstance(acquisition, Sequence) and acquisition and all(isinstance(a, Acquisition) for a in acquisition):
        acquisitions = [_checked(one, f"reconstruct: acquisition {i}") for i, one in enumerate(acquisition)]
        if len(sizes := {(*np.shape(one.mask), np.shape(one.data)[-1]) for one in acquisitions}) > 1:
            raise CsmriError(f"reconstruct: acquisitions of different sizes (frame, y, x): {_listed(sizes)}")
    else:
        raise CsmriError(
            f"reconstruct: expected an Acquisition, a list of them or a KSpace, got {_kind(acquisition)}; "
            "csmri.simulate makes an Acquisition of fully sampled images"
        )
    return np.stack([reconstructor.reconstruct(one) for one in acquisitions])


def load_model(
    path: str | Path, *, name: str = "", consistency: str | None = None, consistency_weight: float | None = None
) -> Reconstructor:
    """Load a network once, to reconstruct many acquisitions.

    Parameters
    ----------
    path : path or name
        SavedModel folder that `csmri.train` wrote, or "pretrained-unrolled" or "pretrained" (a U-net), which csmri
        ships.
    name : str
        In tables; by default that of the run.
    consistency : "none", "hard" or "soft", optional
        Of a U-net, in place of what its config says.
    consistency_weight : float, optional
        Of soft consistency.
    """
    if not isinstance(path, str | Path):
        raise CsmriError(f"load_model: expected the folder of a SavedModel or {SHIPPED_NAMES}, got {_kind(path)}")
    return load_reconstructor(path, name=name, consistency=consistency, consistency_weight=consistency_weight)


def evaluate(
    reference: Cine | Images,
    images: Cine | Images,
    *,
    slice_index: int | None = None,
    box: Sequence[int] | None = None,
) -> Quality:
    """Compare the magnitude of reconstructed images with the truth.

    Parameters
    ----------
    reference : Cine, or array (frame, y, x) or (slice, frame, y, x)
    images : Cine or array of the same axes
        With `slice_index` those of one slice may be (frame, y, x).
    slice_index : int, optional
        Slice of the reference; all of them if left out.
    box : (y, x, height, width), optional
        Heart box; by default it is placed on what moves in all slices of the reference.
    """
    truth, (compared,), indices = _compared(reference, {"images": images}, slice_index, "evaluate")
    magnitude = truth.magnitude
    region = _box(truth, box, "evaluate")
    records = []
    for index, one in zip(indices, compared, strict=True):
        outcome = Outcome(
            Item(truth.subject, index, 1.0, "images"),
            1.0,
            0.0,
            truth.matrix,
            frame_quality(magnitude[index], one, region),
        )
        records += outcome.records()
    means = {name: list(mean_over_subjects(records, name).values()) for name in QUALITIES}
    values = {name: float(found[0][0]) if found else float("nan") for name, found in means.items()}
    return Quality(**values, heart_box=region, notes=() if box else tuple(heart_box_notes(region, magnitude)))


def draw(
    path: str | Path,
    reference: Cine | Images,
    images: Cine | Images | Mapping[str, Cine | Images],
    *,
    acceleration: float,
    slice_index: int | None = None,
    box: Sequence[int] | None = None,
    caption: str = "",
) -> Path:
    """Draw one slice: images, temporal profiles and errors beside the truth; beating where the name ends in .gif.

    Parameters
    ----------
    path : path
        Ends in .png, .svg, .pdf or .gif.
    reference, images, slice_index, box
        As for `evaluate`; several images by the names of their methods. By default the middle slice is drawn.
    acceleration : float
        For the title.
    caption : str
        Attribution of the data, at the foot.

    Returns
    -------
    Path
        What was drawn; `IPython.display.Image(path)` shows it in a notebook.
    """
    picture_suffix(path, animated=True)
    _check_number(acceleration, "draw: acceleration")
    methods = images if isinstance(images, Mapping) else {"reconstructed": images}
    if not methods:
        raise CsmriError("draw: no images to draw; give an array, or several by the names of their methods")
    truth, compared, indices = _compared(reference, methods, slice_index, "draw")
    place = indices.index(middle_slice(truth)) if slice_index is None else 0
    shown = {name: every[place] for name, every in zip(methods, compared, strict=True)}
    index = indices[place]
    region = _box(truth, box, "draw")
    example = Example(truth.subject, index, float(acceleration), truth.magnitude[index], shown, region)
    render_example(example, path, cine=truth, show=list(shown), caption=caption)
    return Path(path)


def prepare(cines: Iterable[Cine], store: str | Path, split: Mapping[str, Sequence[str]]) -> Store:
    """Write cines into the store that training and evaluation read; `csmri prepare` does more, from files.

    Parameters
    ----------
    cines : iterable of Cine
        Read one at a time. Those that the split does not name are left out.
    store : path
        Folder to write; it may not be there.
    split : mapping
        Names of subjects under "pretrain", "train", "validation", "test".

    Returns
    -------
    Store
        Opened; what is to be known of a subject stands in `entries[i].notes`.
    """
    split_of = splits_of(split, where="prepare: split")
    with StoreWriter(store) as writer:
        found = []
        for cine in [cines] if isinstance(cines, Cine) else cines:
            if not isinstance(cine, Cine):
                raise CsmriError(f"prepare: expected cines, csmri.Cine(images, subject), got {_kind(cine)} among them")
            found.append(cine.subject)
            if cine.subject in split_of:
                writer.add(cine, split_of[cine.subject], extent=measure_extent(cine.images)[0])
        if missing := [subject for subject in split_of if subject not in found]:
            raise CsmriError(
                f"prepare: split names {', '.join(missing)}, who is not among the cines; they are of {', '.join(found)}"
            )
    return open_store(store)


def train(
    config: Config | str | Path,
    store: Store | str | Path,
    run: str | Path,
    *,
    init: str | Path | None = None,
    source: Store | str | Path | None = None,
    report: Callable[[str], None] = print,
) -> Path:
    """Train a network, or go on with a training that was stopped.

    Parameters
    ----------
    config : Config, or path of its TOML file
    store : Store, or path of one
        What `csmri.prepare` or the command `csmri prepare` wrote.
    run : path
        Folder for log, checkpoint and SavedModels.
    init : path or name, optional
        Network to start from (transfer learning), as `load_model` takes it.
    source : Store or path, optional
        Whose split `pretrain` is blended in by `transfer = "blended"`.
    report : callable
        Told, in a line each, what is going on.

    Returns
    -------
    Path
        SavedModel after the last epoch, for `load_model`, `reconstruct` and `compare`.
    """
    if not isinstance(config, Config | str | Path):
        raise CsmriError(f"train: expected a csmri.Config or the path of its TOML file, got {_kind(config)}")
    experiment = config if isinstance(config, Config) else read_config(config)
    places = [one.path if isinstance(one, Store) else one for one in (store, source)]
    check_outputs([run], [places[0], init, places[1]])
    blend = _opened(source) if source is not None else None
    return training.train(experiment, _opened(store), run, init=init, source=blend, report=report)


def compare(
    store: Store | str | Path,
    methods: Iterable[str | Path | Reconstructor],
    *,
    split: str = "test",
    accelerations: float | Sequence[float] = EVALUATION_ACCELERATIONS,
    seed: int = 0,
    sampling: Sampling | Reconstructor | None = None,
    **changes: Unpack[Simulated],
) -> list[Record]:
    """Evaluate methods on the subjects of a store, all on the same data; `csmri evaluate` can be stopped and goes on.

    Zero-filling and the initial reconstruction take part in any case.

    Parameters
    ----------
    store : Store, or path of one
    methods : iterable
        Names of classical methods, and networks as `load_model` takes or returns them.
    split, accelerations, seed
        Whose images, at which accelerations, and the seed of all that is simulated.
    sampling, changes
        As for `simulate`; by default what the networks were trained with.

    Returns
    -------
    list of Record
        One a subject, slice, frame, acceleration and method.
    """
    reconstructors = [_method_or_network(one) for one in ([methods] if isinstance(methods, str) else methods)]
    always = {one.name for one in with_direct(())}
    compared = with_direct([one for one in reconstructors if one.saved or one.name not in always])
    law = _law(common_law(compared) if sampling is None else sampling, changes)
    wanted = [accelerations] if isinstance(accelerations, int | float) else list(dict.fromkeys(accelerations))
    for one in wanted:
        _check_number(one, "compare: acceleration")
    evaluated = evaluate_store(_opened(store), compared, split=split, law=law, accelerations=wanted, seed=seed)
    return [record for one in evaluated for record in one.outcome.records()]


def _law(sampling: Sampling | Reconstructor | None, changes: Mapping[str, Any]) -> Sampling:
    """Sampling with changes to it, refused in one line where they do not fit."""
    if not isinstance(sampling, Sampling | Reconstructor | None):
        raise CsmriError(f"sampling: expected csmri.Sampling or a network, got {_kind(sampling)}")
    base = common_law([sampling]) if isinstance(sampling, Reconstructor) else sampling or Sampling()
    own = {name: value.item() if isinstance(value, np.generic) else value for name, value in changes.items()}
    return checked(Sampling, {**base.model_dump(include=set(Sampling.model_fields)), **own}, "sampling")


def _network(model: str | Path | Reconstructor) -> Reconstructor:
    return model if isinstance(model, Reconstructor) else load_model(model)


def _method_or_network(one: str | Path | Reconstructor) -> Reconstructor:
    if isinstance(one, str) and one in BASELINES:
        return baseline_reconstructor(one)
    if isinstance(one, str) and one not in SHIPPED and not Path(one).exists():
        raise CsmriError(
            f"compare: {one!r} is no classical method ({', '.join(BASELINES)}), not {SHIPPED_NAMES}, and no folder"
        )
    return _network(one)


def _opened(store: Store | str | Path) -> Store:
    if not isinstance(store, Store | str | Path):
        raise CsmriError(f"expected a store, as csmri.prepare returns it, or its path, got {_kind(store)}")
    return store if isinstance(store, Store) else open_store(store)


def _checked(acquisition: Acquisition, where: str) -> Acquisition:
    """The acquisition as arrays of the right kinds."""
    mask = np.asarray(acquisition.mask)
    data, maps = (
        None if values is None else _array(values, f"{where}: {name}").astype(np.complex64, copy=False)
        for name, values in (("data", acquisition.data), ("maps", acquisition.maps))
    )
    if data is None:
        raise CsmriError(f"{where}: the acquisition has no data (coil, frame, ky, x)")
    for name, values in (("data", data), ("maps", maps)):
        if values is not None and not np.isfinite(values).all():
            raise CsmriError(f"{where}: {name} holds NaN or infinite values; set what was not acquired to zero")
    return check_acquisition(replace(acquisition, data=data, mask=mask, maps=maps))


def _compared(
    reference: Cine | Images, images: Mapping[str, Cine | Images], slice_index: int | None, where: str
) -> tuple[Cine, list[Magnitude], list[int]]:
    """Truth, magnitudes (slice, frame, y, x) of every method for the slices to compare, and which these are."""
    truth = _as_cine(reference, f"{where}: reference")
    indices = _slices(truth, slice_index, where)
    matrix = truth.images.shape[1:]
    compared = []
    for name, one in images.items():
        array = one.images if isinstance(one, Cine) else _array(one, f"{where}: {name}")
        magnitude = np.abs(array).astype(np.float32, copy=False)
        if magnitude.shape == matrix and len(indices) == 1:
            magnitude = magnitude[np.newaxis]
        elif magnitude.shape == truth.images.shape:
            magnitude = magnitude[indices]
        elif magnitude.shape == matrix:
            raise CsmriError(f"{where}: {name}: one slice, and the reference has {truth.n_slices}; give slice_index")
        else:
            raise CsmriError(
                f"{where}: {name}: expected images of shape {matrix} (frame, y, x) or {truth.images.shape}, as the "
                f"reference has them, got {magnitude.shape}"
            )
        compared.append(magnitude)
    return truth, compared, indices


def _as_cine(images: Cine | Images, where: str) -> Cine:
    """A cine, of an array (frame, y, x) or (slice, frame, y, x) one of the subject `ARRAY`."""
    if isinstance(images, Cine):
        return images
    array = _array(images, where)
    return Cine(array[np.newaxis] if array.ndim == 3 else array, ARRAY, provenance=where)


def _array(images: Any, where: str) -> NDArray[Any]:
    """Numbers as an array; refuses what is none, first of all a path."""
    if isinstance(images, str | Path):
        raise CsmriError(f"{where}: {str(images)!r} is a path; read it first: csmri.read({str(images)!r})")
    if isinstance(images, KSpace | Acquisition):
        raise CsmriError(f"{where}: expected images, got {_kind(images)}; csmri.reconstruct makes images of it")
    try:
        array = np.asarray(images)
    except (ValueError, TypeError) as error:
        raise CsmriError(f"{where}: expected an array of numbers, got {_kind(images)} that makes none") from error
    if array.dtype.kind not in "buifc":
        raise CsmriError(f"{where}: expected an array of numbers, got {_kind(images)}")
    return array


def _slices(cine: Cine, slice_index: int | None, where: str) -> list[int]:
    """The slice asked for, or all."""
    if slice_index is None:
        return list(range(cine.n_slices))
    if not isinstance(slice_index, int | np.integer) or not 0 <= slice_index < cine.n_slices:
        raise CsmriError(f"{where}: slice_index = {slice_index!r}: expected 0 to {cine.n_slices - 1}")
    return [int(slice_index)]


def _box(cine: Cine, box: Sequence[int] | None, where: str) -> Box:
    """The box asked for, or the heart box."""
    if box is None:
        return heart_box(cine.magnitude, spacing_mm=cine.spacing_mm)
    try:
        own = Box(*map(int, box))
    except (TypeError, ValueError):
        own = Box(0, 0, 0, 0)
    y, x = cine.matrix
    if min(own.y, own.x) < 0 or min(own.height, own.width) < 1 or own.y + own.height > y or own.x + own.width > x:
        raise CsmriError(f"{where}: box = {box!r}: expected (y, x, height, width) inside images of {y} x {x} pixels")
    return own


def _check_number(value: Any, where: str) -> None:
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        raise CsmriError(f"{where} = {value!r}: expected a number")


def _kind(value: object) -> str:
    kind = "array" if isinstance(value, np.ndarray) else type(value).__name__
    return f"an {kind}" if kind[0] in "AEIOUaeiou" else f"a {kind}"


def _listed(shapes: Iterable[tuple[int, ...]]) -> str:
    return ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
