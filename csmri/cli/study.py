"""`csmri study`: pretraining, standalone and transfer learning, evaluation, figures and table from one config."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.options import plan_options, results_folder, run_plan
from csmri.core.quiet import import_tensorflow


@click.command()
@plan_options
def study(config: Path, results: Path | None, work: Path | None, plan: bool) -> None:
    """Run the comparison of the paper as the TOML file CONFIG describes it.

    For every seed, or fold: pretraining, standalone learning, transfer from each saved pretraining, evaluation on the
    test subjects; then figures, tables and report. A stage that is done is never run twice. A study with variants,
    tables [variants.NAME], does so for each, keeps learning curves and mean errors, and draws what the saving depends
    on.
    """
    from csmri.config import read_study

    experiment = read_study(config)

    import_tensorflow()
    from csmri.run import StudyRun, VariantsRun

    kind = VariantsRun if experiment.variants else StudyRun
    run_plan(kind(experiment, results_folder(results, config), work, report=click.echo), plan=plan)
