"""What a training leaves in its run folder: config, log, record."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from csmri.core.errors import CsmriError

LOG, CONFIG, RECORD = "log.csv", "config.toml", "run.json"
KEPT = (LOG, CONFIG, RECORD)
"""Small files of a training's run folder; a results folder keeps copies."""

Log = Sequence[Mapping[str, str]]
"""Rows of a training's log.csv, one an epoch: epoch, loss, nmse, initial_nmse, bias, (val_*), seconds.
Self-supervised ones have held_out and initial_held_out in place of the NMSE, which nobody knows there."""


def read_log(path: str | Path) -> Log:
    """Read the log of one training."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise CsmriError(f"{path}: cannot read the log: {getattr(error, 'strerror', None) or error}") from error
    try:
        kind = _error_of(rows)
        sound = bool(rows) and all(int(row["epoch"]) > 0 and float(row[f"initial_{kind}"]) > 0 for row in rows)
        sound = sound and all(float(row[kind]) >= 0 for row in rows)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise CsmriError(
            f"{path}: not the log of `csmri train`; expected numbers in the columns epoch, nmse and initial_nmse"
        )
    return rows


def relative_nmse(log: Log, *, prefix: str = "") -> dict[int, float]:
    """Epoch -> NMSE of the training images over that of their initial reconstructions.

    Every epoch draws other images and masks, which are easier or harder; what is left of the initial error can be
    compared between epochs, between trainings and with 1. The prefix `val_` gives that of the validation images.
    Of a self-supervised training it is the error of the held-out lines.
    """
    error = _error_of(log)
    return {int(row["epoch"]): float(row[f"{prefix}{error}"]) / float(row[f"{prefix}initial_{error}"]) for row in log}


def _error_of(log: Log) -> str:
    return "held_out" if log and "held_out" in log[0] else "nmse"
