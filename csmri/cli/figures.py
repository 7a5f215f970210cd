"""`csmri figures`: draw the paper's figures and write its tables from what a results folder holds.

The functions here are also what the scripts beside the results call; each makes one figure or table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csmri.cli.quiet import import_tensorflow
from csmri.core.errors import CsmriError

if TYPE_CHECKING:
    from csmri.config import Network
    from csmri.results.folder import Results
    from csmri.results.tables import Table

PICTURES = (".png", ".svg")


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run whose log, config and record are copied into RESULTS/runs first; give several times.",
)
@click.option(
    "--show",
    multiple=True,
    metavar="METHOD",
    help="Method in figure 4; give several times, in the order of its columns.",
)
@click.option("--caption", default="", help="Attribution under figure 4 where no study.toml has one.")
def figures(results: Path, runs: tuple[Path, ...], show: tuple[str, ...], caption: str) -> None:
    """Draw figures 1 to 4 and write tables 1 and 2 into the folder RESULTS from what it holds.

    Where methods were timed, as `csmri evaluate` does, also a table of all methods (methods.md, methods.tex). Prints
    the tables of quality and the epochs that transfer learning saves. Of results of `csmri transfer`, draws and prints
    theirs.
    """
    from csmri.results.figures.panels import SHEET
    from csmri.results.folder import EXAMPLES, TRANSFER_STUDY, read_results
    from csmri.results.tables import savings, savings_table

    if not results.is_dir():
        raise CsmriError(f"{results}: no such folder; `csmri study` or `csmri evaluate --out {results}` makes it")
    if (results / TRANSFER_STUDY).exists():
        _draw_sweep(results)
        return
    _keep_runs(results, runs)
    found = read_results(results)
    draws: list[Callable[[Results], Sequence[Path]]] = [draw_unet, draw_blocks]
    if found.logs:
        draws.append(draw_learning_curves)
    if found.examples:
        write_figure4_panels(found, caption, show)
    elif show:
        raise CsmriError(f"{results}: has no {EXAMPLES}; without it figure 4 shows what its panels hold, drop --show")
    if (results / SHEET).exists():
        draws.append(draw_reconstructions)
    if found.study:
        draws.append(write_table1)
    if found.records:
        draws.append(write_table2)
    if found.records and found.timings:
        draws.append(write_methods)
    for draw in draws:
        for path in draw(found):
            click.echo(f"{path}: written")
    if not found.records and (saved := savings(found)):
        _print([savings_table(saved)])


def redraw(draw: Callable[[Results], Sequence[Path]], script: str) -> None:
    """Make one figure or table for a script: of the folder given to it, or else of `acdc` beside it."""
    from csmri.results.folder import read_results

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(script).parent / "acdc"
    try:
        for path in draw(read_results(folder)):
            click.echo(f"{path}: written")
    except CsmriError as error:
        sys.exit(f"{Path(script).name}: {error}")


def draw_unet(results: Results) -> list[Path]:
    """Draw figure 1 of the network that the results are of; of the paper's where they do not tell."""
    import_tensorflow()
    from csmri.results.figures import render_unet
    from csmri.unet import build_unet

    size = _network(results)
    model = build_unet(base_channels=size.base_channels, depth=size.depth, frames=size.frames)
    return _each(results, "fig1_unet", lambda path: render_unet(model, path))


def draw_blocks(results: Results) -> list[Path]:
    """Draw figure 2, which is the same for all results."""
    from csmri.results.figures import render_blocks

    return _each(results, "fig2_blocks", render_blocks)


def draw_learning_curves(results: Results) -> list[Path]:
    """Draw figure 3 from the logs, and print what the transfers save."""
    from csmri.results.figures import render_learning_curves
    from csmri.results.tables import savings

    if not results.logs:
        raise CsmriError(
            f"{results.path}: has no logs runs/seed_*/*/log.csv; `csmri figures --run RUN` keeps them there"
        )
    for saving in savings(results):
        click.echo(f"{saving.training} as good as standalone at its end: {saving}")
    caption = results.study.caption if results.study else ""
    return _each(results, "fig3_learning_curves", lambda path: render_learning_curves(results, path, caption=caption))


