"""Siemens raw data, `.dat` (twix), by way of twixtools, an extra: `pip install csmri[twix]`.

No raw cine of a patient or phantom could be had to test this with: the mapping was tested with files made of the heads
that twixtools defines, and with two real files that are not cines.

References
----------
twixtools, https://github.com/pehses/twixtools.
"""

from __future__ import annotations

import importlib.util
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from csmri.core.errors import CsmriError
from csmri.data.kspace import KSpace
from csmri.formats.isolated import ask
from csmri.formats.measured import check_size
from csmri.formats.parsing import parsing
from csmri.formats.readouts import HEAD, Readouts, assemble, covariance

KIND = "Siemens twix"
ADVICE = "export it again from the scanner"
SEARCHED = 2**17
TICK_MS = 2.5
"""Unit of the time stamps."""
OVERSAMPLING = 2.0
"""Of the readout, where the protocol does not tell."""
CARTESIAN, TWO_D = 1, 2
TRAJECTORIES = {2: "radial", 4: "spiral", 8: "blades"}


def is_twix(path: str | Path) -> bool:
    """Tell from its start whether a file is Siemens raw data, of VB, VD, VE or later software."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(SEARCHED)
    except OSError:  # nothing that can be opened
        return False
    if len(start) < 16 or b"XProtocol>" not in start:
        return False
    first, second = struct.unpack("<II", start[:8])
    return (first < 10_000 and 1 <= second <= 64) or 32 <= first < 2**24


def read(path: str | Path) -> KSpace:
    """Read the raw data of a Cartesian cine: the last measurement of the file.

    Frames are cardiac phases (gated), or repetitions (real time); noise scans, also of measurements before it, become
    the noise covariance.

    Parameters
    ----------
    path : path
        The subject is the file's stem.

    Returns
    -------
    KSpace
        Read slice by slice, when it is asked for. The orientation is that of the readouts' quaternions, with the signs
        of twixtools; it was never compared to the scanner's own images.

    Raises
    ------
    CsmriError
        If twixtools is missing, the file is damaged, no cine, not Cartesian, encodes a third dimension, or holds
        several contrasts or sets.
    """
    path = Path(path)
    if importlib.util.find_spec("twixtools") is None:
        raise CsmriError(f"{path}: Siemens raw data is read with twixtools; install it with `pip install csmri[twix]`")
    with parsing(path, "Siemens raw data", ADVICE):
        path.stat()  # tells what is wrong with the path itself
        if not is_twix(path):
            raise CsmriError(f"{path}: is no Siemens raw data; {ADVICE}")
        told, (table,) = ask(path, "twix")
    return assemble(_readouts(path, told, table))


def _readouts(path: Path, told: dict[str, Any], table: NDArray[np.void]) -> Readouts:
    """What the protocol and the table of `child.TWIX` tell."""
    space = _part(told["protocol"], "sKSpace")
    trajectory, dimension = space.get("ucTrajectory", CARTESIAN), space.get("ucDimension", TWO_D)
    if trajectory != CARTESIAN:
        name = TRAJECTORIES.get(trajectory, f"of type {trajectory}")
        raise CsmriError(f"{path}: the trajectory is {name}, csmri reads Cartesian data only")
    if dimension != TWO_D:
        raise CsmriError(f"{path}: a third dimension is encoded; csmri reads stacks of slices")
    image, noise = table[~table["is_noise"]], table[table["is_noise"]]
    notes: list[str] = ["The orientation is that of twixtools; compare it to the scanner's images before use."]
    base, n_ky = (space.get(name) for name in ("lBaseResolution", "lPhaseEncodingLines"))
    if not isinstance(base, int) or not isinstance(n_ky, int) or not 0 < base < 2**14 or not 0 < n_ky < 2**14:
        raise CsmriError(f"{path}: the protocol tells a matrix of {n_ky} x {base} (y, x); {ADVICE}")
    factor = _number(told.get("oversampling")) or OVERSAMPLING
    n_kx = round(base * factor)
    field_y, field_x, thickness = _field(told["protocol"])
    more = 1 + (_number(space.get("dPhaseOversamplingForDialog")) or 0)
    heads = np.zeros(len(image), HEAD)
    for name in table.dtype.names or ():
        if name in (HEAD.names or ()):
            heads[name] = image[name]
    heads["line"] = image["line"] - image["centre_line"] + n_ky // 2
    heads["measured_ms"], heads["after_r_ms"] = image["time"] * TICK_MS, image["after_r"] * TICK_MS
    if len(image):
        turn = Rotation.from_quat(_unit(image["quaternion"]), scalar_first=True).as_matrix()
        # The columns of the rotation are phase, read and normal; twixtools turns the first two around.
        heads["phase_encode"], heads["read"], heads["normal"] = -turn[..., 0], -turn[..., 1], turn[..., 2]
    return Readouts(
        path=path,
        kind=KIND,
        heads=heads,
        read=lambda rows: samples(path, image[rows]),
        encoded=(n_ky, n_kx),
        field_mm=(field_y * more, field_x * n_kx / base),
        kept_mm=(field_y, field_x),
        thickness_mm=thickness or None,
        subject=path.stem,
        noise_covariance=_noise(path, image, noise, notes),
        notes=notes,
    )


def samples(path: Path, rows: NDArray[np.void]) -> NDArray[np.complex64]:
    """Samples (readout, coil, sample) of readouts that are alike, by the bytes of `child.TWIX`."""
    n_coils, n_samples = int(rows["n_coils"][0]), int(rows["n_samples"][0])
    # A head for all coils, then one before the samples of each, or one before each only (VB).
    first, each = (192, 32) if rows["is_ve"][0] else (0, 128)
    kind = np.dtype([("head", f"V{each}"), ("samples", "<c8", (n_samples,))])
    check_size(path, len(rows) * n_coils * kind.itemsize, "readouts")
    values = np.empty((len(rows), n_coils, n_samples), np.complex64)
    with parsing(path, "Siemens raw data", ADVICE), path.open("rb") as file:
        for row, at in enumerate(rows["at"].tolist()):
            file.seek(at + first)
            values[row] = np.frombuffer(file.read(n_coils * kind.itemsize), kind, n_coils)["samples"]
    return values


def _noise(
    path: Path, image: NDArray[np.void], noise: NDArray[np.void], notes: list[str]
) -> NDArray[np.complex64] | None:
    if not len(image):
        return None
    fitting = noise[(noise["n_coils"] == image["n_coils"][0]) & (noise["n_samples"] > 0)]
    if len(noise) and not len(fitting):
        notes.append("The noise scan was not used: it has another number of coils than the images.")
    if not len(fitting):
        return None
    values = np.concatenate([samples(path, fitting[one : one + 1])[0] for one in range(len(fitting))], -1)
    notes.append("The bandwidth of the noise scan was taken to be that of the images.")
    return covariance(values, 1.0)


def _unit(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions of length 1; no turn at all in place of those that are none."""
    length = np.linalg.norm(quaternion, axis=-1, keepdims=True)
    return np.where(np.abs(length - 1) < 1e-2, quaternion, np.array([1.0, 0, 0, 0]))


def _part(protocol: Any, *names: Any) -> dict[str, Any]:
    """A part of the protocol, empty where it is missing."""
    for name in names:
        if isinstance(protocol, list) and isinstance(name, int) and name < len(protocol):
            protocol = protocol[name]
        else:
            protocol = protocol.get(name) if isinstance(protocol, dict) else None
    return protocol if isinstance(protocol, dict) else {}


def _field(protocol: Any) -> tuple[float, float, float]:
    """Field of view (y, x) and thickness of the first slice [mm], 0 where they are missing."""
    first = _part(protocol, "sSliceArray", "asSlice", 0)
    y, x, thickness = (_number(first.get(name)) or 0.0 for name in ("dPhaseFOV", "dReadoutFOV", "dThickness"))
    return y, x, thickness


def _number(value: Any) -> float | None:
    """A positive number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
