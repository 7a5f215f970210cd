"""`train(config, ...)`: standalone learning, pretraining and transfer are the same function with other configs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
from keras import ops

from csmri.config import BLENDED, Config, read_config, write_config
from csmri.core.errors import CsmriError
from csmri.core.files import make_folder, remove_partial, replacing
from csmri.core.locks import locked
from csmri.core.provenance import computes_bfloat16_in_software, git_revision, processor, published_path, versions
from csmri.core.texts import write_json
from csmri.data.runs import CONFIG, LOG, RECORD
from csmri.data.store import Store
from csmri.learning.cines import training_cines, validation_cines
from csmri.learning.pipeline import Batches, training_batches, validation_batches
from csmri.learning.transfer import folded, paced, prepare, trained_parameters
from csmri.methods.losses import CineError, ImageMean, TargetError
from csmri.methods.model import (
    build_network,
    describe_saved_model,
    has_weights,
    load_weights,
    saved_model_sha256,
    write_saved_model,
)

CHECKPOINT, MODELS, FINAL = "checkpoint.keras", "models", "final"

RECORDED = {"store_sha256", "init", "batches_per_epoch"}
"""What a run's record must tell for the run to go on or to be exported."""

# The target's spread is of the order of 0.01, so that gradients are tiny; the usual 1e-7 would damp them.
EPSILON = 1e-10
OPTIMIZERS: dict[str, Callable[..., keras.Optimizer]] = {
    "adam": lambda rate, **options: keras.optimizers.Adam(rate, epsilon=EPSILON, **options),
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda rate, **options: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **options),
}
CLIP_NORM = {"unet": None, "unrolled": 1.0}
"""Largest norm of all gradients: with one cine a step, an odd one must not throw the unrolled network off."""


def train(
    config: Config,
    store: Store,
    run: str | Path,
    *,
    init: str | Path | None = None,
    source: Store | None = None,
    report: Callable[[str], None] = print,
) -> Path:
    """Train a network, or go on with a run that was stopped.

    Parameters
    ----------
    store : Store
        With subjects in `config.train_split` and `config.validation_split`.
    run : path
        Folder for config, versions, log, checkpoint and SavedModels; made if need be.
    init : path, optional
        SavedModel whose weights the network starts from: transfer learning (paper section 2.4).
    source : Store, optional
        Whose split `pretrain` is blended in where `config.transfer` is "blended", by default that of `store`.
    report : callable
        Told, in a line each, what is going on.

    Returns
    -------
    Path
        The SavedModel after the last epoch.

    Raises
    ------
    CsmriError
        Before anything is written, if store, init and config do not fit or `run` holds another run.
    """
    run = Path(run)
    _refuse_impossible_transfer(config, init, source)
    with locked(run):
        return _train(config, store, run, init, source, report)


def _train(
    config: Config,
    store: Store,
    run: Path,
    init: str | Path | None,
    source: Store | None,
    report: Callable[[str], None],
) -> Path:
    remove_partial(run)
    blend = (source or store) if config.transfer == BLENDED else None
    refuse_other_run(run, config, store, init, blend)
    batches = make_batches(store, config, source=blend)
    validation = held_out_batches(store, config) if config.validation_split else None
    network, first_epoch = _start(config, run, init, batches, report)
    final = run / MODELS / FINAL
    if first_epoch == config.epochs and final.exists():
        report(f"{run}: finished already, nothing to do")
        return final

    on_tensorflow = keras.backend.backend() == "tensorflow"
    if config.precision == "mixed_bfloat16" and on_tensorflow and computes_bfloat16_in_software():
        report(f'{run}: precision = "mixed_bfloat16" is slow on this processor, which has no AVX-512; "float32" is not')
    _write_record(run, config, store, init, blend, network, batches)
    n_parameters, n_trained = folded(network).count_params(), trained_parameters(network)
    some = f" ({n_trained:,} of them trained)" if config.transfer != "all" else ""
    report(
        f"{run}: {n_parameters:,} parameters{some}, {_size_of_an_epoch(batches, config)}, "
        f"epochs {first_epoch + 1} to {config.epochs}; the first one also compiles the network and takes longer"
    )
    network.fit(
        make_batches(store, config, source=blend, first_epoch=first_epoch).dataset,
        initial_epoch=first_epoch,
        epochs=config.epochs,
        steps_per_epoch=batches.n_batches,
        validation_data=validation.dataset.repeat() if validation else None,
        validation_steps=validation.n_batches if validation else None,
        callbacks=[
            _EpochLog(run / LOG, first_epoch),
            keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False),
            _Keeper(run, config),
        ],
        shuffle=False,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    return final


def _size_of_an_epoch(batches: Batches, config: Config) -> str:
    if config.network == "unrolled":  # a step takes one whole cine
        return f"{batches.n_batches:,} cines ({batches.n_frames:,} images) an epoch"
    return f"{batches.n_frames:,} images an epoch in {batches.n_batches:,} batches"


def make_batches(store: Store, config: Config, *, source: Store | None = None, first_epoch: int = 0) -> Batches:
    """Batches of all epochs from `first_epoch` on, of images or of whole cines as the network takes them."""
    make = training_cines if config.network == "unrolled" else training_batches
    return make(store, config, source=source, first_epoch=first_epoch)


