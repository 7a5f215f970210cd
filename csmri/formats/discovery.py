"""What lies at a place: one decider for every command of what is a cine, what is k-space, and what is neither."""

from __future__ import annotations

import functools
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats import arrays, bart, cmrxrecon, dicom, hdf5, matlab, mrd, nifti, npz, twix, volumes, york
from csmri.formats.axes import check_axes
from csmri.formats.dicom.header import is_dicom
from csmri.formats.hdf5_file import describe
from csmri.formats.parsing import natural_key, parsing, plural
from csmri.formats.source import Found, LeftOut, Source
from csmri.formats.subjects import with_subjects

EXPECTED = "a DICOM folder, NIfTI, MATLAB, NumPy, HDF5, ISMRMRD, BART or Siemens twix (docs/data.md lists all)"
PICTURE = "pictures are not read, they have lost the range of values; give the DICOM or NIfTI"
# First bytes of files that people give by mistake, and what to say.
STRANGERS = {
    b"\xff\xd8\xff": f"a JPEG picture: {PICTURE}",
    b"\x89PNG": f"a PNG picture: {PICTURE}",
    b"%PDF": "a PDF document",
    b"NRRD": "an NRRD file: convert it to .nii.gz, with 3D Slicer or SimpleITK for example",
}
OWN_SUFFIXES = (*(".nii", ".nii.gz", ".mat", ".npz", ".npy", ".h5", ".hdf5", ".mrd", ".dcm", ".ima", ".cfl"),)
"""Of files that should be a cine: one of another content is damaged."""
MASK_NAMES = ("mask",)
TRUTH = "_truth.npz"
"""End of the name of what `csmri simulate` leaves beside k-space."""

Reader = Callable[[Path], Cine | KSpace]


def find_cines(*places: str | Path, axes: str | None = None, subject_from: str = "auto") -> Found:
    """Find all cines and k-space at or below places, `pat2` before `pat10`, without reading their images.

    Parameters
    ----------
    places : path
        Files or folders. Hidden files are passed over.
    axes : str, optional
        Axes of arrays that do not name them, see `axes.as_stack`.
    subject_from : str
        See `subjects.with_subjects`.

    Returns
    -------
    Found
        With at least one source, or one damaged file. What is no cine (outlines, label maps, pictures, reports) is left
        out with a reason.

    Raises
    ------
    CsmriError
        If there is nothing at a place, or nothing that could be a cine.
    """
    check_axes(axes)
    sources: list[Source] = []
    left_out: list[LeftOut] = []
    for place in map(Path, places):
        found, without = _at(place, axes)
        known = {source.files for source in sources}
        sources += [source for source in found if source.files not in known]
        left_out += without
    named, notes = with_subjects(sources, subject_from)
    return Found(tuple(named), tuple(left_out), tuple(notes))


def find_among(files: Sequence[Path], root: Path, *, axes: str | None = None) -> Found:
    """Find the cines that some files are, or are made of, as `find_cines` does below `root`, but their subjects."""
    sources, left_out = _among(files, root, axes)
    return Found(tuple(sources), tuple(left_out))


def read_only(place: Path, *, axes: str | None = None) -> Cine | KSpace:
    """Read the one cine or k-space of a place; refuses several.

    Raises
    ------
    CsmriError
        If there is none, several, or it cannot be read.
    """
    found = find_cines(place, axes=axes)
    return only(found, place).read()


def only(found: Found, place: Path) -> Source:
    """The one source found at a place.

    Raises
    ------
    CsmriError
        If there is none or several, which are listed.
    """
    if len(found.sources) == 1:
        return found.sources[0]
    if not found.sources:
        fault = next(left for left in found.left_out if left.is_fault)
        raise CsmriError(f"{fault.path}: {fault.reason}")
    listed = [f"{one.place}{_size(one)}" for one in found.sources]
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    most = max(one.n_slices for one in found.sources)
    stacks = [text for text, one in zip(listed, found.sources, strict=True) if one.n_slices == most > 1]
    hint = f"; the short-axis stack is probably {stacks[0]}" if len(stacks) == 1 else ""
    raise CsmriError(
        f"{place}: holds {len(listed)} cines: {', '.join(listed[:4])}{more}{hint}; give one of them, or copy its files "
        "to a folder of their own"
    )


def _size(source: Source) -> str:
    return f" ({plural(source.n_slices, 'slice')} x {plural(source.n_frames, 'frame')})" if source.n_slices else ""


