"""NIfTI-1 and NIfTI-2 files, plain or gzipped, with a cine on axes (x, y, slice, frame)."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Extension
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.data.cine import Cine
from csmri.formats.parsing import as_images, parsing

ADVICE = "download or convert it again"
MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
MS = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}
# A cine frame lasts 10 to 100 ms; beyond these bounds the fourth zoom is a default and no time.
PLAUSIBLE_FRAME_MS = (2.0, 500.0)
COMMENT = 6  # the code NIfTI reserves for header extensions of plain text


def read(path: str | Path) -> Cine:
    """Read a cine from a NIfTI file.

    Parameters
    ----------
    path : path
        `patient061_4d.nii.gz` becomes subject `patient061`. An ACDC `Info.cfg` beside it is quoted in the provenance.

    Returns
    -------
    Cine
        Scaled magnitude or complex images. What the header does not tell is None, with a note.

    Raises
    ------
    CsmriError
        If the file is damaged, no NIfTI, or has not the four axes of a cine.
    """
    path = Path(path)
    image, array = _load(path)
    while array.ndim > 4 and array.shape[-1] == 1:  # (x, y, slice, frame, 1), as some converters write
        array = array[..., 0]
    if array.ndim != 4:
        raise CsmriError(
            f"{path}: expected the axes (x, y, slice, frame), found {array.ndim} axes {array.shape}; "
            "give the 4-D file that holds all frames"
        )
    own = _own_comment(image.header)
    notes: list[str] = []
    spacing = _spacing_mm(image.header, own, notes)
    times = _frame_times_ms(image.header, own, array.shape[3], notes)
    has_affine = spacing is not None and (image.header["qform_code"] > 0 or image.header["sform_code"] > 0)
    return Cine(
        images=as_images(array.transpose(2, 3, 1, 0), str(path)),
        subject=subject_of(path),
        spacing_mm=spacing and (spacing[1], spacing[0]),
        slice_spacing_mm=spacing[2] if spacing and own.get("slice_spacing", "known") == "known" else None,
        frame_times_ms=times,
        affine=np.asarray(image.affine, np.float64) if has_affine else None,
        provenance=f"{path} (NIfTI{_acdc_group(path)})",
        notes=tuple(notes),
    )


def write(path: str | Path, cine: Cine) -> None:
    """Write the magnitude images as float32 NIfTI-1, gzipped where the name ends in `.gz`.

    Images come back bit for bit, spacing and affine within float32, frame times exactly: the header has room for one
    interval only, so the times go into a header extension of plain text as well.

    Parameters
    ----------
    path : path
        `.nii` or `.nii.gz`; replaced atomically. Its name is the subject when it is read back.
    cine : Cine
        Images (slice, frame, y, x).
    """
    path = Path(path)
    data = np.ascontiguousarray(cine.magnitude.transpose(3, 2, 0, 1), np.float32)
    image = nibabel.Nifti1Image(data, None)
    header = image.header
    own: dict[str, Any] = {"writer": "csmri"}
    if cine.affine is not None:
        image.set_sform(cine.affine, code="scanner", update_affine=True)
    zooms = [1.0, 1.0, 1.0, 1.0]
    if cine.spacing_mm is not None:
        zooms[:2] = cine.spacing_mm[1], cine.spacing_mm[0]
        zooms[2] = cine.slice_spacing_mm or _slice_step_mm(cine.affine) or 1.0
        own["slice_spacing"] = "unknown" if cine.slice_spacing_mm is None else "known"
    if cine.frame_times_ms is not None:
        times = np.asarray(cine.frame_times_ms, np.float32)
        zooms[3] = float((times[-1] - times[0]) / (len(times) - 1))
        header["toffset"] = times[0]
        own["frame_times_ms"] = [float(time) for time in times]
    header.set_zooms(zooms)
    header.set_xyzt_units(cine.spacing_mm and "mm", None if cine.frame_times_ms is None else "msec")
    if len(own) > 1:
        header.extensions.append(Nifti1Extension(COMMENT, json.dumps(own).encode()))
    content = image.to_bytes()
    if path.suffix.lower() == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)  # no date inside: same images, same file
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def subject_of(path: Path) -> str:
    """File name without `.nii`, `.nii.gz` and the `_4d` of ACDC."""
    return re.sub(r"(_4d)?(\.nii)?(\.gz)?$", "", path.name, flags=re.IGNORECASE) or path.name


def head(path: Path) -> bytes:
    """First 540 bytes (the longest NIfTI header), unzipped where the file is gzipped; fewer if it is damaged."""
    with contextlib.suppress(OSError, EOFError), path.open("rb") as file:
        start = file.read(540)
        if not start.startswith(b"\x1f\x8b"):
            return start
        file.seek(0)
        with contextlib.suppress(Exception), gzip.open(file) as unzipped:  # zlib has errors of its own
            return unzipped.read(540)
    return b""


def is_nifti(start: bytes) -> bool:
    """Tell from the first bytes, see `head`, whether this is a NIfTI file with its images in the same file."""
    return start[344:348] == b"n+1\0" or start[4:8] == b"n+2\0"


def is_single_frame(path: Path) -> bool:
    """Tell whether a sound NIfTI header says that the file holds no more than one frame."""
    start = head(path)
    if not is_nifti(start):
        return False
    with contextlib.suppress(Exception):  # a damaged header says nothing; reading the file will tell
        kind = nibabel.Nifti1Header if start[344:348] == b"n+1\0" else nibabel.Nifti2Header
        shape = kind(start[: kind.template_dtype.itemsize], check=False).get_data_shape()
        return len(shape) < 4 or math.prod(shape[3:]) < 2
    return False


def _load(path: Path) -> tuple[Any, NDArray]:
    start = head(path)
    if not is_nifti(start):
        raise CsmriError(f"{path}: this is no NIfTI file (or a damaged one); {ADVICE}")
    kind = nibabel.Nifti1Image if start[344:348] == b"n+1\0" else nibabel.Nifti2Image
    # From bytes, because nibabel would otherwise trust the suffix more than the content.
    with parsing(path, "a NIfTI file", ADVICE):
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        image: Any = kind.from_stream(io.BytesIO(content))
        return image, np.asanyarray(image.dataobj)


def _spacing_mm(header: Any, own: dict[str, Any], notes: list[str]) -> tuple[float, float, float] | None:
    """(x, y, slice) in mm, or None where the header was lost."""
    zooms = [float(zoom) for zoom in header.get_zooms()[:3]]
    unit = _unit(header, 0)
    if not all(math.isfinite(zoom) and zoom > 0 for zoom in zooms):
        notes.append(f"Pixel spacing is unknown: the header says {zooms}.")
        return None
    if zooms == [1.0, 1.0, 1.0] and "slice_spacing" not in own:
        notes.append("Pixel spacing and orientation are unknown: the header was lost (all zooms are 1).")
        return None
    if unit == "unknown":
        notes.append("The header names no unit of length; the pixel spacing was taken to be in mm.")
    x, y, z = (zoom * MM[unit] for zoom in zooms)
    return x, y, z


def _frame_times_ms(header: Any, own: dict[str, Any], n_frames: int, notes: list[str]) -> NDArray[np.float32] | None:
    """Times (frame,) in ms, or None where the header does not tell."""
    exact = own.get("frame_times_ms")
    if isinstance(exact, list) and len(exact) == n_frames:
        with contextlib.suppress(TypeError, ValueError):  # edited by hand: fall back on the interval
            return np.asarray(exact, np.float32)
    unit = _unit(header, 1)
    step, offset = float(header["pixdim"][4]), float(header["toffset"])
    if unit in MS and PLAUSIBLE_FRAME_MS[0] <= step * MS[unit] <= PLAUSIBLE_FRAME_MS[1] and math.isfinite(offset):
        return ((offset + step * np.arange(n_frames)) * MS[unit]).astype(np.float32)
    notes.append(f"Frame times are unknown: the header says {step:g} with the unit {unit}.")
    return None


def _unit(header: Any, which: int) -> str:
    with contextlib.suppress(KeyError):  # nibabel knows no more codes than the standard
        return header.get_xyzt_units()[which]
    return "unknown"


def _own_comment(header: Any) -> dict[str, Any]:
    """What `write` left in a header extension, or nothing."""
    for extension in header.extensions:
        if extension.get_code() == COMMENT:
            with contextlib.suppress(ValueError, TypeError):  # somebody else's comment
                content = extension.get_content()
                comment = json.loads(content.rstrip("\0") if isinstance(content, str) else content.rstrip(b"\0"))
                if isinstance(comment, dict) and comment.get("writer") == "csmri":
                    return comment
    return {}


def _slice_step_mm(affine: NDArray[np.float64] | None) -> float | None:
    return None if affine is None else float(np.linalg.norm(affine[:3, 2]))


def _acdc_group(path: Path) -> str:
    """Diagnosis from the `Info.cfg` that ACDC puts beside each subject."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        match = re.search(r"^Group:\s*(\w+)", (path.parent / "Info.cfg").read_text("utf-8"), re.MULTILINE)
        return f", ACDC group {match[1]}" if match else ""
    return ""
