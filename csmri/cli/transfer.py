"""`csmri transfer`: ways to transfer and numbers of target subjects against each other, from one config."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.options import plan_options, results_folder, run_plan
from csmri.core.quiet import import_tensorflow


@click.command()
@plan_options
def transfer(config: Path, results: Path | None, work: Path | None, plan: bool) -> None:
    """Compare ways to transfer as the TOML file CONFIG describes it.

    For every seed: standalone learning and each way to transfer, with each number of target subjects; evaluation on the
    target's test subjects and, so that forgetting shows, on held-out subjects of the source; then figures and tables.
    A stage that is done is never run twice.
    """
    from csmri.config import read_transfer_study

    experiment = read_transfer_study(config)

    import_tensorflow()
    from csmri.run import TransferRun

    run_plan(TransferRun(experiment, results_folder(results, config), work, report=click.echo), plan=plan)
