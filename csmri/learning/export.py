"""The SavedModel of a run with scaling inside, and the proof that it computes what the Keras model does."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from csmri.config import Config, read_config
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.data.runs import CONFIG, RECORD
from csmri.learning.pipeline import padded_matrix
from csmri.learning.train import CHECKPOINT, epochs_behind, load_checkpoint, read_record
from csmri.learning.transfer import folded
from csmri.methods import scaling
from csmri.methods.model import build_network, load_saved_model, write_saved_model
from csmri.physics.fourier import as_pair, fft_y
from csmri.physics.initial import initial_images
from csmri.physics.sampling import undersample

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
    n_epochs = epochs_behind(network, read_record(run)["batches_per_epoch"])
    network = folded(network)
    if precision and precision != config.precision:
        config = config.model_copy(update={"precision": precision})
        trained, network = network, build_network(config)
        network.set_weights(trained.get_weights())
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
    rng = np.random.default_rng(seed)
    images = rng.gamma(2.0, 100.0, (3, y, x)).astype(np.float32)
    serve = load_saved_model(path).signatures["serving_default"]
    if config.network == "unrolled":
        mask = rng.random((3, y)) < 0.5
        hybrid = undersample(fft_y(images), mask)
        initial = as_pair(initial_images(hybrid, mask, cyclic=config.cyclic))
        pair = network([initial[tf.newaxis], tf.cast(mask, tf.float32)[tf.newaxis]], training=False)
        expected: NDArray[np.inexact] = np.asarray(pair)[0] @ np.array([1, 1j], np.complex64)
        improved = serve(hybrid=hybrid, mask=tf.constant(mask))["improved"].numpy()
    else:
        expected = _expected_of_unet(network, images, config)
        improved = serve(initial=tf.constant(images))["improved"].numpy()
    return float(np.abs(improved - expected).max() / images.max())


def _expected_of_unet(network: keras.Model, initial: NDArray[np.float32], config: Config) -> NDArray[np.float32]:
    """Equations (1) to (3) around the network, with the padding that it needs."""
    n_frames, y, x = initial.shape
    padded_y, padded_x = padded_matrix((y, x), config.depth, square=False)
    peak = scaling.frame_peak(initial)
    normalised = np.zeros((n_frames, padded_y, padded_x, config.frames), np.float32)
    normalised[:, :y, :x] = scaling.network_input(initial, peak, frames=config.frames, cyclic=config.cyclic)
    target = tf.convert_to_tensor(network(normalised, training=False))[:, :y, :x, 0]
    return scaling.corrected(initial, target, peak).numpy()
