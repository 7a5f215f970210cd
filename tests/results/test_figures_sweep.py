"""Names of methods, however long, stay inside the picture of a sweep."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from csmri.results.figures import render_sweep_lines, sweep
from csmri.results.tables.sweep import Ratios


@pytest.mark.parametrize("length", [5, 28, 58, 90])
def test_legend_stays_inside(length, tmp_path, monkeypatch):
    figures = []

    @contextmanager
    def kept(*args, **options):
        with new_figure(*args, **options) as figure:
            figures.append(figure)
            yield figure
            figure.canvas.draw()
            bounds.append(figure.legends[0].get_window_extent())

    new_figure, bounds = sweep.new_figure, []
    monkeypatch.setattr(sweep, "new_figure", kept)
    names = [f"{i:02d} {4 * 'unet accelerations=2,3,4,8 seed=0 '}"[:length] for i in range(18)]
    ratios = Ratios("gaussian", (2.0, 8.0), {name: {2.0: 0.9, 8.0: 0.8} for name in names})
    render_sweep_lines([ratios], tmp_path / "lines.png")
    (figure,), (bound,) = figures, bounds
    assert bound.x0 >= 0 and bound.x1 <= figure.bbox.width
    assert figure.axes[0].get_window_extent().height > 1.0 * figure.dpi
