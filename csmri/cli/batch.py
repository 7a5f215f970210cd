"""`csmri reconstruct` on a tree: every study in it, one failing alone, and a table at the end."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csmri.cli.endings import RESUMES
from csmri.cli.progress import left, progress
from csmri.cli.reading import INCOMPLETE, Reading
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.core.locks import locked

if TYPE_CHECKING:
    from csmri.formats.source import Found
    from csmri.run.batch import Batch
    from csmri.run.executors import Executor
    from csmri.run.studies import Ended

MOST_NOTES = 8


def is_tree(found: Found, output: Path, *, wanted: bool) -> bool:
    """Whether what was found is to be written as a tree: there are several, or it is wanted, and OUTPUT is no file."""
    from csmri.formats.output import OUTPUTS
    from csmri.run.batch import is_batch

    ends = tuple(end for one in OUTPUTS.values() for end in one.suffixes)
    return is_batch(output) or ((wanted or len(found.sources) > 1) and not output.name.lower().endswith(ends))


def refuse_single(source: Path, found: Found, **options: Any) -> None:
    """Refuse options of one study."""
    for name, value in options.items():
        if value:
            raise CsmriError(
                f"{source}: holds {len(found.sources)} studies; --{name} is for one: give its own place, or leave out "
                f"--{name}"
            )


def reconstruct_tree(
    found: Found,
    source: Path,
    batch: Batch,
    executor: Executor,
    reading: Reading,
) -> None:
    """Reconstruct all that was found into the batch's folder; ends the command with another code where some failed."""
    from csmri.run.batch import begin_batch, failed_files, gone, summary, write_table
    from csmri.run.studies import FAILED, TABLE, plan_studies

    folder = Path(batch.folder)
    check_outputs([folder], [source, batch.model.get("path")])
    batch.check()
    reading.tell(found.notes)
    reading.leave_out(found.left_out)
    damaged = failed_files(found.left_out, source)
    with locked(folder):
        begin_batch(batch, source)
        click.get_current_context().meta[RESUMES] = True
        records = batch.records()
        studies = plan_studies(found.sources, source, batch.suffix, records)
        ended: list[Ended] = []
        begun = time.monotonic()
        doing = contextlib.closing(executor.run(batch, studies))
        try:
            with doing as outcomes, progress(outcomes, len(studies), f"studies of {source}") as bar:
                for one in bar:
                    ended.append(one)
                    if one.status == FAILED:
                        click.echo(f"failed: {one.study}: {one.reason}", err=True)
                    bar.label = f"studies of {source}{left(begun, len(ended), len(studies))}"
        finally:
            table = [*ended, *damaged, *gone(records, studies)]
            write_table(folder, table)
    notes = Counter(note for one in ended for note in dict.fromkeys(one.notes))
    for note, count in notes.most_common(MOST_NOTES):
        reading.tell([note], of=f"{count} of {len(ended)} studies")
    click.echo(summary(table))
    click.echo(f"{folder / TABLE}: every study, with its notes")
    if any(one.status == FAILED for one in (*ended, *damaged)):
        raise click.exceptions.Exit(INCOMPLETE)
