"""`csmri evaluate`: records and table 2 of any number of networks on the test subjects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csmri.cli.quiet import import_tensorflow
from csmri.config import EVALUATION_ACCELERATIONS
from csmri.errors import CsmriError

if TYPE_CHECKING:
    from csmri.reconstruction import Corrector, Images
    from csmri.store import Entry


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL|NAME=MODEL]...")
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for records.csv, evaluation.json and examples.npz.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train", "pretrain"]),
    default="test",
    show_default=True,
    help="Whose images are reconstructed.",
)
@click.option(
    "--acceleration",
    "accelerations",
    type=float,
    multiple=True,
    default=EVALUATION_ACCELERATIONS,
    show_default=True,
    help="Give several times for several.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the masks, the same for all methods."
)
@click.option(
    "--mask-law",
    type=click.Choice(["gaussian", "schlemper"]),
    help="Test on another law than the models were trained on.",
)
@click.option(
    "--example-acceleration",
    "example_accelerations",
    type=float,
    multiple=True,
    default=(4.0, 8.0),
    show_default=True,
    help="Accelerations at which images of the first subject are kept for pictures.",
)
@click.option(
    "--example-slices",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Slices of which images are kept, spread from base to apex.",
)
def evaluate(
    models: tuple[str, ...],
    store: Path,
    out: Path,
    split: str,
    accelerations: tuple[float, ...],
    seed: int,
    mask_law: str | None,
    example_accelerations: tuple[float, ...],
    example_slices: int,
) -> None:
    """Compare SavedModels with zero-filling and the initial reconstruction on the subjects of STORE.

    Writes one record per subject, slice, frame, acceleration and method, and prints the form of the paper's table 2:
    NMSE x 1e-3 in the heart box, mean over subjects, +- standard deviation between subjects.
    """
    if out.exists() and not out.is_dir():
        raise CsmriError(f"{out}: is a file; give a folder for the results")
    import_tensorflow()
    from csmri import evaluation
    from csmri.provenance import git_revision, versions
    from csmri.records import RECORDS, Example, read_records, write_examples, write_records
    from csmri.store import open_store
    from csmri.tables import table2
    from csmri.weights import PRETRAINED, SHIPPED, saved_model_sha256

    accelerations = tuple(dict.fromkeys(accelerations))  # one given twice would count twice
    opened = open_store(store)
    correctors = [_load(model) for model in models]
    law = evaluation.common_law(correctors, **({"mask_law": mask_law} if mask_law else {}))
    entries = opened.of_split(split)
    shown = evaluation.spread_slices(entries[0].n_slices, example_slices)
    examples: list[Example] = []

    def keep(entry: Entry, index: int, acceleration: float, reference: Images, methods: dict[str, Images]) -> None:
        if entry is entries[0] and index in shown and acceleration in example_accelerations:
            examples.append(Example(entry.subject, index, acceleration, reference, methods, entry.heart_box))

    results = evaluation.evaluate(
        opened, correctors, split=split, law=law, accelerations=accelerations, seed=seed, visit=keep
    )
    n_steps = sum(entry.n_slices for entry in entries) * len(accelerations)
    with click.progressbar(results, length=n_steps, label=f"evaluating {store}") as progress:
        records = [record for some in progress for record in some]

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CsmriError(f"{out}: cannot create the folder: {error.strerror}") from error
    write_records(records, out / RECORDS)
    if examples:
        write_examples(examples, out / "examples.npz")
    description = {
        "git_revision": git_revision(),
        "versions": versions(),
        "models": {
            corrector.name: {
                "path": PRETRAINED if corrector.saved.path == SHIPPED else str(corrector.saved.path),
                "weights_sha256": saved_model_sha256(corrector.saved.path),
                "epoch": corrector.saved.epoch,
            }
            for corrector in correctors
        },
        "store": str(store),
        "store_sha256": opened.sha256,
        "split": split,
        "subjects": [entry.subject for entry in entries],
        "sampling": law.model_dump(),
        "seed": seed,
    }
    (out / "evaluation.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    # From the rounded records of the file, so that whoever makes the table again gets the same.
    click.echo(table2(read_records(out / RECORDS)))
    click.echo(f"{out}: {len(records):,} records of {len(entries)} subjects; `csmri figures {out}` draws them")


def _load(model: str) -> Corrector:
    from csmri.reconstruction import load_corrector

    name, equals, path = model.partition("=")
    return load_corrector(Path(path), name=name) if equals else load_corrector(Path(model))
