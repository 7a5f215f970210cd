"""How much memory a network computes in, by the sizes of what its layers give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

BYTES = {"float16": 2, "bfloat16": 2, "float64": 8, "complex64": 8, "int64": 8, "bool": 1}
"""Of a number; 4 of all others."""


def activations(network: keras.Model, shapes: Sequence[Sequence[int]]) -> int:
    """Bytes of all that the layers of a network give, for inputs of these shapes; nothing is computed.

    What a step of training keeps for the gradients is about as much, see `learning.footprint`; a prediction, which
    keeps nothing, needs less than half of it at once.

    Parameters
    ----------
    shapes : sequence of shapes
        Of every input, the batch among them.
    """
    total = 0

    def counting(operation: keras.Operation) -> Callable[..., Any]:
        def specification(*arguments: Any, **options: Any) -> Any:
            nonlocal total
            given = operation.compute_output_spec(*arguments, **options)
            total += sum(math.prod(one.shape) * BYTES.get(one.dtype, 4) for one in keras.tree.flatten(given))
            return given

        return specification

    inputs = [keras.KerasTensor(shape) for shape in shapes]
    # As `compute_output_spec` of the whole network does it, which tells the shape of the end alone.
    network._run_through_graph(inputs if len(inputs) > 1 else inputs[0], operation_fn=counting)
    return total


def in_parts(
    function: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor, *, n_at_once: int, beside: int, cyclic: bool
) -> tf.Tensor:
    """Give images (frame, y, x) to a function in parts, for which memory suffices; all at once, if they are so few.

    The result is the same but for rounding, which may differ with the number of frames.

    Parameters
    ----------
    function : callable
        Of images (frame, y, x), each of which sees so many neighbours on either side.
    n_at_once : int >= 1
        Frames that are computed at once, besides neighbours.
    beside : int
        Number of those neighbours.
    cyclic : bool
        Whether the last frame neighbours the first; otherwise the first and last frame are held.
    """
    n_frames = images.shape[0]
    if n_at_once >= n_frames:
        return function(images)
    parts = []
    for first in range(0, n_frames, n_at_once):
        last = min(first + n_at_once, n_frames)
        seen = np.arange(first - beside, last + beside)
        seen = seen % n_frames if cyclic else seen.clip(0, n_frames - 1)
        parts.append(function(tf.gather(images, seen))[beside : beside + last - first])
    return tf.concat(parts, axis=0)
