"""Records are kept item by item; a kill in the middle of a line costs that item, and nothing is kept twice."""

from __future__ import annotations

import gzip
import lzma

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.records import QUALITIES, Item, Outcome, item_of, read_records, read_timings
from csmri.data.roi import Box
from csmri.data.store import Entry
from csmri.evaluation.evaluate import Evaluated
from csmri.results.folder import EXAMPLES, RECORDS, TIMINGS, read_examples
from csmri.results.journal import PARTS, Journal

ENTRY = Entry("a", "test", "", "", 2, 3, (8, 6), 1.0, Box(1, 1, 4, 4), None, "", ())
ITEMS = [
    Item("a", index, acceleration, method, seed)
    for index in range(2)
    for acceleration in (4.0, 8.0)
    for method, seed in (("initial", -1), ("unet", 0))
]


def evaluated(item):
    value = item.slice + item.acceleration / 10 + len(item.method) / 1000 + 1 / 3000
    quality = [dict.fromkeys(QUALITIES, value + frame) for frame in range(3)]
    images = np.full((3, 8, 6), value, np.float32)
    return Evaluated(
        Outcome(item, item.acceleration, 0.5, (8, 6), quality), ENTRY, np.ones((3, 8, 6), np.float32), images
    )


def keep(folder, items, **options):
    journal = Journal(folder)
    for item in items:
        journal.keep(evaluated(item), **options)
    return journal


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def whole(tmp_path):
    keep(tmp_path / "whole", ITEMS, as_example=True).finish(ITEMS)
    return tmp_path / "whole"


def test_tables_hold_every_item_in_the_order_of_the_plan(whole):
    assert set(contents(whole)) == {RECORDS, TIMINGS, EXAMPLES}
    records = read_records(whole / RECORDS)
    assert list(dict.fromkeys(map(item_of, records))) == ITEMS
    assert [record.frame for record in records[:3]] == [0, 1, 2]
    assert [(t.slice, t.acceleration, t.method) for t in read_timings(whole / TIMINGS)] == [
        (item.slice, item.acceleration, item.method) for item in ITEMS
    ]
    assert [list(one.methods) for one in read_examples(whole / EXAMPLES)] == [["initial", "unet"]] * 4


@pytest.mark.parametrize("n_done", range(len(ITEMS) + 1))
@pytest.mark.parametrize("torn", [b"", b'{"item": {"sub'])
def test_going_on_gives_the_same_bytes(whole, tmp_path, n_done, torn):
    folder = tmp_path / "stopped"
    folder.mkdir()
    journal = keep(folder, ITEMS[:n_done], as_example=True)
    with journal._path.open("ab") as file:
        file.write(torn)
    again = Journal(folder)
    assert again.done == {item.as_kept for item in ITEMS[:n_done]}
    for item in reversed(ITEMS[n_done:]):  # in whatever order
        again.keep(evaluated(item), as_example=True)
    again.finish(ITEMS)
    assert contents(folder) == contents(whole)


def test_a_kill_between_the_tables_gives_the_same_bytes(whole, tmp_path, monkeypatch):
    folder = tmp_path / "stopped"
    journal = keep(folder, ITEMS, as_example=True)
    monkeypatch.setattr("csmri.results.journal.write_records", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        journal.finish(ITEMS)
    monkeypatch.undo()
    assert (folder / PARTS).exists()
    Journal(folder).finish(ITEMS)
    assert contents(folder) == contents(whole)


def test_further_methods_are_added_and_nothing_is_replaced(whole):
    before = read_records(whole / RECORDS)
    more = [Item("a", index, 4.0, "tv") for index in range(2)]
    journal = keep(whole, more)
    assert journal.done == {item.as_kept for item in [*ITEMS, *more]}
    journal.finish(more)
    records = read_records(whole / RECORDS)
    assert [record for record in records if record.method != "tv"] == before
    assert [record.method for record in records[:9:3]] == ["initial", "unet", "tv"]


def test_images_of_an_item_can_be_asked_for_later(whole, tmp_path):
    folder = tmp_path / "without"
    journal = keep(folder, ITEMS)
    assert journal.without_images(ITEMS[:2]) == {item.as_kept for item in ITEMS[:2]}
    journal.keep(evaluated(ITEMS[0]), as_example=True)
    assert Journal(folder).without_images(ITEMS[:2]) == {ITEMS[1].as_kept}
    Journal(folder).finish(ITEMS)
    assert Journal(folder).without_images(ITEMS[:2]) == {ITEMS[1].as_kept}
    assert len(read_records(folder / RECORDS)) == 3 * len(ITEMS)


def test_accelerations_are_known_by_the_digits_that_are_kept(tmp_path):
    item = Item("a", 0, 3.14159265, "initial")
    keep(tmp_path, [item]).finish([item])
    assert Journal(tmp_path).done == {item.as_kept}
    assert item.as_kept.acceleration == 3.1416


def test_a_damaged_journal_is_named(tmp_path):
    journal = keep(tmp_path, ITEMS[:1])
    journal._path.write_text('{"item": 3}\n')
    with pytest.raises(CsmriError, match="items.jsonl: damaged .* remove it"):
        Journal(tmp_path)


@pytest.mark.parametrize(("suffix", "packed"), [("", bytes), (".gz", gzip.compress)])
def test_older_tables_are_read_and_become_compressed(whole, suffix, packed):
    new = {name: (whole / name).read_bytes() for name in (RECORDS, TIMINGS)}
    for name, content in new.items():
        (whole / f"{name.removesuffix('.xz')}{suffix}").write_bytes(packed(lzma.decompress(content)))
        (whole / name).unlink()
    journal = Journal(whole)
    assert journal.done == {item.as_kept for item in ITEMS}
    journal.finish(ITEMS)
    assert {name: (whole / name).read_bytes() for name in new} == new
    assert sorted(path.name for path in whole.glob("*.csv*")) == sorted(new)
