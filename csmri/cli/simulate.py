"""`csmri simulate`: k-space of several coils as a scanner would write it, and the truth beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csmri.cli.options import SEED, given, simulation_options
from csmri.cli.progress import progress
from csmri.cli.reading import axes_option, read_cine
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs, replacing
from csmri.core.quiet import import_tensorflow

if TYPE_CHECKING:
    from csmri.data.cine import Cine

PHANTOM = "phantom"


@click.command()
@click.argument("source", metavar="CINE", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--acceleration", type=click.FloatRange(1), default=4.0, show_default=True, help="1 acquires every line.")
@simulation_options
@click.option("--real-time", is_flag=True, help="The last frame does not neighbour the first.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of all that is simulated.")
@click.option(
    "--format",
    "--to",
    "to",
    type=click.Choice(("ismrmrd", "cmrxrecon", "bart", "npz", "hdf5")),
    help="Of OUT, where its suffix does not tell: .h5 is ISMRMRD, .mat CMRxRecon, .cfl BART, .npz csmri's own.",
)
@axes_option
def simulate(
    source: Path,
    output: Path,
    acceleration: float,
    mask_law: str | None,
    phase: str | None,
    coils: int | None,
    snr: float | None,
    real_time: bool,
    seed: int,
    to: str | None,
    axes: str | None,
) -> None:
    """Measure CINE as a scanner would and write the k-space OUT, with the truth beside it as NAME_truth.npz.

    CINE is a fully sampled cine, or the word `phantom` for a numerical volunteer of 3 slices x 20 frames x 256 x 256.
    `csmri reconstruct OUT ...` reconstructs it and tells the error.
    """
    from csmri.data.kspace import KSpace
    from csmri.formats import is_truth_of, output_of, truth_of

    output_of(output, KSpace, to=to)
    truth = truth_of(output)
    check_outputs([output, truth], [source])
    if truth.exists() and not is_truth_of(truth, output):
        raise CsmriError(f"{truth}: is there already, and not the truth of {output.name}; choose another name for OUT")
    import_tensorflow()
    from csmri.config import Sampling
    from csmri.formats import truth_told, write
    from csmri.physics.scanner import scan

    cine = _cine(source, axes)
    law = Sampling(**given(mask_law=mask_law, phase=phase, coils=coils, snr=snr), cyclic=not real_time)
    kspace = scan(cine, law, acceleration=acceleration, seed=seed)
    told = replace(cine, images=cine.magnitude, provenance=truth_told(output, cine))
    label = f"simulating {output}, {kspace.n_slices} slices x {kspace.n_coils} coils"
    # The truth takes its place last, and at once: neither is there without the other for long.
    with replacing(truth) as temporary, progress([kspace], label=label) as bar:
        write(temporary, told, to="npz")
        for one in bar:
            write(output, one, to=to)
    click.echo(f"{output}: written, acceleration {kspace.mask.size / kspace.mask.sum():.3f} achieved")
    click.echo(f"{truth}: the truth")


def _cine(source: Path, axes: str | None) -> Cine:
    from csmri.phantom import make_subject

    if str(source) == PHANTOM and not source.exists():
        return make_subject(9, domain="k", n_slices=3, n_frames=20)
    return read_cine(source, axes=axes)
