"""The SavedModel of a run with scaling inside, and the proof that it computes what the Keras model does."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np

from csmri.config import Config, read_config
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.data.runs import CONFIG, RECORD
from csmri.learning.record import origin_of, read_record
from csmri.learning.train import CHECKPOINT, epochs_behind, load_checkpoint
from csmri.learning.transfer import folded
from csmri.methods.model import load_saved_model, write_saved_model
from csmri.methods.task import task_of

PARITY = {"float32": 1e-5, "mixed_bfloat16": 1e-2}
"""Largest difference allowed between SavedModel and Keras model, relative to the images' maximum."""


def export(run: str | Path, out: str | Path, *, precision: str = "") -> tuple[int, float]:
    """Write the network of a run, as far as it was trained, as a SavedModel, and check it.

    Parameters
    ----------
    precision : "float32", "mixed_bfloat16" or ""
        Arithmetic of the SavedModel, by default that of the training; the weights are float32 in either case.

    Returns
    -------
    epoch : int
        Epochs behind the weights.
    deviation : float
        Largest difference from the Keras model on a random cine of odd size, relative to its maximum.

    Raises
    ------
    CsmriError
        If `run` is no run, `out` exists, or the deviation exceeds `PARITY`; nothing is left at `out` then.
    """
    run, out = Path(run), Path(out)
    if not (run / RECORD).is_file():
        raise CsmriError(f"{run}: not a run folder ({RECORD} is missing); `csmri train` makes one")
    if not (run / CHECKPOINT).is_file():
        raise CsmriError(f"{run}: no epoch was finished yet ({CHECKPOINT} is missing)")
    if out.exists():
        raise CsmriError(f"{out}: exists already; remove it or choose another name")
    check_outputs([out])
    config = read_config(run / CONFIG)
    network = load_checkpoint(run)
    # Not the rows of the log: a run killed between log and checkpoint has one row more.
    record = read_record(run)
    n_epochs = epochs_behind(network, record["batches_per_epoch"])
    network = folded(network)
    if precision and precision != config.precision:
        config = config.model_copy(update={"precision": precision})
        trained, network = network, task_of(config).build()
        network.set_weights(trained.get_weights())
    write_saved_model(network, out, config=config, epoch=n_epochs, origin=origin_of(record))
    deviation = parity(network, out, config=config)
    if not deviation <= PARITY[config.precision]:
        shutil.rmtree(out)
        raise CsmriError(f"{out}: differs from the Keras model by {deviation:.2g} of the maximum; not exported")
    return n_epochs, deviation


def parity(network: keras.Model, path: str | Path, *, config: Config, seed: int = 0) -> float:
    """Largest difference between a SavedModel and its Keras network, relative to the largest value, on a random cine.

    Its size is odd, so that it is padded where the network needs that.
    """
    task = task_of(config)
    sample, (serve, _) = task.sample(seed), task.serve(network)
    expected = serve(**sample)["improved"].numpy()
    improved = load_saved_model(path).signatures["serving_default"](**sample)["improved"].numpy()
    return float(np.abs(improved - expected).max() / np.abs(expected).max())
