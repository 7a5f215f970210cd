"""A study -> what the paper's table 1 held: the hyper-parameters, and what was tried to find them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from csmri.config import Config, Study
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, SELF_SUPERVISED, STANDALONE, transfer_name
from csmri.results.tables.text import MISSING, Table

TUNING = "tuning.csv"
TUNED = ("optimizer", "learning_rate", "schedule", "batch_size")
"""Fields by which the chosen setting is found among those that were tried."""
COLUMNS = ("stage", *TUNED, "images", "initial_nmse", "nmse_half_way", "nmse", "seconds")
STAGES = {"target": STANDALONE, "pretraining": PRETRAIN, PRETRAIN: PRETRAIN}
"""What tuning.csv calls a training of the study."""

LOSSES = {
    "absolute": "mean squared error of T",
    "relative": "mean squared error of T over that of I",
    SELF_SUPERVISED: "error of held-out lines",
}
OPTIMIZERS = {"adam": "Adam", "rmsprop": "RMSprop", "sgd": "SGD, Nesterov momentum 0.9"}


def table1(study: Study, results: str | Path) -> list[Table]:
    """Hyper-parameters of a study, and below them what tuning.csv in its results folder says was tried.

    Raises
    ------
    CsmriError
        If tuning.csv is there and not what is expected.
    """
    path = Path(results) / TUNING
    tables = [Table("hyperparameters", "Table 1. Hyper-parameters used for learning", _hyperparameters(study))]
    return [*tables, _tried(study, path)] if path.exists() else tables


def _hyperparameters(study: Study) -> list[list[str]]:
    stages = study.stages()
    trainings = [stages[name] for name in (PRETRAIN, STANDALONE, transfer_name(study.pretrain_at[0]))]
    epochs = ", ".join(str(n) for n in sorted(study.pretrain_at))
    glorot = "Glorot uniform"
    rows = [
        ["optimiser", *_cells(trainings, lambda c: OPTIMIZERS[c.optimizer])],
        ["learning rate", *_cells(trainings, lambda c: f"{c.learning_rate:g}")],
        ["schedule", *_cells(trainings, lambda c: "cosine to 0" if c.schedule == "cosine" else c.schedule)],
        ["batch size", *_cells(trainings, lambda c: f"{c.batch_size} images")],
        ["epochs", f"{trainings[0].epochs}", f"SL {trainings[1].epochs}, TL {trainings[2].epochs}"],
        ["loss", *_cells(trainings, lambda c: LOSSES[c.loss])],
        ["initialisation", glorot, f"SL {glorot}, TL pretrained for {epochs} epochs"],
        ["accelerations", *_cells(trainings, lambda c: ", ".join(f"{a:g}" for a in c.accelerations))],
        ["augmentation", *_cells(trainings, lambda c: "flips, 90° rotation" if c.augment else "none")],
        ["images an epoch", *_cells(trainings, _images)],
        ["part of an image", *_cells(trainings, _part)],
        ["mask", *_cells(trainings, _mask)],
        [
            "interpolation",
            *_cells(trainings, lambda c: "linear, cyclic" if c.cyclic else "linear, not cyclic"),
        ],
        ["channels, depth", *_cells(trainings, lambda c: f"{c.base_channels}, {c.depth}")],
        ["precision", *_cells(trainings, lambda c: c.precision)],
        ["seeds", *(", ".join(map(str, seeds)) for seeds in (study.pretraining_seeds, study.seeds))],
    ]
    if study.fold_subjects:
        first = study.seeds[0]
        rows[-1] = ["seeds", f"{first}", f"{first}, {first + 1}, ..., one a fold"]
        rows.append(["subjects of a fold", MISSING, f"{study.fold_subjects}, and another to test"])
    return [["", "pretraining (Y set)", "SL and TL (K set)"], *rows]


def _cells(trainings: Sequence[Config], describe: Callable[[Config], str]) -> list[str]:
    """Cells of pretraining and of both trainings on the target, which are told apart where they differ."""
    pretraining, standalone, transfer = map(describe, trainings)
    return [pretraining, standalone if standalone == transfer else f"SL {standalone}, TL {transfer}"]


def _images(config: Config) -> str:
    return f"{config.images_per_epoch:,}" if config.images_per_epoch else f"all, {config.passes}×"


def _part(config: Config) -> str:
    return f"{config.crop_columns} columns at random" if config.crop_columns else "all"


def _mask(config: Config) -> str:
    if config.mask_law == "schlemper":
        return "Schlemper, fresh every time"
    centre = f", {config.mask_centre_lines} centre lines" if config.mask_centre_lines else ""
    return f"Gaussian, sd {config.mask_width:g} n_ky{centre}"


def _tried(study: Study, path: Path) -> Table:
    rows = _read_tuning(path)
    chosen = [_is_chosen(study, row) for row in rows]
    table = [
        ["stage", "optimiser", "learning rate", "schedule", "batch", "images", "NMSE × 10³ before", "half way", "end"]
    ]
    for row, bold in zip(rows, chosen, strict=True):
        try:
            numbers = [f"{1e3 * float(row[name]):.3f}" if row[name] else MISSING for name in COLUMNS[6:9]]
            cells = [row["stage"], row["optimizer"], f"{float(row['learning_rate']):g}", row["schedule"]]
            cells += [row["batch_size"], f"{int(row['images']):,}", *numbers]
        except ValueError as error:
            raise CsmriError(
                f"{path}: {error} in stage {row['stage']!r}; expected numbers; restore the file or remove it"
            ) from error
        table.append([f"**{cell}**" for cell in cells] if bold else cells)
    untested = "" if study.fold_subjects else ", none of them tested on"  # folds test all
    notes = [f"NMSE of subjects held out for tuning{untested}. The study's setting is in bold."]
    for stage in dict.fromkeys(row["stage"] for row in rows):
        if not any(bold for row, bold in zip(rows, chosen, strict=True) if row["stage"] == stage):
            notes.append(f"The study's setting is not among those tried for stage {stage}.")
    return Table("tuning", "What was tried", table, notes)


def _is_chosen(study: Study, row: Mapping[str, str]) -> bool:
    config = study.stages()[STAGES[row["stage"]]]
    return all(_same(row[name], getattr(config, name)) for name in TUNED)


def _same(cell: str, value: object) -> bool:
    try:
        return float(cell) == value
    except ValueError:
        return cell == value


def _read_tuning(path: Path) -> Sequence[Mapping[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise CsmriError(f"{path}: cannot read what was tried: {getattr(error, 'strerror', None) or error}") from error
    if not rows or not set(COLUMNS) <= rows[0].keys() or any(None in row.values() for row in rows):
        raise CsmriError(f"{path}: not a table of tuning; expected rows with the columns {', '.join(COLUMNS)}")
    if unknown := [row["stage"] for row in rows if row["stage"] not in STAGES]:
        raise CsmriError(f"{path}: unknown stage {unknown[0]!r}; expected {' or '.join(STAGES)}")
    return rows
