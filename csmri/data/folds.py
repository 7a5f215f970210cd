"""Leave-one-out: a store as each fold of a cross-validation sees it, one subject to test and others to train on."""

from __future__ import annotations

from dataclasses import replace

from csmri.core.errors import CsmriError
from csmri.data.store import Entry, Store

TESTED = ("train", "test")
"""Splits whose subjects are tested, each once."""


def leave_one_out(store: Store, n_train: int) -> tuple[Store, ...]:
    """See a store as the folds do, one for each subject of the splits `train` and `test` together.

    Fold i has the i-th of them, in the order of the store, alone in its split `test`, and the next `n_train`, from the
    last on to the first, in its split `train`: every subject is tested once and trained on `n_train` times. The others
    of them are not in the fold; further splits are as they were. No shard is copied.

    Parameters
    ----------
    store : Store
        May be planned only.
    n_train : int >= 1
        Subjects to train on in every fold.

    Raises
    ------
    CsmriError
        If there are not more than `n_train` subjects.
    """
    subjects = [entry.subject for entry in store.entries if entry.split in TESTED]
    if len(subjects) <= n_train:
        raise CsmriError(
            f"{store.path}: has {len(subjects)} subject{'s' * (len(subjects) != 1)} in the splits "
            f"{' and '.join(TESTED)}; folds that train on {n_train} and test one more need {n_train + 1} or more"
        )
    return tuple(
        _fold(store, tested, {(subjects * 2)[i + 1 + k] for k in range(n_train)}) for i, tested in enumerate(subjects)
    )


def _fold(store: Store, tested: str, trained: set[str]) -> Store:
    def split(entry: Entry) -> str:
        return "test" if entry.subject == tested else "train"

    return replace(
        store,
        entries=tuple(
            replace(entry, split=split(entry)) if entry.split in TESTED else entry
            for entry in store.entries
            if entry.split not in TESTED or entry.subject in {tested, *trained}
        ),
    )
