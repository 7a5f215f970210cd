"""How long an epoch takes: measured in the first steps of a training and told once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras

from csmri.core.memory import amount, peak_memory
from csmri.core.texts import duration

STEPS, SECONDS = 20, 30.0
"""Of training before it is told, whichever comes first; the first step, which compiles the network, does not count."""
VALIDATION = 1 / 3
"""Of the time of a step: a batch of the validation, which is but looked at."""


class Clock(keras.callbacks.Callback):
    """Tells how long an epoch and the rest of a training take, and how much memory was taken so far.

    Parameters
    ----------
    n_batches, n_validation : int
        Of an epoch.
    epochs : int
        After which the training ends.
    report : callable
        Told in a line.
    where : str
        What is trained, for the line.
    """

    def __init__(
        self, where: str, n_batches: int, n_validation: int, epochs: int, report: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.where, self.n_batches, self.n_validation = where, n_batches, n_validation
        self.epochs, self.report = epochs, report
        self._epoch = 0
        self._is_compiled = self._is_told = False
        self._begun, self._seconds, self._steps = 0.0, 0.0, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._begun = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._is_compiled:
            self._seconds += time.monotonic() - self._begun
            self._steps += 1
        self._is_compiled = True
        if self._steps >= STEPS or self._seconds >= SECONDS:
            self._tell()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._steps:  # of short epochs
            self._tell()

    def _tell(self) -> None:
        if self._is_told:
            return
        self._is_told = True
        epoch = self._seconds / self._steps * (self.n_batches + VALIDATION * self.n_validation)
        left, steps = self.epochs - self._epoch, f"{self._steps} step{'s' if self._steps > 1 else ''}"
        times = f"an epoch takes about {duration(epoch)}, {left} of them {duration(left * epoch)}"
        self.report(f"{self.where}: by {steps} {times}; so far {amount(peak_memory())} of memory taken")
