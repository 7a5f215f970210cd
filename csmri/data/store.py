"""The prepared data set: one TFRecord shard per subject and a manifest with shapes, scale, split and sha256."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri import __version__
from csmri.core.errors import CsmriError
from csmri.core.files import replacing_folder, sha256_of
from csmri.core.locks import locked
from csmri.core.provenance import without_absolute_paths
from csmri.core.texts import write_json
from csmri.data.cine import Cine, Outlines
from csmri.data.extent import Extent
from csmri.data.pseudonyms import Pseudonyms
from csmri.data.roi import Box, heart_box, heart_box_notes
from csmri.data.shard import read_slices, slice_offsets, write_shard

MANIFEST = "manifest.json"
FORMAT = 2
"""2: complex images are kept, `Entry.complex` tells. 1, which is still read: all are magnitudes."""
READABLE = (1, FORMAT)


@dataclass(frozen=True)
class Entry:
    """One subject of a store."""

    subject: str
    split: str
    shard: str
    sha256: str
    n_slices: int
    n_frames: int
    matrix: tuple[int, int]
    """Pixels (y, x)."""
    scale: float
    """Multiplies the stored values, which lie in [0, 1], back to the units of the file that was read."""
    heart_box: Box
    spacing_mm: tuple[float, float] | None
    provenance: str
    notes: tuple[str, ...]
    complex: bool = False
    """Whether the shard holds complex64 images, of which the magnitude lies in [0, 1]."""
    extent: Extent | None = None
    """How far the signal reaches along ky; None where it was not measured, as in older stores."""

    @classmethod
    def planned(cls, subject: str, split: str, n_slices: int, n_frames: int, matrix: tuple[int, int]) -> Entry:
        """Entry of a subject that is still to be prepared: all that a plan needs to know of it."""
        return cls(subject, split, "", "", n_slices, n_frames, matrix, 1.0, Box(0, 0, *matrix), None, "", ())

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Entry:
        """Entry of its fields, as JSON has them."""
        spacing, extent = fields["spacing_mm"], fields.get("extent")
        return cls(
            **{
                **fields,
                "matrix": tuple(fields["matrix"]),
                "heart_box": Box(*fields["heart_box"]),
                "spacing_mm": tuple(spacing) if spacing else None,
                "notes": tuple(fields["notes"]),
                "extent": Extent.of(extent) if extent else None,
            }
        )


@dataclass(frozen=True)
class Store:
    """An opened store; `entries` in order of preparation."""

    path: Path
    entries: tuple[Entry, ...]

    @property
    def sha256(self) -> str:
        """Identity of the data: of which subjects with which shards stand in which split."""
        return hashlib.sha256("".join(f"{e.split} {e.sha256}\n" for e in self.entries).encode()).hexdigest()

    def of_split(self, split: str) -> tuple[Entry, ...]:
        """Subjects of one split; refused if there are none."""
        entries = tuple(entry for entry in self.entries if entry.split == split)
        if not entries:
            present = ", ".join(sorted({entry.split for entry in self.entries}))
            raise CsmriError(f"{self.path}: no subject in split {split!r}; the store has {present}")
        return entries

    def shard(self, entry: Entry) -> str:
        """Path of a subject's shard."""
        return str(self.path / entry.shard)

    def offsets(self, entry: Entry) -> list[int]:
        """Where the record of every slice begins in a subject's shard [bytes], for `record_at`."""
        return slice_offsets(self.shard(entry))

    def slices(self, entry: Entry) -> Iterator[NDArray[Any]]:
        """Slices (frame, y, x) of one subject, from base to apex as in the file that was read.

        Magnitudes in [0, 1], or complex64 of such a magnitude where `entry.complex` says so.
        """
        return read_slices(self.shard(entry), as_complex=entry.complex)


def extents_of(entries: Iterable[Entry]) -> dict[str, dict[str, Any]]:
    """Subject -> its extent along ky, as evaluation.json and study.json keep it, where it was measured."""
    return {entry.subject: asdict(entry.extent) for entry in entries if entry.extent}


