"""`csmri evaluate`: records, times and table 2 of any number of methods on the test subjects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csmri.cli.methods import baseline_names, consistency_options, load_model
from csmri.cli.quiet import import_tensorflow
from csmri.config import EVALUATION_ACCELERATIONS
from csmri.core.errors import CsmriError
from csmri.core.names import BASELINES

if TYPE_CHECKING:
    from csmri.data.store import Entry
    from csmri.reconstruction import Images, Reconstructor


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for records.csv, seconds.csv, evaluation.json and examples.npz.",
)
@click.option(
    "--method",
    "methods",
    type=click.Choice([*BASELINES, "all"]),
    multiple=True,
    help="Classical method that takes part; give several times for several, or all.",
)
@consistency_options
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
    methods: tuple[str, ...],
    consistency: str | None,
    consistency_weight: float | None,
    split: str,
    accelerations: tuple[float, ...],
    seed: int,
    mask_law: str | None,
    example_accelerations: tuple[float, ...],
    example_slices: int,
) -> None:
    """Compare SavedModels and classical methods with zero-filling and the initial reconstruction on subjects of STORE.

    Each MODEL is a SavedModel folder, or `pretrained` or `pretrained-unrolled`, which csmri ships, written
    [NAME=]MODEL[@none|@hard|@soft[:WEIGHT]]. What follows the @ puts the acquired k-space lines back into a U-net's
    image (hard) or averages them with it (soft), so that one model takes part with and without:
    runs/a/models/final runs/a/models/final@hard.

    Writes one record per subject, slice, frame, acceleration and method, the seconds that every method took, and prints
    the form of the paper's table 2: NMSE x 1e-3 in the heart box, mean over subjects, +- standard deviation between
    subjects.
    """
    if out.exists() and not out.is_dir():
        raise CsmriError(f"{out}: is a file; give a folder for the results")
    import_tensorflow()
    from csmri.data.records import Record, Timing, read_records, write_records, write_timings
    from csmri.data.store import open_store
    from csmri.evaluation import evaluate as evaluation
    from csmri.reconstruction import baseline_reconstructor
    from csmri.results.folder import EVALUATION, EXAMPLES, RECORDS, TIMINGS, Example, write_examples
    from csmri.results.tables import table2

    accelerations = tuple(dict.fromkeys(accelerations))  # one given twice would count twice
    opened = open_store(store)
    networks = [load_model(one, consistency=consistency, consistency_weight=consistency_weight) for one in models]
    law = evaluation.common_law(networks, **({"mask_law": mask_law} if mask_law else {}))
    baselines = [baseline_reconstructor(name, cyclic=law.cyclic) for name in baseline_names(methods)]
    entries = opened.of_split(split)
    shown = evaluation.spread_slices(entries[0].n_slices, example_slices)
    examples: list[Example] = []

    def keep(entry: Entry, index: int, acceleration: float, reference: Images, methods: dict[str, Images]) -> None:
        if entry is entries[0] and index in shown and acceleration in example_accelerations:
            examples.append(Example(entry.subject, index, acceleration, reference, methods, entry.heart_box))

    results = evaluation.evaluate(
        opened, [*baselines, *networks], split=split, law=law, accelerations=accelerations, seed=seed, visit=keep
    )
    n_steps = sum(entry.n_slices for entry in entries) * len(accelerations)
    records: list[Record] = []
    timings: list[Timing] = []
    with click.progressbar(results, length=n_steps, label=f"evaluating {store}") as progress:
        for some, times in progress:
            records += some
            timings += times

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CsmriError(f"{out}: cannot create the folder: {error.strerror}") from error
    write_records(records, out / RECORDS)
    write_timings(timings, out / TIMINGS)
    if examples:
        write_examples(examples, out / EXAMPLES)
    description = {
        **_description(baselines, networks),
        "store": str(store),
        "store_sha256": opened.sha256,
        "split": split,
        "subjects": [entry.subject for entry in entries],
        "sampling": law.model_dump(),
        "seed": seed,
    }
    (out / EVALUATION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    # From the rounded records of the file, so that whoever makes the table again gets the same.
    click.echo(table2(read_records(out / RECORDS)))
    click.echo(f"{out}: {len(records):,} records of {len(entries)} subjects; `csmri figures {out}` draws them")


def _description(baselines: Sequence[Reconstructor], networks: Sequence[Reconstructor]) -> dict[str, Any]:
    """What is known of every method, and of the machine that their times are of."""
    from csmri.baselines import find_method
    from csmri.core.names import INITIAL, ZERO_FILLED
    from csmri.core.provenance import git_revision, processor, versions
    from csmri.weights import saved_model_name, saved_model_sha256

    models = {}
    for network in networks:
        saved = network.saved
        assert saved
        models[network.name] = {
            "path": saved_model_name(saved.path),
            "weights_sha256": saved_model_sha256(saved.path),
            "epoch": saved.epoch,
            "network": saved.config.network,
            "consistency": saved.config.consistency,
        }
        if saved.config.consistency == "soft":
            models[network.name]["consistency_weight"] = saved.config.consistency_weight
    parameters = {ZERO_FILLED: 0, INITIAL: 0, **{m.name: m.n_parameters for m in (*baselines, *networks)}}
    return {
        "git_revision": git_revision(),
        "versions": versions(),
        "processor": processor(),
        "models": models,
        "baselines": {method.name: asdict(find_method(method.name).settings) for method in baselines},
        "parameters": parameters,
    }
