"""Cines in, a store and a trained network out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from csmri.api.arguments import kind_of, open_given
from csmri.config import Config, read_config
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.core.names import DISTRIBUTED
from csmri.data.cine import Cine
from csmri.data.split import splits_of
from csmri.data.store import Store, StoreWriter, open_store
from csmri.learning import train as training
from csmri.physics.extent import measure_lines


def prepare(cines: Iterable[Cine], store: str | Path, split: Mapping[str, Sequence[str]]) -> Store:
    """Write cines into the store that training and evaluation read; `csmri prepare` does more, from files.

    Parameters
    ----------
    cines : iterable of Cine
        Read one at a time. Those that the split does not name are left out.
    store : path
        Folder to write; it may not be there.
    split : mapping
        Names of subjects under "pretrain", "train", "validation", "test".

    Returns
    -------
    Store
        Opened; what is to be known of a subject stands in `entries[i].notes`.
    """
    if not isinstance(cines, Iterable | Cine):
        raise CsmriError(f"prepare: expected cines, csmri.Cine(images, subject), got {kind_of(cines)}")
    split_of = splits_of(split, where="prepare: split")
    with StoreWriter(store) as writer:
        found = []
        for cine in [cines] if isinstance(cines, Cine) else cines:
            if not isinstance(cine, Cine):
                raise CsmriError(
                    f"prepare: expected cines, csmri.Cine(images, subject), got {kind_of(cine)} among them"
                )
            found.append(cine.subject)
            if cine.subject in split_of:
                writer.add(cine, split_of[cine.subject], extent=measure_lines(cine.images))
        if missing := [subject for subject in split_of if subject not in found]:
            raise CsmriError(
                f"prepare: split names {', '.join(missing)}, who is not among the cines; they are of {', '.join(found)}"
            )
    return open_store(store)


def train(
    config: Config | str | Path,
    store: Store | str | Path,
    run: str | Path,
    *,
    init: str | Path | None = None,
    source: Store | str | Path | None = None,
    report: Callable[[str], None] = print,
    distribute: str = "",
) -> Path:
    """Train a network, or go on with a training that was stopped.

    Parameters
    ----------
    config : Config, or path of its TOML file
    store : Store, or path of one
        What `csmri.prepare` or the command `csmri prepare` wrote.
    run : path
        Folder for log, checkpoint and SavedModels.
    init : path or name, optional
        Network to start from (transfer learning), as `load_model` takes it.
    source : Store or path, optional
        Whose split `pretrain` is blended in by `transfer = "blended"`.
    report : callable
        Told, in a line each, what is going on.
    distribute : "", "mirrored" or "multiworker"
        Who shares every batch: one device, all GPUs of this machine, or those of all that `TF_CONFIG` names. Before
        TensorFlow has computed anything.

    Returns
    -------
    Path
        SavedModel after the last epoch, for `load_model`, `reconstruct` and `compare`.
    """
    if not isinstance(config, Config | str | Path):
        raise CsmriError(f"train: expected a csmri.Config or the path of its TOML file, got {kind_of(config)}")
    experiment = config if isinstance(config, Config) else read_config(config)
    opened, blend = open_given(store), open_given(source) if source is not None else None
    if distribute not in ("", *DISTRIBUTED):
        raise CsmriError(f"train: distribute = {distribute!r}: expected {', '.join(map(repr, DISTRIBUTED))} or ''")
    check_outputs([run], [opened.path, init, blend.path if blend else None])
    return training.train(experiment, opened, run, init=init, source=blend, report=report, distribute=distribute)
