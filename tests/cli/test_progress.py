"""Progress: a bar on a terminal, whole lines in a file."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from csmri.cli import progress as module
from csmri.cli.convergence import Watch
from csmri.cli.progress import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def output_of(function) -> str:
    return CliRunner().invoke(click.Command("c", callback=function), []).output


def loop(clock, n_items: int, seconds: float, **options):
    def function() -> None:
        with progress(range(n_items), label="doing", **options) as bar:
            for _ in bar:
                clock[0] += seconds

    return output_of(function).splitlines()


def test_short_work_has_a_start_and_an_end(clock):
    assert loop(clock, 40, 0.01) == ["doing: 0 of 40", "doing: 40 of 40, after 0 s"]


def test_a_line_a_tenth(clock):
    middle = [f"doing: {done} of 40" for done in range(4, 40, 4)]
    assert loop(clock, 40, 1) == ["doing: 0 of 40", *middle, "doing: 40 of 40, after 40 s"]


def test_long_work_gives_a_sign_of_life_every_30_seconds(clock):
    lines = loop(clock, 1000, 1)
    assert lines[1:4] == ["doing: 30 of 1,000", "doing: 60 of 1,000", "doing: 90 of 1,000"]
    assert lines[-1] == "doing: 1,000 of 1,000, after 1000 s"


def test_tenths_are_not_told_faster_than_every_two_seconds(clock):
    assert len(loop(clock, 10, 0.5)) == 2 + 2


def test_without_a_length_the_items_are_counted(clock):
    def function() -> None:
        with progress(iter("abc"), label="doing") as bar:
            for _ in bar:
                clock[0] += 2

    lines = output_of(function).splitlines()
    assert lines == ["doing: 0", "doing: 1", "doing: 2", "doing: 3", "doing: 3, after 6 s"]


def test_no_end_where_the_work_breaks(clock):
    def function() -> None:
        with progress(range(3), label="doing"):
            raise SystemExit(2)

    assert output_of(function) == "doing: 0 of 3\n"


def test_iterations_are_told_where_one_takes_long(clock, monkeypatch):
    watch = Watch("slices")

    def function() -> None:
        with progress(range(2), label=watch.label) as watch.bar:
            for _ in watch.bar:
                for _ in range(2):
                    clock[0] += 20
                    watch.bar.label = "slices (iteration 7)"
                    watch.bar.render_progress()

    assert output_of(function).splitlines() == [
        "slices: 0 of 2",
        "slices (iteration 7): 0 of 2",
        "slices (iteration 7): 1 of 2",
        "slices: 2 of 2, after 80 s",
    ]


def test_a_terminal_has_clicks_bar(monkeypatch):
    monkeypatch.setattr(module.sys.stdout, "isatty", lambda: True, raising=False)
    with progress([1, 2], label="doing") as bar:
        assert isinstance(bar, type(click.progressbar([1])))
