"""What the functions of the door take: arrays or records, checked, with an error that says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.config import Sampling
from csmri.config.base import checked
from csmri.core.errors import CsmriError
from csmri.data.acquisition import Acquisition, check_acquisition
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.data.roi import Box, heart_box
from csmri.data.store import Store, open_store
from csmri.evaluation.evaluate import common_law
from csmri.methods.reconstruction import Reconstructor

Images = NDArray[np.number[Any]]
Magnitude = NDArray[np.float32]
ARRAY = "array"
"""Subject that an array counts as."""
SEEDS = 2**31


def law_of(
    sampling: Sampling | Reconstructor | None, changes: Mapping[str, Any], networks: Sequence[Reconstructor] = ()
) -> Sampling:
    """Sampling with changes to it; where there is none, that of the networks."""
    own = {name: value.item() if isinstance(value, np.generic) else value for name, value in changes.items()}
    if isinstance(sampling, Sampling):
        fields = sampling.model_dump(include=set(Sampling.model_fields))
        return checked(Sampling, {**fields, **own}, "simulation")
    if not isinstance(sampling, Reconstructor | None):
        raise CsmriError(f"sampling: expected csmri.Sampling or a network, got {kind_of(sampling)}")
    return common_law(networks if sampling is None else [sampling], **own)


def open_given(store: Store | str | Path) -> Store:
    """A store, opened if a path is given."""
    if not isinstance(store, Store | str | Path):
        raise CsmriError(f"expected a store, as csmri.prepare returns it, or its path, got {kind_of(store)}")
    return store if isinstance(store, Store) else open_store(store)


def checked_acquisition(acquisition: Acquisition, where: str) -> Acquisition:
    """The acquisition as arrays of the right kinds."""
    mask = np.asarray(acquisition.mask)
    data, maps = (
        None if values is None else as_array(values, f"{where}: {name}").astype(np.complex64, copy=False)
        for name, values in (("data", acquisition.data), ("maps", acquisition.maps))
    )
    if data is None:
        raise CsmriError(f"{where}: the acquisition has no data (coil, frame, ky, x)")
    for name, values in (("data", data), ("maps", maps)):
        if values is not None and not np.isfinite(values).all():
            raise CsmriError(f"{where}: {name} holds NaN or infinite values; set what was not acquired to zero")
    return check_acquisition(replace(acquisition, data=data, mask=mask, maps=maps))


def compared_images(
    reference: Cine | Images, images: Mapping[str, Cine | Images], slice_index: int | None, where: str
) -> tuple[Cine, list[Magnitude], list[int]]:
    """Truth, magnitudes (slice, frame, y, x) of every method for the slices to compare, and which these are."""
    truth = as_cine(reference, f"{where}: reference")
    indices = slices_of(truth, slice_index, where)
    matrix = truth.images.shape[1:]
    compared = []
    for name, one in images.items():
        array = one.images if isinstance(one, Cine) else as_array(one, f"{where}: {name}")
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


def as_cine(images: Cine | Images, where: str) -> Cine:
    """A cine, of an array (frame, y, x) or (slice, frame, y, x) one of the subject `ARRAY`."""
    if isinstance(images, Cine):
        return images
    array = as_array(images, where)
    return Cine(array[np.newaxis] if array.ndim == 3 else array, ARRAY, provenance=where)


def as_array(images: Any, where: str) -> NDArray[Any]:
    """Numbers as an array; refuses what is none, first of all a path."""
    if isinstance(images, str | Path):
        raise CsmriError(f"{where}: {str(images)!r} is a path; read it first: csmri.read({str(images)!r})")
    if isinstance(images, KSpace | Acquisition):
        raise CsmriError(f"{where}: expected images, got {kind_of(images)}; csmri.reconstruct makes images of it")
    try:
        array = np.asarray(images)
    except (ValueError, TypeError) as error:
        raise CsmriError(f"{where}: expected an array of numbers, got {kind_of(images)} that makes none") from error
    if array.dtype.kind not in "buifc":
        raise CsmriError(f"{where}: expected an array of numbers, got {kind_of(images)}")
    return array


def slices_of(cine: Cine, slice_index: int | None, where: str) -> list[int]:
    """The slice asked for, or all."""
    if slice_index is None:
        return list(range(cine.n_slices))
    if not isinstance(slice_index, int | np.integer) or not 0 <= slice_index < cine.n_slices:
        raise CsmriError(f"{where}: slice_index = {slice_index!r}: expected 0 to {cine.n_slices - 1}")
    return [int(slice_index)]


def box_of(cine: Cine, box: Sequence[int] | None, where: str) -> Box:
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


def check_number(value: Any, where: str) -> None:
    """Refuse what is no number."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        raise CsmriError(f"{where} = {value!r}: expected a number")


def check_seed(seed: Any, where: str) -> None:
    """Refuse what no seed can be."""
    if not isinstance(seed, int | np.integer) or not 0 <= seed < SEEDS:
        raise CsmriError(f"{where}: seed = {seed!r}: expected a whole number from 0 to {SEEDS - 1}")


def kind_of(value: object) -> str:
    """Name what was given, for a message."""
    kind = "array" if isinstance(value, np.ndarray) else type(value).__name__
    return f"an {kind}" if kind[0] in "AEIOUaeiou" else f"a {kind}"


def listed(shapes: Iterable[tuple[int, ...]]) -> str:
    """List sizes for a message."""
    return ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))


def listed_methods(methods: Any) -> list[Any]:
    """Methods to compare, also one alone."""
    if isinstance(methods, str | Path | Reconstructor):
        return [methods]
    if not isinstance(methods, Iterable):
        raise CsmriError(f"compare: expected names of methods and networks, got {kind_of(methods)}")
    return list(methods)