class StoreWriter:
    """Context manager that collects subjects beside `path` and puts the store in place only when all went well.

    No absolute path gets into the store. With `pseudonyms`, neither name nor file of a subject do: entries have the
    pseudonym for subject and shard, no provenance, and no note of the reader's, which may name files.
    """

    partial: Path
    """Where the store lies while it is written; what else belongs to it may be put there."""

    def __init__(self, path: str | Path, pseudonyms: Pseudonyms | None = None) -> None:
        self.path = Path(path)
        self.pseudonyms = pseudonyms
        self._entries: list[Entry] = []
        self._whole = self._written_whole()

    def __enter__(self) -> StoreWriter:
        return self._whole.__enter__()

    def __exit__(self, *raised: Any) -> bool | None:
        return self._whole.__exit__(*raised)

    @contextlib.contextmanager
    def _written_whole(self) -> Iterator[StoreWriter]:
        with locked(self.path):
            if self.path.exists():
                raise CsmriError(f"{self.path}: exists already; remove it or choose another name for the store")
            with replacing_folder(self.path) as self.partial:
                yield self
                manifest = {"format": FORMAT, "csmri": __version__, "entries": [asdict(one) for one in self._entries]}
                write_json(self.partial / MANIFEST, manifest)

    def add(self, cine: Cine, split: str, outlines: Outlines | None = None, *, extent: Extent | None = None) -> Entry:
        """Write one subject's shard; the heart box comes from outlines where there are some, else from motion.

        `extent` is what `physics.extent` measures of the cine along y; it is kept in the entry.
        """
        subject = self.pseudonyms.of(cine.subject) if self.pseudonyms else cine.subject
        self._refuse_twice(subject, f"{cine.provenance}: subject {cine.subject!r}")
        shard = self.partial / self._shard(subject)
        entry = write_subject(
            shard, cine, split, outlines, subject=subject, extent=extent, is_hidden=self.pseudonyms is not None
        )
        return self._kept(entry, shard.name)

    def take(self, entry: Entry, written: Path, *, where: str) -> Entry:
        """Take a subject whose shard `write_subject` has written elsewhere; it stays there, too.

        Parameters
        ----------
        where : str
            What was read and who it is, for people.
        """
        self._refuse_twice(entry.subject, where)
        shard = self._shard(entry.subject)
        try:
            os.link(written, self.partial / shard)
        except OSError:  # not every disk can
            shutil.copyfile(written, self.partial / shard)
        return self._kept(entry, shard)

    def _kept(self, entry: Entry, shard: str) -> Entry:
        told = tuple(map(without_absolute_paths, entry.notes))
        entry = replace(entry, shard=shard, provenance=without_absolute_paths(entry.provenance), notes=told)
        self._entries.append(entry)
        return entry

    def _refuse_twice(self, subject: str, where: str) -> None:
        if any(subject == entry.subject for entry in self._entries):
            raise CsmriError(f"{where} was added already from another file")

    def _shard(self, subject: str) -> str:
        """File name for a subject: its name where that can be one (a DICOM patient ID may hold anything)."""
        if re.fullmatch(r"\w[\w.-]{0,99}", subject, re.ASCII):
            return f"{subject}.tfrecord"
        return f"subject {len(self._entries)}.tfrecord"  # with a blank, which no name above has


def write_subject(
    path: Path,
    cine: Cine,
    split: str,
    outlines: Outlines | None = None,
    *,
    subject: str,
    extent: Extent | None = None,
    is_hidden: bool = False,
) -> Entry:
    """Write one subject's shard, under the name that the store has for the subject.

    Parameters
    ----------
    outlines, extent
        As `StoreWriter.add` has them.
    is_hidden : bool
        Whether provenance and the reader's notes, which may name somebody, are left out of the entry. They may hold
        absolute paths, which `StoreWriter` shortens.
    """
    magnitude = cine.magnitude
    scale = float(magnitude.max())
    write_shard(path, cine.images if cine.is_complex else magnitude, subject, scale=scale)
    box = heart_box(magnitude, outlines, spacing_mm=cine.spacing_mm)
    told = () if is_hidden else cine.notes
    return Entry(
        subject=subject,
        split=split,
        shard=path.name,
        sha256=sha256_of(path),
        n_slices=cine.n_slices,
        n_frames=cine.n_frames,
        matrix=cine.matrix,
        scale=scale,
        heart_box=box,
        spacing_mm=cine.spacing_mm,
        provenance="" if is_hidden else cine.provenance,
        notes=(*told, *_phase_note(cine), *_blank_notes(magnitude), *_box_notes(box, magnitude, outlines)),
        complex=cine.is_complex,
        extent=extent,
    )


def open_store(path: str | Path) -> Store:
    """Open a store and check that every shard is what was written.

    Raises
    ------
    CsmriError
        If the folder is no store, or a shard is missing or was altered.
    """
    path = Path(path)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] not in READABLE:
            expected = " or ".join(map(str, READABLE))
            raise CsmriError(
                f"{path}: store format {manifest['format']}, expected {expected}; run `csmri prepare` again"
            )
        entries = tuple(Entry.of(fields) for fields in manifest["entries"])
    except OSError as error:
        raise CsmriError(
            f"{path}: not a prepared store ({MANIFEST}: {error.strerror}); `csmri prepare` makes one"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CsmriError(f"{path / MANIFEST}: damaged ({error!r}); run `csmri prepare` again") from error
    for entry in entries:
        shard = path / entry.shard
        if not shard.is_file():
            raise CsmriError(f"{shard}: missing from the store; run `csmri prepare` again")
        if sha256_of(shard) != entry.sha256:
            raise CsmriError(
                f"{shard}: was altered since it was written (sha256 differs from {MANIFEST}); run `csmri prepare` again"
            )
    return Store(path, entries)


def _box_notes(box: Box, magnitude: NDArray[np.float32], outlines: Outlines | None) -> list[str]:
    n_outlined = len(outlines.endocardium.keys() | outlines.epicardium.keys()) if outlines else 0
    if n_outlined:
        return [f"The heart box is centred on the outlines of {n_outlined} images."]
    return heart_box_notes(box, magnitude)


def _phase_note(cine: Cine) -> list[str]:
    if not cine.is_complex:
        return []
    return ["The images are complex: their phase is kept, and k-space is simulated with it."]


def _blank_notes(magnitude: NDArray[np.float32]) -> list[str]:
    blank = np.logical_not(magnitude.any(axis=(2, 3)))
    slices = [f"Slice {index} is blank; it has no quality." for index in np.flatnonzero(blank.all(axis=1))]
    frames = np.argwhere(blank & ~blank.all(axis=1, keepdims=True))
    return [*slices, *(f"Slice {index}, frame {frame} is blank; it has no NMSE." for index, frame in frames)]
