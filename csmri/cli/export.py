"""`csmri export`: the SavedModel of a run, checked against the Keras model."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.core.quiet import import_tensorflow


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16"]),
    help="Arithmetic of the SavedModel; by default that of the training.",
)
def export(run: Path, out: Path, precision: str | None) -> None:
    """Write the network of RUN as the SavedModel OUT, as far as it was trained.

    Its default signature takes `initial` (frame, y, x), unnormalised, of any size, and returns `improved`;
    with acceleration_input in the config of the run it takes `acceleration_factor` besides, all k-t lines over the
    acquired ones. An unrolled network takes the fields of an acquisition.
    """
    import_tensorflow()
    from csmri.learning import export as exporting

    epoch, deviation = exporting.export(run, out, precision=precision or "")
    click.echo(
        f"{out}: SavedModel after {epoch} epochs; differs from the Keras model by {deviation:.1e} of the maximum"
    )