def _at(place: Path, axes: str | None) -> tuple[list[Source], list[LeftOut]]:
    if place.is_dir():
        with parsing(place, "a folder", "check its permissions"):
            files = list(_files_below(place, set()))
        sources, left_out = _among(files, place, axes)
        if not sources and not any(left.is_fault for left in left_out):
            raise CsmriError(
                f"{place}: no cine among {plural(len(files), 'file')}{_why(left_out)}; expected {EXPECTED}"
            )
        return sources, left_out
    if bart.is_bart(place):
        return [_source(place, "BART", bart.read)], []
    if not place.exists():
        raise CsmriError(f"{place}: no such file or folder; expected {EXPECTED}")
    with parsing(place, "a cine", "check the path and its permissions"), place.open("rb") as file:
        file.read(1)
    if is_dicom(place):
        sources, left_out = dicom.find_sources([place], place.parent)
        if not sources:
            raise CsmriError(
                f"{place}: this is a single DICOM image; give its folder, which holds all slices and frames"
                if not any(left.is_fault for left in left_out)
                else f"{place}: {left_out[0].reason}"
            )
        return sources, left_out
    found = _recognised(place, axes)
    if isinstance(found, LeftOut):
        raise CsmriError(f"{place}: {found.reason}; expected {EXPECTED}")
    return [found], []


def _files_below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    if folder.resolve() in seen:  # a symbolic link that leads back up
        return
    seen.add(folder.resolve())
    entries = sorted((one for one in folder.iterdir() if not one.name.startswith(".")), key=natural_key)
    yield from (entry for entry in entries if entry.is_file() or (entry.is_symlink() and not entry.exists()))
    for entry in entries:
        if entry.is_dir():
            yield from _files_below(entry, seen)


def _among(files: Sequence[Path], root: Path, axes: str | None) -> tuple[list[Source], list[LeftOut]]:
    dead = [LeftOut(path, "a symbolic link to what is not there", True) for path in files if not path.exists()]
    files = [path for path in files if path.exists()] if dead else files
    images = {path for path in files if is_dicom(path)}
    # All files: beside DICOM, one that is damaged beyond its first bytes may be missing in a stack.
    sources, left_out = dicom.find_sources(files, root) if images else ([], [])
    images |= {left.path for left in left_out} | {path for source in sources for path in source.files}
    others = [path for path in files if path not in images]
    niftis = [path for path in others if nifti.is_nifti(nifti.head(path))]
    found, without = volumes.find_sources(niftis)
    taken = set(niftis)
    sources, left_out = [*sources, *found], [*left_out, *without]
    stems = {(path.parent, path.name.split(".")[0]) for path in others}
    for path in others:
        if path.name.endswith(TRUTH) and (path.parent, path.name.removesuffix(TRUTH)) in stems:
            left_out.append(LeftOut(path, "the truth of the simulated k-space beside it", False))
            continue
        if path in taken or path.name.lower().endswith(".hdr"):
            continue
        one = _recognised(path, axes)
        if isinstance(one, Source):
            sources.append(one)
        elif path.name.upper() != "DICOMDIR":
            left_out.append(one)
    return sorted(sources, key=lambda source: natural_key(source.path)), [*dead, *left_out]


def _recognised(path: Path, axes: str | None) -> Source | LeftOut:
    """Tell the format of a file that is not DICOM from its content."""
    try:
        with path.open("rb") as file:
            start = file.read(540)
    except OSError as error:
        return LeftOut(path, f"cannot be opened ({error.strerror}); check its permissions", True)
    # A file of masks holds no k-space; which arrays a file holds is told only when it is read.
    if start[:6] == b"MATLAB" and any(name in path.stem.lower() for name in MASK_NAMES):
        return LeftOut(path, "the mask of k-space", False)
    for kind, fits, reader in _formats(axes):
        if fits(path, start):
            return _source(path, kind, reader)
    return _stranger(path, start)


