"""How a command ends that does not end well: in one line and with an exit code, never in a traceback."""

from __future__ import annotations

import os
import traceback

import click

from csmri.core.reasons import TRACEBACK, one_line, reason

RESUMES = "csmri.resumes"
"""Of a context's `meta`: that this time the command, given again, goes on where it was."""


def tell(error: BaseException, *, resumes: bool) -> int:
    """Print on standard error, in one line, why a command ended; returns the exit code.

    Parameters
    ----------
    error : BaseException
        What the command raised.
    resumes : bool
        Whether the command, given again, goes on where it was stopped.
    """
    if os.environ.get(TRACEBACK):
        click.echo("".join(traceback.format_exception(error)), nl=False, err=True)
    message, code = reason(error, resumes=resumes)
    click.echo(f"csmri: {one_line(message)}", err=True)
    return code
