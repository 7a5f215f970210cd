"""`csmri prepare`: files of any kind -> the store that training and evaluation read."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csmri.cli.progress import progress
from csmri.cli.reading import Reading, axes_option, subject_option
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.core.quiet import import_tensorflow

if TYPE_CHECKING:
    from csmri.data.extent import Extent
    from csmri.data.pseudonyms import Pseudonyms
    from csmri.data.store import StoreWriter
    from csmri.formats.source import Source
    from csmri.results.figures.boxes import View


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
def prepare(
    sources: tuple[Path, ...],
    store: Path,
    split_file: Path,
    key: Path | None,
    outline_places: tuple[str, ...],
    axes: str | None,
    subject_from: str,
) -> None:
    """Read the cines of SOURCE... and write the prepared STORE: a shard per subject, a manifest with sha256.

    A source is a file, a DICOM folder, or a folder of many cines. Only subjects that the split names are taken. Look at
    STORE/heart_boxes.png: quality is judged inside these boxes. Complex images keep their phase.

    A subject has the name in the file, for DICOM the patient ID, and so have tables, figures and reports. With
    --pseudonyms neither that name nor the file's place gets into STORE. The split file and --outlines may name subjects
    by either. The seed of the masks that are simulated comes from a subject's name: under pseudonyms other masks are
    drawn, so that numbers differ a little.
    """
    import_tensorflow()
    from csmri.core.locks import locked
    from csmri.data.extent import acceleration_note
    from csmri.data.pseudonyms import Pseudonyms, refuse_published_key
    from csmri.data.runs import RECORD
    from csmri.data.split import read_split
    from csmri.data.store import MANIFEST, StoreWriter
    from csmri.formats.subjects import one_each
    from csmri.results.figures.boxes import render_heart_boxes
    from csmri.results.folder import EVALUATION, RECORDS, SOURCE_RECORDS

    wanted = _Wanted(split_file, read_split(split_file), outline_places)
    reading = Reading()
    everything = reading.find(*sources, axes=axes, subject_from=subject_from).sources
    check_outputs([store, key], [*(one.path for one in everything), split_file, *wanted.outlines_of.values()])
    with ExitStack() as stack:
        if key is not None:
            refuse_published_key(key, store, (MANIFEST, "*.tfrecord", RECORD, RECORDS, SOURCE_RECORDS, EVALUATION))
            stack.enter_context(locked(key))
            wanted.pseudonyms = Pseudonyms(key)
        found, smaller = one_each(everything, is_wanted=lambda subject: wanted.name_of(subject) is not None)
        reading.leave_out(smaller)
        writer = stack.enter_context(StoreWriter(store, wanted.pseudonyms))
        views = _fill(writer, found, wanted, reading)
        wanted.refuse_missing(sources, reading)
        if wanted.pseudonyms:
            wanted.pseudonyms.save()  # before the store is there, in which nobody could tell who is who
        render_heart_boxes(views, writer.partial / "heart_boxes.png")
    boxes = store / "heart_boxes.png"
    for note, subjects in wanted.notes.items():
        more = f" and {len(subjects) - MOST_NAMES} more" if len(subjects) > MOST_NAMES else ""
        click.echo(f"note: {', '.join(subjects[:MOST_NAMES])}{more}: {note}")
    if note := acceleration_note(wanted.extents):
        click.echo(f"note: {note}")
    if wanted.doubtful:
        click.echo(f"note: look at {boxes}; where a box misses the heart, give --outlines SUBJECT=PATH")
    if wanted.left_out:
        click.echo(f"not in {split_file}, left out: {', '.join(wanted.left_out)}")
    splits = list(wanted.split_of.values())
    counts = [f"{splits.count(split)} {split}" for split in dict.fromkeys(splits)]
    click.echo(f"{store}: {len(splits)} subjects ({', '.join(counts)})")
    if key is not None:
        click.echo(f"{key}: the key of the pseudonyms; keep it apart from {store}")
    reading.end()


class _Wanted:
    """What split file and options ask for, by the subjects' own names or by their pseudonyms, and what came of it."""

    def __init__(self, split_file: Path, split_of: dict[str, str], outline_places: tuple[str, ...]) -> None:
        self.split_file, self.split_of = split_file, split_of
        self.outlines_of = _outlines_of(outline_places, split_of)
        self.pseudonyms: Pseudonyms | None = None
        self.found: dict[str, str] = {}
        """Name of a subject in the split file -> its own."""
        self.left_out: list[str] = []
        self.measured: list[str] = []
        """Names of files of k-space."""
        self.notes: dict[str, list[str]] = {}
        """What was guessed, repaired or is in doubt -> whose data."""
        self.extents: list[Extent] = []
        """How far the signal of every subject reaches along ky."""
        self.doubtful = False
        """Whether a heart box may miss the heart."""

    def name_of(self, subject: str) -> str | None:
        """Name by which the split file asks for a subject, if it does."""
        names = [subject, *([self.pseudonyms.peek(subject)] if self.pseudonyms else [])]
        named = [name for name in dict.fromkeys(names) if name in self.split_of]
        if len(named) > 1:
            raise CsmriError(f"{self.split_file}: names {' and '.join(named)}, which are one subject; name it once")
        return named[0] if named else None

    def refuse_missing(self, sources: tuple[Path, ...], reading: Reading) -> None:
        """Refuse a split that names somebody who is not there."""
        if missing := [name for name in self.split_of if name not in self.found]:
            damaged = [left.path.name for left in reading.faults]
            besides = f"; could not be read: {', '.join(damaged[:MOST_NAMES])}" if damaged else ""
            if self.measured:
                besides += f"; holds k-space, which is reconstructed first: {', '.join(self.measured[:MOST_NAMES])}"
            held = ", ".join([*self.found.values(), *self.left_out]) or "no cine"
            raise CsmriError(
                f"{self.split_file}: names {', '.join(missing)}, which {' '.join(map(str, sources))} does not hold; "
                f"it holds {held}{besides}"
            )


