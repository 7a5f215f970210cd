"""What options of several commands have in common."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csmri.core.errors import CsmriError
from csmri.core.memory import LIMIT
from csmri.core.names import EXECUTORS, PROCESSES

if TYPE_CHECKING:
    from csmri.run.executors import Executor
    from csmri.run.runner import PlanRun

SEED = click.IntRange(0, 2**31, max_open=True)
"""A seed on the command line may be what it may be in a config."""


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Argument and options of what runs a plan from a config: CONFIG, --out (`results`), --work, --plan."""
    options = (
        click.argument("config", type=click.Path(path_type=Path)),
        click.option(
            "--out",
            "results",
            type=click.Path(path_type=Path),
            help="Results folder; what was stopped goes on. Default: results/NAME for study_NAME.toml or NAME.toml.",
        ),
        click.option(
            "--work",
            type=click.Path(path_type=Path),
            help="Folder for checkpoints and SavedModels, by default RESULTS/work.",
        ),
        click.option("--plan", is_flag=True, help="Only tell what there is to do and how long it will take."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def simulation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the acquisition that is simulated: --mask-law, --phase, --coils, --snr; see `simulated_law`."""
    options = (
        click.option("--mask-law", type=click.Choice(["gaussian", "schlemper"]), help="Law of the simulated masks."),
        click.option(
            "--phase",
            type=click.Choice(["none", "static", "moving", "drift"]),
            help="Phase that the images are given: at rest, with pulses of flow, or with a slow drift.",
        ),
        click.option("--coils", type=click.IntRange(1, 32), help="Receive coils that are simulated."),
        click.option("--snr", type=click.FloatRange(0), help="Signal-to-noise ratio of simulated noise; 0 for none."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def memory_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --memory to a command, for which `core.memory` asks; workers of it have their share."""
    return click.option(
        "--memory",
        type=click.FloatRange(0, min_open=True),
        metavar="GIB",
        callback=_allow_memory,
        expose_value=False,
        help="Memory that may be taken, in GiB; by default what is free. Buffers of examples, and the frames that a "
        "U-net corrects at once, fit it.",
    )(command)


def _allow_memory(context: click.Context, _: click.Parameter, gib: float | None) -> None:
    if gib is None:
        return
    before = os.environ.get(LIMIT)
    os.environ[LIMIT] = f"{gib:g}"

    def restore() -> None:
        os.environ.pop(LIMIT)
        if before is not None:
            os.environ[LIMIT] = before

    context.call_on_close(restore)  # a caller in Python goes on with what was


def executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of who does the work: --executor, --workers, --beam-options; see `run.executors`."""
    options = (
        click.option(
            "--executor",
            type=click.Choice(EXECUTORS),
            help="Who does the work: `processes`, the default, `this` process alone, or Apache Beam on the machines of "
            "its runner, which see the same folders.",
        ),
        click.option("--workers", type=click.IntRange(1, 1024), help="Processes; one for two cores by default."),
        click.option(
            "--beam-options",
            metavar="OPTIONS",
            help="For Apache Beam, in one text: '--runner=FlinkRunner --flink_master=HOST:8081'.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def executor_of(executor: str | None, workers: int | None, beam_options: str | None) -> Executor:
    """The executor that the options ask for, checked."""
    from csmri.run.executors import Executor

    try:
        options = tuple(shlex.split(beam_options or ""))
    except ValueError as error:
        raise CsmriError(f"--beam-options {beam_options}: a quotation mark is not closed") from error
    chosen = Executor(executor or PROCESSES, workers, options)
    chosen.check()
    return chosen


def given(**options: Any) -> dict[str, Any]:
    """Options that were given, of those that default to None."""
    return {name: value for name, value in options.items() if value is not None}


def results_folder(results: Path | None, config: Path) -> Path:
    """Folder that a plan's results go to, where none is given by the name of its config."""
    return results or Path("results") / config.stem.removeprefix("study_")


def run_plan(run: PlanRun, *, plan: bool) -> None:
    """Do a plan, or only tell it."""
    if plan:
        click.echo(run.plan())
    else:
        run.run()
