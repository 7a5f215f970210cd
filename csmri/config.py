"""What an experiment is: frozen, typed, read from a flat TOML file."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from csmri.errors import CsmriError

PRETRAIN, STANDALONE, TRANSFER = "pretrain", "standalone", "transfer"
"""Names of a study's trainings; the last followed by the epochs of pretraining, as `transfer_name` does."""
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
Method = Literal["standalone", Way]
BLENDED = "blended"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Fields = TypeVar("Fields", bound=_Frozen)


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


class Ways(_Frozen):
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


class Comparison(Training):
    """What the studies share: seeds, a pretraining, an evaluation."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, strict=False)] = (0, 1, 2)
    """Every training is done once with each."""
    pretrain_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    pretrain_augment: bool = False
    pretrain_passes: Annotated[int, Field(ge=1)] = 1
    pretrain_images_per_epoch: Annotated[int, Field(ge=0)] = 0
    evaluation_accelerations: Accelerations = EVALUATION_ACCELERATIONS
    evaluation_seed: Seed = 0
    """Of the masks that all methods are tested on."""
    caption: str = ""
    """Attribution of the data under every picture made from it."""

    def pretraining(self, save_epochs: tuple[int, ...]) -> Config:
        """Training on the Y set until the last of these epochs."""
        return Config(
            **{
                **self.shared(),
                "train_split": PRETRAIN,
                "learning_rate": self.pretrain_learning_rate,
                "augment": self.pretrain_augment,
                "passes": self.pretrain_passes,
                "images_per_epoch": self.pretrain_images_per_epoch,
                "epochs": max(save_epochs),
                "save_epochs": tuple(sorted(save_epochs)),
            }
        )

    def shared(self) -> dict[str, Any]:
        """Fields that all trainings of the study have in common."""
        return {name: getattr(self, name) for name in Training.model_fields}

    def _refuse_repeats(self, *names: str) -> None:
        for name in names:
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names something twice: {list(values)}")


class Study(Comparison):
    """The paper's experiment: pretraining on Y, standalone learning on K, transfer from each saved pretraining."""

    pretrain_store: str = ""
    """Prepared store with the Y set in its split `pretrain`; environment variables are expanded."""
    target_store: str = ""
    """Prepared store with the K set in its splits `train` and `test`; phantoms are made where both are empty."""
    pretrain_at: Annotated[Epochs, Field(min_length=1)] = (10, 20, 50)
    """Epochs of pretraining whose weights a transfer starts from; the last ends the pretraining."""
    pretrain_once: bool = False
    """Pretrain with the first seed only: the transfers of all seeds start from one network, as from a published one."""
    standalone_epochs: Annotated[int, Field(ge=1)] = 100
    transfer_epochs: Annotated[int, Field(ge=1)] = 100
    example_subject: str = ""
    """Test subject that figure 4 and the report show; the first of the store if empty."""
    phantom_subjects: Annotated[tuple[Count, Count, Count], Field(strict=False)] = (8, 3, 2)
    """How many phantoms to make for pretraining, training and test where no store is named."""
    phantom_size: Annotated[int, Field(ge=32)] = 96
    phantom_slices: Count = 5

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        self._refuse_repeats("seeds", "pretrain_at", "evaluation_accelerations")
        return self

    @model_validator(mode="after")
    def _both_stores_or_none(self) -> Self:
        if bool(self.pretrain_store) != bool(self.target_store):
            raise ValueError("give both pretrain_store and target_store, or neither for phantoms")
        return self

    @property
    def pretraining_seeds(self) -> tuple[int, ...]:
        """Seeds that a pretraining is done with."""
        return self.seeds[:1] if self.pretrain_once else self.seeds

    def stages(self) -> dict[str, Config]:
        """Trainings of one seed in order, by name: pretrain, standalone, transfer_10, ...; seed 0."""
        shared = self.shared()
        transfer = Config(**shared, epochs=self.transfer_epochs)
        return {
            PRETRAIN: self.pretraining(self.pretrain_at),
            STANDALONE: Config(**shared, epochs=self.standalone_epochs),
            **{transfer_name(epochs): transfer for epochs in sorted(self.pretrain_at)},
        }


