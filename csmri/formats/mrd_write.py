"""K-space as ISMRMRD raw data, in the types of the format's own library."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from csmri.core.files import replacing
from csmri.data.kspace import KSpace
from csmri.formats.geometry import slices_of

with warnings.catch_warnings():  # it has every warning of every library shown from then on
    import ismrmrd
    from ismrmrd import xsd

TICK_MS = 2.5
"""Unit of the time stamps, as Siemens counts them."""
NOISE_SAMPLES = 256
LINES_PER_BEAT = 8
"""Lines that `write` lets a gated scan acquire of every frame in a heartbeat, before it goes on with the next."""


def write(path: str | Path, kspace: KSpace) -> None:
    """Write k-space as a scanner would have measured it: an acquisition for every acquired line, slice by slice.

    Frames are repetitions where `cyclic` is False, else cardiac phases; a gated scan takes some lines of all frames in
    every heartbeat. Frame times come back in steps of 2.5 ms. A noise scan has exactly the noise covariance.

    Parameters
    ----------
    path : path
        `.h5`, replaced atomically.
    kspace : KSpace
        Where `matrix` is less than k-space, the header calls it oversampled.
    """
    with replacing(Path(path)) as temporary:
        with ismrmrd.Dataset(str(temporary), "dataset", mode="w") as file:
            file.write_xml_header(xsd.ToXML(header_of(kspace)))
        # The library appends one acquisition at a time, which takes minutes for a study; a slice at a time is the same.
        with h5py.File(temporary, "r+") as file:
            rows = file.create_dataset("dataset/data", (0,), ismrmrd.hdf5.acquisition_dtype, maxshape=(None,))
            for batch in _batches(kspace):
                batch["head"]["scan_counter"] = len(rows) + np.arange(len(batch))
                rows.resize(len(rows) + len(batch), axis=0)
                rows[-len(batch) :] = batch


def header_of(kspace: KSpace) -> Any:
    """Header that describes k-space, as the library's `ismrmrdHeader`."""
    n_ky, n_kx = kspace.kspace.shape[3:]
    kept = kspace.matrix or (n_ky, n_kx)
    y, x = kspace.spacing_mm or (0.0, 0.0)
    z = kspace.slice_spacing_mm or 0.0

    def space(matrix: tuple[int, int]) -> Any:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=matrix[1], y=matrix[0], z=1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=x * matrix[1], y=y * matrix[0], z=z),
        )

    frames = xsd.limitType(minimum=0, maximum=kspace.n_frames - 1, center=0)
    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=n_ky - 1, center=n_ky // 2),
        slice=xsd.limitType(minimum=0, maximum=kspace.n_slices - 1, center=0),
        **{_frame_counter(kspace): frames},
    )
    return xsd.ismrmrdHeader(
        version=1,
        subjectInformation=xsd.subjectInformationType(patientID=kspace.subject),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(receiverChannels=kspace.n_coils),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63_870_000),
        encoding=[
            xsd.encodingType(
                encodedSpace=space((n_ky, n_kx)),
                reconSpace=space(kept),
                encodingLimits=limits,
                trajectory=xsd.trajectoryType.CARTESIAN,
            )
        ],
    )


def _frame_counter(kspace: KSpace) -> str:
    return "repetition" if kspace.cyclic is False else "phase"


def _noise_scan(noise_covariance: NDArray[np.complex64]) -> NDArray[np.void]:
    """A scan without a pulse whose sample covariance is exactly this one."""
    n_coils = len(noise_covariance)
    draw = np.random.default_rng(0)
    shape = (n_coils, max(NOISE_SAMPLES, 4 * n_coils))
    noise = draw.standard_normal(shape) + 1j * draw.standard_normal(shape)
    white = np.linalg.solve(np.linalg.cholesky(noise @ noise.conj().T / shape[1]), noise)
    # By eigenvalues, because a covariance may be singular.
    values, vectors = np.linalg.eigh(noise_covariance.astype(np.complex128))
    coloured = vectors * np.sqrt(np.maximum(values, 0)) @ white
    scan = _acquisitions_of(coloured.astype(np.complex64)[None])
    scan["head"]["flags"] = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
    return scan


def _acquisitions_of(samples: NDArray[np.complex64]) -> NDArray[np.void]:
    """Acquisitions, as the library stores them, of samples (readout, coil, sample)."""
    batch = np.zeros(len(samples), ismrmrd.hdf5.acquisition_dtype)
    head = batch["head"]
    head["version"], head["number_of_samples"] = 1, samples.shape[2]
    head["available_channels"] = head["active_channels"] = samples.shape[1]
    for row, one in enumerate(samples):
        batch["data"][row] = np.ascontiguousarray(one).view(np.float32).reshape(-1)
        batch["traj"][row] = np.zeros(0, np.float32)
    return batch


def _batches(kspace: KSpace) -> Iterator[NDArray[np.void]]:
    """The noise scan, then the acquisitions of one slice after the other."""
    if kspace.noise_covariance is not None:
        yield _noise_scan(kspace.noise_covariance)
    n_ky, n_kx = kspace.kspace.shape[3:]
    matrix = kspace.matrix or (n_ky, n_kx)
    where = None if kspace.affine is None else slices_of(kspace.affine, matrix, kspace.n_slices)
    times = kspace.frame_times_ms
    clock = 1
    for slice_index, one in enumerate(kspace.slices()):
        frames, lines = np.array(list(_measuring_order(kspace.mask_of(slice_index), kspace.cyclic))).T
        batch = _acquisitions_of(one[:, frames, lines].transpose(1, 0, 2))
        head = batch["head"]
        head["center_sample"], head["idx"]["slice"] = n_kx // 2, slice_index
        head["idx"]["kspace_encode_step_1"], head["idx"][_frame_counter(kspace)] = lines, frames
        ticks = np.zeros(len(lines), np.int64)
        if times is not None:
            ticks = np.maximum(np.rint(times[frames] / TICK_MS), 0).astype(np.int64)
            head["physiology_time_stamp"][:, 0] = ticks
        if kspace.cyclic is not None:
            in_real_time = kspace.cyclic is False and times is not None
            head["acquisition_time_stamp"] = clock + (ticks if in_real_time else np.arange(len(lines)))
            clock = int(head["acquisition_time_stamp"].max()) + 1
        if where is not None:
            head["position"], head["read_dir"] = where.position[slice_index], where.read[slice_index]
            head["phase_dir"], head["slice_dir"] = where.phase[slice_index], where.normal[slice_index]
        yield batch


def _measuring_order(mask: NDArray[np.bool_], cyclic: bool | None) -> Iterator[tuple[int, int]]:
    """(frame, ky) of a slice: frame after frame, or some lines of every frame in each heartbeat."""
    lines = [np.flatnonzero(frame) for frame in mask]
    at_once = max(map(len, lines)) if not cyclic else min(LINES_PER_BEAT, max(1, max(map(len, lines)) // 2))
    for beat in range(math.ceil(max(map(len, lines)) / at_once)):
        for frame, of_frame in enumerate(lines):
            for line in of_frame[beat * at_once : (beat + 1) * at_once]:
                yield frame, int(line)
