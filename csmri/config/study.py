"""What a study is: several trainings and how they are compared; frozen, typed, read from a flat TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from csmri.config.base import EVALUATION_ACCELERATIONS, Accelerations, Count, Epochs, Seed, Way, checked
from csmri.config.training import Config, Training, Ways
from csmri.core.files import read_toml
from csmri.core.names import PRETRAIN, STANDALONE, transfer_name, way_name

Method = Literal["standalone", Way]


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


def read_study(path: str | Path) -> Study:
    """Read a study from a flat TOML file; refuses as `read_config` does."""
    return checked(Study, read_toml(path, "study"), str(path))


def read_transfer_study(path: str | Path) -> TransferStudy:
    """Read a study of ways to transfer from a flat TOML file; refuses as `read_config` does."""
    return checked(TransferStudy, read_toml(path, "study"), str(path))
