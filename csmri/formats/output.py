"""What can be written, under which suffix, and by whom: one line of the table is one format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats import bart, cmrxrecon, dicom, gif, hdf5, mp4, mrd, nifti, npz
from csmri.formats.dicom.anonymise import Anonymiser
from csmri.formats.dicom.derivation import Derivation
from csmri.formats.discovery import find_cines, only
from csmri.formats.nifti_geometry import sideways_mm
from csmri.formats.source import Source


@dataclass(frozen=True)
class Output:
    """A format as it is written.

    Parameters
    ----------
    name : str
        As `--to` and `--format` have it.
    suffixes : tuple of str
        The first is the usual one; none for a folder.
    images, kspace : callable or None
        Writes a Cine, or a KSpace; None where the format cannot hold it.
    """

    name: str
    suffixes: tuple[str, ...]
    images: Callable[..., Any] | None = None
    kspace: Callable[..., Any] | None = None

    @property
    def is_dicom(self) -> bool:
        """Whether it is a folder of DICOM images."""
        return self.name in (DICOM, ENHANCED)

    def holds(self, kind: type[Cine] | type[KSpace]) -> bool:
        """Whether records of a kind can be written so."""
        return (self.kspace if kind is KSpace else self.images) is not None


DICOM, ENHANCED, NIFTI = "dicom", "dicom-enhanced", "nifti"
NOTED_MM = 0.1
"""A place that is less off is worth no note: a pixel has more than 1 mm."""
UNEVEN = ("not evenly spaced", "not at equal distances")
"""Words of the notes by which readers of DICOM and of raw data tell of uneven slices."""
OUTPUTS = {
    output.name: output
    for output in (
        Output("npz", (".npz",), npz.write, npz.write),
        Output(NIFTI, (".nii.gz", ".nii"), nifti.write),
        Output("ismrmrd", (".h5", ".mrd"), None, mrd.write),
        Output("hdf5", (".h5", ".hdf5"), hdf5.write, hdf5.write),
        Output("cmrxrecon", (".mat",), None, cmrxrecon.write),
        Output("bart", (".cfl",), None, bart.write),
        Output("gif", (".gif",), gif.write),
        Output("mp4", (".mp4",), mp4.write),
        Output(DICOM, (), dicom.write),
        Output(ENHANCED, (), dicom.write),
    )
}
"""By name; where two share a suffix the first that holds the record is meant."""


def names_for(kind: type[Cine] | type[KSpace]) -> list[str]:
    """Formats that hold a kind of record."""
    return [output.name for output in OUTPUTS.values() if output.holds(kind)]


def output_of(path: str | Path, kind: type[Cine] | type[KSpace] = Cine, *, to: str | None = None) -> Output:
    """Tell how a path would be written, before any work is done.

    Parameters
    ----------
    path : path
        Without `to`, its suffix decides; images go to a name without suffix as a folder of DICOM images.
    kind : type
        Cine or KSpace.
    to : str, optional
        Name of a format.

    Raises
    ------
    CsmriError
        If nothing tells the format, it cannot hold the record, or the path is a folder where a file would be, or a file
        or full folder where a folder would be.
    """
    name = Path(path).name.lower()
    named = [one for one in OUTPUTS.values() if any(name.endswith(end) and name != end for end in one.suffixes)]
    if to is not None:
        if to not in OUTPUTS or not OUTPUTS[to].holds(kind):
            raise CsmriError(f"{to}: expected a format for {_what(kind)}: {', '.join(names_for(kind))}")
        output = OUTPUTS[to]
        if output.suffixes and output not in named:
            raise CsmriError(f"{path}: expected a name that ends in {' or '.join(output.suffixes)} for {to}")
    else:
        fitting = [one for one in named if one.holds(kind)]
        if named and not fitting:
            wanted = ", ".join(
                dict.fromkeys(end for one in OUTPUTS.values() if one.holds(kind) for end in one.suffixes)
            )
            advice = "; reconstruct it to write images" if kind is KSpace else ""
            raise CsmriError(f"{path}: {_what(kind)} is written as {wanted}{advice}")
        if not fitting and (kind is KSpace or Path(path).suffix):
            raise CsmriError(_no_format(path, kind))
        output = fitting[0] if fitting else OUTPUTS[DICOM]
    if output.suffixes and Path(path).is_dir():
        raise CsmriError(f"{path}: is a folder; give the name of a file to write")
    if output.is_dicom and Path(path).exists() and (not Path(path).is_dir() or any(Path(path).iterdir())):
        raise CsmriError(f"{path}: is a file or holds files; choose an empty or new folder for the DICOM series")
    return output


def check_place(output: Output, record: Cine | KSpace, like: Source | None) -> None:
    """Refuse, before any work is done, DICOM of images of which nobody knows the size.

    Raises
    ------
    CsmriError
    """
    if output.is_dicom and (like is None or like.kind != "DICOM"):
        dicom.affine_lps(record)


def notes_of(output: Output, record: Cine | KSpace) -> list[str]:
    """Say in whole sentences what a format does not keep of the place of slices; nothing where it keeps all."""
    if output.name != NIFTI or not isinstance(record, Cine) or record.affine is None or record.n_slices < 2:
        return []
    notes = []
    if sideways_mm(record.affine) and (off_mm := nifti.misplaced_mm(record)) > NOTED_MM:
        notes.append(
            f"Slices are offset sideways by {sideways_mm(record.affine):.2g} mm from one to the next: NIfTI readers "
            f"that ignore shears (SimpleITK, ITK-SNAP) place them up to {off_mm:.2g} mm off; DICOM keeps the place."
        )
    if record.slice_spacing_mm is None or any(told in note for note in record.notes for told in UNEVEN):
        step_mm = float(np.linalg.norm(record.affine[:3, 2]))
        notes.append(
            f"The slices lie at uneven distances, or at distances that are not known: NIfTI has one step for all, "
            f"{step_mm:.4g} mm, and slices behind a gap are placed wrongly; a DICOM series that was read keeps its "
            "places when it is written as DICOM."
        )
    return notes


def write(
    path: str | Path,
    record: Cine | KSpace,
    *,
    to: str | None = None,
    like: Source | str | Path | None = None,
    derivation: Derivation | None = None,
    anonymiser: Anonymiser | None = None,
) -> None:
    """Write a record; the file, or the folder of DICOM images, appears whole or not at all.

    Parameters
    ----------
    path : path
        Its suffix tells the format unless `to` does: `.npz` (everything), `.nii`, `.nii.gz` (magnitude and geometry),
        `.h5` (images: csmri's own layout; k-space: ISMRMRD), `.gif`, `.mp4` (to look at), `.mat`, `.cfl` (k-space).
        Missing folders are created.
    record : Cine or KSpace
    to : str, optional
        A format of `OUTPUTS`: "dicom" and "dicom-enhanced" write a folder.
    like : Source or path, optional
        DICOM that the images were made of: patient, study and geometry of the DICOM that is written.
    derivation : Derivation, optional
        How they were made, for DICOM.
    anonymiser : Anonymiser, optional
        Takes out of DICOM who it is.

    Raises
    ------
    CsmriError
        If the format is unknown, does not hold the record, or the place cannot be written to.
    """
    if not isinstance(record, Cine | KSpace):
        raise CsmriError(
            f"{path}: expected a Cine or a KSpace to write, got {type(record).__name__}; make one of arrays"
        )
    output = output_of(path, type(record), to=to)
    if output.is_dicom and isinstance(record, Cine):
        if isinstance(like, str | Path):
            like = only(find_cines(like), Path(like))
        stack = dicom.stack_of(like) if like is not None and like.kind == "DICOM" else None
        dicom.write(
            path,
            record,
            like=stack,
            derivation=derivation,
            enhanced=output.name == ENHANCED,
            anonymiser=anonymiser,
        )
        return
    if anonymiser is not None:
        raise CsmriError(f"{path}: only DICOM holds what is to be taken out; write with --to dicom")
    writer = output.kspace if isinstance(record, KSpace) else output.images
    assert writer is not None
    writer(path, record)


def _what(kind: type[Cine] | type[KSpace]) -> str:
    return "k-space" if kind is KSpace else "a cine"


def _no_format(path: str | Path, kind: type[Cine] | type[KSpace]) -> str:
    suffixes = dict.fromkeys(end for one in OUTPUTS.values() if one.holds(kind) for end in one.suffixes)
    folder = "; a name without suffix is a folder of DICOM images" if kind is Cine else ""
    return f"{path}: cannot tell the format to write; end the name in {', '.join(suffixes)}{folder}"
