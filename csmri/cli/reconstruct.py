"""`csmri reconstruct`: one cine through a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csmri.cli.quiet import import_tensorflow
from csmri.errors import CsmriError

if TYPE_CHECKING:
    from csmri.cine import Cine, KSpace
    from csmri.config import Sampling
    from csmri.reconstruction import Corrector, SliceReconstruction


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--model", "model_path", required=True, type=click.Path(path_type=Path), help="SavedModel folder.")
@click.option("--acceleration", type=float, help="Simulate undersampling of a fully sampled INPUT by this factor.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the simulated mask.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    help="Also draw images, profiles and error maps of the middle slice (PNG, SVG, PDF).",
)
@click.option("--caption", default="", help="Attribution under the picture.")
def reconstruct(
    source: Path,
    output: Path,
    model_path: Path,
    acceleration: float | None,
    seed: int,
    picture: Path | None,
    caption: str,
) -> None:
    """Reconstruct INPUT with a network and write OUTPUT (.npz, .nii, .nii.gz or .gif).

    INPUT is fully sampled (undersampling is simulated and quality printed) or an .npz with measured kspace and mask.
    """
    from csmri.figures import picture_suffix
    from csmri.formats import check_suffix

    check_suffix(output)
    if picture is not None:
        picture_suffix(picture)
    import_tensorflow()
    from csmri.cine import KSpace
    from csmri.evaluation import check_names, common_law
    from csmri.formats import read
    from csmri.kspace.sampling import check_acceleration
    from csmri.reconstruction import load_corrector

    record = read(source)
    if isinstance(record, KSpace) and acceleration is not None:
        raise CsmriError(f"{source}: is undersampled as it was measured; leave out --acceleration")
    if isinstance(record, KSpace) and picture is not None:
        raise CsmriError(f"{source}: has no reference to draw errors against; leave out --picture")
    if not isinstance(record, KSpace):
        if acceleration is None:
            raise CsmriError(f"{source}: is fully sampled; give --acceleration to simulate undersampling")
        check_acceleration(acceleration, record.matrix[0])
    corrector = load_corrector(model_path)
    check_names([corrector])
    law = common_law([corrector])
    if isinstance(record, KSpace):
        _measured(record, output, corrector, law)
    else:
        assert acceleration is not None
        _simulated(record, output, corrector, law, acceleration, seed, picture, caption)
    click.echo(f"{output}: written")


def _measured(measured: KSpace, output: Path, corrector: Corrector, law: Sampling) -> None:
    from csmri.reconstruction import measured_slices

    slices = measured_slices(measured, law=law, correctors=(corrector,))
    with click.progressbar(slices, length=measured.kspace.shape[0], label="slices") as progress:
        _write(measured, list(progress), output, corrector)


def _simulated(
    cine: Cine,
    output: Path,
    corrector: Corrector,
    law: Sampling,
    acceleration: float,
    seed: int,
    picture: Path | None,
    caption: str,
) -> None:
    from csmri.figures import render_reconstructions
    from csmri.reconstruction import frame_quality, simulate_slices
    from csmri.records import Example
    from csmri.roi import heart_box
    from csmri.tables import markdown

    slices = simulate_slices(cine, acceleration, seed=seed, law=law, correctors=(corrector,))
    with click.progressbar(slices, length=cine.n_slices, label="slices") as progress:
        done = list(progress)
    box = heart_box(cine.magnitude, spacing_mm=cine.spacing_mm)
    rows = [["method", "NMSE x 1e-3", "NMSE heart x 1e-3", "PSNR heart, dB", "SSIM heart"]]
    for method in done[0].methods:
        quality = [
            frame
            for reference, one in zip(cine.magnitude, done, strict=True)
            for frame in frame_quality(reference, one.methods[method], box)
        ]
        mean = {name: sum(frame[name] for frame in quality) / len(quality) for name in quality[0]}
        rows.append(
            [
                method,
                f"{mean['nmse'] * 1e3:.3f}",
                f"{mean['nmse_heart'] * 1e3:.3f}",
                f"{mean['psnr_heart']:.2f}",
                f"{mean['ssim_heart']:.4f}",
            ]
        )
    click.echo(f"acceleration {acceleration:g} requested, {done[0].achieved:.3f} achieved")
    click.echo(f"means over {cine.n_slices} slices x {cine.n_frames} frames; range of PSNR and SSIM: a slice's maximum")
    click.echo(f"heart box: {box.height} rows from {box.y}, {box.width} columns from {box.x}")
    click.echo(markdown(rows))
    _write(cine, done, output, corrector)
    if picture is not None:
        middle = cine.n_slices // 2
        example = Example(cine.subject, middle, acceleration, cine.magnitude[middle], done[middle].methods, box)
        picture.parent.mkdir(parents=True, exist_ok=True)
        render_reconstructions([example], picture, caption=caption)
        click.echo(f"{picture}: drawn")


def _write(source: Cine | KSpace, slices: list[SliceReconstruction], output: Path, corrector: Corrector) -> None:
    import numpy as np

    from csmri.cine import Cine
    from csmri.formats import write

    images = np.stack([one.methods[corrector.name] for one in slices])
    achieved = slices[0].achieved
    reconstructed = Cine(
        images,
        source.subject,
        spacing_mm=source.spacing_mm,
        slice_spacing_mm=source.slice_spacing_mm,
        frame_times_ms=source.frame_times_ms,
        affine=source.affine,
        provenance=f"csmri reconstruction by {corrector.name} at acceleration {achieved:.3f} of {source.provenance}",
        notes=source.notes,
    )
    write(output, reconstructed)