def held_out_batches(store: Store, config: Config) -> Batches:
    """Batches of the validation split, as the network takes them."""
    return (validation_cines if config.network == "unrolled" else validation_batches)(store, config)


def compiled_network(config: Config, n_batches: int) -> keras.Model:
    """Build and compile the network of a config; `n_batches` an epoch set the pace of the cosine schedule."""
    return compile_network(build_network(config), config, n_batches)


def compile_network(network: keras.Model, config: Config, n_batches: int) -> keras.Model:
    """Give a network the optimizer, loss and metrics of a config."""
    rate: Any = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, config.epochs * n_batches)
    network.compile(
        optimizer=paced(OPTIMIZERS[config.optimizer](rate, global_clipnorm=CLIP_NORM[config.network]), network, config),
        loss=(CineError if config.network == "unrolled" else TargetError)(relative=config.loss == "relative"),
        weighted_metrics=[ImageMean("nmse"), ImageMean("initial_nmse"), ImageMean("bias")],
    )
    # Made inside the first step, the optimizer's variables would have TensorFlow trace the step twice.
    network.optimizer.build(network.trainable_variables)
    return network


def load_checkpoint(run: Path) -> keras.Model:
    """Load network and optimizer as they were after the last finished epoch."""
    try:
        return keras.saving.load_model(run / CHECKPOINT)
    except (OSError, ValueError, KeyError) as error:
        raise CsmriError(f"{run / CHECKPOINT}: damaged; remove {run} and train again") from error


def epochs_behind(network: keras.Model, n_batches: int) -> int:
    """Count epochs by the optimizer's own number of steps, which is saved with the weights and cannot disagree."""
    return int(ops.convert_to_numpy(network.optimizer.iterations)) // n_batches


def _start(
    config: Config, run: Path, init: str | Path | None, batches: Batches, report: Callable[[str], None]
) -> tuple[keras.Model, int]:
    """The network to go on with, and how many epochs it has behind it."""
    if (run / CHECKPOINT).exists():
        network = load_checkpoint(run)
        return network, epochs_behind(network, batches.n_batches)
    network = compiled_network(config, batches.n_batches)
    if init is not None:
        saved = describe_saved_model(init)
        left_out = load_weights(network, init)
        report(f"{init}: all {len(network.weights)} variables loaded, after {saved.epoch} epochs of pretraining")
        if left_out:
            report(f"{init}: not loaded: {', '.join(left_out)}")
        # Compiled again, since that fixes what is trained.
        network = compile_network(prepare(network, config.transfer), config, batches.n_batches)
    return network, 0


def _refuse_impossible_transfer(config: Config, init: str | Path | None, source: Store | None) -> None:
    if config.transfer != "all" and init is None:
        raise CsmriError(
            f"transfer = {config.transfer!r} is a way to go on from a pretrained network; name its SavedModel by --init"
        )
    if config.transfer != BLENDED and source is not None:
        raise CsmriError(f"--source is blended in by transfer = {BLENDED!r} only, not by {config.transfer!r}")


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


def _write_record(
    run: Path,
    config: Config,
    store: Store,
    init: str | Path | None,
    blend: Store | None,
    network: keras.Model,
    batches: Batches,
) -> None:
    if (run / RECORD).exists():
        return
    make_folder(run)
    write_config(config, run / CONFIG)
    record = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "store": published_path(store.path),
        "store_sha256": store.sha256,
        "init": published_path(init) if init else None,
        "init_sha256": saved_model_sha256(init) if init else None,
        "source": published_path(blend.path) if blend else None,
        "source_sha256": blend.sha256 if blend else None,
        "parameters": folded(network).count_params(),
        "trained_parameters": trained_parameters(network),
        "images_per_epoch": batches.n_frames,
        "batches_per_epoch": batches.n_batches,
        "git_revision": git_revision(),
        "versions": versions(),
        "keras_backend": keras.backend.backend(),
        "processor": processor(),
    }
    write_json(run / RECORD, record)


class _EpochLog(keras.callbacks.Callback):
    """One CSV row an epoch; rows of epochs that are trained again after a restart are dropped first."""

    def __init__(self, path: Path, first_epoch: int) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= first_epoch]
        self._begun = datetime.now(UTC)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._begun = datetime.now(UTC)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        seconds = (datetime.now(UTC) - self._begun).total_seconds()
        values = {name: f"{value:.6g}" for name, value in (logs or {}).items()}
        self.rows.append({"epoch": epoch + 1, **values, "seconds": f"{seconds:.1f}"})
        with replacing(self.path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[-1]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class _Keeper(keras.callbacks.Callback):
    """Writes SavedModels after the chosen epochs, then the checkpoint that a restart goes on from."""

    def __init__(self, run: Path, config: Config) -> None:
        super().__init__()
        self.run, self.config = run, config

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        done = epoch + 1
        models = self.run / MODELS
        models.mkdir(exist_ok=True)
        if done in self.config.save_epochs:
            write_saved_model(folded(self.model), models / f"epoch_{done:03d}", config=self.config, epoch=done)
        if done == self.config.epochs:
            write_saved_model(folded(self.model), models / FINAL, config=self.config, epoch=done)
        with replacing(self.run / CHECKPOINT) as partial:
            self.model.save(partial)
