"""What one training is: sampling, network, data, optimizer; read from a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from csmri.config.base import BLENDED, Accelerations, Count, Epochs, Frozen, Seed, Split, Way, checked
from csmri.config.conditions import TrainingConditions
from csmri.config.network import Network
from csmri.config.sampling import Sampling
from csmri.core.names import PRETRAIN, SELF_SUPERVISED
from csmri.core.texts import read_toml

LearningRate = Annotated[float, Field(gt=0, le=100)]
Passes = Annotated[int, Field(ge=1, le=10_000)]
Images = Annotated[int, Field(ge=0, le=1_000_000_000)]


def _examples_a_step(fields: dict[str, Any]) -> int:
    return 1 if fields.get("network") == "unrolled" else 8


class Training(Sampling, TrainingConditions, Network):
    """What all trainings of a study share."""

    accelerations: Accelerations = (4.0, 8.0)
    both_laws: bool = False
    """Whether to train on masks of both laws, drawn at random; the test is on `mask_law` unless told otherwise."""
    augment: bool = True
    """Flip left-right, flip up-down and rotate by 90 degrees, each with probability one half."""
    passes: Passes = 3
    """How often an epoch shows every (slice, acceleration), each time with a fresh augmentation and mask."""
    crop_columns: Annotated[int, Field(ge=0, le=4096)] = 0
    """Train on so many columns (kx is fully read, so that columns are independent), at random; 0 for whole images."""
    images_per_epoch: Images = 0
    """End every epoch after this many images (cines of the unrolled network), drawn anew each time; 0 for all."""
    shuffle_frames: Count = 512
    """Frames that are mixed: as many cines as have about so many take turns, each with its frames in random order."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = Field(default_factory=_examples_a_step)
    """Images a step, of the unrolled network cines; of all devices together, so that their number changes no result.
    8 images or one cine where a config says nothing."""
    loss: Literal["absolute", "relative", "self-supervised"] = "absolute"
    """Mean squared error of the network's target, as it is or divided by that of the initial reconstruction; or, of
    the unrolled network, the error of acquired lines that it was not given (`methods.losses.HeldOutError`)."""
    initial_output: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What the U-net gives everywhere before it has learnt anything, but for its random weights, by the bias of its
    sigmoid. 0.5 is `no error` in equation (2), and so the mean of its target but for a thousandth."""
    held_out_share: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """Of the lines of one scan: held out for the self-supervised loss, drawn anew in every epoch and pass. 0.4 after
    Yaman et al., Magn Reson Med 2020, doi 10.1002/mrm.28378."""
    magnitude_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of an unrolled network's loss: how much the error of the magnitude counts beside that of the complex image."""
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    """`sgd` is with Nesterov momentum 0.9."""
    learning_rate: LearningRate = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` lets the learning rate fall to zero over all epochs."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Arithmetic of the convolutions; the sigmoid and the loss are always float32."""

    @model_validator(mode="after")
    def _self_supervised_takes_what_was_measured(self) -> Self:
        if self.loss != SELF_SUPERVISED:
            return self
        if self.network != "unrolled":
            raise ValueError(
                f'loss = "{SELF_SUPERVISED}" needs network = "unrolled", got {self.network!r}: it is the error of '
                "k-space lines, and the U-net makes magnitude images"
            )
        if self.augment or self.resolution_range[0] < 1:
            found = "augment = true" if self.augment else f"resolution_range = {list(self.resolution_range)}"
            allowed = "augment = false" if self.augment else "resolution_range = [1.0, 1.0]"
            raise ValueError(
                f'loss = "{SELF_SUPERVISED}" knows one undersampled scan of every slice, which nobody can turn or '
                f"sample anew: {found} must be {allowed}"
            )
        return self


class Ways(Frozen):
    """Numbers of the ways to transfer that have one."""

    rate_decay: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Of `discriminative`: the learning rate falls by it per stage away from the output. Howard and Ruder (ACL 2018)
    take 1/2.6 for a few groups of layers; the U-net of depth 4 has ten stages, the first is left 0.04 [our choice]."""
    blend_steps: Count = 4
    """Of `blended`: equal steps in which the share of source data falls from 1 to 0 (Park and Ahn, iMRI 2021)."""


class Config(Training, Ways):
    """One training: standalone, pretraining and transfer differ only in these fields."""

    seed: Seed = 0
    train_split: Split = "train"
    """Split of the store whose subjects are trained on: `pretrain` is the Y set, `train` the K set."""
    validation_split: Split | Literal[""] = ""
    """Split that the validation NMSE is measured on; empty for none."""
    train_subjects: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Train on the first so many subjects of the split only, in the order of the store; 0 for all of them."""
    transfer: Way = "all"
    """What becomes of the weights of --init: all trained (the paper), or another way of `csmri.learning.transfer`."""
    epochs: Count = 100
    save_epochs: Epochs = ()
    """Epochs after which a SavedModel is written besides the last."""

    @model_validator(mode="after")
    def _validation_is_held_out(self) -> Self:
        if self.validation_split == self.train_split:
            raise ValueError(f"validation_split must differ from train_split, both are {self.train_split!r}")
        return self

    @model_validator(mode="after")
    def _saved_epochs_are_reached(self) -> Self:
        if beyond := [epoch for epoch in self.save_epochs if epoch > self.epochs]:
            raise ValueError(f"save_epochs names epoch {beyond[0]}, but the training ends after epochs = {self.epochs}")
        return self

    @model_validator(mode="after")
    def _blend_ends_on_the_target(self) -> Self:
        if self.transfer == BLENDED and self.train_split == PRETRAIN:
            raise ValueError(
                f"transfer = {BLENDED!r} blends split {PRETRAIN!r} into train_split, which must be another"
            )
        if self.transfer == BLENDED and self.epochs <= self.blend_steps:
            raise ValueError(f"blend_steps = {self.blend_steps} needs more epochs than {self.epochs}, one a share")
        return self

    def source_share(self, epoch: Any) -> Any:
        """Share of source data in blended transfer: 1 at first, then falling in equal steps, 0 at last.

        Parameters
        ----------
        epoch : int, or integer tensor
            Counted from 0.
        """
        return 1 - epoch * (self.blend_steps + 1) // self.epochs / self.blend_steps


def read_config(path: str | Path) -> Config:
    """Read an experiment from a flat TOML file.

    Raises
    ------
    CsmriError
        In one line naming file, key and what is allowed.
    """
    return make_config(read_toml(path, "config"), where=str(path))


def make_config(fields: dict[str, Any], *, where: str) -> Config:
    """Check the fields of a config; `where` names their source in error messages."""
    return checked(Config, fields, where)