def _formats(axes: str | None) -> Iterable[tuple[str, Callable[[Path, bytes], bool], Reader]]:
    """Formats of one file, by content; the first that fits."""
    return (
        ("NIfTI", lambda path, start: nifti.is_nifti(nifti.head(path)), nifti.read),
        ("York", lambda path, start: start.startswith(b"MATLAB 5.0") and york.holds_images(path), york.read),
        (
            "MATLAB k-space",
            lambda path, start: start.startswith(b"MATLAB 5.0") and matlab.is_matlab_kspace(path),
            matlab.read,
        ),
        (
            "MATLAB",
            lambda path, start: start.startswith(b"MATLAB 5.0") and not york.holds_outlines(path),
            functools.partial(arrays.read_matlab, axes=axes),
        ),
        ("MATLAB 7.3", lambda path, start: cmrxrecon.is_cmrxrecon(path), functools.partial(_read_matlab73, axes=axes)),
        ("ISMRMRD", lambda path, start: mrd.is_mrd(path), mrd.read),
        ("HDF5", lambda path, start: hdf5.is_hdf5(path), hdf5.read),
        (
            "NPZ",
            lambda path, start: start.startswith(b"PK\x03\x04") and _is_record(path),
            functools.partial(npz.read, axes=axes),
        ),
        ("NumPy", lambda path, start: start.startswith(b"\x93NUMPY"), functools.partial(arrays.read_npy, axes=axes)),
        ("twix", lambda path, start: twix.is_twix(path), twix.read),
        ("BART", lambda path, start: bart.is_bart(path), bart.read),
    )


def _read_matlab73(path: Path, axes: str | None) -> Cine | KSpace:
    if any(cmrxrecon.KSPACE.fullmatch(name) for name in describe(path)):
        return cmrxrecon.read(path)
    return arrays.read_matlab73(path, axes=axes)


def _source(path: Path, kind: str, reader: Reader) -> Source:
    return Source(path, (path,), kind, path.name.split(".")[0] or path.name, functools.partial(reader, path))


def _is_record(path: Path) -> bool:
    """Whether an archive holds a cine, or is damaged: reading it tells what is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            return not {"images.npy", "kspace.npy"}.isdisjoint(archive.namelist())
    except Exception:
        return path.name.lower().endswith(".npz")


def _stranger(path: Path, start: bytes) -> LeftOut:
    """What a file is that is no cine; a fault where its name says that it should be one."""
    is_fault = path.name.lower().endswith(OWN_SUFFIXES)
    if not start:
        return LeftOut(path, "the file is empty", is_fault)
    if start.startswith(b"GIF8"):
        return LeftOut(
            path,
            "a GIF is for looking at only (8 bits, windowed) and cannot be read back; give the file it was made of",
            False,
        )
    if start.startswith(b"PK\x03\x04"):
        return _about_archive(path)
    if start.startswith(b"MATLAB 5.0"):
        return LeftOut(path, "manual outlines", False)
    if start[344:348] == b"ni1\0":
        return LeftOut(path, "this is half of a two-file NIfTI (.hdr and .img); convert it to .nii.gz", is_fault)
    if start.startswith(b"\x1f\x8b"):
        return LeftOut(
            path, "this is a gzip file without a NIfTI inside, or a damaged one; download or convert it again", is_fault
        )
    for magic, what in STRANGERS.items():
        if start.startswith(magic):
            return LeftOut(path, f"this is {what}", is_fault)
    if is_fault:
        suffix = path.suffix
        return LeftOut(
            path, f"the name says {suffix}, but the content is not that, or damaged; download or convert it again", True
        )
    return LeftOut(path, "this is no format that csmri knows", False)


def _about_archive(path: Path) -> LeftOut:
    names: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            images = any(archive.open(name).read(132)[128:] == b"DICM" for name in names[:20])
    except Exception:  # damaged, or locked by a password
        is_fault = path.name.lower().endswith((".zip", *OWN_SUFFIXES))
        return LeftOut(path, "a zip archive that cannot be opened; unpack it, or download it again", is_fault)
    if images:
        return LeftOut(
            path, f"a zip of DICOM images ({plural(len(names), 'file')}); unzip it and give the folder", True
        )
    if all(name.endswith(".npy") for name in names):
        found = ", ".join(name.removesuffix(".npy") for name in sorted(names)[:8]) or "nothing"
        return LeftOut(path, f"expected either `images` or `kspace` and `mask`, found {found}", False)
    # Office documents and networks of Keras are zip archives, too, and nobody misses them among cines.
    is_fault = any(name.lower().endswith(OWN_SUFFIXES) for name in names)
    return LeftOut(path, f"a zip archive ({plural(len(names), 'file')}); unzip it and give the folder", is_fault)


def _why(left_out: Sequence[LeftOut]) -> str:
    """The commonest reasons, for a folder without any cine."""
    counts = Counter(left.reason for left in left_out)
    return "".join(f"; {plural(count, 'file')}: {reason}" for reason, count in counts.most_common(2))
