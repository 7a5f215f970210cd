"""A training that has lost what it had learnt is told of, and one that goes astray is ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from csmri.core.errors import CsmriError
from csmri.data.runs import read_log, relative_nmse

LEARNT, LOST = 0.95, 0.99
"""Left of the initial error by a network that corrects something, and by one that corrects nothing."""
EPOCHS = 2
"""In a row that it must be lost for: a single one may have had images like no other."""


class Watch(keras.callbacks.Callback):
    """Tells, once, that a network which had learnt corrects nothing any more; refuses a loss that is no number.

    Units that were pushed to where their ReLU is zero for every image have no gradient and stay there; where all of a
    layer are, the correction is gone for good, and the training goes on in vain.

    Parameters
    ----------
    log : path
        Log of the training up to the epoch before.
    where : str
        What is trained, for the line.
    report : callable
        Told in a line.

    Raises
    ------
    CsmriError
        After an epoch whose loss or error is not a number. Called before the others, it leaves what they have written
        as it was after the epoch before.
    """

    def __init__(self, log: Path, where: str, report: Callable[[str], None]) -> None:
        super().__init__()
        self.log, self.where, self.report = log, where, report

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row: dict[str, Any] = {"epoch": epoch + 1, **(logs or {})}
        if not all(math.isfinite(value) for value in row.values()):
            raise CsmriError(
                f"{self.where}: the loss is not a number after epoch {epoch + 1}; "
                "train into another folder with a lower learning_rate"
            )
        before = [one for one in read_log(self.log) if int(one["epoch"]) <= epoch] if self.log.exists() else []
        left = relative_nmse([*before, row])
        best, is_lost = min(left, key=left.__getitem__), [one > LOST for one in left.values()]
        if left[best] < LEARNT and all(is_lost[-EPOCHS:]) and not all(is_lost[-EPOCHS - 1 :]):
            self.report(
                f"{self.where}: corrects nothing any more: {left[best]:.3f} of the initial error were left in epoch "
                f"{best}, {left[epoch + 1]:.3f} are now. Networks seldom come back from there: stop it, and train into "
                "another folder with a lower learning_rate or another seed"
            )
