"""`train(config, ...)`: standalone learning, pretraining and transfer are the same function with other configs."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
from keras import ops

from csmri.config import BLENDED, Config
from csmri.core.errors import CsmriError
from csmri.core.files import remove_partial, replacing
from csmri.core.locks import locked
from csmri.core.memory import amount, available_memory
from csmri.core.provenance import computes_bfloat16_in_software
from csmri.data.runs import LOG
from csmri.data.store import Entry, Store
from csmri.learning.clock import Clock
from csmri.learning.collapse import Watch
from csmri.learning.compiling import compile_network, compiled_network
from csmri.learning.devices import Devices, devices_of
from csmri.learning.distribute import agree, fit
from csmri.learning.footprint import estimate, fitting_buffers, too_little
from csmri.learning.record import origin_of, read_record, refuse_other_run, write_record
from csmri.learning.stream import Stream, training_stream, training_subjects, validation_stream
from csmri.learning.transfer import folded, prepare, trained_parameters
from csmri.methods.model import Origin, describe_saved_model, load_weights, write_saved_model
from csmri.methods.task import task_of

CHECKPOINT, MODELS, FINAL = "checkpoint.keras", "models", "final"


def train(
    config: Config,
    store: Store,
    run: str | Path,
    *,
    init: str | Path | None = None,
    source: Store | None = None,
    report: Callable[[str], None] = print,
    distribute: str = "",
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
        Told, in a line each, what is going on; by the chief alone.
    distribute : "", "mirrored" or "multiworker"
        One device; all of this machine; or those of all workers that the environment variable `TF_CONFIG` names, which
        all make this call. They share every batch, and results are those of one device but for rounding.

    Returns
    -------
    Path
        The SavedModel after the last epoch.

    Raises
    ------
    CsmriError
        Before anything is written, if store, init and config do not fit or `run` holds another run.
    WorkerLostError
        If another worker ended before the training; the same call on all of them goes on with it.
    """
    run = Path(run)
    _refuse_impossible_transfer(config, init, source)
    with (
        devices_of(distribute, report) as devices,
        devices.watched(),
        locked(run) if devices.is_chief else nullcontext(),
    ):
        return _train(config, store, run, init, source, report if devices.is_chief else _silent, devices)


def _silent(line: str) -> None:
    """Report nothing: the chief does."""


def _train(
    config: Config,
    store: Store,
    run: Path,
    init: str | Path | None,
    source: Store | None,
    report: Callable[[str], None],
    devices: Devices,
) -> Path:
    if devices.is_chief:
        remove_partial(run)
    blend = (source or store) if config.transfer == BLENDED else None
    refuse_other_run(run, config, store, init, blend)
    stream = training_stream(store, config, source=blend)
    validation = validation_stream(store, config, part=devices.part) if config.validation_split else None
    devices.check(config, [stream, *([validation] if validation else [])])
    network, first_epoch = _start(config, run, init, stream, report)
    final = run / MODELS / FINAL
    if first_epoch == config.epochs and final.exists():
        report(f"{run}: finished already, nothing to do")
        return final

    agree(network, devices, first_epoch)  # all workers have read what the chief is going to write
    callbacks: list[keras.callbacks.Callback] = []
    if devices.is_chief:
        write_record(run, config, store, init, blend, network, stream)
        callbacks = _begin(run, config, network, stream, validation, first_epoch, devices, report)
        entries = [entry for some in training_subjects(store, config, blend) for entry in some]
        _report_memory(network, config, entries, report, str(run))
    ahead = training_stream(store, config, source=blend, first_epoch=first_epoch, part=devices.part)
    _fit(network, config, devices, ahead, validation, first_epoch, callbacks)
    return final


