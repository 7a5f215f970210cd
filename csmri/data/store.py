"""The prepared data set: one TFRecord shard per subject and a manifest with shapes, scale, split and sha256."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from csmri import __version__
from csmri.config import Split
from csmri.core.errors import CsmriError
from csmri.core.files import replacing_folder
from csmri.core.locks import locked
from csmri.core.provenance import without_absolute_paths
from csmri.core.texts import read_toml, write_json
from csmri.data.cine import Cine, Outlines
from csmri.data.extent import Extent
from csmri.data.pseudonyms import Pseudonyms
from csmri.data.roi import Box, heart_box, heart_box_notes

MANIFEST = "manifest.json"
FORMAT = 2
"""2: complex images are kept, `Entry.complex` tells. 1, which is still read: all are magnitudes."""
READABLE = (1, FORMAT)
COMPLEX = "complex"
"""Feature of a record that says that its images are."""
READ_BYTES = 65536
"""Read at once: more only for what is longer, since most of a buffer is thrown away with one record."""
SPLITS: tuple[str, ...] = get_args(Split)


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
        offsets = []
        with Path(self.shard(entry)).open("rb") as shard:
            # A record of a TFRecord file: the size of the data (8 bytes), a checksum (4), the data, a checksum (4).
            while size := shard.read(8):
                offsets.append(shard.tell() - 8)
                shard.seek(4 + int.from_bytes(size, "little") + 4, os.SEEK_CUR)
        return offsets

    def slices(self, entry: Entry) -> Iterator[NDArray[Any]]:
        """Slices (frame, y, x) of one subject, from base to apex as in the file that was read.

        Magnitudes in [0, 1], or complex64 of such a magnitude where `entry.complex` says so.
        """
        for record in tf.data.TFRecordDataset(self.shard(entry)):
            yield parse_slice(record, as_complex=entry.complex).numpy()


def extents_of(entries: Iterable[Entry]) -> dict[str, dict[str, Any]]:
    """Subject -> its extent along ky, as evaluation.json and study.json keep it, where it was measured."""
    return {entry.subject: asdict(entry.extent) for entry in entries if entry.extent}


def read_split(path: str | Path) -> dict[str, str]:
    """Read which subject belongs to which split from TOML such as `train = ["patient061", ...]`.

    Raises
    ------
    CsmriError
        If a split is unknown, a subject stands in two, or the file is not of this form.
    """
    return splits_of(read_toml(path, "split"), where=str(path))


def splits_of(split: Mapping[str, Any], *, where: str) -> dict[str, str]:
    """Turn lists of subjects by their split into the split of every subject; `where` names their source in errors."""
    split_of: dict[str, str] = {}
    if not isinstance(split, Mapping):
        raise CsmriError(f"{where}: expected lists of subject names by {', '.join(SPLITS)}; found {split!r:.100}")
    for name, subjects in split.items():
        if (
            name not in SPLITS
            or not isinstance(subjects, list | tuple)
            or not all(isinstance(s, str) for s in subjects)
        ):
            raise CsmriError(f"{where}: expected lists of subject names under {', '.join(SPLITS)}; found {name!r}")
        for subject in subjects:
            if subject in split_of:
                raise CsmriError(f"{where}: subject {subject!r} stands in {split_of[subject]!r} and again in {name!r}")
            split_of[subject] = name
    if not split_of:
        raise CsmriError(f"{where}: names no subject; expected lists of names under {', '.join(SPLITS)}")
    return split_of


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

    @contextmanager
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
        if any(subject == entry.subject for entry in self._entries):
            raise CsmriError(f"{cine.provenance}: subject {cine.subject!r} was added already from another file")
        magnitude = cine.magnitude
        scale = float(magnitude.max())
        shard = self._shard(subject)
        with tf.io.TFRecordWriter(str(self.partial / shard)) as writer:
            for index, images in enumerate(_divided(cine.images if cine.is_complex else magnitude, scale)):
                writer.write(_serialise_slice(subject, index, images))
        box = heart_box(magnitude, outlines, spacing_mm=cine.spacing_mm)
        told = () if self.pseudonyms else (without_absolute_paths(note) for note in cine.notes)
        entry = Entry(
            subject=subject,
            split=split,
            shard=shard,
            sha256=_sha256(self.partial / shard),
            n_slices=cine.n_slices,
            n_frames=cine.n_frames,
            matrix=cine.matrix,
            scale=scale,
            heart_box=box,
            spacing_mm=cine.spacing_mm,
            provenance="" if self.pseudonyms else without_absolute_paths(cine.provenance),
            notes=(*told, *_phase_note(cine), *_blank_notes(magnitude), *_box_notes(box, magnitude, outlines)),
            complex=cine.is_complex,
            extent=extent,
        )
        self._entries.append(entry)
        return entry

    def _shard(self, subject: str) -> str:
        """File name for a subject: its name where that can be one (a DICOM patient ID may hold anything)."""
        if re.fullmatch(r"\w[\w.-]{0,99}", subject, re.ASCII):
            return f"{subject}.tfrecord"
        return f"subject {len(self._entries)}.tfrecord"  # with a blank, which no name above has


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
        entries = tuple(_entry(fields) for fields in manifest["entries"])
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
        if _sha256(shard) != entry.sha256:
            raise CsmriError(
                f"{shard}: was altered since it was written (sha256 differs from {MANIFEST}); run `csmri prepare` again"
            )
    return Store(path, entries)


def record_at(shard: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Read the record of one slice, for `parse_slice`; works inside tf.data.

    By the operations themselves: `tf.data.TFRecordDataset` begins at the first record, and a reader in Python can hang
    when its process ends.
    """
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=[shard], compression_type="", buffer_size=READ_BYTES, byte_offsets=[offset]
    )
    kind = {"output_types": [tf.string], "output_shapes": [[]]}
    return tf.raw_ops.DatasetToSingleElement(
        dataset=tf.raw_ops.TakeDataset(input_dataset=records, count=1, **kind), **kind
    )[0]


