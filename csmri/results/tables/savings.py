"""Logs -> after how many epochs a transfer is as good as standalone learning at its end (the reading of figure 3)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, median_low
from typing import Any

from csmri.config import BLENDED, read_config
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, STANDALONE, method_label, pretraining_epochs, transfers
from csmri.data.runs import CONFIG, RECORD, relative_nmse
from csmri.results.folder import Results, run_folder
from csmri.results.tables.text import MISSING, Table


@dataclass(frozen=True)
class Race:
    """Transfer against standalone learning with one seed, in epochs and in images seen."""

    seed: int
    goal: float
    """What standalone learning has left of the initial error of the training images after its last epoch."""
    standalone_epochs: int
    """How long standalone learning was: the N without which no saving means anything."""
    epochs: int
    """How long the transfer was trained."""
    final: float
    """What it has left of the initial error after that."""
    reached: int | None
    """First epoch at or below the goal; None if there is none."""
    standalone_reached: int
    """First epoch at or below the goal of standalone learning itself, whose curve is not free of noise."""
    images: tuple[int, int, int] | None
    """Seen by standalone learning, an epoch of the transfer, and the pretraining before it; None where unknown."""

    @property
    def factor(self) -> float | None:
        """Epochs of standalone learning over those of the transfer until it is as good; None if not reached."""
        return self.standalone_epochs / self.reached if self.reached else None

    @property
    def factor_with_pretraining(self) -> float | None:
        """The same in images seen, those of the pretraining counted; None if not reached or unknown."""
        if self.reached is None or self.images is None:
            return None
        standalone, an_epoch, pretraining = self.images
        return standalone / (pretraining + self.reached * an_epoch)

    @property
    def bound(self) -> float:
        """Factor that a transfer which was trained in vain is below: that of an arrival in its last epoch."""
        return self.standalone_epochs / self.epochs

    @property
    def bound_with_pretraining(self) -> float | None:
        """The same in images seen; None where unknown."""
        if self.images is None:
            return None
        standalone, an_epoch, pretraining = self.images
        return standalone / (pretraining + self.epochs * an_epoch)

    @property
    def images_ratio(self) -> float | None:
        """Images seen by standalone learning over those of the pretraining; None where unknown."""
        return self.images[0] / self.images[2] if self.images else None


@dataclass(frozen=True)
class Pair:
    """Curves of standalone learning and of a transfer with one seed: epoch -> what is left of the initial error."""

    seed: int
    standalone: Mapping[int, float]
    transfer: Mapping[int, float]
    on_target: Mapping[int, float]
    """The transfer's without epochs whose images are partly the source's."""
    images: tuple[int, int, int] | None
    """Seen by an epoch of standalone learning, an epoch of the transfer, and the pretraining; None where unknown."""

    def race(self, length: int | None = None) -> Race:
        """Compare the transfer with standalone learning after `length` epochs, by default all that it was trained."""
        length = length or max(self.standalone)
        goal = self.standalone[length]
        own = first_epoch_at(self.standalone, goal)
        assert own is not None
        return Race(
            self.seed,
            goal,
            length,
            max(self.transfer),
            self.transfer[max(self.transfer)],
            first_epoch_at(self.on_target, goal),
            own,
            (length * self.images[0], *self.images[1:]) if self.images else None,
        )


@dataclass(frozen=True)
class Saving:
    """One transfer, with every seed that standalone learning was done with too."""

    training: str
    races: Sequence[Race]
    repeat: str = "seed"
    """What the races differ in, in a word: seed or fold."""

    @property
    def reached(self) -> int | None:
        """Epoch at which the goal is reached: median over seeds, rounded up; None if half of them or more never do."""
        epochs = [race.reached for race in self.races if race.reached]
        if len(epochs) == len(self.races):
            return -int(-median(epochs) // 1)
        return sorted(epochs)[len(self.races) // 2] if len(epochs) > len(self.races) // 2 else None

    @property
    def goal(self) -> float:
        """Standalone's last error, mean over seeds."""
        return fmean(race.goal for race in self.races)

    @property
    def final(self) -> float:
        """The transfer's last error, mean over seeds."""
        return fmean(race.final for race in self.races)

    @property
    def standalone_epochs(self) -> int:
        """Of the longest standalone learning."""
        return max(race.standalone_epochs for race in self.races)

    @property
    def epochs(self) -> int:
        """Of the longest transfer."""
        return max(race.epochs for race in self.races)

    @property
    def factor(self) -> float | None:
        """Median saving over seeds; a seed that never gets there counts as below all; None if the median is one."""
        return _median([race.factor for race in self.races])

    @property
    def factor_with_pretraining(self) -> float | None:
        """Median over seeds with the images of the pretraining counted."""
        return _median([race.factor_with_pretraining for race in self.races])

    def __str__(self) -> str:
        """As a legend says it that names the length N of standalone learning: `5× (4–6×), epoch 20–25`."""
        missed = [race.epochs for race in self.races if race.reached is None]
        if len(missed) == len(self.races):
            return f"not reached in {max(missed)} epochs"
        epochs = _range([race.reached for race in self.races])
        text = f"{_with_range(self.factor, [race.factor for race in self.races])}, epoch {epochs}"
        return text + (
            f"; {len(missed)} of {len(self.races)} {self.repeat}s not in {max(missed)} epochs" if missed else ""
        )


def savings(results: Results, trainings: Sequence[str] | None = None, *, standalone: str = STANDALONE) -> list[Saving]:
    """Compare transfers, by default all by their name, with standalone learning, seed by seed; empty without both.

    The goal is standalone's own last error of the same seed on the training images, as `records.relative_nmse` has it.
    """
    found = pairs(results, trainings, standalone=standalone)
    return [
        Saving(training, [pair.race() for pair in of_seeds], results.repeat) for training, of_seeds in found.items()
    ]


