"""What is said of an acceleration depends on how many lines carry signal."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from csmri.data.extent import Extent, acceleration_note

FULL = Extent(256, 0.01, 0.2, 240)
NARROW = Extent(256, 0.003, 0.05, 171)
CUT = Extent(96, 0.003, 0.05, 80, edge=77)


def test_an_edge_goes_before_the_band():
    assert (FULL.lines, NARROW.lines, CUT.lines) == (240, 171, 77)
    assert [one.is_limited for one in (FULL, NARROW, CUT)] == [False, True, True]
    assert not Extent(256, 0, 0, 180).is_limited and Extent(256, 0, 0, 179).is_limited
    assert str(NARROW) == (
        "about 171 of 256 carry signal; beyond half of kmax 0.3 % of the energy, 5 % of the dynamics"
    )


@pytest.mark.parametrize(
    ("extents", "begin"),
    [
        ([], ""),
        ([FULL], ""),
        ([NARROW], "Of 256 lines about 171 carry signal, as"),
        ([NARROW, CUT], "Of 96 to 256 lines about 77 to 171 carry signal, as"),
        ([NARROW, FULL], "Of 256 lines about 171 carry signal in 1 of 2 subjects, as"),
    ],
)
def test_one_sentence_for_all_subjects(extents, begin):
    note = acceleration_note(extents)
    assert note.startswith(begin) and bool(note) == bool(begin) and note.count(". ") == 0


@pytest.mark.parametrize("extent", [NARROW, CUT])
def test_is_read_as_it_was_written(extent):
    assert Extent.of(asdict(extent)) == extent
