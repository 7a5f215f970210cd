"""How good images, and methods, are: numbers and pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from csmri.api.arguments import (
    Images,
    box_of,
    check_number,
    check_seed,
    compared_images,
    law_of,
    listed_methods,
    open_given,
)
from csmri.api.reconstruction import SHIPPED_NAMES, network_of
from csmri.api.simulation import Simulated
from csmri.config import EVALUATION_ACCELERATIONS, Sampling
from csmri.core.errors import CsmriError
from csmri.core.names import BASELINES, TENSORFLOW
from csmri.data.cine import Cine
from csmri.data.records import QUALITIES, Item, Outcome, Record, mean_over_subjects
from csmri.data.roi import Box, heart_box_notes
from csmri.data.store import Store
from csmri.evaluation.evaluate import evaluate as evaluate_store
from csmri.evaluation.evaluate import with_direct
from csmri.evaluation.metrics import frame_quality
from csmri.methods.limits import Tally
from csmri.methods.model import SHIPPED
from csmri.methods.reconstruction import Reconstructor, baseline_reconstructor
from csmri.results.figures import ANIMATED, middle_slice, picture_suffix, render_example
from csmri.results.folder import Example


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


def _method_or_network(one: str | Path | Reconstructor) -> Reconstructor:
    if isinstance(one, str) and one in BASELINES:
        return baseline_reconstructor(one)
    if isinstance(one, str) and one not in SHIPPED and not Path(one).exists():
        raise CsmriError(
            f"compare: {one!r} is no classical method ({', '.join(BASELINES)}), not {SHIPPED_NAMES}, and no folder"
        )
    return network_of(one, TENSORFLOW)  # as `csmri evaluate`, whose records are the same on every machine
