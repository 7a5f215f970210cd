"""What an experiment is: frozen, typed, read from a flat TOML file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from csmri.errors import CsmriError

EVALUATION_ACCELERATIONS = (2.0, 3.0, 4.0, 8.0)

# The model is strict, but TOML and JSON have lists where a frozen record has tuples; their elements stay strict.
Accelerations = Annotated[tuple[Annotated[float, Field(ge=1)], ...], Field(min_length=1, strict=False)]
Epochs = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)]
Split = Literal["pretrain", "train", "validation", "test"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Sampling(_Frozen):
    """How k-t lines are drawn and how missing ones are interpolated (paper section 2.1)."""

    mask_law: Literal["gaussian", "schlemper"] = "gaussian"
    """Density of the phase-encode lines; `schlemper` fixes width and centre lines (doi 10.1109/TMI.2017.2760978)."""
    mask_width: Annotated[float, Field(gt=0, le=10)] = 0.15
    """Standard deviation of the Gaussian law as a fraction of n_ky [our choice: the paper gives none]."""
    mask_centre_lines: Annotated[int, Field(ge=0)] = 0
    """Lines around DC that the Gaussian law always keeps, counted inside n_ky / acceleration [our choice]."""
    cyclic: bool = True
    """Whether the last frame neighbours the first in the temporal interpolation [our choice]."""


class Network(_Frozen):
    """Size of the U-net; the paper's is 64 channels and depth 4."""

    base_channels: Annotated[int, Field(ge=1, le=512)] = 64
    depth: Annotated[int, Field(ge=1, le=7)] = 4


class Config(Sampling, Network):
    """One training: standalone, pretraining and transfer differ only in these fields."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    train_split: Split = "train"
    """Split of the store whose subjects are trained on: `pretrain` is the Y set, `train` the K set."""
    validation_split: Split | Literal[""] = ""
    """Split that the validation NMSE is measured on; empty for none."""
    accelerations: Accelerations = (4.0, 8.0)
    augment: bool = True
    """Flip left-right, flip up-down and rotate by 90 degrees, each with probability one half."""
    passes: Annotated[int, Field(ge=1)] = 3
    """How often an epoch shows every (slice, acceleration), each time with a fresh augmentation and mask."""
    shuffle_frames: Annotated[int, Field(ge=1)] = 512
    """Frames held back to mix frames of different cines."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    epochs: Annotated[int, Field(ge=1)] = 100
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` lets the learning rate fall to zero over all epochs."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Arithmetic of the convolutions; the sigmoid and the loss are always float32."""
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
    try:
        return Config(**fields)
    except ValidationError as error:
        raise CsmriError(f"{where}: {_one_line(error)}") from error


def write_config(config: Config, path: str | Path) -> None:
    """Write every field, defaults included, as flat TOML."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in config.model_dump(mode="json").items()]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:1])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; allowed are {', '.join(Config.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key} = {first['input']!r}: {message}" if key else message
