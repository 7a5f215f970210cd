"""The picture of the saving against the length of standalone learning."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from csmri.core.errors import CsmriError
from csmri.results.draw import draw
from csmri.results.figures import render_learning_curves, render_savings, savings
from csmri.results.figures.curves import looks
from csmri.results.figures.pictures import BLACK, BLUE, GREY, RED
from csmri.results.folder import Results, read_results
from csmri.results.products import PRODUCTS
from csmri.results.tables.lengths import View, saving_curves


def comments(path):
    return [line.split("<!-- ")[1].split(" -->")[0] for line in path.read_text().splitlines() if "<!-- " in line]


def make_results(path, transfer):
    logs = {
        key: [{"epoch": str(epoch), "nmse": str(nmse), "initial_nmse": "1"} for epoch, nmse in enumerate(values, 1)]
        for key, values in {("standalone", 0): [9.0, 8, 7, 6, 5, 4, 3, 2, 1], ("transfer_10", 0): transfer}.items()
    }
    return Results(path, None, logs, ())


def test_every_way_to_count_is_a_panel(study_results, tmp_path):
    render_savings(read_results(study_results), tmp_path / "savings.svg", caption="whose data")
    found = comments(tmp_path / "savings.svg")
    for name in (
        *("TL 2", "TL 5", "the paper, N = 100", "whose data", "N, epochs of standalone learning"),
        *("images of N standalone epochs / of pretraining", "saving in epochs of transfer", "pretraining counted"),
        "lines: sustained (running means over 3 epochs), median and range of 2 seeds",
    ):
        assert name in found, name
    assert found.count("saves nothing") == 4


def test_without_numbers_of_images_there_is_one_panel(tmp_path):
    render_savings(make_results(tmp_path, [5.0] * 9), tmp_path / "savings.svg")
    found = comments(tmp_path / "savings.svg")
    assert found.count("saves nothing") == 1 and "pretraining counted" not in found


@pytest.mark.parametrize(
    ("view", "labels"),
    [
        (View(False, False), {"5×": (100, 5), "20×": (100, 20), "50×": (100, 50)}),
        (View(True, True), {"3.3×": (9.628, 3.291), "3.9×": (4.814, 3.880), "1.9×": (1.926, 1.854)}),
    ],
)
def test_the_paper_stands_where_it_says(view, labels):
    axes = Figure().subplots()
    savings._draw_paper(axes, looks(["standalone", "transfer_10"]), view)
    assert [text.get_text() for text in axes.texts] == list(labels)
    marks = [(*line.get_xydata()[0], line.get_color()) for line in axes.lines]
    assert [mark[:2] for mark in marks] == [pytest.approx(place, abs=1e-3) for place in labels.values()]
    assert [mark[2] for mark in marks] == [RED, GREY, GREY]  # those of the folder in their colour


def test_what_is_never_reached_has_no_line_but_an_arrow_at_its_bound(tmp_path):
    def drawn(transfer):
        axes = Figure().subplots()
        (curve,) = saving_curves(make_results(tmp_path, transfer))
        savings._draw_curve(axes, curve, looks(["transfer_10"])["transfer_10"], View(False, False))
        _, line = axes.lines
        return (
            np.isfinite(line.get_ydata()).sum(),
            [text.xy for text in axes.texts],
            [text.xyann for text in axes.texts],
        )

    assert drawn([5.0] * 9) == (5, [(6, pytest.approx(6 / 9 / 1.35))], [(6, pytest.approx(6 / 9))])
    assert drawn([0.5] * 9) == (9, [], [])


def test_trainings_look_as_in_figure_3(study_results, tmp_path):
    found = looks(["pretrain", "standalone", "transfer_2", "transfer_5", "mine"])
    assert [look.colour for look in found.values()][:3] == [BLACK, RED, BLUE] and "pretrain" not in found
    assert list(looks(["pretrain"])) == ["pretrain"]
    for render in (render_learning_curves, render_savings):
        render(read_results(study_results), tmp_path / "figure.svg")
        text = (tmp_path / "figure.svg").read_text()
        assert all(f"stroke: {to_hex(colour)}" in text for colour in (RED, BLUE))


def test_a_folder_without_both_trainings_is_refused_and_others_draw_it_by_themselves(study_results, tmp_path):
    assert PRODUCTS["savings"].by_itself
    drawn = draw(study_results, ["savings"])
    assert [path.name for one in drawn for path in one.paths] == ["savings.md", "savings.tex", "savings.png"]
    assert "| 10 " in "\n".join(drawn[0].lines) and "N = 100" in "\n".join(drawn[0].lines)
    for log in study_results.glob("runs/seed_*/transfer_*/log.csv"):
        log.unlink()
    with pytest.raises(CsmriError, match=r"lacks logs runs/seed_\*/standalone/log\.csv and .*of one seed"):
        draw(study_results, ["savings"])
