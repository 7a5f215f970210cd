"""What `reconstruct` and `evaluate` share: how methods and networks are named on the command line, and made ready."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from csmri.core.errors import CsmriError
from csmri.core.names import AUTO, BASELINES, RUNTIMES, TENSORFLOW

if TYPE_CHECKING:
    from csmri.methods.reconstruction import Reconstructor

Command = TypeVar("Command", bound=Callable[..., Any])

CONSISTENCIES = ("none", "hard", "soft")
MODEL = re.compile(
    r"((?P<name>[^=]*)=)?(?P<path>.+?)(?P<suffix>@(?P<consistency>none|hard|soft)(:(?P<weight>[^/:@]+))?)?"
)
SYNTAX = "[NAME=]MODEL[@none|@hard|@soft[:WEIGHT]]"


def consistency_options(command: Command) -> Command:
    """Add `--consistency` and `--consistency-weight` to a command."""
    command = click.option(
        "--consistency",
        type=click.Choice(CONSISTENCIES),
        help="Whether a U-net's image gets its acquired k-space lines back, or (soft) an average; by default as the "
        "model's config says.",
    )(command)
    return click.option(
        "--consistency-weight",
        type=click.FloatRange(0, min_open=True),
        help="Of soft consistency: trust in the measurement over the network.",
    )(command)


def runtime_option(command: Command) -> Command:
    """Add `--runtime` to a command."""
    return click.option(
        "--runtime",
        type=click.Choice(RUNTIMES),
        default=AUTO,
        show_default=True,
        help="What computes a network: auto takes OpenVINO for a U-net, where it is installed, and TensorFlow else.",
    )(command)


def baseline_names(names: tuple[str, ...]) -> list[str]:
    """Baselines asked for beside those that every comparison has, each once and in the order of the package."""
    from csmri.core.names import INITIAL, ZERO_FILLED

    wanted = set(BASELINES if "all" in names else names) - {ZERO_FILLED, INITIAL}
    return [name for name in BASELINES if name in wanted]


def model_arguments(
    model: str, *, consistency: str | None = None, consistency_weight: float | None = None, runtime: str = TENSORFLOW
) -> dict[str, Any]:
    """Arguments of `load_reconstructor` for what `SYNTAX` names, whose data consistency goes before the options."""
    from csmri.methods.reconstruction import model_name

    parts = MODEL.fullmatch(model)
    if parts is None:
        raise CsmriError(f"{model!r}: expected {SYNTAX}")
    path, suffix = parts["path"], parts["suffix"] or ""
    if suffix:
        consistency, consistency_weight = parts["consistency"], _weight(model, parts["weight"])
    name = parts["name"] or (model_name(Path(path)) + suffix)
    own = {"consistency": consistency, "consistency_weight": consistency_weight, "runtime": runtime}
    return {"path": path, "name": name, **own}


def elsewhere(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `load_reconstructor` for a process that stands in another folder."""
    path = Path(arguments["path"])
    return {**arguments, "path": str(path.absolute()) if path.exists() else arguments["path"]}


def load_model(model: str, **options: Any) -> Reconstructor:
    """Load what `SYNTAX` names, with options of `model_arguments`."""
    from csmri.methods.reconstruction import load_reconstructor

    return load_reconstructor(**model_arguments(model, **options))


def _weight(model: str, text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise CsmriError(f"{model}: the weight of soft consistency must be a number, not {text!r}") from None
