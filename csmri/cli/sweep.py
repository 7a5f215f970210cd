"""`csmri sweep`: methods x settings x acquisitions, from one config."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.quiet import import_tensorflow


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "results",
    required=True,
    type=click.Path(path_type=Path),
    help="Results folder; a sweep that was stopped goes on.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    help="Folder for checkpoints and SavedModels, by default RESULTS/work.",
)
@click.option("--plan", is_flag=True, help="Only tell what there is to do.")
def sweep(config: Path, results: Path, work: Path | None, plan: bool) -> None:
    """Try methods with every combination of settings on every acquisition, as the TOML file CONFIG describes it.

    A method is a classical one, a trained network, or a training with fields to vary. Trainings are done first; then
    every method meets the same masks on the same slices. Writes records, seconds, a table (sweep.md, sweep.tex) and a
    picture of what every method leaves of the initial reconstruction's error. What is done is never done twice.
    """
    from csmri.config import read_sweep_config

    experiment = read_sweep_config(config)

    import_tensorflow()
    from csmri.run import SweepRun

    run = SweepRun(experiment, results, work, report=click.echo)
    if plan:
        click.echo(run.plan())
    else:
        run.run()
