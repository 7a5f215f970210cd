"""`csmri study`: pretraining, standalone and transfer learning, evaluation, figures and table from one config."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.quiet import import_tensorflow
from csmri.config import read_study


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "results",
    type=click.Path(path_type=Path),
    help="Results folder; a study that was stopped goes on. Default: results/NAME for study_NAME.toml.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    help="Folder for checkpoints and SavedModels, by default RESULTS/work.",
)
@click.option("--plan", is_flag=True, help="Only tell what there is to do and how long it will take.")
def study(config: Path, results: Path | None, work: Path | None, plan: bool) -> None:
    """Run the comparison of the paper as the TOML file CONFIG describes it.

    For every seed: pretraining, standalone learning, transfer from each saved pretraining, evaluation on the test
    subjects; then figures, tables and report. A stage that is done is never run twice.
    """
    experiment = read_study(config)
    folder = results or Path("results") / config.stem.removeprefix("study_")

    import_tensorflow()
    from csmri.run import StudyRun

    run = StudyRun(experiment, folder, work, report=click.echo)
    if plan:
        click.echo(run.plan())
    else:
        run.run()
