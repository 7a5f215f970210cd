"""The command line: one command a file; parse, call, print.

A command is imported when it is asked for, and its function imports what it calls when it is called: TensorFlow costs
seconds that help need not pay, and options of configs half of one.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click

from csmri import __version__
from csmri.cli.endings import RESUMES, tell
from csmri.core.locks import SIGNALLED, ending_cleanly

RESUMING = ("study", "transfer", "sweep", "train", "evaluate")
"""Commands that, stopped and given again, go on where they were."""

COMMANDS = {
    "phantom": "Write numerical beating hearts.",
    "simulate": "Measure a cine as a scanner would: k-space and the truth.",
    "inspect": "Tell what csmri understands a file or folder to be.",
    "prepare": "Read cines and write the store that trainings read.",
    "study": "The paper's comparison: pretraining, standalone, transfer.",
    "transfer": "Compare ways to transfer.",
    "sweep": "Try methods with many settings on many acquisitions.",
    "train": "Train a network, from scratch or from another's weights.",
    "reconstruct": "Reconstruct a cine or k-space; write DICOM, NIfTI or arrays.",
    "evaluate": "Compare networks and classical methods on test subjects.",
    "export": "Write a network as a SavedModel.",
    "figures": "Draw figures and write tables of results.",
    "report": "Write results as one HTML page.",
}
"""Command -> what it does, in the order of work."""


class _OnDemand(Mapping[str, click.Command]):
    """Every command by its name, imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in COMMANDS:
            raise KeyError(name)
        command = getattr(import_module(f"csmri.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Commands(click.Group):
    """Ends every command cleanly: by a signal nothing half-written is left, and no error shows a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        # A file name need not be text, and a terminal need not know every letter: neither may end a command.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with ending_cleanly():
                return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError, SystemExit):
            raise  # click's own, and what it ends quietly: that nobody reads any more
        except (Exception, KeyboardInterrupt) as error:
            sys.exit(tell(error, resumes=ctx.invoked_subcommand in RESUMING or RESUMES in ctx.meta))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, commands=_OnDemand(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="csmri")
def main() -> None:
    """Compressed-sensing cardiac cine MRI with a residual U-net and transfer learning."""


def run() -> None:
    """Run the command of this process; where a signal has ended it, and all is cleaned up, leave at once.

    TensorFlow's threads would finish what they are at first, for a quarter of a minute where the machine is busy.
    """
    try:
        main(prog_name="csmri")
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > SIGNALLED:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(end.code)
        raise
