"""`csmri reconstruct`: one cine, or measured k-space, by a network or a classical method."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csmri.cli.convergence import Watch
from csmri.cli.methods import consistency_options, load_model
from csmri.cli.options import SEED, given, simulation_options
from csmri.cli.progress import progress
from csmri.cli.reading import Reading, axes_option, read_one
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.core.names import BASELINES
from csmri.core.quiet import import_tensorflow

if TYPE_CHECKING:
    from csmri.config import Sampling
    from csmri.data.cine import Cine
    from csmri.data.kspace import KSpace
    from csmri.formats.source import Source
    from csmri.methods.reconstruction import Reconstructor, SliceReconstruction

WRITTEN = ("npz", "nifti", "hdf5", "gif", "mp4", "dicom", "dicom-enhanced")
TIME = {"cyclic": True, "real-time": False}


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
    "--virtual-coils",
    type=click.IntRange(1),
    help="Coils that measured ones are compressed to at most; 8 by default.",
)
@click.option("--time", type=click.Choice(tuple(TIME)), help="Whether the last frame of k-space neighbours the first.")
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    help="Truth to judge measured k-space by; by default what `csmri simulate` left beside it.",
)
@click.option(
    "--to",
    type=click.Choice(WRITTEN),
    help="Format of OUTPUT, where its name does not tell; without a suffix it is a folder of DICOM images.",
)
@click.option(
    "--anonymise",
    "key",
    type=click.Path(path_type=Path),
    metavar="KEYFILE",
    help="De-identify the DICOM that is written; KEYFILE, which stays with you, tells who is who (begun if not there).",
)
@axes_option
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
    virtual_coils: int | None,
    time: str | None,
    reference: Path | None,
    to: str | None,
    key: Path | None,
    axes: str | None,
    picture: Path | None,
    caption: str,
) -> None:
    """Reconstruct INPUT by a network or a classical method and write OUTPUT: DICOM (a folder), .nii.gz, .npz, .h5, ...

    INPUT is a cine, of which undersampling is simulated (--acceleration) and quality printed, or measured k-space:
    ISMRMRD, CMRxRecon, BART, NPZ, HDF5, twix. Coils are whitened, compressed and their sensitivity maps estimated from
    the data; classical methods take all coils jointly. From a DICOM INPUT patient, study and geometry are kept.
    Give one of --model and --method. A MODEL may say its data consistency itself: MODEL@hard.
    """
    if (model is None) == (method is None):
        raise CsmriError("give one of --model (a SavedModel) and --method (a classical method), for OUTPUT")
    if method and (consistency or consistency_weight):
        raise CsmriError(f"--consistency is for networks; {method} settles by itself how far it keeps to the data")
    from csmri.formats.output import check_place, output_of
    from csmri.results.figures import picture_suffix

    written = output_of(output, to=to)
    if key is not None:
        _check_key(key, output, is_dicom=written.is_dicom)
    if picture is not None:
        picture_suffix(picture, animated=True)
    check_outputs([output, picture, key], [source, reference])
    import_tensorflow()
    from csmri.evaluation.evaluate import common_law

    place, record = read_one(source, axes=axes)
    changes = given(mask_law=mask_law, phase=phase, coils=coils, snr=snr)
    measured = {"virtual_coils": virtual_coils, "time": time, "reference": reference}
    check_place(written, record, place)
    _check(record, source, acceleration, changes, given(**measured))
    truth = _truth(record, place, reference) if acceleration is None else None
    if picture is not None and acceleration is None and truth is None:
        raise CsmriError(f"{source}: has no reference to draw errors against; give --reference or leave out --picture")
    watch = Watch("slices")
    chosen, beside = _methods(model, method, watch, consistency=consistency, consistency_weight=consistency_weight)
    for one in beside:
        if one.saved:
            check_outputs([output, picture], [one.saved.path])
    law = common_law([one for one in beside if one.saved], **changes)
    _tell_notes(beside, record, phase)
    how = _Wanted(acceleration, law, seed, virtual_coils, None if time is None else TIME[time], truth)
    done = _reconstruct(record, how, beside, watch)
    _tell_end(watch, chosen)
    _write(place, record, done, output, chosen, to=to, key=key)
    if all(one.reference is not None for one in done):
        _judge(record, done, how, picture=picture, caption=caption, chosen=chosen)
    click.echo(f"{output}: written")


@dataclass(frozen=True)
class _Wanted:
    acceleration: float | None
    law: Sampling
    seed: int
    virtual_coils: int | None
    cyclic: bool | None
    truth: Cine | None


def _check_key(key: Path, output: Path, *, is_dicom: bool) -> None:
    """Refuse what is no key, or a key that would be given away with the images."""
    from csmri.data.pseudonyms import Pseudonyms, refuse_published_key

    if not is_dicom:
        raise CsmriError(f"{output}: --anonymise is for DICOM; give --to dicom or a name without suffix")
    refuse_published_key(key, output, ())
    Pseudonyms(key)


def _check(
    record: Cine | KSpace, source: Path, acceleration: float | None, simulated: dict[str, Any], measured: dict[str, Any]
) -> None:
    """Refuse options that do not fit the record."""
    from csmri.data.kspace import KSpace
    from csmri.physics.sampling import check_acceleration

    if isinstance(record, KSpace):
        if acceleration is not None and not record.is_full:
            raise CsmriError(f"{source}: is undersampled as it was measured; leave out --acceleration")
        wrong = [name for name in simulated if acceleration is None or name != "mask_law"]
        if wrong:
            option = wrong[0].replace("_", "-")
            raise CsmriError(f"{source}: is measured k-space, nothing is simulated of it; leave out --{option}")
        if acceleration is not None and "reference" in measured:
            raise CsmriError(f"{source}: is its own reference with --acceleration; leave out --reference")
        return
    if measured:
        option = next(iter(measured)).replace("_", "-")
        raise CsmriError(f"{source}: holds images; --{option} is for measured k-space, leave it out")
    if acceleration is None:
        raise CsmriError(f"{source}: is fully sampled; give --acceleration to simulate undersampling")
    check_acceleration(acceleration, record.matrix[0])


def _truth(record: Cine | KSpace, place: Source, reference: Path | None) -> Cine | None:
    """What measured k-space is judged by, read before any work is done."""
    from csmri.data.kspace import KSpace
    from csmri.formats import read_cine, truth_beside

    path = reference or truth_beside(place.path)
    if path is None or not isinstance(record, KSpace):
        return None
    truth = read_cine(path)
    click.echo(f"compared with {path}")
    return truth


def _methods(
    model: str | None, method: str | None, watch: Watch, **consistency: Any
) -> tuple[str, list[Reconstructor]]:
    """Name of the method asked for, and what is to be made ready beside zero-filling and interpolation."""
    from csmri.core.names import INITIAL, ZERO_FILLED
    from csmri.evaluation.evaluate import check_names
    from csmri.methods.reconstruction import baseline_reconstructor

    if model is not None:
        network = load_model(model, **consistency)
        check_names([network])
        return network.name, [network]
    assert method
    return method, [baseline_reconstructor(name, callback=watch) for name in {method} - {ZERO_FILLED, INITIAL}]


def _tell_notes(beside: list[Reconstructor], record: Cine | KSpace, phase: str | None) -> None:
    from csmri.data.cine import Cine
    from csmri.methods.reconstruction import notes_on

    has_phase = not isinstance(record, Cine) or record.is_complex or phase not in (None, "none")
    Reading().tell(notes_on(beside, has_phase=has_phase))


def _reconstruct(
    record: Cine | KSpace, how: _Wanted, beside: list[Reconstructor], watch: Watch
) -> list[SliceReconstruction]:
    """All slices, with the truth where there is one."""
    from csmri.data.cine import Cine
    from csmri.methods.measured import Preparation, measured_slices
    from csmri.methods.reconstruction import simulate_slices
    from csmri.physics.sampling import check_acceleration

    if isinstance(record, Cine):
        assert how.acceleration is not None
        check_acceleration(how.acceleration, record.matrix[0], how.law)
        slices = simulate_slices(record, how.acceleration, seed=how.seed, law=how.law, reconstructors=beside)
    else:
        preparation = Preparation(
            cyclic=how.law.cyclic if how.cyclic is None else how.cyclic,
            overrule=how.cyclic is not None,
            acceleration=how.acceleration,
            law=how.law,
            seed=how.seed,
            **given(virtual_coils=how.virtual_coils),
        )
        slices = measured_slices(record, preparation, reconstructors=beside)
    with progress(slices, length=record.n_slices, label=watch.label) as watch.bar:
        done = list(watch.bar)
    if isinstance(record, Cine):
        return done
    if record.n_coils > 1:
        click.echo(f"{_coils(record, how)} keep {min(one.kept for one in done):.1%} of the energy")
    return _with_truth(done, how)


def _coils(record: KSpace, how: _Wanted) -> str:
    from csmri.physics.prepare import VIRTUAL_COILS

    kept = min(how.virtual_coils or VIRTUAL_COILS, record.n_coils)
    return f"{kept} virtual coils of {record.n_coils}"


def _with_truth(done: list[SliceReconstruction], how: _Wanted) -> list[SliceReconstruction]:
    from csmri.methods.measured import with_truth

    if how.truth is None:
        return done
    compared, factor = with_truth(done, how.truth)
    if factor != 1:
        Reading().tell([f"The truth has another unit: images were multiplied by {factor:.4g}."])
    return compared


def _tell_end(watch: Watch, chosen: str) -> None:
    from csmri.methods.classical import METHODS

    if watch.ends and chosen in METHODS and (settings := METHODS[chosen].settings):
        click.echo(watch.summary(chosen, settings.tolerance))


def _judge(
    record: Cine | KSpace,
    done: list[SliceReconstruction],
    how: _Wanted,
    *,
    picture: Path | None,
    caption: str,
    chosen: str,
) -> None:
    """Print the quality of every method, and draw it."""
    import numpy as np

    from csmri.data.cine import Cine
    from csmri.data.roi import heart_box, heart_box_notes
    from csmri.results.tables.single import Compared, quality_table

    references = np.stack([one.reference for one in done if one.reference is not None])
    truth = Cine(references, record.subject, spacing_mm=record.spacing_mm, frame_times_ms=record.frame_times_ms)
    box = heart_box(references, spacing_mm=record.spacing_mm)
    asked = "" if how.acceleration is None else f"{how.acceleration:g} requested, "
    click.echo(f"acceleration {asked}{done[0].achieved:.3f} achieved")
    compared = [
        Compared(reference, one.methods, one.seconds, one.achieved)
        for reference, one in zip(references, done, strict=True)
    ]
    click.echo(quality_table(compared, box, subject=record.subject))
    for note in heart_box_notes(box, references):
        click.echo(f"note: {note} Look at it with --picture.")
    if picture:
        _draw(truth, done, box, picture, caption, chosen)


def _draw(cine: Cine, done: list[SliceReconstruction], box: Any, path: Path, caption: str, method: str) -> None:
    from csmri.core.names import INITIAL
    from csmri.results.figures import middle_slice, render_example
    from csmri.results.folder import Example

    middle = middle_slice(cine)
    one = done[middle]
    example = Example(cine.subject, middle, one.achieved, cine.magnitude[middle], one.methods, box)
    render_example(example, path, cine=cine, show=[INITIAL, method], caption=caption)
    click.echo(f"{path}: drawn")


def _write(
    place: Source,
    source: Cine | KSpace,
    slices: list[SliceReconstruction],
    output: Path,
    method: str,
    *,
    to: str | None,
    key: Path | None,
) -> None:
    import numpy as np

    from csmri.core.locks import locked
    from csmri.core.provenance import without_absolute_paths
    from csmri.data.cine import Cine
    from csmri.data.pseudonyms import Pseudonyms
    from csmri.formats import write
    from csmri.formats.dicom.anonymise import Anonymiser
    from csmri.formats.dicom.derivation import Derivation

    achieved = slices[0].achieved
    origin = without_absolute_paths(source.provenance)
    reconstructed = Cine(
        np.stack([one.methods[method] for one in slices]),
        source.subject,
        spacing_mm=source.spacing_mm,
        slice_spacing_mm=source.slice_spacing_mm,
        frame_times_ms=source.frame_times_ms,
        affine=source.affine,
        provenance=f"csmri reconstruction by {method} at acceleration {achieved:.3f} of {origin}",
        notes=source.notes,
    )
    with ExitStack() as stack:
        anonymiser = None
        if key is not None:
            stack.enter_context(locked(key))
            pseudonyms = Pseudonyms(key)
            anonymiser = Anonymiser(pseudonyms.of(source.subject), salt=pseudonyms.salt)
            pseudonyms.save()
        derivation = Derivation(method, achieved, of=origin)
        write(output, reconstructed, to=to, like=place, derivation=derivation, anonymiser=anonymiser)
