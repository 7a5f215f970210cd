"""`csmri report`: results as one page to look at."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs

PAGES = (".html", ".htm")


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--examples", type=click.Path(path_type=Path), help="Play these images instead of RESULTS/examples.npz.")
@click.option("--out", type=click.Path(path_type=Path), help="HTML file to write.  [default: RESULTS/report.html]")
@click.option("--note", default="", help="Said beside the player, of the images.")
@click.option("--slices", type=click.IntRange(1), default=3, show_default=True, help="Slices in the player at most.")
def report(results: Path, examples: Path | None, out: Path | None, note: str, slices: int) -> None:
    """Write the results in the folder RESULTS as one HTML page: findings, beating images, tables, curves.

    The page is a single file that loads nothing from anywhere; open it in a browser.
    """
    from csmri.results.folder import read_examples, read_results
    from csmri.results.report import REPORT, render_report

    path = out or results / REPORT
    if path.suffix.lower() not in PAGES:
        raise CsmriError(f"{path}: the report is a page of HTML; end the name in {' or '.join(PAGES)}")
    found = read_results(results)
    given = None if examples is None else read_examples(examples)
    read = [file for file in results.rglob("*") if file.is_file() and file.suffix.lower() not in PAGES]
    check_outputs([path], [examples, *read])
    render_report(found, path, examples=given, note=note, max_slices=slices)
    images = "" if given or found.examples else ", without images: there is no examples.npz"
    click.echo(f"{path}: written, {path.stat().st_size / 1e6:.1f} MB{images}; open it in a browser")
