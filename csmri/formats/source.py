"""What was found at a place: cines and k-space that can be read, and what was left out and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from csmri.data.cine import Cine
from csmri.data.kspace import KSpace


@dataclass(frozen=True)
class Source:
    """One cine or one measured k-space, found and not yet read.

    Parameters
    ----------
    path : Path
        The file, or the folder of its files, that a person would give to read it.
    files : tuple of Path
        All files that it is made of.
    kind : str
        Its format, as a note would call it, "DICOM".
    identity : str
        Name of the subject as the file tells it, PatientID for example; empty where it does not.
    load : callable
        Reads it.
    study : str
        What tells two examinations apart that claim to be of the same subject; empty where nothing does.
    label : str
        What tells it from others at the same path, "series 5 'SAX cine'"; empty where it is alone there.
    n_slices, n_frames : int, or 0 where that is known only when it is read
    subject : str
        Whose it is, see `subjects.with_subjects`.
    """

    path: Path
    files: tuple[Path, ...]
    kind: str
    identity: str
    load: Callable[[], Cine | KSpace]
    study: str = ""
    label: str = ""
    n_slices: int = 0
    n_frames: int = 0
    subject: str = ""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.path}, {self.label}" if self.label else str(self.path)

    def read(self) -> Cine | KSpace:
        """Read it, under the name of its subject.

        Raises
        ------
        CsmriError
            If it cannot be read; no other exception.
        """
        record = self.load()
        return replace(record, subject=self.subject) if self.subject else record


@dataclass(frozen=True)
class LeftOut:
    """Files that hold no cine, or a damaged one.

    Parameters
    ----------
    path : Path
        The file, or the folder where there are several.
    reason : str
        Why, for people, without the path.
    is_fault : bool
        Whether it should have been a cine: commands go on, name it, and end with another exit code.
    """

    path: Path
    reason: str
    is_fault: bool


@dataclass(frozen=True)
class Found:
    """Everything at or below a place."""

    sources: tuple[Source, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    """What was decided about all of them."""
