"""Stages of a study as tables of overrides: what a table leaves out, its training takes from the study."""

from __future__ import annotations

from typing import Any

from pydantic import create_model

from csmri.config.base import Count, Frozen
from csmri.config.training import Images, LearningRate, Passes, Training

# Made from Training, whose fields so have their types and bounds in one place. Network and sampling are not among them:
# a transfer goes on with the network that was pretrained, and all networks of a study are tested on the same lines.
_OPTIONAL: dict[str, Any] = {
    name: (field.rebuild_annotation() | None, None)
    for name, field in Training.model_fields.items()
    if name in Training.__annotations__
}
_Optional: Any = create_model("_Optional", __base__=Frozen, **_OPTIONAL)


class Stage(_Optional):
    """What a training has of its own; None takes the study's field of that name."""


class Pretraining(Stage):
    """Table `[pretrain]`: takes all but these four from the study, as the paper's pretraining has settings of its own.

    It is not augmented and shows every image once an epoch (section 2.4); its learning rate is found apart.
    """

    learning_rate: LearningRate = 1e-3
    augment: bool = False
    passes: Passes = 1
    images_per_epoch: Images = 0


class SourceTraining(Pretraining):
    """Table `[pretrain]` of a study of ways to transfer, which also says when the pretraining ends."""

    epochs: Count = 50


class TargetTraining(Stage):
    """Tables `[standalone]` and `[transfer]`: all but the epochs comes from the study."""

    epochs: Count = 100
