"""NIfTI-1 and NIfTI-2 files, plain or gzipped, with a cine on axes (x, y, slice, frame)."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Extension
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.data.cine import Cine
from csmri.formats.nifti_geometry import affine_mm, frame_times_ms, slice_distance_mm, spacing_mm, without_shears
from csmri.formats.parsing import as_images, parsing, with_sound_surroundings

ADVICE = "download or convert it again"
MOST_LABELS = 8
"""Labels of a segmentation: 3 of ACDC and UK Biobank, 7 of whole hearts."""
EXACT_MM = 0.05
"""Differences of place below this are those of float32 and of rounded headers."""
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
    return read_files((Path(path),))


def read_files(paths: Sequence[Path], name: str = "") -> Cine:
    """Read a cine of one file with all frames, or of one file a frame; `name` is that of the subject, else the file's.

    Raises
    ------
    CsmriError
        As `read`, and if the files differ in size or place.
    """
    path = paths[0]
    notes: list[str] = []
    images, arrays = zip(*(_load(one) for one in paths), strict=True)
    image = images[0]
    if len(paths) > 1:
        if len({array.shape for array in arrays}) > 1 or not all(
            np.allclose(other.affine, image.affine, atol=1e-3) for other in images
        ):
            raise CsmriError(f"{path.parent}: {len(paths)} volumes of different sizes or places; expected one a frame")
        notes.append(f"Joined {len(paths)} volumes, one a frame, in the order of their names.")
        array = np.stack([_without_trivial_axes(one, 3) for one in arrays], axis=-1)
    else:
        array = _with_four_axes(path, _without_trivial_axes(arrays[0], 4), notes)
    header, own = image.header, _own_comment(image.header)
    spacing = spacing_mm(header, own, notes)
    times = frame_times_ms(header, own, array.shape[3], notes) if len(paths) == 1 else None
    is_stack = arrays[0].ndim > 3 or len(paths) > 1
    slice_spacing = spacing[2] if spacing and is_stack and own.get("slice_spacing", "known") == "known" else None
    affine = affine_mm(header, spacing, notes) if spacing else None
    if len(paths) == 1 and is_label_map(array[..., 0]):
        raise CsmriError(f"{path}: a label map (whole numbers up to {MOST_LABELS}) and no cine; give the images")
    values = as_images(array.transpose(2, 3, 1, 0), str(path))
    return Cine(
        images=with_sound_surroundings(values, notes),
        subject=name or subject_of(path),
        spacing_mm=spacing and (spacing[1], spacing[0]),
        slice_spacing_mm=slice_spacing,
        frame_times_ms=times,
        affine=affine,
        provenance=f"{path if len(paths) == 1 else path.parent} (NIfTI{_acdc_group(path)})",
        notes=tuple(notes),
    )


def write(path: str | Path, cine: Cine) -> None:
    """Write the magnitude images as float32 NIfTI-1, gzipped where the name ends in `.gz`.

    Images come back bit for bit, spacing and affine within float32, frame times exactly: the header has room for one
    interval only, so the times go into a header extension of plain text as well. Of slices that are offset sideways the
    sform holds the true place, qform and pixdim what is left without shears; see `misplaced_mm`.

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
    zooms = [1.0, 1.0, 1.0, 1.0]
    if cine.spacing_mm is not None:
        zooms[:2] = cine.spacing_mm[1], cine.spacing_mm[0]
        zooms[2] = cine.slice_spacing_mm or 1.0
        own["slice_spacing"] = "unknown" if cine.slice_spacing_mm is None else "known"
    if cine.affine is not None:
        zooms[:3] = *np.linalg.norm(cine.affine[:3, :2], axis=0), slice_distance_mm(cine.affine)
    if cine.frame_times_ms is not None:
        times = np.asarray(cine.frame_times_ms, np.float32)
        zooms[3] = float((times[-1] - times[0]) / (len(times) - 1))
        header["toffset"] = times[0]
        own["frame_times_ms"] = [float(time) for time in times]
    header.set_zooms(zooms)
    if cine.affine is not None:
        # After the zooms, which set_sform leaves alone and set_qform sets. A quaternion knows no shear, and ITK takes
        # the qform of a sheared image: without one it refuses the file.
        image.set_sform(cine.affine, code="scanner", update_affine=True)
        image.set_qform(without_shears(cine.affine, _volume(cine)), "scanner", strip_shears=True, update_affine=False)
        if (off_mm := misplaced_mm(cine)) > EXACT_MM:
            header["descrip"] = f"sheared: sform is exact, qform up to {off_mm:.2g} mm off".encode()
    header.set_xyzt_units(cine.spacing_mm and "mm", None if cine.frame_times_ms is None else "msec")
    if len(own) > 1:
        header.extensions.append(Nifti1Extension(COMMENT, json.dumps(own).encode()))
    content = image.to_bytes()
    if path.suffix.lower() == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)  # no date inside: same images, same file
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def misplaced_mm(cine: Cine) -> float:
    """Largest distance [mm] between the true place of a pixel and that in the qform, which knows no shears."""
    if cine.affine is None:
        return 0.0
    shape = _volume(cine)
    corners: NDArray[np.float64] = np.array([(*one, 1) for one in np.ndindex(2, 2, 2)]) * (*(n - 1 for n in shape), 1)
    off = corners @ (cine.affine - without_shears(cine.affine, shape)).T
    return float(np.linalg.norm(off[:, :3], axis=1).max())


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


