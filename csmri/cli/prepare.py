"""`csmri prepare`: files of any kind -> the store that training and evaluation read."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.quiet import import_tensorflow
from csmri.errors import CsmriError


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
def prepare(sources: tuple[Path, ...], store: Path, split_file: Path) -> None:
    """Read the cines of SOURCE... and write the prepared STORE: a shard per subject, a manifest with sha256.

    A source is a file, a DICOM folder, or a folder of many cines. Only subjects that the split names are taken.
    """
    import_tensorflow()
    from csmri.formats import find_cines, read_cine
    from csmri.store import StoreWriter, read_split

    split_of = read_split(split_file)
    paths = [path for source in sources for path in find_cines(source)]
    missing, left_out = dict(split_of), []
    with StoreWriter(store) as writer, click.progressbar(paths, label=f"preparing {store}") as progress:
        for path in progress:
            cine = read_cine(path)
            if cine.subject not in split_of:
                left_out.append(cine.subject)
                continue
            writer.add(cine, split_of[cine.subject])
            missing.pop(cine.subject, None)
        if missing:
            raise CsmriError(
                f"{split_file}: names {', '.join(missing)}, which {' '.join(map(str, sources))} does not hold; "
                f"it holds {', '.join([*(s for s in split_of if s not in missing), *left_out])}"
            )
    if left_out:
        click.echo(f"not in {split_file}, left out: {', '.join(left_out)}")
    counts = [f"{list(split_of.values()).count(split)} {split}" for split in dict.fromkeys(split_of.values())]
    click.echo(f"{store}: {len(split_of)} subjects ({', '.join(counts)})")
