"""`csmri prepare`: files of any kind -> the store that training and evaluation read."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.progress import progress
from csmri.cli.quiet import import_tensorflow
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs


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
    "--outlines",
    "outline_places",
    multiple=True,
    metavar="SUBJECT=PATH",
    help="Manual outlines for the heart box: a Sunnybrook folder or a York file; one beside a York cine is found.",
)
def prepare(sources: tuple[Path, ...], store: Path, split_file: Path, outline_places: tuple[str, ...]) -> None:
    """Read the cines of SOURCE... and write the prepared STORE: a shard per subject, a manifest with sha256.

    A source is a file, a DICOM folder, or a folder of many cines. Only subjects that the split names are taken. Look at
    STORE/heart_boxes.png: quality is judged inside these boxes.
    """
    import_tensorflow()
    from csmri.data.roi import motion_map
    from csmri.data.store import StoreWriter, read_split
    from csmri.formats import find_cines, read_cine, read_outlines
    from csmri.results.figures.boxes import render_heart_boxes

    split_of = read_split(split_file)
    outlines_of = _outlines_of(outline_places, split_of)
    views = []
    paths = [path for source in sources for path in find_cines(source)]
    check_outputs([store], [*paths, split_file, *outlines_of.values()])
    missing, left_out = dict(split_of), []
    with StoreWriter(store) as writer, progress(paths, label=f"preparing {store}") as bar:
        for path in bar:
            cine = read_cine(path)
            if cine.subject not in split_of:
                left_out.append(cine.subject)
                continue
            outlines = read_outlines(path, outlines_of.get(cine.subject))
            entry = writer.add(cine, split_of[cine.subject], outlines)
            middle = cine.magnitude[cine.n_slices // 2].mean(axis=0)
            views.append((cine.subject, middle, motion_map(cine.magnitude), entry.heart_box))
            missing.pop(cine.subject, None)
        if missing:
            raise CsmriError(
                f"{split_file}: names {', '.join(missing)}, which {' '.join(map(str, sources))} does not hold; "
                f"it holds {', '.join([*(s for s in split_of if s not in missing), *left_out])}"
            )
        render_heart_boxes(views, writer.partial / "heart_boxes.png")
    if left_out:
        click.echo(f"not in {split_file}, left out: {', '.join(left_out)}")
    counts = [f"{list(split_of.values()).count(split)} {split}" for split in dict.fromkeys(split_of.values())]
    click.echo(f"{store}: {len(split_of)} subjects ({', '.join(counts)})")


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
