"""How the command line names models and methods, and what it tells of an iteration."""

from __future__ import annotations

import pytest

from csmri.cli import convergence, methods
from csmri.cli.convergence import Watch
from csmri.methods.iterative import Progress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runs/a/models/final", ("runs/a/models/final", "a", None, None)),
        ("runs/a/models/final@hard", ("runs/a/models/final", "a@hard", "hard", None)),
        ("runs/a/models/epoch_010@none", ("runs/a/models/epoch_010", "a@10@none", "none", None)),
        ("mine=folder@soft", ("folder", "mine", "soft", None)),
        ("mine=folder@soft:2.5", ("folder", "mine", "soft", 2.5)),
        ("folder@soft:1e3", ("folder", "folder@soft:1e3", "soft", 1e3)),
        ("a@hard/folder", ("a@hard/folder", "folder", "firm", 7.0)),
        ("folder@firm", ("folder@firm", "folder@firm", "firm", 7.0)),
    ],
)
def test_a_model_is_named_with_its_consistency(text, expected, monkeypatch):
    """What follows the @ goes before the options, here `firm` and 7, only where it says something."""
    monkeypatch.setattr(
        "csmri.methods.reconstruction.load_reconstructor",
        lambda path, *, name, consistency, consistency_weight, runtime: (
            (path, name, consistency, consistency_weight) if runtime == "tensorflow" else runtime
        ),
    )
    options = {} if expected[2] is None else {"consistency": "firm", "consistency_weight": 7.0}
    assert methods.load_model(text, **options) == expected
    assert methods.load_model(text, **options, runtime="openvino") == "openvino"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), []),
        (("initial", "zero-filled"), []),
        (("temporal-tv", "view-sharing", "temporal-tv"), ["view-sharing", "temporal-tv"]),
    ],
)
def test_baselines_stand_once_and_in_order(given, expected):
    assert methods.baseline_names(given) == expected
    assert len(methods.baseline_names(("all", *given))) == 8


class Bar:
    def __init__(self):
        self.label, self.shown = "", []

    def render_progress(self):
        self.shown.append(self.label)


def test_long_iterations_give_a_sign_of_life_and_their_end(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(convergence.time, "monotonic", lambda: now[0])
    watch = Watch("slices")
    watch.bar = Bar()
    for changes in [(1e-1, 1e-2, 1e-4), (1e-1, 1e-3)]:
        for i, change in enumerate(changes):
            now[0] += 1.5
            watch(Progress(i + 1, 3, change, 0.0))
    # After 1.5 s nothing, after 3 s the second step, 3 s later the first of the next slice.
    assert watch.bar.shown == [
        "slices (iteration 2 of at most 3, relative change 1.0e-02)",
        "slices (iteration 1 of at most 3, relative change 1.0e-01)",
    ]
    assert watch.summary("x", 1e-4) == (
        "x: 2 to 3 iterations, last relative change 1.0e-03; tolerance 1e-04 met in 1 of 2 slices"
    )
    assert "x: 2 to 3 iterations" in watch.summary("x", 1e-2)
    assert "met in 2 of 2" in watch.summary("x", 1e-3)
