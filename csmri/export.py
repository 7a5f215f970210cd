"""The SavedModel of a run with scaling inside, and the proof that it computes what the Keras model does."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from csmri import scaling
from csmri.config import Config, read_config
from csmri.errors import CsmriError
from csmri.records import CONFIG, RECORD
from csmri.training import CHECKPOINT, epochs_behind, load_checkpoint, read_record
from csmri.weights import build_network, load_saved_model, write_saved_model

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
    config = read_config(run / CONFIG)
    network = load_checkpoint(run)
    # Not the rows of the log: a run killed between log and checkpoint has one row more.
    n_epochs = epochs_behind(network, read_record(run)["batches_per_epoch"])
    if precision and precision != config.precision:
        config = config.model_copy(update={"precision": precision})
        trained, network = network, build_network(config)
        network.set_weights(trained.get_weights())
    out.parent.mkdir(parents=True, exist_ok=True)
    write_saved_model(network, out, config=config, epoch=n_epochs)
    deviation = parity(network, out, config=config)
    if not deviation <= PARITY[config.precision]:
        shutil.rmtree(out)
        raise CsmriError(f"{out}: differs from the Keras model by {deviation:.2g} of the maximum; not exported")
    return n_epochs, deviation


def parity(network: keras.Model, path: str | Path, *, config: Config, seed: int = 0) -> float:
    """Largest difference between a SavedModel and its Keras network, relative to the maximum of a random cine."""
    multiple = 2**config.depth
    y, x = 3 * multiple - 1, 2 * multiple + 1  # odd, and both padded to 3 multiples
    initial = np.random.default_rng(seed).gamma(2.0, 100.0, (3, y, x)).astype(np.float32)
    peak = scaling.frame_peak(initial)
    normalised = np.zeros((3, 3 * multiple, 3 * multiple, config.frames), np.float32)
    normalised[:, :y, :x] = scaling.network_input(initial, peak, frames=config.frames, cyclic=config.cyclic)
    target = tf.convert_to_tensor(network(normalised, training=False))[:, :y, :x, 0]
    expected = scaling.corrected(initial, target, peak).numpy()
    improved = load_saved_model(path).signatures["serving_default"](initial=tf.constant(initial))["improved"].numpy()
    return float(np.abs(improved - expected).max() / initial.max())
