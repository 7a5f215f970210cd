"""DICOM folders of a cine: what goes in, and the files whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csmri.core.errors import CsmriError
from csmri.core.files import replacing_folder
from csmri.data.cine import Cine
from csmri.formats.dicom import classic, enhanced_write
from csmri.formats.dicom.anonymise import Anonymiser
from csmri.formats.dicom.derivation import Derivation, Series, content_of
from csmri.formats.dicom.header import quiet_pydicom
from csmri.formats.dicom.origin import origins
from csmri.formats.dicom.stack import Stack
from csmri.formats.dicom.values import scale_of


def write(
    folder: str | Path,
    cine: Cine,
    *,
    like: Stack | None = None,
    derivation: Derivation | None = None,
    enhanced: bool = False,
    anonymiser: Anonymiser | None = None,
) -> list[Path]:
    """Write the magnitude as a DICOM series of its own; the folder appears whole or not at all.

    The same cine, `like` and options give the same UIDs. "Not for diagnosis." stands in every file.

    Parameters
    ----------
    folder : path
        New or empty.
    cine : Cine
        Rescaled values come back within half a step of the 16 bits. The slope of `like` is kept where it holds them.
    like : Stack, optional
        The DICOM images that the cine was made of, in its order. Person, study, scanner, geometry, times and instance
        numbers are theirs. Without them there is a study of its own, and `cine.subject` is the patient's ID.
    derivation : Derivation, optional
        Method and acceleration for the description of the series.
    enhanced : bool
        One multi-frame file (Enhanced MR Image Storage) instead of one file an image (MR Image Storage).
    anonymiser : Anonymiser, optional
        De-identifies what is written, UIDs included.

    Returns
    -------
    list of Path
        The files, slice by slice.

    Raises
    ------
    CsmriError
        If the folder holds files, `like` does not fit the cine, the geometry is unknown, or nothing can be written.
    """
    folder, derivation = Path(folder), derivation or Derivation()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CsmriError(f"{folder}: is a file or holds files; choose an empty or new folder for the DICOM series")
    with quiet_pydicom():
        found, magnitude = origins(cine, like), cine.magnitude
        scale, pixels = scale_of(magnitude, found), np.ascontiguousarray(magnitude).tobytes()
        content = content_of(found, derivation, scale, pixels, "enhanced" if enhanced else "classic")
        series = Series(found, scale, derivation, content, anonymiser)
        names = []
        with replacing_folder(folder) as temporary:
            for name, dataset in (enhanced_write if enhanced else classic).images(cine, series):
                dataset.save_as(temporary / name, enforce_file_format=True)
                names.append(name)
    return [folder / name for name in names]
