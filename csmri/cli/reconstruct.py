"""`csmri reconstruct`: one cine, or measured k-space, by a network or a classical method."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csmri.cli.convergence import Watch
from csmri.cli.methods import consistency_options, elsewhere, load_model, model_arguments, runtime_option
from csmri.cli.options import SEED, executor_of, executor_options, given, memory_option, simulation_options
from csmri.cli.progress import progress
from csmri.cli.reading import Reading, axes_option
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.core.names import BASELINES, DEFAULT_MODEL, TENSORFLOW
from csmri.core.quiet import import_tensorflow

if TYPE_CHECKING:
    from csmri.data.cine import Cine
    from csmri.data.kspace import KSpace
    from csmri.formats.source import Source
    from csmri.methods.reconstruction import Reconstructor
    from csmri.run.single import Reconstructed

WRITTEN = ("npz", "nifti", "hdf5", "gif", "mp4", "dicom", "dicom-enhanced")
DEFAULT_FORMAT = "dicom"
TIME = {"cyclic": True, "real-time": False}


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="MODEL",
    help="SavedModel folder, or `pretrained-unrolled`, the default, or `pretrained` (a U-net), which csmri ships.",
)
@click.option("--method", type=click.Choice(BASELINES), help="Classical method, instead of a network.")
@consistency_options
@runtime_option
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
@click.option("--subject", help="Whose INPUT is, where it does not tell, or tells a name that others have, too.")
@axes_option
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    help="Also draw images, profiles and error maps of the middle slice (PNG, SVG, PDF), let it beat (GIF), or write a "
    "page on which up to three slices beat (HTML).",
)
@click.option("--caption", default="", help="Attribution under the picture.")
@executor_options
@memory_option
def reconstruct(
    source: Path,
    output: Path,
    model: str | None,
    method: str | None,
    consistency: str | None,
    consistency_weight: float | None,
    runtime: str,
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
    subject: str | None,
    axes: str | None,
    picture: Path | None,
    caption: str,
    executor: str | None,
    workers: int | None,
    beam_options: str | None,
) -> None:
    """Reconstruct INPUT by a network or a classical method and write OUTPUT: DICOM (a folder), .nii.gz, .npz, .h5, ...

    INPUT is a cine, of which undersampling is simulated (--acceleration) and quality printed, or measured k-space:
    ISMRMRD, CMRxRecon, BART, NPZ, HDF5, twix. Coils are whitened, compressed and their sensitivity maps estimated from
    the data; the default and the classical methods take all coils jointly. From a DICOM INPUT patient, study and
    geometry are kept. Without --model and --method the unrolled network that csmri ships is taken. A MODEL may say its
    data consistency itself: MODEL@hard. A note tells what the method was not trained or tuned for.

    INPUT may be a folder of many studies: OUTPUT is then a folder of the same shape, with a table studies.csv. A study
    that fails stops no other; given again, the command does what is not done yet. Several processes share the work.
    """
    if model is not None and method is not None:
        raise CsmriError("give one of --model (a SavedModel) and --method (a classical method), for OUTPUT, not both")
    if method and (consistency or consistency_weight):
        raise CsmriError(f"--consistency is for networks; {method} settles by itself how far it keeps to the data")
    from csmri.formats.output import check_place, notes_of, output_of
    from csmri.results.figures import ANIMATED, PAGE, picture_suffix

    of_network: dict[str, Any] = {
        "consistency": consistency,
        "consistency_weight": consistency_weight,
        "runtime": runtime,
    }
    reading, found, shared = Reading(), None, bool(executor or workers or beam_options)
    if source.is_dir():
        import_tensorflow()
        from csmri.cli.batch import is_tree, reconstruct_tree, refuse_single
        from csmri.formats import find_cines
        from csmri.methods.reconstruction import with_runtime
        from csmri.run.batch import Batch

        found = find_cines(source, axes=axes)
        if is_tree(found, output, wanted=shared):
            refuse_single(source, found, picture=picture, anonymise=key, subject=subject, reference=reference)
            network = {} if method else elsewhere(model_arguments(model or DEFAULT_MODEL, **of_network))
            batch = Batch(
                folder=os.path.abspath(output),
                model=network and with_runtime(network),
                method=method or "",
                to=to or DEFAULT_FORMAT,
                acceleration=acceleration,
                simulated=given(mask_law=mask_law, phase=phase, coils=coils, snr=snr),
                measured=given(virtual_coils=virtual_coils, cyclic=TIME.get(time or "")),
                seed=seed,
                axes=axes,
            )
            return reconstruct_tree(found, source, batch, executor_of(executor, workers, beam_options), reading)
    if shared and source.exists():
        raise CsmriError(f"{source}: --executor and its options are for a folder of studies, and one to write them to")
    written = output_of(output, to=to)
    if key is not None:
        _check_key(key, output, is_dicom=written.is_dicom)
    if picture is not None:
        picture_suffix(picture, also=(ANIMATED, PAGE))
    check_outputs([output, picture, key], [source, reference])
    import_tensorflow()
    from csmri.data.pseudonyms import Pseudonyms
    from csmri.evaluation.evaluate import common_law
    from csmri.run.single import Request, collect, person_of, reconstruct_slices, write_images

    place, record = reading.only(found, source) if found else reading.one(source, axes=axes)
    record = replace(record, subject=subject) if subject else record
    person = (subject or person_of(place, record)) if key is not None else ""
    changes = given(mask_law=mask_law, phase=phase, coils=coils, snr=snr)
    check_place(written, record, place)
    measured = {"virtual_coils": virtual_coils, "time": time, "reference": reference}
    _check_options(record, source, acceleration, changes, given(**measured))
    truth = _truth(record, place, reference, reading) if acceleration is None else None
    if picture is not None and acceleration is None and truth is None:
        raise CsmriError(f"{source}: has no reference to draw errors against; give --reference or leave out --picture")
    watch = Watch("slices")
    chosen, beside = _methods(model, method, watch, **of_network)
    check_outputs([output, picture], [one.saved.path for one in beside if one.saved])
    request = Request(
        acceleration=acceleration,
        law=common_law([one for one in beside if one.saved], **changes),
        seed=seed,
        cyclic=None if time is None else TIME[time],
        truth=truth,
        **given(virtual_coils=virtual_coils),
    )
    request.check(record, str(source))
    slices = reconstruct_slices(record, request, beside)
    with progress(slices, length=record.n_slices, label=watch.label) as watch.bar:
        done = collect(record, list(watch.bar), request)
    if done.compression:
        click.echo(done.compression)
    reading.tell((*done.notes, *notes_of(written, done.images(chosen))))
    _tell_end(watch, chosen)
    write_images(done, output, method=chosen, like=place, to=to, key=key, person=person)
    if done.truth is not None:
        pseudonym = Pseudonyms(key).of(person) if key is not None else ""
        _judge(done, acceleration, picture=picture, caption=caption, chosen=chosen, pseudonym=pseudonym)
    click.echo(f"{output}: written")
    if key is not None:
        click.echo(f"{key}: the key of the pseudonyms; keep it apart from {output}")
    reading.end()


def _check_key(key: Path, output: Path, *, is_dicom: bool) -> None:
    """Refuse what is no key, or a key that would be given away with the images."""
    from csmri.data.pseudonyms import Pseudonyms, refuse_published_key

    if not is_dicom:
        raise CsmriError(f"{output}: --anonymise is for DICOM; give --to dicom or a name without suffix")
    refuse_published_key(key, output, ())
    Pseudonyms(key)


def _check_options(
    record: Cine | KSpace, source: Path, acceleration: float | None, simulated: dict[str, Any], measured: dict[str, Any]
) -> None:
    """Refuse options that are not for such a record."""
    from csmri.data.cine import Cine

    if isinstance(record, Cine):
        if measured:
            option = next(iter(measured)).replace("_", "-")
            raise CsmriError(f"{source}: holds images; --{option} is for measured k-space, leave it out")
        return
    if wrong := [name for name in simulated if acceleration is None or name != "mask_law"]:
        option = wrong[0].replace("_", "-")
        raise CsmriError(f"{source}: is measured k-space, nothing is simulated of it; leave out --{option}")
    if acceleration is not None and "reference" in measured:
        raise CsmriError(f"{source}: is its own reference with --acceleration; leave out --reference")


def _truth(record: Cine | KSpace, place: Source, reference: Path | None, reading: Reading) -> Cine | None:
    """What measured k-space is judged by; that which only lies beside it need not fit."""
    from csmri.data.cine import Cine
    from csmri.formats import read_cine, truth_beside
    from csmri.methods.measured import check_truth

    path = reference or truth_beside(place.path)
    if path is None or isinstance(record, Cine):
        return None
    truth = read_cine(path)
    try:
        check_truth(truth, record)
    except CsmriError as error:
        if reference is not None:
            raise
        reading.tell([f"Not compared with the truth beside it: {error}."])
        return None
    click.echo(f"compared with {path}")
    return truth


def _methods(model: str | None, method: str | None, watch: Watch, **of_network: Any) -> tuple[str, list[Reconstructor]]:
    """Name of the method asked for, and what is to be made ready beside zero-filling and interpolation."""
    from csmri.core.names import INITIAL, ZERO_FILLED
    from csmri.evaluation.evaluate import check_names
    from csmri.methods.reconstruction import baseline_reconstructor

    if method is None:
        network = load_model(DEFAULT_MODEL if model is None else model, **of_network)
        check_names([network])
        if model is None:
            click.echo(f"method: {network.name}, the default; --method and --model choose others")
        if network.runtime != TENSORFLOW:
            click.echo(f"{network.name}: computed in {network.runtime}; --runtime {TENSORFLOW} chooses the other")
        return network.name, [network]
    return method, [baseline_reconstructor(name, callback=watch) for name in {method} - {ZERO_FILLED, INITIAL}]


def _tell_end(watch: Watch, chosen: str) -> None:
    from csmri.methods.classical import METHODS

    if watch.ends and chosen in METHODS and (settings := METHODS[chosen].settings):
        click.echo(watch.summary(chosen, settings.tolerance))


def _judge(
    done: Reconstructed,
    acceleration: float | None,
    *,
    picture: Path | None,
    caption: str,
    chosen: str,
    pseudonym: str,
) -> None:
    """Print the quality of every method, and draw it."""
    from csmri.run.single import draw, judge

    asked = "" if acceleration is None else f"{acceleration:g} requested, "
    click.echo(f"acceleration {asked}{done.achieved:.3f} achieved")
    judged = judge(done)
    click.echo(judged.table)
    for note in judged.notes:
        click.echo(f"note: {note} Look at it with --picture.")
    if picture:
        draw(done, judged, picture, method=chosen, caption=caption, pseudonym=pseudonym)
        click.echo(f"{picture}: drawn")
