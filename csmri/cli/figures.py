"""`csmri figures`: draw the paper's figures and write its tables from what a results folder holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from csmri.cli.reading import read_cine
from csmri.core.errors import CsmriError
from csmri.core.quiet import import_tensorflow


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Draw only this: fig1 to fig4, savings, table1, table2, methods, transfer, transfer_curves, area, sweep, "
    "variants or report; give several times.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["png", "svg", "pdf"]),
    default=("png",),
    show_default=True,
    help="Of pictures; give several times.",
)
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
@click.option("--caption", default="", help="Attribution under pictures where no study.toml has one.")
@click.option("--cine", type=click.Path(path_type=Path), help="For area: the cine that the examples are of.")
@click.option("--outlines", type=click.Path(path_type=Path), help="For area: its manual outlines.")
def figures(
    results: Path,
    only: tuple[str, ...],
    formats: tuple[str, ...],
    runs: tuple[Path, ...],
    show: tuple[str, ...],
    caption: str,
    cine: Path | None,
    outlines: Path | None,
) -> None:
    """Draw figures and write tables into the folder RESULTS from what it holds.

    By default all that it has what they need for: figures 1 to 4, what transfer learning saves against standalone
    learning of every length, tables 1 and 2, where methods were timed a table of all methods, of `csmri transfer` and
    `csmri sweep` theirs. Prints the tables of quality and the epochs that transfer learning saves.

    With --cine and --outlines, the area of the blood pool over the beat is measured in the examples first, so that
    area can be drawn.
    """
    from csmri.results.draw import builds_a_network, draw
    from csmri.results.products import Wish

    if not results.is_dir():
        raise CsmriError(f"{results}: no such folder; `csmri study` or `csmri evaluate --out {results}` makes it")
    if (cine is None) != (outlines is None):
        raise CsmriError("--cine and --outlines belong together: areas are measured in a cine with manual outlines")
    if builds_a_network(results, only):
        import_tensorflow()
    _keep_runs(results, runs)
    if cine is not None and outlines is not None:
        _measure_areas(results, cine, outlines)
    for drawn in draw(results, only, Wish(caption, show, tuple(dict.fromkeys(formats)))):
        for line in (*drawn.lines, *(f"{path}: written" for path in drawn.paths)):
            click.echo(line)


def redraw(name: str, script: str) -> None:
    """Draw one figure or table for a script: of the folder given to it, or else of `acdc` beside it."""
    from csmri.results.draw import builds_a_network, draw

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(script).parent / "acdc"
    if builds_a_network(folder, [name]):
        import_tensorflow()
    try:
        for drawn in draw(folder, [name]):
            print(*drawn.lines, *(f"{path}: written" for path in drawn.paths), sep="\n")
    except CsmriError as error:
        sys.exit(f"{Path(script).name}: {error}")


def _measure_areas(results: Path, cine: Path, outlines: Path) -> None:
    from csmri.formats import read_outlines
    from csmri.results.folder import AREAS, EXAMPLES, read_examples
    from csmri.results.tables import measure_areas, write_areas

    images, drawn = read_cine(cine), read_outlines(cine, outlines)
    examples = [one for one in read_examples(results / EXAMPLES) if one.subject == images.subject]
    if not examples or drawn is None:
        raise CsmriError(f"{results / EXAMPLES}: holds no example of {images.subject}, the subject of {cine}")
    write_areas(measure_areas(examples, images, drawn), results / AREAS)


def _keep_runs(results: Path, runs: Sequence[Path]) -> None:
    from csmri.config import read_config
    from csmri.core.texts import read_json
    from csmri.data.runs import CONFIG, KEPT, RECORD
    from csmri.results.folder import keep_run, run_folder

    for run in runs:
        if not all((run / name).is_file() for name in KEPT):
            raise CsmriError(f"{run}: not a run with a finished epoch; expected {', '.join(KEPT)} in it")
    places: dict[tuple[str, int], Path] = {}
    for run in runs:
        place = run.resolve().name, read_config(run / CONFIG).seed
        kept = read_json(run_folder(results, *place) / RECORD)
        if places.setdefault(place, run) != run or (kept and kept != read_json(run / RECORD)):
            raise CsmriError(f"{run}: another run of this name and seed is kept; rename the folder of one of them")
    for place, run in places.items():
        keep_run(run, results, *place)
