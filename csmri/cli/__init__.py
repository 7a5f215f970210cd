"""The command line: one command a file; parse, call, print.

Command functions import what they call when they are called: TensorFlow costs seconds that `--help` need not pay.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from csmri import __version__
from csmri.cli.endings import tell
from csmri.cli.evaluate import evaluate
from csmri.cli.export import export
from csmri.cli.figures import figures
from csmri.cli.inspect import inspect
from csmri.cli.phantom import phantom
from csmri.cli.prepare import prepare
from csmri.cli.reconstruct import reconstruct
from csmri.cli.report import report
from csmri.cli.simulate import simulate
from csmri.cli.study import study
from csmri.cli.sweep import sweep
from csmri.cli.train import train
from csmri.cli.transfer import transfer
from csmri.core.locks import ending_cleanly

RESUMING = ("study", "transfer", "sweep", "train", "evaluate")
"""Commands that, stopped and given again, go on where they were."""


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
            sys.exit(tell(error, resumes=ctx.invoked_subcommand in RESUMING))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of work, not of the alphabet


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="csmri")
def main() -> None:
    """Compressed-sensing cardiac cine MRI with a residual U-net and transfer learning."""


_IN_ORDER_OF_WORK = (
    *(phantom, simulate, inspect, prepare, study, transfer, sweep),
    *(train, reconstruct, evaluate, export, figures, report),
)
for _command in _IN_ORDER_OF_WORK:
    main.add_command(_command)
