"""`csmri prepare`: files of any kind -> the store that training and evaluation read."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csmri.cli.endings import RESUMES
from csmri.cli.options import executor_of, executor_options
from csmri.cli.progress import left, progress
from csmri.cli.reading import Reading, axes_option, subject_option
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.core.names import BEAM, PROCESSES, THIS
from csmri.core.quiet import import_tensorflow

if TYPE_CHECKING:
    from csmri.run.preparation import Preparation


MOST_NAMES = 6
"""Subjects that a note names."""


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE...")
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--split",
    "split_file",
    required=True,
    type=click.Path(path_type=Path),
    help='TOML file: train = ["subject", ...], also pretrain, validation, test.',
)
@click.option(
    "--pseudonyms",
    "key",
    type=click.Path(path_type=Path),
    metavar="KEYFILE",
    help="Give subjects pseudonyms in STORE and in all that is made from it. KEYFILE, which stays with you, tells who "
    "is who; it is begun if it is not there, else gone on with.",
)
@click.option(
    "--outlines",
    "outline_places",
    multiple=True,
    metavar="SUBJECT=PATH",
    help="Manual outlines for the heart box: a Sunnybrook folder or a York file; one beside a York cine is found.",
)
@axes_option
@subject_option
@executor_options
def prepare(
    sources: tuple[Path, ...],
    store: Path,
    split_file: Path,
    key: Path | None,
    outline_places: tuple[str, ...],
    axes: str | None,
    subject_from: str,
    executor: str | None,
    workers: int | None,
    beam_options: str | None,
) -> None:
    """Read the cines of SOURCE... and write the prepared STORE: a shard per subject, a manifest with sha256.

    A source is a file, a DICOM folder, or a folder of many cines. Only subjects that the split names are taken. Look at
    STORE/heart_boxes.png: quality is judged inside these boxes. Complex images keep their phase.

    A subject has the name in the file, for DICOM the patient ID, and so have tables, figures and reports. With
    --pseudonyms neither that name nor the file's place gets into STORE. The split file and --outlines may name subjects
    by either. The seed of the masks that are simulated comes from a subject's name: under pseudonyms other masks are
    drawn, so that numbers differ a little.

    The store is the same whoever reads: this process where there is little, else several beside it, or as --executor
    and --workers say. What was read is kept beside STORE until all is there: after a stop, the same command goes on,
    but not with --pseudonyms, which leave nothing that tells names.
    """
    import_tensorflow()
    from csmri.core.locks import locked
    from csmri.data.extent import acceleration_note
    from csmri.data.pseudonyms import Pseudonyms, refuse_published_key
    from csmri.data.runs import RECORD
    from csmri.data.split import read_split
    from csmri.data.store import MANIFEST, StoreWriter
    from csmri.formats.source import LeftOut
    from csmri.formats.subjects import one_each
    from csmri.results.figures.boxes import render_heart_boxes
    from csmri.results.folder import EVALUATION, RECORDS, SOURCE_RECORDS
    from csmri.run.preparation import Preparation, fitting_executor
    from csmri.run.preparation_work import Wanted

    split_of = read_split(split_file)
    wanted = Wanted(where=str(split_file), split_of=split_of, outlines_of=_outlines_of(outline_places, split_of))
    reading = Reading()
    if executor == BEAM:  # whose workers may stand elsewhere
        sources = tuple(place.absolute() for place in sources)
    chosen = executor_of(executor or (PROCESSES if workers else THIS), workers, beam_options)
    everything = reading.find(*sources, axes=axes, subject_from=subject_from).sources
    check_outputs([store, key], [*(one.path for one in everything), split_file, *wanted.outlines_of.values()])
    with ExitStack() as stack:
        if key is not None:
            refuse_published_key(key, store, (MANIFEST, "*.tfrecord", RECORD, RECORDS, SOURCE_RECORDS, EVALUATION))
            stack.enter_context(locked(key))
            wanted = replace(wanted, pseudonyms=Pseudonyms(key))
        found, smaller = one_each(everything, is_wanted=lambda subject: wanted.name_of(subject) is not None)
        reading.leave_out(smaller)
        writer = stack.enter_context(StoreWriter(store, wanted.pseudonyms))
        if not (executor or workers):
            chosen = replace(chosen, kind=fitting_executor(found))
        preparation = stack.enter_context(Preparation(writer, found, wanted, chosen, axes=axes))
        click.get_current_context().meta.update({RESUMES: True} if preparation.resumes else {})
        _read(preparation, reading)
        preparation.take()
        for path in preparation.kspace:
            reading.leave_out([LeftOut(path, "k-space, which is reconstructed first", False)])
        preparation.refuse_missing(sources, [one.path.name for one in reading.faults])
        if wanted.pseudonyms:
            wanted.pseudonyms.save()  # before the store is there, in which nobody could tell who is who
        boxes = render_heart_boxes(preparation.views(), writer.partial / "heart_boxes.png")
    for note, subjects in preparation.notes.items():
        more = f" and {len(subjects) - MOST_NAMES} more" if len(subjects) > MOST_NAMES else ""
        click.echo(f"note: {', '.join(subjects[:MOST_NAMES])}{more}: {note}")
    if note := acceleration_note([entry.extent for entry in preparation.entries if entry.extent]):
        click.echo(f"note: {note}")
    if preparation.is_doubtful:
        look = f"{store / boxes[0].name}" + (f" and {len(boxes) - 1} more" if len(boxes) > 1 else "")
        click.echo(f"note: look at {look}; where a box misses the heart, give --outlines SUBJECT=PATH")
    if preparation.unwanted:
        click.echo(f"not in {split_file}, left out: {', '.join(preparation.unwanted)}")
    splits = list(split_of.values())
    counts = [f"{splits.count(split)} {split}" for split in dict.fromkeys(splits)]
    click.echo(f"{store}: {len(splits)} subjects ({', '.join(counts)})")
    if key is not None:
        click.echo(f"{key}: the key of the pseudonyms; keep it apart from {store}")
    reading.end()


def _read(preparation: Preparation, reading: Reading) -> None:
    """Read what is left to read, and say what could not be read."""
    items, n_left = preparation.items, len(preparation.left)
    if n_left < len(items):
        click.echo(f"{preparation.store}: {len(items) - n_left:,} of {len(items):,} sources are read already")
    begun, label = time.monotonic(), f"preparing {preparation.store}"
    with closing(preparation.do()) as parts, progress(parts, n_left, label) as bar:
        for number, part in enumerate(bar, 1):
            if part.fault:
                reading.leave_out_fault(items[part.number].source, part.fault, n_sources=len(items))
            bar.label = label + left(begun, number, n_left)


def _outlines_of(places: tuple[str, ...], split_of: dict[str, str]) -> dict[str, Path]:
    found = {}
    for place in places:
        subject, equals, path = place.partition("=")
        if not equals:
            raise CsmriError(f"--outlines {place}: expected SUBJECT=PATH")
        if subject not in split_of:
            raise CsmriError(f"--outlines {place}: {subject!r} is in no split; those are {', '.join(split_of)}")
        found[subject] = Path(path)
    return found
