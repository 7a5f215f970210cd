"""Stateless random seeds, derived from what a random draw is for."""

from __future__ import annotations

import zlib

import tensorflow as tf


def subject_key(subject: str) -> int:
    """Number a subject by its name, so that its draws do not depend on who else is in the store."""
    return zlib.crc32(subject.encode("utf-8")) & 0x7FFFFFFF


def derive_seed(seed: int | tf.Tensor, *parts: int | tf.Tensor) -> tf.Tensor:
    """Fold integers (epoch, subject key, slice, ...) into a seed.

    Returns
    -------
    tf.Tensor (2,), int64
        For `tf.random.stateless_*`; the same parts always give the same seed, other parts an independent one.
    """
    folded = tf.stack([tf.cast(seed, tf.int64), tf.constant(0x63736D7269, tf.int64)])
    for part in parts:
        folded = tf.random.fold_in(folded, tf.cast(part, tf.int64), alg="philox")
    return folded
