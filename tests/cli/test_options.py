"""--memory is for one command and its workers, and is there where memory is asked for."""

from __future__ import annotations

import os

import click
import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.cli.options import memory_option
from csmri.core.memory import LIMIT
from csmri.run.executors import Executor


@click.command()
@memory_option
def told():
    click.echo(str(os.environ.get(LIMIT)))


@pytest.mark.parametrize("before", [None, "7"])
def test_memory_is_allowed_to_one_command(before, monkeypatch):
    monkeypatch.setenv(LIMIT, before) if before else monkeypatch.delenv(LIMIT, raising=False)
    assert CliRunner().invoke(told, ["--memory", "2.5"]).output == "2.5\n"
    assert CliRunner().invoke(told, []).output == f"{before}\n"
    assert os.environ.get(LIMIT) == before
    wrong = CliRunner().invoke(told, ["--memory", "0"])
    assert wrong.exit_code == 2 and "--memory" in wrong.output


@pytest.mark.parametrize("command", ["train", "evaluate", "reconstruct"])
def test_commands_that_take_memory_have_the_option(command):
    assert "--memory GIB" in CliRunner().invoke(main, [command, "--help"]).output


def test_workers_share_the_memory(monkeypatch):
    given = []

    class Begun(Exception):
        pass

    def begin(n_workers, context, begun, arguments):
        given.append(arguments)
        raise Begun

    monkeypatch.setattr("csmri.run.executors.ProcessPoolExecutor", begin)
    monkeypatch.setenv(LIMIT, "100")
    with pytest.raises(Begun):
        list(Executor(workers=4).run(None, [1, 2, 3, 4]))
    *_, share = given[0]
    assert 20 * 2**30 < share < 25 * 2**30  # of what is left beside this process
