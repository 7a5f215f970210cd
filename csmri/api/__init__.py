"""What the commands do, for Python: arrays and records in and out; `import csmri` has all of it."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from csmri.api.arguments import (
    Images,
    as_array,
    as_cine,
    box_of,
    check_number,
    check_seed,
    checked_acquisition,
    compared_images,
    kind_of,
    law_of,
    listed,
    listed_methods,
    open_given,
    slices_of,
)
from csmri.config import EVALUATION_ACCELERATIONS, Config, Sampling, read_config
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.core.names import AUTO, BASELINES, DEFAULT_MODEL, DISTRIBUTED, RUNTIMES, TENSORFLOW
from csmri.data.acquisition import Acquisition
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.data.records import QUALITIES, Item, Outcome, Record, mean_over_subjects
from csmri.data.roi import Box, heart_box_notes
from csmri.data.split import splits_of
from csmri.data.store import Store, StoreWriter, open_store
from csmri.evaluation.evaluate import common_law, with_direct
from csmri.evaluation.evaluate import evaluate as evaluate_store
from csmri.evaluation.metrics import frame_quality
from csmri.learning import train as training
from csmri.methods.limits import Tally, Traits
from csmri.methods.measured import Preparation, prepared_slices, reconstruct_measured
from csmri.methods.model import SHIPPED
from csmri.methods.reconstruction import (
    Reconstructor,
    baseline_reconstructor,
    load_reconstructor,
    simulated_acquisition,
)
from csmri.physics.extent import measure_lines
from csmri.physics.prepare import VIRTUAL_COILS
from csmri.physics.sampling import check_acceleration
from csmri.results.figures import ANIMATED, middle_slice, picture_suffix, render_example
from csmri.results.folder import Example

MASK_FIELDS = ("mask_law", "mask_width", "mask_centre_lines", "cyclic")
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
    cine : Cine, array (frame, y, x), or KSpace
        An array counts as slice 0 of the subject "array": what is drawn comes from seed, subject and slice. Of measured
        k-space, all lines of which were acquired, the mask alone is simulated; coils are whitened, compressed and
        calibrated.
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
        return _undersampled(cine, acceleration, slice_index, int(seed), sampling, changes)
    if not isinstance(cine, Cine) and np.ndim(as_array(cine, "simulate")) != 3:
        raise CsmriError(
            f"simulate: expected a Cine or an array (frame, y, x), got an array of shape {np.shape(cine)}; "
            "several slices (slice, frame, y, x) are csmri.Cine(images, subject)"
        )
    law = law_of(sampling, changes)
    check_seed(seed, "simulate")
    record = as_cine(cine, "simulate")
    check_number(acceleration, "simulate: acceleration")
    check_acceleration(acceleration, record.matrix[0], law)
    one = slice_index if isinstance(cine, Cine) else slice_index or 0
    acquisitions = [
        simulated_acquisition(
            record.images[index], float(acceleration), law, seed=int(seed), subject=record.subject, slice_index=index
        )
        for index in slices_of(record, one, "simulate")
    ]
    return acquisitions if one is None else acquisitions[0]


def _undersampled(
    kspace: KSpace,
    acceleration: float,
    slice_index: int | None,
    seed: int,
    sampling: Sampling | Reconstructor | None,
    changes: Mapping[str, Any],
) -> Acquisition | list[Acquisition]:
    if given := [name for name in changes if name not in MASK_FIELDS]:
        raise CsmriError(
            f"{kspace.provenance or kspace.subject}: is measured k-space, of which the mask alone is simulated; leave "
            f"out {given[0]}"
        )
    how = Preparation(acceleration=float(acceleration), law=law_of(sampling, changes), seed=seed)
    if slice_index is None:
        return [one.acquisition for one in prepared_slices(kspace, how)]
    if not 0 <= slice_index < kspace.n_slices:
        raise CsmriError(f"simulate: slice_index = {slice_index!r}: expected 0 to {kspace.n_slices - 1}")
    return next(itertools.islice(prepared_slices(kspace, how), slice_index, None)).acquisition


def reconstruct(
    acquisition: Acquisition | KSpace | Sequence[Acquisition],
    method: str | None = None,
    *,
    model: str | Path | Reconstructor | None = None,
    settings: Mapping[str, Any] | None = None,
    virtual_coils: int = VIRTUAL_COILS,
) -> NDArray[np.complex64]:
    """Reconstruct undersampled data by a network or a classical method; by default the network that csmri ships.

    Warns of what the method was not trained or tuned for.

    Parameters
    ----------
    acquisition : Acquisition, sequence of them, or KSpace
        What `csmri.simulate` makes, or measured k-space of `csmri.read`: of several coils the sensitivity maps are
        estimated from the data. The default and classical methods reconstruct all coils jointly.
    method : str, optional
        Classical method: "initial", "spatiotemporal-tv", ...; a wrong name is answered with all of them.
    model : path, name or network, optional
        Instead of a method: what `csmri.load_model` takes or returns; where neither is given, "pretrained-unrolled".
        To reconstruct many acquisitions one by one, load it once.
    settings : mapping, optional
        What differs from the classical method's default settings, as {"max_iterations": 20}.
    virtual_coils : int >= 1
        Coils that those of k-space are compressed to at most.

    Returns
    -------
    array (frame, y, x), complex64
        In the unit of the data; (slice, frame, y, x) of several acquisitions or of k-space.

    Raises
    ------
    CsmriError
        If data, method or model do not fit.
    """
    if method is not None and model is not None:
        raise CsmriError(
            f"reconstruct: give one of method ({', '.join(BASELINES)}) and model (a folder that csmri.train wrote, "
            f"{SHIPPED_NAMES}), not both"
        )
    if method is None:
        if settings:
            raise CsmriError("reconstruct: settings are of classical methods; a network has its own")
        reconstructor = _network(DEFAULT_MODEL if model is None else model)
    elif not isinstance(method, str):
        raise CsmriError(f"reconstruct: method = {kind_of(method)}: expected a name; a network is given as model=")
    else:
        reconstructor = baseline_reconstructor(method, settings=settings)
    tally = Tally()
    if isinstance(acquisition, KSpace):
        how = Preparation(cyclic=common_law([reconstructor]).cyclic, virtual_coils=virtual_coils)
        images = reconstruct_measured(acquisition, how, reconstructor, tally=tally)
    else:
        acquisitions = _acquisitions(acquisition)
        images = np.stack([reconstructor.reconstruct(one) for one in acquisitions])
        for index, one in enumerate(acquisitions):
            tally.add(index, reconstructor.outside(Traits(one)))
    for note in tally.notes():
        warnings.warn(note, stacklevel=2)
    return images[0] if isinstance(acquisition, Acquisition) else images


def _acquisitions(given: Acquisition | Sequence[Acquisition]) -> list[Acquisition]:
    """Acquisitions of one size, checked."""
    if isinstance(given, Acquisition):
        return [checked_acquisition(given, "reconstruct")]
    if not (isinstance(given, Sequence) and given and all(isinstance(one, Acquisition) for one in given)):
        raise CsmriError(
            f"reconstruct: expected an Acquisition, a list of them or a KSpace, got {kind_of(given)}; "
            "csmri.simulate makes an Acquisition of fully sampled images"
        )
    acquisitions = [checked_acquisition(one, f"reconstruct: acquisition {i}") for i, one in enumerate(given)]
    if len(sizes := {(*np.shape(one.mask), np.shape(one.data)[-1]) for one in acquisitions}) > 1:
        raise CsmriError(f"reconstruct: acquisitions of different sizes (frame, y, x): {listed(sizes)}")
    return acquisitions


def load_model(
    path: str | Path,
    *,
    name: str = "",
    consistency: str | None = None,
    consistency_weight: float | None = None,
    runtime: str = AUTO,
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
    runtime : "auto", "tensorflow" or "openvino"
        What computes its images; auto takes OpenVINO for a U-net, where it is installed. They differ by rounding.
    """
    if runtime not in RUNTIMES:
        raise CsmriError(f"load_model: runtime is one of {', '.join(RUNTIMES)}, not {runtime!r}")
    if not isinstance(path, str | Path):
        raise CsmriError(f"load_model: expected the folder of a SavedModel or {SHIPPED_NAMES}, got {kind_of(path)}")
    own: dict[str, Any] = {"consistency": consistency, "consistency_weight": consistency_weight, "runtime": runtime}
    return load_reconstructor(path, name=name, **own)


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
    truth, (compared,), indices = compared_images(reference, {"images": images}, slice_index, "evaluate")
    magnitude = truth.magnitude
    region = box_of(truth, box, "evaluate")
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
    picture_suffix(path, also=(ANIMATED,))
    check_number(acceleration, "draw: acceleration")
    methods = images if isinstance(images, Mapping) else {"reconstructed": images}
    if not methods:
        raise CsmriError("draw: no images to draw; give an array, or several by the names of their methods")
    truth, compared, indices = compared_images(reference, methods, slice_index, "draw")
    place = indices.index(middle_slice(truth)) if slice_index is None else 0
    shown = {name: every[place] for name, every in zip(methods, compared, strict=True)}
    index = indices[place]
    region = box_of(truth, box, "draw")
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
    if not isinstance(cines, Iterable | Cine):
        raise CsmriError(f"prepare: expected cines, csmri.Cine(images, subject), got {kind_of(cines)}")
    split_of = splits_of(split, where="prepare: split")
    with StoreWriter(store) as writer:
        found = []
        for cine in [cines] if isinstance(cines, Cine) else cines:
            if not isinstance(cine, Cine):
                raise CsmriError(
                    f"prepare: expected cines, csmri.Cine(images, subject), got {kind_of(cine)} among them"
                )
            found.append(cine.subject)
            if cine.subject in split_of:
                writer.add(cine, split_of[cine.subject], extent=measure_lines(cine.images))
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
    distribute: str = "",
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
    distribute : "", "mirrored" or "multiworker"
        Who shares every batch: one device, all GPUs of this machine, or those of all that `TF_CONFIG` names. Before
        TensorFlow has computed anything.

    Returns
    -------
    Path
        SavedModel after the last epoch, for `load_model`, `reconstruct` and `compare`.
    """
    if not isinstance(config, Config | str | Path):
        raise CsmriError(f"train: expected a csmri.Config or the path of its TOML file, got {kind_of(config)}")
    experiment = config if isinstance(config, Config) else read_config(config)
    opened, blend = open_given(store), open_given(source) if source is not None else None
    if distribute not in ("", *DISTRIBUTED):
        raise CsmriError(f"train: distribute = {distribute!r}: expected {', '.join(map(repr, DISTRIBUTED))} or ''")
    check_outputs([run], [opened.path, init, blend.path if blend else None])
    return training.train(experiment, opened, run, init=init, source=blend, report=report, distribute=distribute)


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

    Zero-filling and the initial reconstruction take part in any case. Warns of what methods were not trained or tuned
    for.

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
    reconstructors = [_method_or_network(one) for one in listed_methods(methods)]
    always = {one.name for one in with_direct(())}
    compared = with_direct([one for one in reconstructors if one.saved or one.name not in always])
    law = law_of(sampling, changes, compared)
    wanted = [accelerations] if isinstance(accelerations, int | float | np.number) else [*dict.fromkeys(accelerations)]
    for one in wanted:
        check_number(one, "compare: acceleration")
    check_seed(seed, "compare")
    tally, records = Tally(), []
    for done in evaluate_store(open_given(store), compared, split=split, law=law, accelerations=wanted, seed=int(seed)):
        tally.add((done.outcome.item.subject, done.outcome.item.slice), done.outside)
        records += done.outcome.records()
    for note in tally.notes():
        warnings.warn(note, stacklevel=2)
    return records


def _network(model: str | Path | Reconstructor, runtime: str = AUTO) -> Reconstructor:
    return model if isinstance(model, Reconstructor) else load_model(model, runtime=runtime)


def _method_or_network(one: str | Path | Reconstructor) -> Reconstructor:
    if isinstance(one, str) and one in BASELINES:
        return baseline_reconstructor(one)
    if isinstance(one, str) and one not in SHIPPED and not Path(one).exists():
        raise CsmriError(
            f"compare: {one!r} is no classical method ({', '.join(BASELINES)}), not {SHIPPED_NAMES}, and no folder"
        )
    return _network(one, TENSORFLOW)  # as `csmri evaluate`, whose records are the same on every machine
