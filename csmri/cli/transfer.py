"""`csmri transfer`: ways to transfer and numbers of target subjects against each other, from one config."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.quiet import import_tensorflow
from csmri.config import read_transfer_study


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "results",
    required=True,
    type=click.Path(path_type=Path),
    help="Results folder; a study that was stopped goes on.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    help="Folder for checkpoints and SavedModels, by default RESULTS/work.",
)
@click.option("--plan", is_flag=True, help="Only tell what there is to do and how long it will take.")
def transfer(config: Path, results: Path, work: Path | None, plan: bool) -> None:
    """Compare ways to transfer as the TOML file CONFIG describes it.

    For every seed: standalone learning and each way to transfer, with each number of target subjects; evaluation on the
    target's test subjects and, so that forgetting shows, on held-out subjects of the source; then figures and tables.
    A stage that is done is never run twice.
    """
    experiment = read_transfer_study(config)

    import_tensorflow()
    from csmri.run import TransferRun

    run = TransferRun(experiment, results, work, report=click.echo)
    if plan:
        click.echo(run.plan())
    else:
        run.run()
