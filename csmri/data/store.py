"""The prepared data set: one TFRecord shard per subject and a manifest with shapes, scale, split and sha256."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
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
from csmri.core.files import locked, read_toml, replacing_folder, write_json
from csmri.data.cine import Cine, Outlines
from csmri.data.roi import Box, heart_box

MANIFEST = "manifest.json"
FORMAT = 1
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

    def shards(self, entries: Iterable[Entry]) -> list[str]:
        """Paths of the shards of these subjects."""
        return [str(self.path / entry.shard) for entry in entries]

    def slices(self, entry: Entry) -> Iterator[NDArray[np.float32]]:
        """Slices (frame, y, x) of one subject, in [0, 1], from base to apex as in the file that was read."""
        for record in tf.data.TFRecordDataset(self.shards([entry])):
            yield parse_slice(record)["images"].numpy()


def read_split(path: str | Path) -> dict[str, str]:
    """Read which subject belongs to which split from TOML such as `train = ["patient061", ...]`.

    Raises
    ------
    CsmriError
        If a split is unknown, a subject stands in two, or the file is not of this form.
    """
    split_of: dict[str, str] = {}
    for split, subjects in read_toml(path, "split").items():
        if split not in SPLITS or not isinstance(subjects, list) or not all(isinstance(s, str) for s in subjects):
            raise CsmriError(f"{path}: expected lists of subject names under {', '.join(SPLITS)}; found {split!r}")
        for subject in subjects:
            if subject in split_of:
                raise CsmriError(f"{path}: subject {subject!r} stands in {split_of[subject]!r} and again in {split!r}")
            split_of[subject] = split
    if not split_of:
        raise CsmriError(f"{path}: names no subject; expected lists of names under {', '.join(SPLITS)}")
    return split_of


class StoreWriter:
    """Context manager that collects subjects beside `path` and puts the store in place only when all went well."""

    partial: Path
    """Where the store lies while it is written; what else belongs to it may be put there."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
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

    def add(self, cine: Cine, split: str, outlines: Outlines | None = None) -> Entry:
        """Write one subject's shard; the heart box comes from outlines where there are some, else from motion."""
        if any(cine.subject == entry.subject for entry in self._entries):
            raise CsmriError(f"{cine.provenance}: subject {cine.subject!r} was added already from another file")
        magnitude = cine.magnitude
        scale = float(magnitude.max())
        shard = self._shard(cine.subject)
        with tf.io.TFRecordWriter(str(self.partial / shard)) as writer:
            for index, images in enumerate(magnitude / np.float32(scale)):
                writer.write(_serialise_slice(cine.subject, index, images))
        entry = Entry(
            subject=cine.subject,
            split=split,
            shard=shard,
            sha256=_sha256(self.partial / shard),
            n_slices=cine.n_slices,
            n_frames=cine.n_frames,
            matrix=cine.matrix,
            scale=scale,
            heart_box=heart_box(magnitude, outlines, spacing_mm=cine.spacing_mm),
            spacing_mm=cine.spacing_mm,
            provenance=cine.provenance,
            notes=(*cine.notes, *_blank_frames(magnitude), *_box_note(outlines)),
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
        if manifest["format"] != FORMAT:
            raise CsmriError(f"{path}: store format {manifest['format']}, expected {FORMAT}; run `csmri prepare` again")
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


def parse_slice(record: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parse one record into `images` (frame, y, x) float32 in [0, 1], `subject` and `slice`; works inside tf.data."""
    features = tf.io.parse_single_example(
        record,
        {
            "images": tf.io.FixedLenFeature([], tf.string),
            "subject": tf.io.FixedLenFeature([], tf.string),
            "slice": tf.io.FixedLenFeature([], tf.int64),
        },
    )
    images = tf.ensure_shape(tf.io.parse_tensor(features["images"], tf.float32), (None, None, None))
    return {**features, "images": images}


def _serialise_slice(subject: str, index: int, images: NDArray[np.float32]) -> bytes:
    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "images": of_bytes(tf.io.serialize_tensor(images).numpy()),
        "subject": of_bytes(subject.encode("utf-8")),
        "slice": tf.train.Feature(int64_list=tf.train.Int64List(value=[index])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _entry(fields: dict[str, Any]) -> Entry:
    spacing = fields["spacing_mm"]
    return Entry(
        **{
            **fields,
            "matrix": tuple(fields["matrix"]),
            "heart_box": Box(*fields["heart_box"]),
            "spacing_mm": tuple(spacing) if spacing else None,
            "notes": tuple(fields["notes"]),
        }
    )


def _box_note(outlines: Outlines | None) -> list[str]:
    n_outlined = len(outlines.endocardium.keys() | outlines.epicardium.keys()) if outlines else 0
    return [f"The heart box is centred on the outlines of {n_outlined} images."] if n_outlined else []


def _blank_frames(magnitude: NDArray[np.float32]) -> list[str]:
    blank = np.argwhere(~magnitude.any(axis=(2, 3)))
    return [f"Slice {index}, frame {frame} is blank; it has no NMSE." for index, frame in blank]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