def _begin(
    run: Path,
    config: Config,
    network: keras.Model,
    stream: Stream,
    validation: Stream | None,
    first_epoch: int,
    devices: Devices,
    report: Callable[[str], None],
) -> list[keras.callbacks.Callback]:
    """Tell what is going to be trained; returns what writes to the folder of the run meanwhile."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    if config.precision == "mixed_bfloat16" and on_tensorflow and computes_bfloat16_in_software():
        report(f'{run}: precision = "mixed_bfloat16" is slow on this processor, which has no AVX-512; "float32" is not')
    origin = origin_of(read_record(run))
    if not (first_epoch == 0 or origin.subjects):
        raise CsmriError(f"{run}: an older csmri began it and took images in another order; remove it and train again")
    n_parameters, n_trained = folded(network).count_params(), trained_parameters(network)
    some = f" ({n_trained:,} of them trained)" if config.transfer != "all" else ""
    report(
        f"{run}: {n_parameters:,} parameters{some}, {_size_of_an_epoch(stream, config)}{devices.told}, "
        f"epochs {first_epoch + 1} to {config.epochs}; the first one also compiles the network and takes longer"
    )
    return [
        Watch(run / LOG, str(run), report),
        _EpochLog(run / LOG, first_epoch),
        Clock(str(run), stream.n_batches, validation.n_batches if validation else 0, config.epochs, report),
        keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False),
        _Keeper(run, config, origin),
    ]


def _fit(
    network: keras.Model,
    config: Config,
    devices: Devices,
    stream: Stream,
    validation: Stream | None,
    first_epoch: int,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Train to the last epoch, by Keras' own loop where one step takes one element of the stream on one device."""
    verbose = (1 if sys.stdout.isatty() else 2) if devices.is_chief else 0
    if devices.is_distributed or (stream.n_cines and config.batch_size > 1):
        told = keras.callbacks.CallbackList(
            callbacks,
            add_progbar=bool(verbose),
            model=network,
            verbose=verbose,
            epochs=config.epochs,
            steps=stream.n_batches,
        )
        fit(network, devices, config, stream=stream, validation=validation, first_epoch=first_epoch, callbacks=told)
        return
    network.fit(
        stream.dataset,
        initial_epoch=first_epoch,
        epochs=config.epochs,
        steps_per_epoch=stream.n_batches,
        validation_data=validation.dataset.repeat() if validation else None,
        validation_steps=validation.n_batches if validation else None,
        callbacks=callbacks,
        shuffle=False,
        verbose=verbose,
    )


def _report_memory(
    network: keras.Model, config: Config, entries: Sequence[Entry], report: Callable[[str], None], where: str
) -> None:
    task = task_of(config)
    footprint = estimate(network, task, entries, fitting_buffers(task, entries))
    report(f"{where}: takes {footprint.text()}; {amount(available_memory())} more are free")
    if warning := too_little(footprint, task):
        report(f"{where}: {warning}")


def _size_of_an_epoch(stream: Stream, config: Config) -> str:
    if not task_of(config).takes_cines:
        return f"{stream.n_frames:,} images an epoch in {stream.n_batches:,} batches"
    if config.batch_size == 1:  # a step takes one whole cine
        return f"{stream.n_batches:,} cines ({stream.n_frames:,} images) an epoch"
    return f"{stream.n_cines:,} cines ({stream.n_frames:,} images) an epoch in {stream.n_batches:,} batches"


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
    config: Config, run: Path, init: str | Path | None, stream: Stream, report: Callable[[str], None]
) -> tuple[keras.Model, int]:
    """The network to go on with, and how many epochs it has behind it."""
    if (run / CHECKPOINT).exists():
        network = load_checkpoint(run)
        return network, epochs_behind(network, stream.n_batches)
    network = compiled_network(config, stream.n_batches)
    if init is not None:
        saved = describe_saved_model(init)
        left_out = load_weights(network, init)
        report(f"{init}: all {len(network.weights)} variables loaded, after {saved.epoch} epochs of pretraining")
        if left_out:
            report(f"{init}: not loaded: {', '.join(left_out)}")
        # Compiled again, since that fixes what is trained.
        network = compile_network(prepare(network, config.transfer), config, stream.n_batches)
    return network, 0


def _refuse_impossible_transfer(config: Config, init: str | Path | None, source: Store | None) -> None:
    if config.transfer != "all" and init is None:
        raise CsmriError(
            f"transfer = {config.transfer!r} is a way to go on from a pretrained network; "
            "name its SavedModel by init (--init)"
        )
    if config.transfer != BLENDED and source is not None:
        raise CsmriError(f"--source is blended in by transfer = {BLENDED!r} only, not by {config.transfer!r}")


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

    def __init__(self, run: Path, config: Config, origin: Origin) -> None:
        super().__init__()
        self.run, self.config, self.origin = run, config, origin

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        done = epoch + 1
        models = self.run / MODELS
        models.mkdir(exist_ok=True)
        names = [f"epoch_{done:03d}"] if done in self.config.save_epochs else []
        for name in [*names, FINAL] if done == self.config.epochs else names:
            folder, network = models / name, folded(self.model)
            write_saved_model(network, folder, config=self.config, epoch=done, origin=self.origin)
        with replacing(self.run / CHECKPOINT) as partial:
            self.model.save(partial)
