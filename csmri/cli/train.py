"""`csmri train`: standalone learning, pretraining and transfer."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.options import memory_option
from csmri.config import read_config
from csmri.core.files import check_outputs
from csmri.core.names import DISTRIBUTED
from csmri.core.quiet import import_tensorflow


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Prepared store.")
@click.option(
    "--out", "run", required=True, type=click.Path(path_type=Path), help="Run folder; a run that was stopped goes on."
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Network to start from, transfer learning: SavedModel folder, or `pretrained` (a U-net) or "
    "`pretrained-unrolled`, which csmri ships.",
)
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help='Store whose split "pretrain" is blended in by transfer = "blended"; by default the one of --store.',
)
@memory_option
@click.option(
    "--distribute",
    type=click.Choice(DISTRIBUTED),
    help="Share every batch among all GPUs of this machine (`mirrored`; with KERAS_BACKEND=jax, too), or among those "
    "of several machines that TF_CONFIG names and on which the same command runs (`multiworker`). Results are those "
    "of one GPU but for rounding: see docs/scale.md.",
)
def train(config: Path, store: Path, run: Path, init: Path | None, source: Path | None, distribute: str | None) -> None:
    """Train the network that the TOML file CONFIG describes."""
    experiment = read_config(config)
    check_outputs([run], [store, init, source])  # before TensorFlow, which takes its time

    import_tensorflow()
    from csmri import api

    final = api.train(experiment, store, run, init=init, source=source, report=click.echo, distribute=distribute or "")
    click.echo(f"{final}: SavedModel after {experiment.epochs} epochs")
