"""What a network is fed, told, scored and served as, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import tensorflow as tf

from csmri.config import Config
from csmri.core.names import TENSORFLOW
from csmri.data.acquisition import Acquisition
from csmri.methods.losses import Additive
from csmri.methods.runtime import Serve
from csmri.physics.simulate import Crop

Example = tuple[Any, tf.Tensor]
"""Inputs of a network and the target of its loss."""


class Task(ABC):
    """What one network does, in training and after it; `task_of` finds the one of a config."""

    takes_cines: ClassVar[bool]
    """Whether an example is a whole cine, of a size of its own, instead of a single frame of a batch."""
    is_consistent: ClassVar[bool]
    """Whether data consistency is inside the network; otherwise `reconstructor` applies that of the config."""
    clip_norm: ClassVar[float | None] = None
    """Largest norm of all gradients of a step."""
    runtimes: ClassVar[tuple[str, ...]] = (TENSORFLOW,)
    """What its reconstructor may compute in, the fastest first."""
    kept_share: ClassVar[float]
    """Of all that the layers give: memory that a step of training takes at once, measured."""
    coil_bytes: ClassVar[int] = 0
    """Memory that a step of training takes for a pixel of each coil after the first, measured."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def build(self) -> keras.Model:
        """Build the network, untrained."""

    def matrix(self, y: Any, x: Any) -> tuple[Any, Any]:
        """Rows and columns of the examples of a subject of so many; integers, or tensors in `tf.data`."""
        return y, self.config.crop_columns or x

    @abstractmethod
    def example(self, full: Acquisition, mask: tf.Tensor, reference: tf.Tensor, *, crop: Crop) -> Example:
        """Make what the network is trained on, in TensorFlow, for `tf.data`.

        Parameters
        ----------
        full : Acquisition
            With every line that was measured, of which `mask` (frame, ky) keeps some.
        reference : (frame, y, x), float32 or complex64, or None
            Images that are to be reconstructed, with the phase that they were acquired with; None where nobody knows
            them, with the self-supervised loss.

        Returns
        -------
        inputs, target
            Of all frames, frame by frame along the first axis.
        """

    def blank(self, n_frames: tf.Tensor, matrix: tuple[Any, Any]) -> Example:
        """Ones of the shapes that `example` gives, for the frames of a cine (rows, columns) that another worker takes.

        Where `takes_cines`, there is no need of them: whole examples are left out.
        """
        raise NotImplementedError

    @abstractmethod
    def loss(self) -> Additive:
        """Loss of the targets that `example` makes."""

    @abstractmethod
    def metrics(self) -> list[keras.metrics.Metric]:
        """What is logged of the reconstructed images."""

    @abstractmethod
    def serve(self, network: keras.Model) -> Serve:
        """What a SavedModel of the network computes; its result is named `improved`."""

    @abstractmethod
    def sample(self, seed: int) -> dict[str, tf.Tensor]:
        """Draw inputs of what `serve` gives, of an odd size."""

    @abstractmethod
    def shapes(self, matrix: tuple[int, int], *, n_frames: int, n_coils: int = 1) -> list[tuple[int, ...]]:
        """Shapes of the network's inputs for so many frames of a matrix (y, x)."""

    @abstractmethod
    def reconstructor(self, network: keras.Model, *, runtime: str = TENSORFLOW) -> Callable[[Acquisition], tf.Tensor]:
        """Make the network reconstruct, in one of `runtimes`: from an acquisition to complex images (frame, y, x)."""
