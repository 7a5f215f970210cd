"""Steps over whole images as one pass through memory, by XLA, where TensorFlow computes them.

An iteration of total variation is some fifty sums, products and comparisons of arrays that fit into no cache: it waits
for memory. XLA makes one loop of those between two transforms. It computes convolutions slowly, and compiles anew for
every size, so that it is asked for by `fusing` where images are reconstructed, and neither trains nor is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

_FUSES: ContextVar[bool] = ContextVar("fuses", default=False)


@contextmanager
def fusing() -> Iterator[None]:
    """Fuse what is traced meanwhile."""
    before = _FUSES.set(True)
    try:
        yield
    finally:
        _FUSES.reset(before)


def fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors, if asked for by `fusing`; the result is the same but for rounding."""
    return tf.function(function, jit_compile=True, autograph=False) if _FUSES.get() else function
