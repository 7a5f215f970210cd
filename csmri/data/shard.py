"""A shard of a store: one subject's slices as a TFRecord file, written whole, and read slice by slice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

COMPLEX = "complex"
"""Feature of a record that says that its images are."""
READ_BYTES = 65536
"""Read at once: more only for what is longer, since most of a buffer is thrown away with one record."""


def write_shard(path: str | Path, images: NDArray[Any], subject: str, *, scale: float) -> None:
    """Write a record for every slice; the same images and name give the same bytes.

    Parameters
    ----------
    images : (slice, frame, y, x), float32 magnitude or complex64
    subject : str
        Name that the records have.
    scale : float > 0
        Images are divided by it.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index, one in enumerate(images):
            writer.write(_serialise_slice(subject, index, _divided(one, scale)))


def slice_offsets(path: str | Path) -> list[int]:
    """Where the record of every slice begins in a shard [bytes], for `record_at`."""
    offsets = []
    with Path(path).open("rb") as shard:
        # A record of a TFRecord file: the size of the data (8 bytes), a checksum (4), the data, a checksum (4).
        while size := shard.read(8):
            offsets.append(shard.tell() - 8)
            shard.seek(4 + int.from_bytes(size, "little") + 4, os.SEEK_CUR)
    return offsets


def read_slices(path: str | Path, *, as_complex: bool) -> Iterator[NDArray[Any]]:
    """Slices (frame, y, x) one after the other; see `parse_slice`."""
    for record in tf.data.TFRecordDataset(str(path)):
        yield parse_slice(record, as_complex=as_complex).numpy()


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
