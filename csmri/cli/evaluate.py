"""`csmri evaluate`: records, times and table 2 of any number of methods on the test subjects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csmri.cli.methods import baseline_names, consistency_options, elsewhere, model_arguments
from csmri.cli.options import executor_of, executor_options, given, memory_option, simulation_options
from csmri.cli.progress import progress
from csmri.config import EVALUATION_ACCELERATIONS
from csmri.core.errors import CsmriError
from csmri.core.names import BASELINES, INITIAL, PROCESSES, THIS, ZERO_FILLED
from csmri.core.quiet import import_tensorflow

if TYPE_CHECKING:
    from csmri.data.records import Item


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for records.csv.xz, seconds.csv.xz, evaluation.json and examples.npz; an evaluation that was stopped "
    "goes on, and one of the same store, split and masks takes further methods and accelerations.",
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
@simulation_options
@click.option(
    "--example-acceleration",
    "example_accelerations",
    type=float,
    multiple=True,
    help="Accelerations at which images of the first subject are kept for pictures; by default 4, 8 or the highest.",
)
@click.option(
    "--example-slices",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Slices of which images are kept, spread from base to apex.",
)
@click.option(
    "--allow-trained-subjects", is_flag=True, help="Also where a model was trained on a subject of a held-out split."
)
@executor_options
@memory_option
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
    phase: str | None,
    coils: int | None,
    snr: float | None,
    example_accelerations: tuple[float, ...],
    example_slices: int,
    allow_trained_subjects: bool,
    executor: str | None,
    workers: int | None,
    beam_options: str | None,
) -> None:
    """Compare SavedModels and classical methods with zero-filling and the initial reconstruction on subjects of STORE.

    Each MODEL is a SavedModel folder, or `pretrained` or `pretrained-unrolled`, which csmri ships, written
    [NAME=]MODEL[@none|@hard|@soft[:WEIGHT]]. What follows the @ puts the acquired k-space lines back into a U-net's
    image (hard) or averages them with it (soft), so that one model takes part with and without:
    runs/a/models/final runs/a/models/final@hard.

    Masks, phase, coils and noise are simulated as the models were trained, or as --mask-law, --phase, --coils and --snr
    say; all methods get the same data and the true coil sensitivity maps, and are compared with the images without
    noise.

    Writes one record per subject, slice, frame, acceleration and method, the seconds that every method took, and prints
    the form of the paper's table 2: NMSE x 1e-3 in the heart box, mean over subjects, +- standard deviation between
    subjects. Every record is kept when it is done: after a stop, the same command goes on. One process does it, so that
    seconds are those of a method alone, unless --executor or --workers ask for others.
    """
    import_tensorflow()
    from csmri.core.files import check_outputs
    from csmri.core.locks import locked
    from csmri.data.records import read_records
    from csmri.data.store import open_store
    from csmri.evaluation.evaluate import HELD_OUT, check_evaluation, common_law, spread_slices
    from csmri.methods.reconstruction import MethodSpec, notes_on
    from csmri.results.folder import RECORDS
    from csmri.results.journal import Journal
    from csmri.results.tables import table2
    from csmri.run.evaluation import EvaluationRun, begin_evaluation, describe_evaluation

    accelerations = tuple(dict.fromkeys(accelerations))  # one given twice would count twice
    opened = open_store(store)
    shared = executor_of(executor or (PROCESSES if workers else THIS), workers, beam_options)
    arguments = [model_arguments(one, consistency=consistency, consistency_weight=consistency_weight) for one in models]
    specs = [MethodSpec(name) for name in (ZERO_FILLED, INITIAL, *baseline_names(methods))]
    specs += [MethodSpec(model=tuple(elsewhere(one).items())) for one in arguments]
    compared = [spec.load() for spec in specs]
    networks = [one for one in compared if one.saved]
    law = common_law(networks, **given(mask_law=mask_law, phase=phase, coils=coils, snr=snr))
    entries = opened.of_split(split)
    slices = spread_slices(entries[0].n_slices, example_slices)
    if others := [a for a in example_accelerations if a not in accelerations]:
        raise CsmriError(f"--example-acceleration {others[0]:g} is not among those evaluated; give --acceleration, too")
    kept_at = example_accelerations or _shown_of(accelerations)

    def is_example(item: Item) -> bool:
        return item.subject == entries[0].subject and item.slice in slices and item.acceleration in kept_at

    for note in notes_on(networks) if split in HELD_OUT else ():
        click.echo(f"note: {note}", err=True)
    check_evaluation(
        opened,
        compared,
        split=split,
        law=law,
        accelerations=accelerations,
        allow_trained_subjects=allow_trained_subjects,
    )
    check_outputs([out], [store, *(network.saved.path for network in networks if network.saved)])
    description = describe_evaluation(opened, compared, split=split, law=law, seed=seed)
    with locked(out):
        begin_evaluation(out, description)
        journal = Journal(out)
        run = EvaluationRun(
            journal,
            opened,
            compared,
            split=split,
            law=law,
            accelerations=accelerations,
            seed=seed,
            is_example=is_example,
            allow_trained_subjects=allow_trained_subjects,
            executor=shared,
            specs=specs,
        )
        if len(run.left) < len(run.items):
            click.echo(f"{out}: {len(run.items) - len(run.left):,} of {len(run.items):,} items are done already")
        if run.left:
            with progress(run.do(), len(run.left), f"evaluating {store}") as bar:
                for _ in bar:
                    pass
        journal.finish(run.items)
    # From the rounded records of the file, so that whoever makes the table again gets the same.
    records = read_records(out / RECORDS)
    click.echo(table2(records))
    for note in run.notes():
        click.echo(f"note: {note}", err=True)
    click.echo(f"{out}: {len(records):,} records of {len(entries)} subjects; `csmri figures {out}` draws them")


def _shown_of(accelerations: tuple[float, ...]) -> tuple[float, ...]:
    """Accelerations of figure 4 among those evaluated, or the highest where none of them is."""
    return tuple(a for a in accelerations if a in (4.0, 8.0)) or (max(accelerations),)