def write_figure4_panels(results: Results, caption: str = "", show: Sequence[str] = ()) -> list[Path]:
    """Write what figure 4 shows of the examples, so that it can be drawn without them."""
    from csmri.results.figures import choose_examples, make_panels, write_panels

    subject, attribution = "", caption
    if results.study:
        subject, attribution = results.study.example_subject, results.study.caption or caption
    panels = make_panels(choose_examples(results.examples, subject), show)
    return write_panels(panels, results.path, caption=attribution)


def draw_reconstructions(results: Results) -> list[Path]:
    """Draw figure 4 from its panels."""
    from csmri.results.figures import read_panels, render_panels

    panels, caption = read_panels(results.path)
    return _each(results, "fig4_reconstructions", lambda path: render_panels(panels, path, caption=caption))


def write_table1(results: Results) -> Sequence[Path]:
    """Write and print table 1, the hyper-parameters, from the study's config and what was tried."""
    from csmri.results.folder import STUDY
    from csmri.results.tables import table1, write_tables

    if results.study is None:
        raise CsmriError(f"{results.path}: has no {STUDY}; table 1 is of a study that `csmri study` made")
    tables = table1(results.study, results.path)
    _print(tables)
    return write_tables(tables, results.path / "table1_hyperparameters.md")


def write_table2(results: Results) -> Sequence[Path]:
    """Write table 2 with its test, PSNR and SSIM, and the savings of figure 3; print the first and the last."""
    from csmri.results.folder import RECORDS
    from csmri.results.tables import quality_tables, savings, savings_table, write_tables

    if not results.records:
        raise CsmriError(f"{results.path}: has no {RECORDS}; `csmri evaluate --out {results.path}` writes it")
    tables = quality_tables(results.records)
    printed = tables[:1]
    if saved := savings(results):
        tables.append(savings_table(saved))
        printed.append(tables[-1])
    _print(printed)
    return write_tables(tables, results.path / "table2_nmse.md")


def write_methods(results: Results) -> Sequence[Path]:
    """Write the table of all methods with their seconds and parameters; print that of the heart box."""
    from csmri.results.folder import RECORDS, TIMINGS
    from csmri.results.tables import methods_tables, write_tables

    if not (results.records and results.timings):
        raise CsmriError(
            f"{results.path}: lacks {RECORDS} or {TIMINGS}; `csmri evaluate --out {results.path}` writes both"
        )
    tables = methods_tables(results)
    _print(tables[:1])
    return write_tables(tables, results.path / "methods.md")


def _draw_sweep(folder: Path) -> None:
    """Draw figure and learning curves of a study of ways to transfer, and write and print its tables."""
    from csmri.config import read_transfer_study
    from csmri.results.figures import render_transfer, render_transfer_curves
    from csmri.results.folder import TRANSFER_STUDY
    from csmri.results.tables import read_sweep, transfer_tables, write_tables

    sweep, caption = read_sweep(folder), read_transfer_study(folder / TRANSFER_STUDY).caption
    tables = transfer_tables(sweep)
    _print(tables)
    paths = [*write_tables(tables, folder / "transfer.md")]
    for name, render in {"transfer": render_transfer, "transfer_curves": render_transfer_curves}.items():
        paths += _each(sweep.results, name, partial(render, sweep, caption=caption))
    for path in paths:
        click.echo(f"{path}: written")


def _print(tables: Sequence[Table]) -> None:
    from csmri.results.tables import markdown

    for table in tables:
        click.echo("\n".join(["", table.title, markdown(table.rows), *table.notes]))


def _each(results: Results, name: str, render: Callable[[Path], None]) -> list[Path]:
    paths = [results.path / f"{name}{suffix}" for suffix in PICTURES]
    for path in paths:
        render(path)
    return paths


def _network(results: Results) -> Network:
    from csmri.config import Network, read_config
    from csmri.data.runs import CONFIG
    from csmri.results.folder import run_folder

    configs = [run_folder(results.path, training, seed) / CONFIG for training, seed in results.logs]
    kept = [path for path in configs if path.exists()]
    return results.study or (read_config(kept[0]) if kept else Network())


def _keep_runs(results: Path, runs: Sequence[Path]) -> None:
    from csmri.config import read_config
    from csmri.data.runs import CONFIG, KEPT
    from csmri.results.folder import keep_run

    for run in runs:
        if not all((run / name).is_file() for name in KEPT):
            raise CsmriError(f"{run}: not a run with a finished epoch; expected {', '.join(KEPT)} in it")
    for run in runs:
        keep_run(run, results, run.resolve().name, read_config(run / CONFIG).seed)
