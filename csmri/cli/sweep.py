"""`csmri sweep`: methods x settings x acquisitions, from one config."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.options import plan_options, results_folder, run_plan
from csmri.core.quiet import import_tensorflow


@click.command()
@plan_options
def sweep(config: Path, results: Path | None, work: Path | None, plan: bool) -> None:
    """Try methods with every combination of settings on every acquisition, as the TOML file CONFIG describes it.

    A method is a classical one, a trained network, or a training with fields to vary. Trainings are done first; then
    every method meets the same masks on the same slices. Writes records, seconds, a table (sweep.md, sweep.tex) and a
    picture of what every method leaves of the initial reconstruction's error. What is done is never done twice.
    """
    from csmri.config import read_sweep_config

    experiment = read_sweep_config(config)

    import_tensorflow()
    from csmri.run import SweepRun

    run_plan(SweepRun(experiment, results_folder(results, config), work, report=click.echo), plan=plan)
