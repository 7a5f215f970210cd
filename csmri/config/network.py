"""Which network, and its size."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from csmri.config.base import Frozen

AFTER_TRAINING = ("consistency", "consistency_weight")
"""Fields that matter only where a trained network reconstructs: no training depends on them."""


class Network(Frozen):
    """Which network, and its size; the paper's is the U-net of one frame, 64 channels and depth 4."""

    network: Literal["unet", "unrolled"] = "unet"
    """The paper's U-net on magnitude images, or `csmri.methods.unrolled`, cascades over (frame, y, x)."""
    base_channels: Annotated[int, Field(ge=1, le=512)] = 64
    """Channels at full resolution, of either network; the levels below have more."""
    depth: Annotated[int, Field(ge=1, le=7)] = 4
    """Poolings of the U-net; the unrolled network has none of its own to choose."""
    frames: Annotated[int, Field(ge=1, le=63)] = 1
    """Frames that the U-net sees at once, cyclic neighbours on both sides of the one that it corrects; odd."""
    acceleration_input: bool = False
    """Whether the U-net is told how much was sampled: an input channel with the share of all k-t lines of the cine that
    were acquired, 1 / `acceleration_factor(mask)`, in (0, 1]."""
    cascades: Annotated[int, Field(ge=1, le=20)] = 3
    """Of the unrolled network."""
    cg_steps: Annotated[int, Field(ge=1, le=20)] = 2
    """Of the unrolled network: steps of conjugate gradients a cascade, for several coils; one coil takes one."""
    start_iterations: Annotated[int, Field(ge=0, le=100)] = 2
    """Of total variation before the first cascade of the unrolled network, per unit of acceleration and for four more;
    0 for none."""
    moving_frame: bool = True
    """Whether the unrolled network turns images back by the phase that moves, too, not by the resting one alone."""
    temporal: Literal["shift", "separable", "spectrum", "none"] = "shift"
    """How the unrolled network's convolutions below full resolution see other frames: a third of the channels from
    either neighbour, (2+1)-D, linearly in the temporal spectrum, or not at all."""
    consistency: Literal["none", "hard", "soft"] = "none"
    """Whether acquired lines are put back after the U-net, outside its SavedModel (see `methods.reconstruction`); the
    unrolled network has its data consistency inside."""
    consistency_weight: Annotated[float, Field(gt=0, le=1e9)] = 10.0
    """Trust in the measurement over the network for `soft`: ratio of the inverses of their error variances."""

    @property
    def input_channels(self) -> int:
        """Channels of the U-net's input."""
        return self.frames + self.acceleration_input

    @property
    def measurement_weight(self) -> float:
        """Weight of the data consistency, as `kspace.consistency` takes it: 0 for none, infinity for hard."""
        return {"none": 0.0, "hard": math.inf, "soft": self.consistency_weight}[self.consistency]

    @model_validator(mode="after")
    def _frames_are_odd(self) -> Self:
        if self.frames % 2 == 0:
            raise ValueError(f"frames must be odd, a frame and as many on either side, got {self.frames}")
        return self

    @model_validator(mode="after")
    def _unrolled_is_consistent(self) -> Self:
        if self.network == "unrolled" and self.consistency != "none":
            raise ValueError(
                'network = "unrolled" has its data consistency inside, leave out consistency; a SavedModel that names '
                "it is of csmri 0.2 or older, whose unrolled network is no more: take `pretrained-unrolled`, or train "
                "again"
            )
        if self.network == "unrolled" and self.frames != 1:
            raise ValueError(f"frames = {self.frames} is for the U-net; the unrolled network sees all frames at once")
        if self.network == "unrolled" and self.acceleration_input:
            raise ValueError("acceleration_input = true is for the U-net; the unrolled network takes the mask itself")
        return self
