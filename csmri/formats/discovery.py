"""What a path holds, told by content, and all cines below a folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

from csmri.core.errors import CsmriError
from csmri.formats import nifti, york
from csmri.formats.dicom.header import is_dicom, series_of
from csmri.formats.parsing import natural_key, parsing, plural

EXPECTED = "a DICOM folder, .nii or .nii.gz (NIfTI), York .mat, or .npz"
# First bytes of files that people give by mistake, and what to say.
STRANGERS = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file",
}


def kind_of(path: Path) -> str:
    """Tell the format of a file from its content.

    Returns
    -------
    str
        "nifti", "york" or "npz".

    Raises
    ------
    CsmriError
        If it is none of these; says what it is instead, as far as that can be told.
    """
    with parsing(path, "a cine", "check the path and its permissions"), path.open("rb") as file:
        start = file.read(540)
    if start.startswith(b"PK\x03\x04"):
        return "npz"
    if start.startswith(b"MATLAB "):
        return "york"
    if nifti.is_nifti(nifti.head(path)):
        return "nifti"
    raise CsmriError(f"{path}: {_what_instead(path, start)}; expected {EXPECTED}")


def find_cines(path: str | Path) -> list[Path]:
    """List the cines at or below a path, `pat2` before `pat10`.

    Parameters
    ----------
    path : path
        A file, a DICOM folder, or a folder of subjects. Hidden files, outlines, label maps (`*_gt`) and single
        volumes are left out; a damaged file with a cine's name stays in, so that reading it tells what is wrong.

    Returns
    -------
    list of Path
        Files and DICOM folders, at least one.

    Raises
    ------
    CsmriError
        If there is nothing at the path, or no cine.
    """
    path = Path(path)
    if not path.exists():
        raise CsmriError(f"{path}: no such file or folder; expected {EXPECTED}")
    if not path.is_dir():
        kind_of(path)
        return [path]
    with parsing(path, "a folder", "check its permissions"):
        cines = _below(path, set())
    if not cines:
        files = [file for file in path.rglob("*") if file.is_file()]
        raise CsmriError(f"{path}: no cine among {plural(len(files), 'file')}; expected {EXPECTED}")
    return sorted(cines, key=natural_key)


def _below(folder: Path, seen: set[Path]) -> list[Path]:
    if folder.resolve() in seen:  # a symbolic link that leads back up
        return []
    seen.add(folder.resolve())
    entries = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=natural_key)
    files = [entry for entry in entries if entry.is_file()]
    if any(is_dicom(file) for file in files):
        return [folder]
    cines = [file for file in files if _is_cine_file(file)]
    deeper = [cine for entry in entries if entry.is_dir() for cine in _below(entry, seen)]
    # A series spread over several folders is one cine: the folder above them.
    if not cines and len(deeper) > 1 and all(cine.is_dir() and cine.parent == folder for cine in deeper):
        if len({series_of(cine) for cine in deeper}) == 1 and series_of(deeper[0]):
            return [folder]
    return cines + deeper


def _is_cine_file(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        labels = name.removesuffix(".gz").removesuffix(".nii").endswith("_gt")
        return not labels and not len(nifti.shape_of(path)) < 4
    if name.endswith(".mat"):
        return york.holds_images(path)
    return name.endswith(".npz") and _holds_record(path)


def _holds_record(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return not {"images.npy", "kspace.npy"}.isdisjoint(archive.namelist())
    except Exception:  # damaged: keep it, reading it tells what is wrong
        return True


def _what_instead(path: Path, start: bytes) -> str:
    if not start:
        return "the file is empty"
    if start.startswith(b"GIF8"):
        return "a GIF is for looking at only (8 bits, windowed) and cannot be read back; give the file it was made of"
    if is_dicom(path):
        return "this is a single DICOM image; give its folder, which holds all slices and frames"
    if start[344:348] == b"ni1\0":
        return "this is half of a two-file NIfTI (.hdr and .img); convert it to .nii.gz"
    if start.startswith(b"\x1f\x8b"):
        return "this is a gzip file without a NIfTI inside, or a damaged one; download or convert it again"
    for magic, what in STRANGERS.items():
        if start.startswith(magic):
            return f"this is {what}"
    if path.name.lower().endswith((".nii", ".mat", ".npz")):
        return f"the name says {path.suffix}, but the content is not that, or damaged; download or convert it again"
    return "this is no format that csmri knows"
