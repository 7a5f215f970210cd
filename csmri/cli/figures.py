"""`csmri figures`: draw what records hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from csmri.errors import CsmriError

KEPT = ("log.csv", "config.toml", "run.json")
"""What is copied of a run."""


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run whose log, config and record are copied into RESULTS/runs first; give several times.",
)
@click.option("--caption", default="", help="Attribution under the pictures.")
def figures(results: Path, runs: tuple[Path, ...], caption: str) -> None:
    """Draw learning curves and reconstructions, and print table 2, from the records in the folder RESULTS."""
    from csmri.config import read_config
    from csmri.figures import render_learning_curves, render_reconstructions
    from csmri.records import read_results, run_folder
    from csmri.tables import table2

    if not results.is_dir():
        raise CsmriError(f"{results}: no such folder; `csmri evaluate --out {results}` makes it")
    for run in runs:
        if not all((run / name).is_file() for name in KEPT):
            raise CsmriError(f"{run}: not a run with a finished epoch; expected {', '.join(KEPT)} in it")
    for run in runs:
        destination = run_folder(results, run.resolve().name, read_config(run / "config.toml").seed)
        destination.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            shutil.copyfile(run / name, destination / name)

    found = read_results(results)
    if found.logs:
        render_learning_curves({name: log for (name, _), log in found.logs.items()}, results / "learning_curves.png")
        click.echo(f"{results / 'learning_curves.png'}: drawn")
    if found.examples:
        render_reconstructions(found.examples, results / "reconstructions.png", caption=caption)
        click.echo(f"{results / 'reconstructions.png'}: drawn")
    if found.records:
        click.echo(table2(found.records))
