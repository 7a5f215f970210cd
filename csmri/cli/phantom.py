"""`csmri phantom`: numerical subjects, for trying things out without patient data."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.options import SEED
from csmri.cli.progress import progress
from csmri.cli.reading import read_cine
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs

MOST_SUBJECTS, MOST_DRAWN = 1_000_000, 3


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--domain",
    type=click.Choice(["york", "k", "textures"]),
    required=True,
    help="Patients at 1.5 T (york), volunteers at 3 T (k), or natural pictures that move (textures).",
)
@click.option("--subjects", type=click.IntRange(1, MOST_SUBJECTS), required=True, help="How many subjects.")
@click.option(
    "--first",
    type=click.IntRange(0, MOST_SUBJECTS),
    default=0,
    show_default=True,
    help="Number of the first subject.",
)
@click.option(
    "--size",
    type=click.IntRange(32),
    default=256,
    show_default=True,
    help="Matrix (y = x) in pixels; the field of view stays.",
)
@click.option("--slices", type=click.IntRange(1), help="Slices; by default drawn per subject.")
@click.option("--frames", type=click.IntRange(2), help="Frames; by default drawn per subject.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Another seed, another population.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    help="Picture (.png, .svg, .pdf) of the first three subjects.",
)
@click.option(
    "--beside",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Cine to draw above them in the picture; give several times.",
)
@click.option("--caption", default="", help="Attribution of those cines, under the picture.")
def phantom(
    out: Path,
    domain: str,
    subjects: int,
    first: int,
    size: int,
    slices: int | None,
    frames: int | None,
    seed: int,
    picture: Path | None,
    beside: tuple[Path, ...],
    caption: str,
) -> None:
    """Write numerical beating-heart subjects into the folder OUT, one .npz each.

    With --picture they are drawn, below the cines of --beside: base, middle and apex, and a column over two beats.
    """
    if picture:
        from csmri.results.figures import picture_suffix

        picture_suffix(picture)
    from csmri.formats import write
    from csmri.phantom import make_subject

    if picture is None and (beside or caption):
        raise CsmriError("--beside and --caption are for the picture: give --picture FILE as well")
    check_outputs([out / f"{domain}_phantom_{first:03d}.npz", picture], beside)
    drawn = [read_cine(path) for path in beside]
    with progress(range(first, first + subjects), label=f"{domain} phantoms") as numbers:
        for number in numbers:
            cine = make_subject(number, domain=domain, size=size, n_slices=slices, n_frames=frames, seed=seed)
            write(out / f"{cine.subject}.npz", cine)
            if picture and number < first + MOST_DRAWN:
                drawn.append(cine)
    click.echo(f"{out}: {subjects} subjects, {size} x {size} pixels")
    if picture:
        from csmri.results.figures import render_phantoms

        render_phantoms(drawn, picture, caption=caption)
        click.echo(f"{picture}: written")
