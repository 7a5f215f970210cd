"""`csmri reconstruct`: one cine by a network or a classical method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csmri.cli.convergence import Watch
from csmri.cli.methods import consistency_options, load_model
from csmri.cli.options import SEED, given, simulation_options
from csmri.cli.progress import progress
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.core.names import BASELINES
from csmri.core.quiet import import_tensorflow

if TYPE_CHECKING:
    from csmri.data.cine import Cine
    from csmri.data.kspace import KSpace
    from csmri.data.roi import Box
    from csmri.methods.reconstruction import SliceReconstruction


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="MODEL",
    help="SavedModel folder, or `pretrained-unrolled` or `pretrained` (a U-net), which csmri ships.",
)
@click.option("--method", type=click.Choice(BASELINES), help="Classical method, instead of a model.")
@consistency_options
@click.option("--acceleration", type=float, help="Simulate undersampling of a fully sampled INPUT by this factor.")
@simulation_options
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of all that is simulated.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    help="Also draw images, profiles and error maps of the middle slice (PNG, SVG, PDF), or let it beat (GIF).",
)
@click.option("--caption", default="", help="Attribution under the picture.")
def reconstruct(
    source: Path,
    output: Path,
    model: str | None,
    method: str | None,
    consistency: str | None,
    consistency_weight: float | None,
    acceleration: float | None,
    mask_law: str | None,
    phase: str | None,
    coils: int | None,
    snr: float | None,
    seed: int,
    picture: Path | None,
    caption: str,
) -> None:
    """Reconstruct INPUT by a network or a classical method and write OUTPUT (.npz, .nii, .nii.gz or .gif).

    INPUT is fully sampled (undersampling is simulated and quality printed) or an .npz with measured kspace and mask.
    Of several measured coils the sensitivity maps are estimated from the data; classical
    methods take all coils jointly.
    Give one of --model and --method. A MODEL may say its data consistency itself: MODEL@hard.
    """
    if (model is None) == (method is None):
        raise CsmriError("give one of --model (a SavedModel) and --method (a classical method), for OUTPUT")
    if method and (consistency or consistency_weight):
        raise CsmriError(f"--consistency is for networks; {method} settles by itself how far it keeps to the data")
    from csmri.formats import check_suffix
    from csmri.results.figures import picture_suffix

    check_suffix(output)
    if picture is not None:
        picture_suffix(picture, animated=True)
    check_outputs([output, picture], [source])
    import_tensorflow()
    from csmri.core.names import INITIAL, ZERO_FILLED
    from csmri.data.kspace import KSpace
    from csmri.data.roi import heart_box, heart_box_notes
    from csmri.evaluation.evaluate import check_names, common_law
    from csmri.formats import read
    from csmri.methods.classical import find_method
    from csmri.methods.reconstruction import baseline_reconstructor, measured_slices, notes_on, simulate_slices
    from csmri.physics.sampling import check_acceleration

    record = read(source)
    changes = given(mask_law=mask_law, phase=phase, coils=coils, snr=snr)
    acceleration = _checked(record, source, acceleration, picture, changes)
    watch = Watch("slices")
    if model is not None:
        network = load_model(model, consistency=consistency, consistency_weight=consistency_weight)
        check_names([network])
        assert network.saved
        check_outputs([output, picture], [network.saved.path])
        for note in notes_on(
            [network], has_phase=isinstance(record, KSpace) or record.is_complex or phase not in (None, "none")
        ):
            click.echo(f"note: {note}", err=True)
        chosen, beside, law = network.name, [network], common_law([network], **changes)
    else:
        assert method
        chosen, law = method, common_law([], **changes)
        # Zero-filling and the initial reconstruction are made beside any other.
        others = {method} - {ZERO_FILLED, INITIAL}
        beside = [baseline_reconstructor(name, callback=watch) for name in others]
    if isinstance(record, KSpace):
        slices = measured_slices(record, cyclic=law.cyclic, reconstructors=beside)
    else:
        check_acceleration(acceleration, record.matrix[0], law)
        slices = simulate_slices(record, acceleration, seed=seed, law=law, reconstructors=beside)
    with progress(slices, length=record.n_slices, label=watch.label) as watch.bar:
        done = list(watch.bar)
    if watch.ends and (settings := find_method(chosen).settings):
        click.echo(watch.summary(chosen, settings.tolerance))
    _write(record, done, output, chosen)
    if not isinstance(record, KSpace):
        magnitude = record.magnitude
        box = heart_box(magnitude, spacing_mm=record.spacing_mm)
        _tell_quality(record, done, acceleration, box)
        for note in heart_box_notes(box, magnitude):
            click.echo(f"note: {note} Look at it with --picture.")
        if picture:
            _draw(record, done, acceleration, box, picture, caption, chosen)
    click.echo(f"{output}: written")


def _checked(
    record: Cine | KSpace, source: Path, acceleration: float | None, picture: Path | None, simulated: dict[str, Any]
) -> float:
    """The acceleration to simulate, of no meaning for measured k-space; refuses options that do not fit the record."""
    from csmri.data.kspace import KSpace
    from csmri.physics.sampling import check_acceleration

    if isinstance(record, KSpace):
        if acceleration is not None:
            raise CsmriError(f"{source}: is undersampled as it was measured; leave out --acceleration")
        if simulated:
            option = next(iter(simulated)).replace("_", "-")
            raise CsmriError(f"{source}: is measured k-space, nothing is simulated of it; leave out --{option}")
        if picture is not None:
            raise CsmriError(f"{source}: has no reference to draw errors against; leave out --picture")
        return 1.0
    if acceleration is None:
        raise CsmriError(f"{source}: is fully sampled; give --acceleration to simulate undersampling")
    check_acceleration(acceleration, record.matrix[0])
    return acceleration


def _tell_quality(cine: Cine, done: list[SliceReconstruction], acceleration: float, box: Box) -> None:
    from csmri.data.records import Item, Outcome, mean_over_subjects
    from csmri.evaluation.metrics import frame_quality
    from csmri.results.tables import markdown
    from csmri.results.tables.quality import left_out
    from csmri.results.tables.text import MISSING

    records = []
    for index, (reference, one) in enumerate(zip(cine.magnitude, done, strict=True)):
        for method, images in one.methods.items():
            item = Item(cine.subject, index, acceleration, method)
            quality = frame_quality(reference, images, box)
            records += Outcome(item, one.achieved, one.seconds[method], cine.matrix, quality).records()
    columns = {
        "nmse": ("NMSE x 1e-3", 1e3, 3),
        "nmse_heart": ("NMSE heart x 1e-3", 1e3, 3),
        "psnr_heart": ("PSNR heart, dB", 1.0, 2),
        "ssim_heart": ("SSIM heart", 1.0, 4),
    }
    means = {quality: mean_over_subjects(records, quality) for quality in columns}
    rows = [["method", *(head for head, _, _ in columns.values())]]
    for method in done[0].methods:
        found = {quality: means[quality].get((method, acceleration)) for quality in columns}
        rows.append(
            [
                method,
                *(
                    f"{factor * value[0]:.{digits}f}" if (value := found[quality]) else MISSING
                    for quality, (_, factor, digits) in columns.items()
                ),
            ]
        )
    click.echo(f"acceleration {acceleration:g} requested, {done[0].achieved:.3f} achieved")
    click.echo(f"means over {cine.n_slices} slices x {cine.n_frames} frames; range of PSNR and SSIM: a slice's maximum")
    click.echo(f"heart box: {box.height} rows from {box.y}, {box.width} columns from {box.x}")
    click.echo(markdown(rows))
    for note in dict.fromkeys(note for quality in columns for note in left_out(records, quality)):
        click.echo(note)


def _draw(
    cine: Cine, done: list[SliceReconstruction], acceleration: float, box: Box, path: Path, caption: str, method: str
) -> None:
    from csmri.core.names import INITIAL
    from csmri.results.figures import middle_slice, render_example
    from csmri.results.folder import Example

    middle = middle_slice(cine)
    example = Example(cine.subject, middle, acceleration, cine.magnitude[middle], done[middle].methods, box)
    render_example(example, path, cine=cine, show=[INITIAL, method], caption=caption)
    click.echo(f"{path}: drawn")


def _write(source: Cine | KSpace, slices: list[SliceReconstruction], output: Path, method: str) -> None:
    import numpy as np

    from csmri.core.provenance import without_absolute_paths
    from csmri.data.cine import Cine
    from csmri.formats import write

    images = np.stack([one.methods[method] for one in slices])
    achieved = slices[0].achieved
    reconstructed = Cine(
        images,
        source.subject,
        spacing_mm=source.spacing_mm,
        slice_spacing_mm=source.slice_spacing_mm,
        frame_times_ms=source.frame_times_ms,
        affine=source.affine,
        provenance=f"csmri reconstruction by {method} at acceleration {achieved:.3f} of "
        + without_absolute_paths(source.provenance),
        notes=source.notes,
    )
    write(output, reconstructed)
