"""What an experiment is: frozen, typed, read from a flat TOML file."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from csmri.errors import CsmriError

PRETRAIN, STANDALONE, TRANSFER = "pretrain", "standalone", "transfer"
"""Names of a study's trainings; the last followed by the epochs of pretraining, as `studies.transfer_name` does."""
ZERO_FILLED, INITIAL = "zero-filled", "initial"
"""Names of the methods that need no network; every comparison has them."""
BASELINES = (
    ZERO_FILLED,
    "view-sharing",
    INITIAL,
    "kt-focuss",
    "temporal-fourier-l1",
    "low-rank-plus-sparse",
    "temporal-tv",
    "spatiotemporal-tv",
)
"""Names of the methods in `csmri.baselines`, for a command line that starts without TensorFlow."""
EVALUATION_ACCELERATIONS = (2.0, 3.0, 4.0, 8.0)

# The model is strict, but TOML and JSON have lists where a frozen record has tuples; their elements stay strict.
Accelerations = Annotated[tuple[Annotated[float, Field(ge=1)], ...], Field(min_length=1, strict=False)]
Epochs = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Split = Literal["pretrain", "train", "validation", "test"]
Way = Literal["all", "frozen-encoder", "frozen-decoder", "scale-shift", "discriminative", "blended"]
BLENDED = "blended"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Fields = TypeVar("Fields", bound=Frozen)


class Sampling(Frozen):
    """How k-t lines are drawn and how missing ones are interpolated (paper section 2.1)."""

    mask_law: Literal["gaussian", "schlemper"] = "gaussian"
    """Density of the phase-encode lines; `schlemper` fixes width and centre lines (doi 10.1109/TMI.2017.2760978)."""
    mask_width: Annotated[float, Field(gt=0, le=10)] = 0.15
    """Standard deviation of the Gaussian law as a fraction of n_ky [our choice: the paper gives none]."""
    mask_centre_lines: Annotated[int, Field(ge=0)] = 0
    """Lines around DC that the Gaussian law always keeps, counted inside n_ky / acceleration [our choice]."""
    cyclic: bool = True
    """Whether the last frame neighbours the first in the temporal interpolation [our choice]."""


class Network(Frozen):
    """Which network, and its size; the paper's is the U-net of one frame, 64 channels and depth 4."""

    network: Literal["unet", "unrolled"] = "unet"
    """The paper's U-net on magnitude images, or total variation and cascades over (frame, y, x) (`csmri.unrolled`)."""
    base_channels: Annotated[int, Field(ge=1, le=512)] = 64
    """Channels at full resolution, of either network; the levels below have more."""
    depth: Annotated[int, Field(ge=1, le=7)] = 4
    """Poolings of the U-net; the unrolled network has none of its own to choose."""
    frames: Annotated[int, Field(ge=1, le=63)] = 1
    """Frames that the U-net sees at once, cyclic neighbours on both sides of the one that it corrects; odd."""
    cascades: Annotated[int, Field(ge=1, le=20)] = 3
    """Of the unrolled network."""
    consistency: Literal["none", "hard", "soft"] = "none"
    """Whether acquired lines are put back: after the U-net, outside its SavedModel (see `reconstruction`), and between
    the cascades of the unrolled network."""
    consistency_weight: Annotated[float, Field(gt=0)] = 10.0
    """Trust in the measurement over the network for `soft`: ratio of the inverses of their error variances."""

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
        if self.network == "unrolled" and self.consistency == "none":
            raise ValueError('network = "unrolled" needs consistency = "hard" or "soft"')
        if self.network == "unrolled" and self.frames != 1:
            raise ValueError(f"frames = {self.frames} is for the U-net; the unrolled network sees all frames at once")
        return self


class Training(Sampling, Network):
    """What all trainings of a study share."""

    accelerations: Accelerations = (4.0, 8.0)
    both_laws: bool = False
    """Whether to train on masks of both laws, drawn at random; the test is on `mask_law` unless told otherwise."""
    augment: bool = True
    """Flip left-right, flip up-down and rotate by 90 degrees, each with probability one half."""
    passes: Annotated[int, Field(ge=1)] = 3
    """How often an epoch shows every (slice, acceleration), each time with a fresh augmentation and mask."""
    crop_columns: Annotated[int, Field(ge=0)] = 0
    """Train on so many columns (kx is fully read, so that columns are independent), at random; 0 for whole images."""
    images_per_epoch: Annotated[int, Field(ge=0)] = 0
    """End every epoch after this many images (cines of the unrolled network), drawn anew each time; 0 for all."""
    shuffle_frames: Annotated[int, Field(ge=1)] = 512
    """Frames held back to mix frames of different cines."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Images a step; 1 for the unrolled network, a whole cine."""
    loss: Literal["absolute", "relative"] = "absolute"
    """Mean squared error of the network's target, as it is or divided by that of the initial reconstruction."""
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    """`sgd` is with Nesterov momentum 0.9."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` lets the learning rate fall to zero over all epochs."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Arithmetic of the convolutions; the sigmoid and the loss are always float32."""

    @model_validator(mode="after")
    def _unrolled_takes_one_cine(self) -> Self:
        if self.network == "unrolled" and self.batch_size != 1:
            raise ValueError(f'network = "unrolled" takes one cine a step: batch_size must be 1, got {self.batch_size}')
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
    train_subjects: Annotated[int, Field(ge=0)] = 0
    """Train on the first so many subjects of the split only, in the order of the store; 0 for all of them."""
    transfer: Way = "all"
    """What becomes of the weights of --init: all trained (the paper), or another way of `csmri.ways`."""
    epochs: Annotated[int, Field(ge=1)] = 100
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


def read_toml(path: str | Path, kind: str) -> dict[str, Any]:
    """Read a TOML file; `kind` tells in error messages what it should have been."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CsmriError(f"{path}: cannot read the {kind}: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise CsmriError(f"{path}: not a TOML file: {error}") from error


def make_config(fields: dict[str, Any], *, where: str) -> Config:
    """Check the fields of a config; `where` names their source in error messages."""
    return checked(Config, fields, where)


def checked(kind: type[Fields], fields: dict[str, Any], where: str) -> Fields:
    """Make a config or study of these fields; refuses them in one line."""
    try:
        return kind(**fields)
    except ValidationError as error:
        raise CsmriError(f"{where}: {_one_line(error, kind)}") from error


def write_config(config: Training, path: str | Path) -> None:
    """Write every field, defaults included, as flat TOML."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in config.model_dump(mode="json").items()]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _one_line(error: ValidationError, kind: type[Frozen]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:1])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; allowed are {', '.join(kind.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key} = {first['input']!r}: {message}" if key else message
