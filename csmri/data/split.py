"""Which subject belongs to which split of a store: pretrain, train, validation or test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from csmri.config import Split
from csmri.core.errors import CsmriError
from csmri.core.texts import read_toml

SPLITS: tuple[str, ...] = get_args(Split)


def read_split(path: str | Path) -> dict[str, str]:
    """Read which subject belongs to which split from TOML such as `train = ["patient061", ...]`.

    Raises
    ------
    CsmriError
        If a split is unknown, a subject stands in two, or the file is not of this form.
    """
    return splits_of(read_toml(path, "split"), where=str(path))


def splits_of(split: Mapping[str, Any], *, where: str) -> dict[str, str]:
    """Turn lists of subjects by their split into the split of every subject; `where` names their source in errors."""
    split_of: dict[str, str] = {}
    if not isinstance(split, Mapping):
        raise CsmriError(f"{where}: expected lists of subject names by {', '.join(SPLITS)}; found {split!r:.100}")
    for name, subjects in split.items():
        if (
            name not in SPLITS
            or not isinstance(subjects, list | tuple)
            or not all(isinstance(s, str) for s in subjects)
        ):
            raise CsmriError(f"{where}: expected lists of subject names under {', '.join(SPLITS)}; found {name!r}")
        for subject in subjects:
            if subject in split_of:
                raise CsmriError(f"{where}: subject {subject!r} stands in {split_of[subject]!r} and again in {name!r}")
            split_of[subject] = name
    if not split_of:
        raise CsmriError(f"{where}: names no subject; expected lists of names under {', '.join(SPLITS)}")
    return split_of
