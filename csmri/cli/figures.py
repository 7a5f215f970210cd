"""`csmri figures`: draw what records hold."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import click

from csmri.cli.quiet import import_tensorflow
from csmri.errors import CsmriError

LOG, RECORDS, EXAMPLES = "log.csv", "records.csv", "examples.npz"
KEPT = (LOG, "config.toml", "run.json")
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
@click.option("--curve", "curves", multiple=True, help="Names of the runs to draw, in order; all by default.")
@click.option("--caption", default="", help="Attribution under the pictures.")
def figures(results: Path, runs: tuple[Path, ...], curves: tuple[str, ...], caption: str) -> None:
    """Draw learning curves and reconstructions, and print table 2, from the records in the folder RESULTS."""
    if not results.is_dir():
        raise CsmriError(f"{results}: no such folder; `csmri evaluate --out {results}` makes it")
    for run in runs:
        if not all((run / name).is_file() for name in KEPT):
            raise CsmriError(f"{run}: not a run with a finished epoch; expected {', '.join(KEPT)} in it")
    for run in runs:
        _copy(run, results / "runs" / run.resolve().name)

    import_tensorflow()
    from csmri.evaluation import read_records, table2
    from csmri.figures import read_examples, render_learning_curves, render_reconstructions

    folders = [results / "runs" / name for name in curves] or sorted((results / "runs").glob("*"))
    logs = {folder.name: _rows(folder / LOG) for folder in folders}
    if logs:
        render_learning_curves(logs, results / "learning_curves.png")
        click.echo(f"{results / 'learning_curves.png'}: drawn")
    if (results / EXAMPLES).exists():
        render_reconstructions(read_examples(results / EXAMPLES), results / "reconstructions.png", caption=caption)
        click.echo(f"{results / 'reconstructions.png'}: drawn")
    if (results / RECORDS).exists():
        click.echo(table2(read_records(results / RECORDS)))
    if not logs and not (results / RECORDS).exists():
        raise CsmriError(
            f"{results}: holds neither runs/*/{LOG} nor {RECORDS}; `csmri evaluate --out {results}` writes them"
        )


def _copy(run: Path, destination: Path) -> None:
    destination.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(run / name, destination / name)


def _rows(log: Path) -> list[dict[str, str]]:
    try:
        with log.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise CsmriError(f"{log}: cannot read the log: {getattr(error, 'strerror', None) or error}") from error
    if not rows or not {"epoch", "nmse"} <= rows[0].keys():
        raise CsmriError(f"{log}: not the log of `csmri train`; expected the columns epoch and nmse")
    return rows
