"""Open HDF5 files for reading, and check what a dataset promises against what is stored."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import h5py

from csmri.core.errors import CsmriError
from csmri.formats.measured import check_size


@contextlib.contextmanager
def closing_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, without a lock: it may lie in a folder that cannot be written to."""
    with h5py.File(path, "r", locking=False) as file:
        yield file


def check_storage(path: Path, dataset: h5py.Dataset) -> None:
    """Refuse a dataset that promises more than its file can hold, or that was never written.

    Raises
    ------
    CsmriError
    """
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise CsmriError(f"{path}: expected an array named {getattr(dataset, 'name', '?')}, found none there")
    if dataset.size and not dataset.id.get_storage_size():
        raise CsmriError(f"{path}: the array {dataset.name} was announced but never written; copy the file again")
    check_size(path, dataset.size * dataset.dtype.itemsize, f"{dataset.name}")
    if dataset.chunks is not None:
        check_size(path, math.prod(dataset.chunks) * dataset.dtype.itemsize, f"{dataset.name} in one piece")
