"""ISMRMRD (MRD version 1) raw data, `.h5`: read slice by slice.

References
----------
Inati et al., Magn Reson Med 77:411, 2017, doi 10.1002/mrm.26089; OCMR: Chen et al., arXiv:2008.03410.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig

from csmri.core.errors import CsmriError
from csmri.data.kspace import KSpace
from csmri.formats.hdf5_file import ADVICE, Array, describe, has_signature, read_field, read_lines, read_texts
from csmri.formats.measured import check_size, quiet
from csmri.formats.mrd_write import TICK_MS, write
from csmri.formats.parsing import parsing
from csmri.formats.readouts import HEAD, Heads, Readouts, assemble, covariance, left_out

with warnings.catch_warnings():  # it has every warning of every library shown from then on
    import ismrmrd
    from ismrmrd import xsd

__all__ = ["KIND", "is_mrd", "read", "write"]

KIND = "ISMRMRD"
SEARCHED = 2**22
NO_IMAGE = {
    "noise": (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,),
    "parallel calibration only": (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,),
    "navigation": (ismrmrd.ACQ_IS_NAVIGATION_DATA,),
    "phase correction": (
        ismrmrd.ACQ_IS_PHASECORR_DATA,
        ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
        ismrmrd.ACQ_IS_PHASE_STABILIZATION,
    ),
    "feedback": (ismrmrd.ACQ_IS_HPFEEDBACK_DATA, ismrmrd.ACQ_IS_RTFEEDBACK_DATA),
    "dummy scans": (ismrmrd.ACQ_IS_DUMMYSCAN_DATA,),
    "surface coil correction": (ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,),
}


def is_mrd(path: str | Path) -> bool:
    """Tell from its content whether a file holds ISMRMRD acquisitions or images."""
    try:
        path = Path(path)
        if not has_signature(path):
            return False
        # The names of the fields stand in the metadata, near one end of the file. Asking the HDF5 library costs more.
        with path.open("rb") as file:
            ends = file.read(SEARCHED)
            file.seek(max(path.stat().st_size - SEARCHED, 0))
            ends += file.read(SEARCHED)
        return any(name in ends for name in (b"kspace_encode_step_1", b"image_series_index"))
    except OSError:  # nothing that can be opened
        return False


def read(path: str | Path) -> KSpace:
    """Read the raw data of a Cartesian cine.

    Noise scans become the noise covariance; calibration, navigation and the like are left out. Frames are cardiac
    phases (gated), or repetitions (real time). Lines stand in the full encoded matrix, with DC where the header's
    centre of phase encoding and the readouts' echo are.

    Parameters
    ----------
    path : path
        The subject is the header's patientID, else the file's stem.

    Returns
    -------
    KSpace
        Read slice by slice, when it is asked for.

    Raises
    ------
    CsmriError
        If the file is damaged or cut off, is not Cartesian, encodes a third dimension, holds several contrasts or sets,
        or slices of several orientations.
    """
    path = Path(path)
    arrays = describe(path)
    groups = [name.rpartition("/")[0] for name in arrays if name.rpartition("/")[2] == "xml"]
    if not groups:
        found = ", ".join(list(arrays)[:8]) or "nothing"
        raise CsmriError(f"{path}: expected a group with `xml` and `data` (ISMRMRD), found {found}")
    group = next((one for one in groups if f"{one}/data" in arrays), None)
    if group is None:
        raise CsmriError(f"{path}: holds reconstructed images only; give the raw data, or the DICOM images")
    header = _header(path, read_texts(path, f"{group}/xml", arrays[f"{group}/xml"]))
    stored = _stored_heads(path, f"{group}/data", arrays[f"{group}/data"])
    return assemble(_readouts(path, f"{group}/data", header, stored))


def _header(path: Path, texts: list[str]) -> Any:
    # Unknown elements of later versions are passed over; a number that is none is a fault.
    config = ParserConfig(fail_on_unknown_properties=False, fail_on_converter_warnings=True)
    with parsing(path, "an ISMRMRD file", ADVICE):
        header = XmlParser(config=config).from_string(texts[0].strip("\0 \n"), xsd.ismrmrdHeader)
    if not header.encoding:
        raise CsmriError(f"{path}: the XML header describes no encoding; {ADVICE}")
    trajectory = header.encoding[0].trajectory
    if trajectory != xsd.trajectoryType.CARTESIAN:
        raise CsmriError(f"{path}: the trajectory is {trajectory.value}, csmri reads Cartesian data only")
    return header


def _stored_heads(path: Path, name: str, array: Array) -> NDArray[np.void]:
    if not {"head", "data"} <= set(array.fields) or len(array.shape) != 1 or not array.shape[0]:
        raise CsmriError(f"{path}: {name} holds no acquisition; {ADVICE}")
    stored = read_field(path, name, array, "head")
    known = ismrmrd.hdf5.acquisition_header_dtype
    if stored.dtype.names is None or not set(known.names) <= set(stored.dtype.names):
        raise CsmriError(f"{path}: the heads of the acquisitions are not those of ISMRMRD version 1; {ADVICE}")
    stored = _as_known(path, stored, known)
    n_bytes = 8 * int(np.sum(stored["number_of_samples"].astype(np.int64) * stored["active_channels"]))
    if n_bytes > path.stat().st_size:  # samples are stored as they are, never compressed
        raise CsmriError(
            f"{path}: the acquisitions promise {n_bytes / 2**20:,.1f} MiB of samples, but the file has "
            f"{path.stat().st_size / 2**20:,.1f} MiB; it is damaged or cut off, {ADVICE}"
        )
    return stored


def _as_known(path: Path, stored: NDArray[np.void], known: np.dtype) -> NDArray[np.void]:
    """Heads with the fields in the kinds and shapes that the library defines, in whatever order they are stored."""
    heads = np.zeros(len(stored), known)
    with parsing(path, "an ISMRMRD file", ADVICE):
        for name in known.names or ():
            if known[name].names:
                for counter in known[name].names or ():
                    heads[name][counter] = stored[name][counter]
            else:
                heads[name] = stored[name]
    return heads


def _flagged(stored: NDArray[np.void], *flags: int) -> NDArray[np.bool_]:
    bits = np.uint64(sum(1 << (flag - 1) for flag in flags))
    return (stored["flags"] & bits) != 0


def _readouts(path: Path, name: str, header: Any, stored: NDArray[np.void]) -> Readouts:
    notes: list[str] = []
    image = np.ones(len(stored), np.bool_)
    for what, flags in NO_IMAGE.items():
        flagged = _flagged(stored, *flags)
        if what == "parallel calibration only":
            flagged &= ~_flagged(stored, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
        if what != "noise" and (image & flagged).any():
            notes.append(left_out(int((image & flagged).sum()), what))
        image &= ~flagged
    if (image & (stored["encoding_space_ref"] != 0)).any():
        other = image & (stored["encoding_space_ref"] != 0)
        notes.append(left_out(int(other.sum()), "another encoding than the first that the header describes"))
        image &= ~other
    rows = np.flatnonzero(image)
    encoding = header.encoding[0]
    encoded, kept = encoding.encodedSpace, encoding.reconSpace
    matrix = (int(encoded.matrixSize.y), int(encoded.matrixSize.x))
    if min(matrix) < 1:
        raise CsmriError(f"{path}: the header tells an encoded matrix of {matrix} (y, x); {ADVICE}")
    heads = _heads(stored[rows], encoding, matrix[0])
    if heads["after_r_ms"].any():
        notes.append(f"Time stamps were taken to be in ticks of {TICK_MS} ms, as Siemens counts.")
    thickness = float(kept.fieldOfView_mm.z)
    subject = header.subjectInformation.patientID if header.subjectInformation else None
    return Readouts(
        path=path,
        kind=KIND,
        heads=heads,
        read=lambda chosen: _samples(path, name, rows[chosen], stored),
        encoded=matrix,
        field_mm=(float(encoded.fieldOfView_mm.y), float(encoded.fieldOfView_mm.x)),
        kept_mm=(float(kept.fieldOfView_mm.y), float(kept.fieldOfView_mm.x)),
        thickness_mm=thickness if math.isfinite(thickness) and thickness > 0 else None,
        subject=(subject or "").strip() or path.stem,
        noise_covariance=_noise(path, name, header, stored, rows, notes),
        promised=_promised(encoding.encodingLimits),
        notes=notes,
    )


def _promised(limits: Any) -> dict[str, int]:
    """Frames and slices that the header says were measured."""
    told = {name: getattr(limits, name) for name in ("phase", "slice")}
    return {name: int(one.maximum) - int(one.minimum) + 1 for name, one in told.items() if one is not None}


def _heads(stored: NDArray[np.void], encoding: Any, n_ky: int) -> Heads:
    heads = np.zeros(len(stored), HEAD)
    index = stored["idx"]
    limit = encoding.encodingLimits.kspace_encoding_step_1
    centre = int(limit.center) if limit is not None else n_ky // 2
    heads["line"] = index["kspace_encode_step_1"].astype(np.int64) - centre + n_ky // 2
    heads["partition"] = index["kspace_encode_step_2"]
    for name in ("average", "slice", "contrast", "phase", "repetition", "set"):
        heads[name] = index[name]
    pairs = {
        "n_samples": "number_of_samples",
        "n_coils": "active_channels",
        "centre": "center_sample",
        "before": "discard_pre",
        "after": "discard_post",
        "dwell_us": "sample_time_us",
        "position": "position",
        "read": "read_dir",
        "phase_encode": "phase_dir",
        "normal": "slice_dir",
    }
    with quiet():
        for name, theirs in pairs.items():
            heads[name] = stored[theirs]
    heads["measured_ms"] = stored["acquisition_time_stamp"] * TICK_MS
    heads["after_r_ms"] = stored["physiology_time_stamp"][:, 0] * TICK_MS
    heads["is_reversed"] = _flagged(stored, ismrmrd.ACQ_IS_REVERSE)
    return heads


def _samples(path: Path, name: str, rows: NDArray[np.intp], stored: NDArray[np.void]) -> NDArray[np.complex64]:
    """Samples (readout, coil, sample) of acquisitions that are alike."""
    n_coils, n_samples = (int(stored[what][rows[0]]) for what in ("active_channels", "number_of_samples"))
    values = read_lines(path, name, "data", rows)
    for row, one in zip(rows, values, strict=True):
        if one.size != 2 * n_coils * n_samples:
            raise CsmriError(
                f"{path}: acquisition {row + 1} of {len(stored)} holds {one.size} numbers, its head promises "
                f"{n_coils} coils of {n_samples} complex samples; the file is damaged or cut off, {ADVICE}"
            )
    return np.stack(list(values)).view(np.complex64).reshape(len(rows), n_coils, n_samples)


def _noise(
    path: Path, name: str, header: Any, stored: NDArray[np.void], rows: NDArray[np.intp], notes: list[str]
) -> NDArray[np.complex64] | None:
    """Noise covariance from the noise scan, in the bandwidth of imaging."""
    found = np.flatnonzero(_flagged(stored, ismrmrd.ACQ_IS_NOISE_MEASUREMENT))
    if not len(found) or not len(rows):
        return None
    found = found[stored["active_channels"][found] == stored["active_channels"][rows[0]]]
    if not len(found):
        notes.append("The noise scan was not used: it has another number of coils than the images.")
        return None
    check_size(path, 8 * int(stored["number_of_samples"][found].astype(np.int64).sum()), "noise")
    noise = np.concatenate([_samples(path, name, found[one : one + 1], stored)[0] for one in range(len(found))], -1)
    dwell, of_noise = (float(stored["sample_time_us"][one]) for one in (rows[0], found[0]))
    if not noise.shape[-1] or not np.isfinite(noise).all():
        notes.append("The noise scan was not used: it holds no samples, or NaN or infinite ones.")
        return None
    ratio = of_noise / dwell if min(dwell, of_noise) > 0 and math.isfinite(of_noise / dwell) else 1.0
    system = header.acquisitionSystemInformation
    if system is not None and (width := system.relativeReceiverNoiseBandwidth) and 0 < width <= 1:
        ratio /= width
    if ratio != 1:
        notes.append(f"The noise covariance was scaled by {ratio:.3g}: the noise scan has another bandwidth.")
    return covariance(noise, ratio)
