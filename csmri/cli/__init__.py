"""The command line: one command a file; parse, call, print.

Command functions import what they call when they are called: TensorFlow costs seconds that `--help` need not pay.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from csmri import __version__
from csmri.cli.evaluate import evaluate
from csmri.cli.export import export
from csmri.cli.figures import figures
from csmri.cli.inspect import inspect
from csmri.cli.phantom import phantom
from csmri.cli.prepare import prepare
from csmri.cli.reconstruct import reconstruct
from csmri.cli.report import report
from csmri.cli.study import study
from csmri.cli.train import train
from csmri.cli.transfer import transfer
from csmri.core.errors import CsmriError


class _Commands(click.Group):
    """Prints what a person can mend in one line, without a traceback, and exits with 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CsmriError as error:
            click.echo(f"csmri: {error}", err=True)
            sys.exit(2)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of work, not of the alphabet


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="csmri")
def main() -> None:
    """Compressed-sensing cardiac cine MRI with a residual U-net and transfer learning."""


for _command in (phantom, inspect, prepare, study, transfer, train, reconstruct, evaluate, export, figures, report):
    main.add_command(_command)
