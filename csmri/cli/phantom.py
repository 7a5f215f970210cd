"""`csmri phantom`: numerical subjects, for trying things out without patient data."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.options import SEED
from csmri.cli.progress import progress
from csmri.core.files import check_outputs

MOST_SUBJECTS = 1_000_000


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--domain",
    type=click.Choice(["york", "k"]),
    required=True,
    help="Quality: patients at 1.5 T (york) or volunteers at 3 T (k).",
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
def phantom(
    out: Path, domain: str, subjects: int, first: int, size: int, slices: int | None, frames: int | None, seed: int
) -> None:
    """Write numerical beating-heart subjects into the folder OUT, one .npz each."""
    from csmri.formats import write
    from csmri.phantom import make_subject

    check_outputs([out / f"{domain}_phantom_{first:03d}.npz"])
    with progress(range(first, first + subjects), label=f"{domain} phantoms") as numbers:
        for number in numbers:
            cine = make_subject(number, domain=domain, size=size, n_slices=slices, n_frames=frames, seed=seed)
            write(out / f"{cine.subject}.npz", cine)
    click.echo(f"{out}: {subjects} subjects, {size} x {size} pixels")