def shape_of(path: Path) -> tuple[int, ...]:
    """Shape (x, y, slice, frame) that a NIfTI header tells, without axes of one at the end; empty if it is damaged."""
    start = head(path)
    with contextlib.suppress(Exception):  # a damaged header says nothing; reading the file will tell
        if is_nifti(start):
            kind = nibabel.Nifti1Header if start[344:348] == b"n+1\0" else nibabel.Nifti2Header
            shape = kind(start[: kind.template_dtype.itemsize], check=False).get_data_shape()
            return tuple(int(n) for n in shape)
    return ()


def is_label_map(volume: NDArray) -> bool:
    """Tell a segmentation from an image: few different whole numbers, from 0 on."""
    if volume.dtype.kind not in "uif" or not volume.size:
        return False
    values = np.unique(volume)
    return 1 < len(values) <= MOST_LABELS + 1 and bool((np.isin(values, np.arange(MOST_LABELS + 1))).all())


def _without_trivial_axes(array: NDArray, n_axes: int) -> NDArray:
    """Take away axes of length 1 beyond (x, y, slice), as vector images and some converters have them."""
    while array.ndim > n_axes:
        trivial = [axis for axis in range(3, array.ndim) if array.shape[axis] == 1]
        if not trivial:
            break
        array = array.squeeze(trivial[-1])
    return array


def _with_four_axes(path: Path, array: NDArray, notes: list[str]) -> NDArray:
    if array.ndim == 3 and array.shape[2] > 1:
        notes.append(
            f"The file has three axes {array.shape}: they were taken as (x, y, frame) of a single slice. If the third "
            "one is the slices, this is one frame and no cine."
        )
        array = array[:, :, np.newaxis]
    if array.ndim != 4:
        raise CsmriError(
            f"{path}: expected the axes (x, y, slice, frame), found {array.ndim} axes {array.shape}; "
            "give the 4-D file that holds all frames"
        )
    return array


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


def _volume(cine: Cine) -> tuple[int, int, int]:
    """Pixels (x, y, slice)."""
    return cine.matrix[1], cine.matrix[0], cine.n_slices


def _acdc_group(path: Path) -> str:
    """Diagnosis from the `Info.cfg` that ACDC puts beside each subject."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        match = re.search(r"^Group:\s*(\w+)", (path.parent / "Info.cfg").read_text("utf-8"), re.MULTILINE)
        return f", ACDC group {match[1]}" if match else ""
    return ""
