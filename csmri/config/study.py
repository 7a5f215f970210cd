"""What a study is: fields that its trainings share, tables of what each has of its own, and how they are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from csmri.config.base import (
    EVALUATION_ACCELERATIONS,
    NAME,
    Accelerations,
    Count,
    Epochs,
    Seed,
    Way,
    checked,
    first_message,
    merged,
    table_of,
)
from csmri.config.stages import Pretraining, SourceTraining, TargetTraining
from csmri.config.training import Config, Training, Ways
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, SELF_SUPERVISED, STANDALONE, TRANSFER, transfer_name, way_name
from csmri.core.texts import read_toml

AS_IT_IS = "as it is"
"""Name of a study among its variants."""

Method = Literal["standalone", Way, "self-supervised"]

AnyStudy = TypeVar("AnyStudy", bound="Comparison")


class Comparison(Training):
    """What the studies share: fields of all their trainings, seeds, an evaluation.

    What a training has of its own stands in a table of its stage (`csmri.config.stages`).
    """

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, strict=False)] = (0, 1, 2)
    """Every training is done once with each."""
    evaluation_accelerations: Accelerations = EVALUATION_ACCELERATIONS
    evaluation_seed: Seed = 0
    """Of the masks that all methods are tested on."""
    caption: str = ""
    """Attribution of the data under every picture made from it."""

    def _config(self, table: str | None, **own: Any) -> Config:
        """Training of a stage: the shared fields, over them those of its table, over them what follows from others."""
        fields = {name: getattr(self, name) for name in Training.model_fields}
        overrides = getattr(self, table).model_dump(exclude_none=True) if table else {}
        try:
            return Config.model_validate(fields | overrides | own)
        except ValidationError as error:
            raise ValueError(f"[{table}] {first_message(error)}" if table else first_message(error)) from error

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
    target_subjects: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Train on the first so many subjects of the K set only; 0 for all of them."""
    pretrain_at: Annotated[Epochs, Field(min_length=1)] = (10, 20, 50)
    """Epochs of pretraining whose weights a transfer starts from; the last ends the pretraining."""
    pretrain_once: bool = False
    """Pretrain with the first seed only: the transfers of all seeds start from one network, as from a published one."""
    fold_subjects: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Test every target subject, of the splits `train` and `test` together, once, with networks trained on so many of
    the others (`data.folds`); 0 for the splits as they are. A fold takes the place of a seed: the first has that of
    `seeds`, the others those that follow it."""
    example_subject: str = ""
    """Test subject that figure 4 and the report show; the first of the store if empty."""
    phantom_subjects: Annotated[tuple[Count, Count, Count], Field(strict=False)] = (8, 3, 2)
    """How many phantoms to make for pretraining, training and test where no store is named."""
    phantom_size: Annotated[int, Field(ge=32, le=4096)] = 96
    phantom_slices: Count = 5
    variants: Annotated[dict[str, dict[str, Any]], Field(exclude_if=lambda variants: not variants)] = {}
    """Further studies, by a name each, that differ from this one in some fields: `[variants."a tenth of the rate"]`
    with `learning_rate = 1e-4`, or `transfer.learning_rate`. What they have in common is trained once."""
    pretrain: Pretraining = Pretraining()
    standalone: TargetTraining = TargetTraining()
    transfer: TargetTraining = TargetTraining()
    """The stages; a TOML file has its tables below all other fields, as here."""

    @field_validator("pretrain", mode="before")
    @classmethod
    def _ends_with_pretrain_at(cls, table: Any) -> Any:
        if isinstance(table, dict) and "epochs" in table:
            raise ValueError("leave out epochs, the pretraining ends with the last of pretrain_at")
        return table

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        self._refuse_repeats("seeds", "pretrain_at", "evaluation_accelerations")
        return self

    @model_validator(mode="after")
    def _both_stores_or_none(self) -> Self:
        if bool(self.pretrain_store) != bool(self.target_store):
            raise ValueError("give both pretrain_store and target_store, or neither for phantoms")
        return self

    @model_validator(mode="after")
    def _folds_take_the_place_of_seeds(self) -> Self:
        folds, n_phantoms = f"fold_subjects = {self.fold_subjects}", sum(self.phantom_subjects[1:])
        if self.fold_subjects and len(self.seeds) > 1:
            raise ValueError(
                f"{folds}: a fold takes the place of a seed; give one, that of the first fold, not "
                f"seeds = {list(self.seeds)}"
            )
        if self.fold_subjects and not self.pretrain_once:
            raise ValueError(f"{folds}: all folds start from one pretraining; say so with pretrain_once = true")
        if self.fold_subjects >= n_phantoms and not self.target_store:
            raise ValueError(
                f"{folds}: needs as many phantoms, and one to test; for training and test "
                f"phantom_subjects = {list(self.phantom_subjects)} has {n_phantoms}"
            )
        return self

    @model_validator(mode="after")
    def _trainings_are_possible(self) -> Self:
        self.stages()
        return self

    @model_validator(mode="after")
    def _variants_are_possible(self) -> Self:
        self.with_variants()
        return self

    def with_variants(self) -> dict[str, Study]:
        """This study as `AS_IT_IS`, and its variants by their names."""
        fields = self.model_dump(exclude={"variants"}, exclude_none=True)
        found = {AS_IT_IS: Study.model_validate(fields)} if self.variants else {}
        for name, own in self.variants.items():
            if not NAME.fullmatch(name) or name == AS_IT_IS:
                raise ValueError(f"{name!r} cannot name a variant: take letters, digits, spaces, . @ + - _")
            if unknown := own.keys() & {"variants", "seeds"}:
                raise ValueError(f"[variants.{name}] {min(unknown)}: all variants have those of the study")
            if not own:
                raise ValueError(f"[variants.{name}] changes nothing; name a field in which it differs")
            try:
                found[name] = Study.model_validate(merged(fields, own))
            except ValidationError as error:
                place = ".".join(str(part) for part in error.errors()[0]["loc"])
                raise ValueError(f"[variants.{name}] {place}: {first_message(error)}") from error
        return found

    @property
    def pretraining_seeds(self) -> tuple[int, ...]:
        """Seeds that a pretraining is done with."""
        return self.seeds[:1] if self.pretrain_once else self.seeds

    def stages(self) -> dict[str, Config]:
        """Trainings of one seed in order, by name: pretrain, standalone, transfer_10, ...; seed 0."""
        saved = tuple(sorted(self.pretrain_at))
        transfer = self._config(TRANSFER, train_subjects=self.target_subjects)
        return {
            PRETRAIN: self._config(PRETRAIN, train_split=PRETRAIN, epochs=saved[-1], save_epochs=saved),
            STANDALONE: self._config(STANDALONE, train_subjects=self.target_subjects),
            **{transfer_name(epochs): transfer for epochs in saved},
        }


class TransferStudy(Comparison, Ways):
    """Ways to transfer, and numbers of target subjects, against each other and against standalone learning."""

    store: str = ""
    """Prepared store with source subjects in splits `pretrain` and, held out, `validation`; target subjects in `train`
    and `test`. Environment variables are expanded."""
    init: str = ""
    """SavedModel that the transfers start from; if empty, one is pretrained with the first seed."""
    epochs: Count = 100
    """Of every training on the target."""
    ways: Annotated[tuple[Method, ...], Field(min_length=1, strict=False)] = ("standalone", *get_args(Way))
    """`self-supervised` trains all weights on one undersampled scan of every slice; the others know the true images."""
    sweep_ways: Annotated[tuple[Method, ...], Field(strict=False)] = ("standalone", "all")
    """Ways that are tried with every number of target subjects; the others with one number of them."""
    n_subjects: Annotated[tuple[Count, ...], Field(min_length=1, strict=False)] = (1, 2, 3, 4)
    """Target subjects, the first of split `train`. With `images_per_epoch`, an epoch is as long for few as for many."""
    n_subjects_of_ways: Count = 2
    pretrain: SourceTraining = SourceTraining()
    """The pretraining on the source, where `init` names none; trainings on the target have all fields in common."""

    @model_validator(mode="after")
    def _trainings_are_possible(self) -> Self:
        self._refuse_repeats("seeds", "ways", "n_subjects", "evaluation_accelerations")
        if self.n_subjects_of_ways not in self.n_subjects:
            raise ValueError(f"n_subjects_of_ways = {self.n_subjects_of_ways} is not among n_subjects")
        self.stages()
        return self

    def stages(self) -> dict[str, Config]:
        """Trainings of one seed in order, by name: pretrain (without init), standalone_1, ..., all_1, ...; seed 0."""
        stages = {}
        if not self.init:
            saved = (self.pretrain.epochs,)
            stages[PRETRAIN] = self._config(PRETRAIN, train_split=PRETRAIN, save_epochs=saved)
        shared: dict[str, Any] = {name: getattr(self, name) for name in ("epochs", *Ways.model_fields)}
        for way in self.ways:
            for n in sorted(self.n_subjects):
                if way in self.sweep_ways or n == self.n_subjects_of_ways:
                    own: dict[str, Any] = {"train_subjects": n, "transfer": "all" if way == STANDALONE else way}
                    if way == SELF_SUPERVISED:
                        own |= {"transfer": "all", "loss": way, "augment": False, "resolution_range": (1.0, 1.0)}
                    stages[way_name(way, n)] = self._config(None, **shared, **own)
        return stages


OLD_KEYS = {
    "pretrain_learning_rate": ("pretrain", "learning_rate"),
    "pretrain_augment": ("pretrain", "augment"),
    "pretrain_passes": ("pretrain", "passes"),
    "pretrain_images_per_epoch": ("pretrain", "images_per_epoch"),
    "pretrain_epochs": ("pretrain", "epochs"),
    "standalone_epochs": ("standalone", "epochs"),
    "transfer_epochs": ("transfer", "epochs"),
}
"""Key of files from before the stages had tables -> table and key that it is now."""


def read_study(path: str | Path) -> Study:
    """Read a study from a TOML file, which may have the keys of before the tables; refuses as `read_config` does."""
    return _read(Study, path)


def read_transfer_study(path: str | Path) -> TransferStudy:
    """Read a study of ways to transfer from a TOML file, likewise."""
    return _read(TransferStudy, path)


def _read(kind: type[AnyStudy], path: str | Path) -> AnyStudy:
    fields = read_toml(path, "study")
    for old, (table, key) in OLD_KEYS.items():
        stage, model = fields.get(table, {}), table_of(kind, table)
        if old in fields and isinstance(stage, dict) and model and key in model.model_fields:
            if key in stage:
                raise CsmriError(f"{path}: {old} is [{table}] {key}, which is given too; remove {old}")
            fields[table] = stage | {key: fields.pop(old)}
    return checked(kind, fields, str(path))