def parse_slice(record: tf.Tensor, *, as_complex: bool = False) -> tf.Tensor:
    """Parse the images (frame, y, x) of one record; works inside tf.data.

    Parameters
    ----------
    as_complex : bool
        Whether to give complex64 images, as is needed where any subject has them; magnitudes get the phase 0.
        Otherwise they are float32 in [0, 1], and complex ones cannot be read.
    """
    features = tf.io.parse_single_example(
        record,
        {
            "images": tf.io.FixedLenFeature([], tf.string),
            COMPLEX: tf.io.FixedLenFeature([], tf.int64, default_value=0),
        },
    )

    def parsed(kind: tf.DType) -> tf.Tensor:
        return tf.ensure_shape(tf.io.parse_tensor(features["images"], kind), (None, None, None))

    if not as_complex:
        return parsed(tf.float32)
    return tf.cond(
        features[COMPLEX] > 0, lambda: parsed(tf.complex64), lambda: tf.cast(parsed(tf.float32), tf.complex64)
    )


def _divided(images: NDArray[Any], scale: float) -> NDArray[Any]:
    """Images in units of `scale`; complex ones part by part, so that without a phase they are as magnitudes are."""
    if not np.iscomplexobj(images):
        return images / np.float32(scale)
    return (np.ascontiguousarray(images).view(np.float32) / np.float32(scale)).view(np.complex64)


def _serialise_slice(subject: str, index: int, images: NDArray[np.float32] | NDArray[np.complex64]) -> bytes:
    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def of_int(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {
        "images": of_bytes(tf.io.serialize_tensor(images).numpy()),
        "subject": of_bytes(subject.encode("utf-8")),
        "slice": of_int(index),
    }
    if np.iscomplexobj(images):  # a shard of magnitudes is the same as in format 1
        features[COMPLEX] = of_int(1)
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _entry(fields: dict[str, Any]) -> Entry:
    spacing, extent = fields["spacing_mm"], fields.get("extent")
    return Entry(
        **{
            **fields,
            "matrix": tuple(fields["matrix"]),
            "heart_box": Box(*fields["heart_box"]),
            "spacing_mm": tuple(spacing) if spacing else None,
            "notes": tuple(fields["notes"]),
            "extent": Extent.of(extent) if extent else None,
        }
    )


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