class TransferStudy(Comparison, Ways):
    """Ways to transfer, and numbers of target subjects, against each other and against standalone learning."""

    store: str = ""
    """Prepared store with source subjects in splits `pretrain` and, held out, `validation`; target subjects in `train`
    and `test`. Environment variables are expanded."""
    init: str = ""
    """SavedModel that the transfers start from; if empty, one is pretrained with the first seed."""
    pretrain_epochs: Count = 50
    epochs: Count = 100
    """Of every training on the target."""
    ways: Annotated[tuple[Method, ...], Field(min_length=1, strict=False)] = get_args(Method)
    sweep_ways: Annotated[tuple[Method, ...], Field(strict=False)] = ("standalone", "all")
    """Ways that are tried with every number of target subjects; the others with one number of them."""
    n_subjects: Annotated[tuple[Count, ...], Field(min_length=1, strict=False)] = (1, 2, 3, 4)
    """Target subjects, the first of split `train`. With `images_per_epoch`, an epoch is as long for few as for many."""
    n_subjects_of_ways: Count = 2

    @model_validator(mode="after")
    def _trainings_are_possible(self) -> Self:
        self._refuse_repeats("seeds", "ways", "n_subjects", "evaluation_accelerations")
        if self.n_subjects_of_ways not in self.n_subjects:
            raise ValueError(f"n_subjects_of_ways = {self.n_subjects_of_ways} is not among n_subjects")
        try:
            self.stages()
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        return self

    def stages(self) -> dict[str, Config]:
        """Trainings of one seed in order, by name: pretrain (without init), standalone_1, ..., all_1, ...; seed 0."""
        stages = {} if self.init else {PRETRAIN: self.pretraining((self.pretrain_epochs,))}
        shared = self.shared() | {name: getattr(self, name) for name in ("epochs", *Ways.model_fields)}
        for way in self.ways:
            for n in sorted(self.n_subjects):
                if way in self.sweep_ways or n == self.n_subjects_of_ways:
                    own: dict[str, Any] = {"train_subjects": n, "transfer": "all" if way == STANDALONE else way}
                    stages[way_name(way, n)] = Config(**shared, **own)
        return stages


def way_name(way: str, n_subjects: int) -> str:
    """Name the training on so many target subjects in one way: `frozen-encoder_2`."""
    return f"{way}_{n_subjects}"


def split_way(training: str) -> tuple[str, int] | None:
    """Way and number of target subjects in the name of a training; None where it names none."""
    way, _, n_subjects = training.rpartition("_")
    return (way, int(n_subjects)) if way in get_args(Method) and n_subjects.isdecimal() else None


def transfer_name(pretrain_epochs: int) -> str:
    """Name the transfer learning that starts after so many epochs of pretraining."""
    return f"{TRANSFER}_{pretrain_epochs}"


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
    return _checked(Config, fields, where)


def read_study(path: str | Path) -> Study:
    """Read a study from a flat TOML file; refuses as `read_config` does."""
    return _checked(Study, read_toml(path, "study"), str(path))


def read_transfer_study(path: str | Path) -> TransferStudy:
    """Read a study of ways to transfer from a flat TOML file; refuses as `read_config` does."""
    return _checked(TransferStudy, read_toml(path, "study"), str(path))


def _checked(kind: type[Fields], fields: dict[str, Any], where: str) -> Fields:
    try:
        return kind(**fields)
    except ValidationError as error:
        raise CsmriError(f"{where}: {_one_line(error, kind)}") from error


def write_config(config: Training, path: str | Path) -> None:
    """Write every field, defaults included, as flat TOML."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in config.model_dump(mode="json").items()]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _one_line(error: ValidationError, kind: type[_Frozen]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:1])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; allowed are {', '.join(kind.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key} = {first['input']!r}: {message}" if key else message
