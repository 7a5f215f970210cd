"""Folds by their law: all are tested once, trained on equally often, never both, and nothing else is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csmri.core.errors import CsmriError
from csmri.data.folds import leave_one_out
from csmri.data.store import Entry, Store


def store_of(*splits):
    entries = [Entry.planned(f"subject {i}", split, 1, 1, (32, 32)) for i, split in enumerate(splits)]
    return Store(Path("made up"), tuple(entries))


def names(store, split):
    return [entry.subject for entry in store.entries if entry.split == split]


@given(st.lists(st.sampled_from(["train", "test", "pretrain"]), min_size=2, max_size=12), st.data())
def test_all_are_tested_once_and_trained_on_equally_often(splits, data):
    store = store_of(*splits)
    subjects = [entry.subject for entry in store.entries if entry.split != "pretrain"]
    if len(subjects) < 2:
        return
    n_train = data.draw(st.integers(1, len(subjects) - 1))
    folds = leave_one_out(store, n_train)
    assert [names(fold, "test") for fold in folds] == [[subject] for subject in subjects]
    trained = [name for fold in folds for name in names(fold, "train")]
    assert {trained.count(subject) for subject in subjects} == {n_train} and len(trained) == n_train * len(subjects)
    for fold in folds:
        assert not set(names(fold, "test")) & set(names(fold, "train"))
        assert names(fold, "pretrain") == names(store, "pretrain")
        assert fold.path == store.path and len(set(names(fold, "train"))) == n_train


def test_the_next_in_the_order_of_the_store_are_trained_on():
    folds = leave_one_out(store_of("test", "train", "pretrain", "train", "validation", "test"), 2)
    assert [(names(fold, "test"), names(fold, "train")) for fold in folds] == [
        (["subject 0"], ["subject 1", "subject 3"]),
        (["subject 1"], ["subject 3", "subject 5"]),
        (["subject 3"], ["subject 0", "subject 5"]),
        (["subject 5"], ["subject 0", "subject 1"]),
    ]
    assert all(names(fold, "validation") == ["subject 4"] for fold in folds)


def test_folds_are_different_data(store):
    folds = leave_one_out(store, 1)
    assert len({fold.sha256 for fold in [store, *folds]}) == 1 + len(folds) == 4


@pytest.mark.parametrize(("splits", "n_train", "told"), [(["train"] * 2, 2, "2 subjects"), (["test"], 1, "1 subject ")])
def test_too_few_subjects_are_refused(splits, n_train, told):
    with pytest.raises(
        CsmriError, match=f"made up: has {told}.*train on {n_train} and test one more need {n_train + 1}"
    ):
        leave_one_out(store_of(*splits), n_train)
