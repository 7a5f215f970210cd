"""What a sweep is: methods, each with every combination of the settings to try, on every acquisition."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from csmri.config.base import EVALUATION_ACCELERATIONS, NAME, Accelerations, Frozen, Seed, Split, checked
from csmri.config.network import AFTER_TRAINING
from csmri.config.sampling import Sampling
from csmri.core.names import BASELINES, INITIAL, ZERO_FILLED
from csmri.core.texts import read_toml

Value = bool | int | float | str
Setting = Value | list[Value]
"""Of one field, which may itself be a list: accelerations."""


class SweptMethod(Frozen):
    """A method of a sweep: one of a classical method, a trained network, a training, or a network before its training.

    Where none is named, the name of the table is that of a classical method.
    """

    method: str = ""
    """Classical method."""
    model: str = ""
    """SavedModel folder, or the name of a network that csmri ships."""
    train: str = ""
    """Config of a training that is done for every combination of settings."""
    untrained: str = ""
    """Config whose network is taken as it is before any training."""
    init: str = ""
    """Of `train`: SavedModel to start from."""
    settings: dict[str, Value | list[Setting]] = {}
    """What to change, by name: fields of the method's settings, of the training's config, or of the data consistency of
    a model. A list is tried value by value; several lists make a grid. Of a field that is a list itself, a list of
    lists: `accelerations = [[4.0, 8.0]]`. Several values of data consistency are tried on one training."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        given = [name for name in ("method", "model", "train", "untrained") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"give one of method, model, train and untrained, not {' and '.join(given)}")
        if self.init and not self.train:
            raise ValueError("init is what a training starts from; it belongs to train")
        return self

    @property
    def n_combinations(self) -> int:
        """How many combinations of settings there are."""
        return math.prod(len(value) for value in self.settings.values() if isinstance(value, list))

    @property
    def after_training(self) -> frozenset[str]:
        """Settings that are tried on one training, because it does not depend on them."""
        return frozenset(name for name in AFTER_TRAINING if isinstance(self.settings.get(name), list))

    def combinations(self) -> dict[str, dict[str, Setting]]:
        """Every combination of settings, by what tells it from the others: `strength=0.01`; "" where there is one."""
        lists = {name: value if isinstance(value, list) else [value] for name, value in self.settings.items()}
        every = (dict(zip(lists, values, strict=True)) for values in product(*lists.values()))
        return {self.suffix(own): own for own in every}

    def suffix(self, own: Mapping[str, Setting], *, without: Collection[str] = ()) -> str:
        """What tells a combination from the others by all settings but some."""
        varied = [name for name, value in self.settings.items() if isinstance(value, list) and name not in without]
        return " ".join(f"{name}={_short(own[name])}" for name in varied)


class Sweep(Frozen):
    """Methods x settings x acquisitions on the subjects of one split."""

    store: str
    """Prepared store; environment variables are expanded."""
    split: Split = "validation"
    """Not `test` where anything is chosen by the outcome."""
    slices: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    """Slices of every subject, counted from 0; all if empty."""
    accelerations: Accelerations = EVALUATION_ACCELERATIONS
    seed: Seed = 0
    """Of masks and phases, the same for all methods."""
    caption: str = ""
    """Attribution of the data under the picture."""
    acquisitions: dict[str, Sampling] = {"gaussian": Sampling()}
    methods: Annotated[dict[str, SweptMethod], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_sound(self) -> Self:
        for name in (*self.acquisitions, *self.methods):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot name an acquisition or a method: take letters, digits, . @ + - _")
        if not self.acquisitions:
            raise ValueError("name an acquisition: [acquisitions.gaussian]")
        if len(self.trials()) < sum(method.n_combinations for method in self.methods.values()):
            raise ValueError("two trials have one name: names or values differ too little; give methods other names")
        for name, one in self.methods.items():
            if name in (ZERO_FILLED, INITIAL):
                raise ValueError(f"{name} takes part always; leave it out")
            if not (one.model or one.train or one.untrained) and (one.method or name) not in BASELINES:
                raise ValueError(
                    f"[methods.{name}] names no method, model, train or untrained, and {one.method or name!r} is "
                    f"no classical method; those are {', '.join(BASELINES)}"
                )
        return self

    def trials(self) -> dict[str, tuple[SweptMethod, dict[str, Setting]]]:
        """Every method with every combination of its settings, by the name that records have for it."""
        return {
            f"{name} {told}".rstrip(): (method, own)
            for name, method in self.methods.items()
            for told, own in method.combinations().items()
        }


def read_sweep_config(path: str | Path) -> Sweep:
    """Read a sweep from a TOML file; refuses as `read_config` does."""
    return checked(Sweep, read_toml(path, "sweep"), str(path))


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