def pairs(
    results: Results, trainings: Sequence[str] | None = None, *, standalone: str = STANDALONE
) -> dict[str, list[Pair]]:
    """Transfer -> its curves beside those of standalone learning, a pair a seed that both have; empty without both."""
    found = {}
    for training in transfers(name for name, _ in results.logs) if trainings is None else trainings:
        seeds = [seed for name, seed in results.logs if name == training and (standalone, seed) in results.logs]
        if seeds:
            found[training] = [_pair(results, training, standalone, seed) for seed in sorted(seeds)]
    return found


def savings_table(found: Sequence[Saving]) -> Table:
    """Table of the savings: median and range over seeds, without and with the images of the pretraining."""
    rows = [["training", "reached at epoch", "of", "saving", "saving with pretraining"]]
    for saving in found:
        races = saving.races
        missed = sum(race.reached is None for race in races)
        reached = [race.reached for race in races]
        rows.append(
            [
                method_label(saving.training),
                f"not reached by {missed} of {len(races)} {saving.repeat}s"
                if saving.reached is None
                else f"{saving.reached}{_span(reached)}",
                _range([race.epochs for race in races]),
                _with_range(saving.factor, [race.factor for race in races]),
                _with_range(saving.factor_with_pretraining, [race.factor_with_pretraining for race in races]),
            ]
        )
    standalone = [race for saving in found[:1] for race in saving.races]
    repeat = found[0].repeat if found else "seed"
    notes = [
        "Epoch at which the NMSE of the training images, relative to that of their initial reconstructions, is first "
        "at or below standalone's after its last epoch "
        f"({_range([race.standalone_epochs for race in standalone])}), and how many times fewer epochs that is: median "
        f"(range) over {len(standalone)} {_plural(repeat, standalone)}. With pretraining: images seen by standalone "
        "learning over images seen by pretraining and transfer together. Standalone learning itself is first there at "
        f"epoch {_range([race.standalone_reached for race in standalone])}."
    ]
    missing = [
        f"{method_label(saving.training)} does not reach it in {race.epochs} epochs with seed {race.seed}."
        for saving in found
        for race in saving.races
        if race.reached is None
    ]
    return Table("savings", "Epochs saved by transfer learning", rows, [*notes, *missing])


def _pair(results: Results, training: str, against: str, seed: int) -> Pair:
    standalone, transfer = (relative_nmse(results.logs[name, seed]) for name in (against, training))
    # One pretraining may serve all seeds; then it stands under the first.
    pretrained = seed if (PRETRAIN, seed) in results.logs else min((s for _, s in results.logs), default=seed)
    owners = {against: seed, training: seed, PRETRAIN: pretrained}
    images = [_images_per_epoch(results, name, owner) for name, owner in owners.items()]
    before = _pretraining_epochs(results, training, seed)
    return Pair(
        seed,
        standalone,
        transfer,
        _on_target_alone(transfer, results, training, seed),
        (images[0], images[1], before * images[2]) if before and all(images) else None,
    )


def _on_target_alone(curve: dict[int, float], results: Results, training: str, seed: int) -> dict[int, float]:
    """Without the epochs of a blended transfer whose images are partly the source's."""
    path = run_folder(results.path, training, seed) / CONFIG
    config = read_config(path) if path.exists() else None
    if config is None or config.transfer != BLENDED:
        return curve
    return {epoch: error for epoch, error in curve.items() if config.source_share(epoch - 1) == 0}


def first_epoch_at(curve: Mapping[int, float], goal: float) -> int | None:
    """First epoch whose error is at or below the goal; None if there is none."""
    return next((epoch for epoch, error in sorted(curve.items()) if error <= goal), None)


def _images_per_epoch(results: Results, training: str, seed: int) -> int:
    """As the run's record tells; 0 where it does not."""
    return int(run_record(results, training, seed).get("images_per_epoch") or 0)


def _pretraining_epochs(results: Results, training: str, seed: int) -> int:
    """From the name of the transfer, or of the weights that it began with; 0 where neither tells."""
    init = re.search(r"epoch_(\d+)", str(run_record(results, training, seed).get("init")))
    return pretraining_epochs(training) or (int(init[1]) if init else 0)


def run_record(results: Results, training: str, seed: int) -> dict[str, Any]:
    """Read the record of a run that a results folder keeps; empty where it keeps none."""
    path = run_folder(results.path, training, seed) / RECORD
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CsmriError(
            f"{path}: damaged; expected the record that `csmri train` writes; copy the run again"
        ) from error
    return record if isinstance(record, dict) else {}


def _median(factors: Sequence[float | None]) -> float | None:
    known = [factor for factor in factors if factor is not None]
    if len(known) == len(factors):
        return median(known)
    return median_low([factor or 0 for factor in factors]) or None


def _with_range(middle: float | None, values: Sequence[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return MISSING
    ends = list(dict.fromkeys(f"{known[i]:.2g}" if known[i] < 10 else f"{known[i]:.0f}" for i in (0, -1)))
    if middle is None:
        return f"at most {ends[-1]}×"
    text = f"{middle:.2g}×" if middle < 10 else f"{middle:.0f}×"
    return text + (f" ({'–'.join(ends)}×)" if len(ends) > 1 else "")


def _range(values: Sequence[int | None]) -> str:
    known = sorted({value for value in values if value is not None})
    return f"{known[0]}–{known[-1]}" if len(known) > 1 else str(known[0]) if known else MISSING


def _span(values: Sequence[int | None]) -> str:
    text = _range(values)
    return f" ({text})" if "–" in text and text != MISSING else ""


def _plural(word: str, things: Sequence[object]) -> str:
    return word if len(things) == 1 else f"{word}s"
