"""What a run was made of, in its folder: written once, and no folder goes on with anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from csmri.config import Config, read_config, write_config
from csmri.core.errors import CsmriError
from csmri.core.files import make_folder
from csmri.core.provenance import git_revision, processor, published_path, versions
from csmri.core.texts import write_json
from csmri.data.runs import CONFIG, RECORD
from csmri.data.store import Store
from csmri.learning.sizes import sizes_of
from csmri.learning.stream import Stream, training_subjects
from csmri.learning.transfer import folded, trained_parameters
from csmri.methods.model import (
    Origin,
    describe_saved_model,
    has_weights,
    hash_subject,
    make_origin,
    saved_model_sha256,
)

RECORDED = {"store_sha256", "init", "batches_per_epoch"}
"""What a run's record must tell for the run to go on or to be exported."""


def refuse_other_run(run: Path, config: Config, store: Store, init: str | Path | None, blend: Store | None) -> None:
    """Refuse a folder that holds something else than a run of this config, data and start; `blend` is the source."""
    if run.exists() and not run.is_dir():
        raise CsmriError(f"{run}: is a file; the run needs a folder")
    if not (run / RECORD).exists():
        # A config alone is what a kill right at the start leaves.
        if run.exists() and {path.name for path in run.iterdir()} - {CONFIG}:
            raise CsmriError(f"{run}: holds files but no run ({RECORD} is missing); choose an empty or new folder")
        return
    before = read_config(run / CONFIG).model_dump()
    for name, value in config.model_dump().items():
        if before[name] != value:
            raise CsmriError(f"{run}: holds a run with {name} = {before[name]!r}, not {value!r}; choose another folder")
    record = read_record(run)
    subjects = [entry.subject for entry in training_subjects(store, config, blend)[0]]
    if record.get("subjects", subjects) != subjects:  # older ones do not tell
        raise CsmriError(
            f"{run}: holds a run on {', '.join(record['subjects'])}, not {', '.join(subjects)}; choose another folder"
        )
    if record["store_sha256"] != store.sha256:
        raise CsmriError(f"{run}: holds a run on other data than {store.path}; choose another folder")
    # By content: the SavedModel may have moved since.
    if not _started_from(init, record.get("init_sha256")):
        raise CsmriError(f"{run}: holds a run with --init {record['init']}, not {init}; choose another folder")
    if record.get("source_sha256") != (blend.sha256 if blend else None):
        raise CsmriError(
            f"{run}: holds a run with the source {record['source']}, not {blend and blend.path}; choose another folder"
        )


def _started_from(init: str | Path | None, sha256: str | None) -> bool:
    return sha256 is None if init is None else sha256 is not None and has_weights(init, sha256)


def read_record(run: Path) -> dict[str, Any]:
    """Read what a run was made of: data, seed, start, versions."""
    try:
        record: dict[str, Any] = json.loads((run / RECORD).read_text(encoding="utf-8"))
        if missing := RECORDED - record.keys():
            raise CsmriError(
                f"{run / RECORD}: lacks {', '.join(sorted(missing))}; an older csmri wrote it, train again"
            )
    except (OSError, ValueError, AttributeError) as error:
        raise CsmriError(f"{run / RECORD}: damaged; remove {run} and train again") from error
    return record


def write_record(
    run: Path,
    config: Config,
    store: Store,
    init: str | Path | None,
    blend: Store | None,
    network: keras.Model,
    stream: Stream,
) -> None:
    """Keep what a run is made of, unless that stands there already."""
    if (run / RECORD).exists():
        return
    make_folder(run)
    write_config(config, run / CONFIG)
    record = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "store": published_path(store.path),
        "store_sha256": store.sha256,
        "subjects": [entry.subject for entry in training_subjects(store, config, blend)[0]],
        "init": published_path(init) if init else None,
        "init_sha256": saved_model_sha256(init) if init else None,
        "source": published_path(blend.path) if blend else None,
        "source_sha256": blend.sha256 if blend else None,
        "trained_on": asdict(_origin(config, store, init, blend)),
        "parameters": folded(network).count_params(),
        "trained_parameters": trained_parameters(network),
        "images_per_epoch": stream.n_frames,
        "batches_per_epoch": stream.n_batches,
        "git_revision": git_revision(),
        "versions": versions(),
        "keras_backend": keras.backend.backend(),
        "processor": processor(),
    }
    write_json(run / RECORD, record)


def origin_of(record: Mapping[str, Any]) -> Origin:
    """Tell what the network of a run has seen by its record; older ones do not know."""
    return make_origin(record.get("trained_on", {}))


def _origin(config: Config, store: Store, init: str | Path | None, blend: Store | None) -> Origin:
    before = describe_saved_model(init).origin if init else Origin(is_complete=True)
    entries, sources = training_subjects(store, config, blend)
    subjects = {*before.subjects, *(hash_subject(entry.subject) for entry in (*entries, *sources))}
    stores = [f"{one.path.absolute().name} {one.sha256[:16]}" for one in (store, blend) if one]
    frames, sides = sizes_of((*entries, *sources), config)
    return Origin(
        tuple(sorted(subjects)),
        tuple(dict.fromkeys([*before.stores, *stores])),
        before.is_complete,
        _span(*before.frames, *frames),
        _span(*before.sides, *sides),
    )


def _span(*values: int) -> tuple[int, int]:
    return min(values), max(values)