def _fill(writer: StoreWriter, sources: list[Source], wanted: _Wanted, reading: Reading) -> list[View]:
    """Read what is wanted into a store; what heart_boxes.png is to show of it."""
    from csmri.data.kspace import KSpace
    from csmri.data.roi import heart_box_notes, motion_map
    from csmri.formats import read_outlines
    from csmri.formats.source import LeftOut
    from csmri.physics.extent import measure_extent

    views = []
    with progress(reading.records(sources), len(sources), f"preparing {writer.path}") as bar:
        for source, cine in bar:
            if isinstance(cine, KSpace):
                reading.leave_out([LeftOut(source.path, "k-space, which is reconstructed first", False)])
                wanted.measured.append(source.path.name)
                continue
            name = wanted.name_of(cine.subject)
            if name is None:
                wanted.left_out.append(cine.subject)
                continue
            outlines = read_outlines(source.path, wanted.outlines_of.get(name))
            extent, _ = measure_extent(cine.images)
            entry = writer.add(cine, wanted.split_of[name], outlines, extent=extent)
            wanted.extents.append(extent)
            magnitude = cine.magnitude
            middle = magnitude[cine.n_slices // 2].mean(axis=0)
            views.append((entry.subject, middle, motion_map(magnitude), entry.heart_box))
            wanted.found[name] = cine.subject
            who = cine.subject if entry.subject == cine.subject else f"{cine.subject} ({entry.subject})"
            # Of the reader's too, which the store does not keep under pseudonyms.
            for note in dict.fromkeys((*cine.notes, *entry.notes)):
                wanted.notes.setdefault(note, []).append(who)
            wanted.doubtful |= any(note in entry.notes for note in heart_box_notes(entry.heart_box, magnitude))
    return views


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
