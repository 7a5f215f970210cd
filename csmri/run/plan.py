"""The plan of a study: its stages, what is done of them, and how long the rest will take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from csmri.config import Config
from csmri.core.texts import duration
from csmri.data.runs import LOG, read_log
from csmri.data.store import Entry, Store
from csmri.evaluation.metrics import frame_quality
from csmri.learning.stream import training_stream
from csmri.learning.train import FINAL, MODELS, compiled_network

PHANTOMS, EVALUATE, DRAW = "phantoms", "evaluate", "draw"
DONE, RUNNING, LEFT = "done", "running", "left"
DRAWING_SECONDS = 20.0
"""Figures, tables and report; hardly depends on the study."""
PHANTOM_SECONDS = 1.5e-6
"""A phantom's image takes so long per pixel of its fine grid."""


@dataclass(frozen=True)
class Stage:
    """One step of the plan: a training (with `config`), which ends with a SavedModel, or what `is_finished` tells."""

    name: str
    seed: int | None = None
    """None for what is done once for all seeds."""
    config: Config | None = None
    run: Path = Path()
    """Folder of the training."""
    init: Path | None = None
    images: int = 0
    """Shown to the network an epoch; of what is no training, altogether."""
    is_finished: Callable[[], bool] = lambda: False
    """Of a training: nothing needs it any more, so that it is not done again where its folder is gone."""
    tested: str = ""
    """Subject that a fold keeps for its test; empty where the stage is of no fold."""

    @property
    def repeat(self) -> str:
        """Which of the seeds or folds it is of, in words; empty for what is done once for all."""
        seed = "" if self.seed is None else f"seed {self.seed}"
        return f"{seed}, {self.tested} left out" if self.tested else seed

    def epochs_done(self) -> int:
        """Epochs behind a training, by its log."""
        return int(read_log(self.run / LOG)[-1]["epoch"]) if (self.run / LOG).exists() else 0

    def is_trained(self) -> bool:
        """Whether it is a training whose folder holds all that it came to."""
        return self.config is not None and (self.run / MODELS / FINAL).exists()

    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.is_trained() or self.is_finished()


@dataclass(frozen=True)
class Pace:
    """How long things take on this machine [s]."""

    image: float
    """One image through one step of training."""
    quality: float
    """Metrics of one image."""

    def seconds_left(self, stage: Stage) -> float:
        """Estimate the time that a stage still needs."""
        if stage.is_done():
            return 0.0
        if stage.config:
            return (stage.config.epochs - stage.epochs_done()) * stage.images * self.image
        if stage.name == DRAW:
            return DRAWING_SECONDS
        if stage.name == PHANTOMS:
            return stage.images * PHANTOM_SECONDS * 320**2
        # A forward pass is a third of a training step.
        return stage.images * (self.image / 3 + self.quality)

    def corrected(self, stage: Stage, expected: float, took: float) -> Pace:
        """Learn from how long a training took; one that had hardly anything left tells nothing."""
        if stage.config is None or expected < 1:
            return self
        return replace(self, image=self.image * took / expected)


def n_images(entries: Sequence[Entry]) -> int:
    """Images of some subjects."""
    return sum(entry.n_slices * entry.n_frames for entry in entries)


def measure_pace(target_store: Store, stages: Sequence[Stage]) -> Pace:
    """Time a few steps, or read it from the log of a training that went before."""
    here = {entry.split for entry in target_store.entries}
    configs = [stage.config for stage in stages if stage.config and stage.config.train_split in here]
    config = next((one for one in configs if one.train_split == "train"), configs[0])
    entry = target_store.of_split(config.train_split)[0]
    rng = np.random.default_rng(0)
    images = rng.random((1, *entry.matrix), np.float32)
    begun = time.monotonic()
    frame_quality(images, images + np.float32(0.01), entry.heart_box)
    quality = time.monotonic() - begun
    for stage in stages:
        if stage.config and stage.epochs_done():
            epoch = np.median([float(row["seconds"]) for row in read_log(stage.run / LOG)])
            return Pace(float(epoch) / stage.images, quality)
    network = compiled_network(config, 1)
    stream = training_stream(target_store, config)
    arguments = next(iter(stream.dataset))
    seconds = []
    for _ in range(4):
        begun = time.monotonic()
        network.train_on_batch(*arguments)
        seconds.append(time.monotonic() - begun)
    return Pace(min(seconds) * (stream.n_cines or stream.n_batches) / stream.n_frames, quality)


def plan_text(title: str, stages: Sequence[Stage], pace: Pace) -> str:
    """Tell every stage as done, running or left, and how long is left."""
    left = [pace.seconds_left(stage) for stage in stages]
    n_done = sum(stage.is_done() for stage in stages)
    head = f"{title}: {n_done} of {len(stages)} stages done"
    known = all(seconds or stage.is_done() for stage, seconds in zip(stages, left, strict=True))
    lines = [head + (f", about {duration(sum(left))} left" if sum(left) and known else "")]
    width = max(15, *(len(stage.name) for stage in stages))
    repeat_width = max(8, *(len(stage.repeat) for stage in stages))
    for stage, seconds in zip(stages, left, strict=True):
        epochs = stage.epochs_done() if stage.config else 0
        state = DONE if stage.is_done() else RUNNING if epochs else LEFT
        amount = f"{stage.images:,} images" if stage.images else ""
        if stage.config:
            amount = f"{epochs} of {stage.config.epochs} epochs" if epochs else f"{stage.config.epochs} epochs"
        remaining = "" if state == DONE or not seconds else f"about {duration(seconds)}"
        lines.append(
            f"  {state:<8} {stage.repeat:<{repeat_width}} {stage.name:<{width}} {amount:>18}  {remaining}".rstrip()
        )
    return "\n".join(lines)
