"""Between Keras networks and SavedModel folders, both ways.

A csmri SavedModel is complete: its default signature takes the unnormalised initial reconstruction and returns the
improved image, and `csmri.json` inside the folder tells the config, the epoch and the version it came from.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from csmri import __version__
from csmri.config import Config, make_config
from csmri.core.errors import CsmriError
from csmri.core.files import replacing_folder
from csmri.core.names import DEFAULT_MODEL
from csmri.core.texts import write_json
from csmri.methods.task import task_of

DESCRIPTION = "csmri.json"
_FOLDER = Path(__file__).parents[1] / "pretrained"
SHIPPED = {"pretrained": _FOLDER / "unet", DEFAULT_MODEL: _FOLDER / "unrolled"}
"""Networks that csmri ships, by the names that stand for them wherever the path of a SavedModel is asked for."""


@dataclass(frozen=True)
class Origin:
    """What a network has seen in all its trainings, those of the networks that it started from included."""

    subjects: tuple[str, ...] = ()
    """As `hash_subject` makes them of the names in the store."""
    stores: tuple[str, ...] = ()
    """Prepared data sets, each its name and the start of its SHA-256."""
    is_complete: bool = False
    """False where a csmri that did not keep this wrote the network, or the one that it started from."""
    frames: tuple[int, ...] = ()
    """Least and largest number of frames of a cine; empty where this is not known."""
    sides: tuple[int, ...] = ()
    """Least and largest number of pixels along a side of an image, likewise."""


@dataclass(frozen=True)
class SavedNetwork:
    """What a csmri SavedModel folder says of itself."""

    path: Path
    config: Config
    epoch: int
    """Epochs of training behind the weights."""
    origin: Origin = Origin()


def hash_subject(subject: str) -> str:
    """Hash the name of a subject in a store: who has the name can look it up, who has not does not learn it."""
    return hashlib.sha256(f"csmri subject {subject}".encode()).hexdigest()[:16]


def trained_on(saved: SavedNetwork, subjects: Iterable[str]) -> list[str]:
    """Tell which of these subjects a network was trained on, as far as it knows (`Origin.is_complete`)."""
    return [subject for subject in subjects if hash_subject(subject) in saved.origin.subjects]


def write_saved_model(
    network: keras.Model, path: str | Path, *, config: Config, epoch: int, origin: Origin = Origin()
) -> None:
    """Write a SavedModel with window, scaling, padding and cropping inside; replaces what is at `path` in one step.

    Signature `serving_default` of a U-net: `initial` (frame, y, x) float32 >= 0 -> {`improved`: (frame, y, x)},
    with `acceleration_input` also `acceleration_factor` () float32 >= 1, all k-t lines over the acquired ones; of an
    unrolled network: `data` (coil, frame, ky, x) complex64, `mask` (frame, ky) bool, `maps` (coil, y, x) complex64,
    `noise` float32 and `cyclic` bool, as the fields of an `Acquisition` -> {`improved`: (frame, y, x) complex64}.
    """
    path = Path(path)
    if keras.backend.backend() != "tensorflow":
        return _write_through_tensorflow(network, path, config=config, epoch=epoch, origin=origin)
    # Not archive.track(network): the archive finds the variables by itself, and would keep them twice.
    archive = keras.export.ExportArchive()
    serve, signature = task_of(config).serve(network)
    archive.add_endpoint("serving_default", serve, input_signature=signature)
    with replacing_folder(path) as partial:
        archive.write_out(str(partial), verbose=False)
        description = {"csmri": __version__, "epoch": epoch, "config": config.model_dump(mode="json")}
        write_json(partial / DESCRIPTION, {**description, "trained_on": asdict(origin)})


def _write_through_tensorflow(network: keras.Model, path: Path, *, config: Config, epoch: int, origin: Origin) -> None:
    """Write the SavedModel from a process of its own: a process has one Keras backend, and this one's is another."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "network.weights.h5"
        network.save_weights(weights)
        arguments = json.dumps([str(weights), str(path), config.model_dump(mode="json"), epoch, asdict(origin)])
        program = "import json, sys; from csmri.methods import model; model._rewrite(*json.loads(sys.argv[1]))"
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
        subprocess.run([sys.executable, "-c", program, arguments], env=environment, check=True)


def _rewrite(weights: str, path: str, fields: dict[str, Any], epoch: int, origin: dict[str, Any]) -> None:
    config = make_config(fields, where=weights)
    network = task_of(config).build()
    network.load_weights(weights)
    write_saved_model(network, path, config=config, epoch=epoch, origin=make_origin(origin))


def saved_model_folder(path: str | Path) -> Path:
    """Tell the folder of a SavedModel, which may be one of `SHIPPED` by its name."""
    return SHIPPED.get(str(path), Path(path))


def saved_model_name(folder: Path) -> str:
    """Name of a shipped network, the path of any other: what `saved_model_folder` made a folder of."""
    names = {path: name for name, path in SHIPPED.items()}
    return names.get(folder, str(folder))


def saved_model_sha256(path: str | Path) -> str:
    """Digest of the weights in a SavedModel by their names: the same weights have the same, however they are stored.

    The order of the variables in the files is another in a training that was stopped and went on.
    """
    digest = hashlib.sha256()
    for name, variable in sorted(saved_variables(describe_saved_model(path).path).items()):
        values = variable.numpy()
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def has_weights(path: str | Path, sha256: str) -> bool:
    """Whether a SavedModel has the weights of this digest, which records of csmri 0.1 hold as that of the files."""
    folder = describe_saved_model(path).path
    return sha256 in (_sha256_of_files(folder), saved_model_sha256(folder))


def _sha256_of_files(path: Path) -> str:
    digest = hashlib.sha256()
    for shard in sorted((path / "variables").glob("variables.data-*")):
        digest.update(shard.read_bytes())
    return digest.hexdigest()


def describe_saved_model(path: str | Path) -> SavedNetwork:
    """Read config, epoch and origin of a SavedModel folder without loading it."""
    path = saved_model_folder(path)
    if not (path / "saved_model.pb").is_file():
        raise CsmriError(f"{path}: not a SavedModel folder (saved_model.pb is missing); `csmri train` writes them")
    try:
        description = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        fields, epoch = dict(description["config"]), int(description["epoch"])
        origin = make_origin(description.get("trained_on", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CsmriError(f"{path}: a SavedModel, but not of csmri ({DESCRIPTION} is missing or damaged)") from error
    return SavedNetwork(path, make_config(fields, where=str(path / DESCRIPTION)), epoch, origin)


def make_origin(fields: Mapping[str, Any]) -> Origin:
    """Make an origin of what JSON gives; of an older csmri, which kept none or no sizes, it is not complete."""
    subjects, stores = (tuple(map(str, fields.get(name, ()))) for name in ("subjects", "stores"))
    frames, sides = (tuple(map(int, fields.get(name, ()))) for name in ("frames", "sides"))
    return Origin(subjects, stores, fields.get("is_complete") is True, frames, sides)


def load_network(path: str | Path) -> tuple[SavedNetwork, keras.Model]:
    """Rebuild the network of a csmri SavedModel from its config and variables; its graph, a stranger's, is not run.

    Raises
    ------
    CsmriError
        If variables are missing, of another shape or too many: the graph would compute something else.
    """
    saved = describe_saved_model(path)
    network = task_of(saved.config).build()
    if unknown := load_weights(network, path):
        raise CsmriError(
            f"{path}: has a variable {unknown[0]}, which the network of its {DESCRIPTION} has not; export it again"
        )
    return saved, network


def load_saved_model(path: str | Path) -> Any:
    """Load a SavedModel that this process has just written, to check it: whoever else wrote it, its graph would run."""
    try:
        return tf.saved_model.load(str(saved_model_folder(path)))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise CsmriError(f"{path}: the SavedModel cannot be loaded: {_first_line(error)}") from error


def saved_variables(path: str | Path) -> dict[str, tf.Tensor]:
    """Read the variables of a SavedModel by their names in Keras, as `encoder0_conv0/kernel`.

    Nothing else is read: the graph in the SavedModel, which may be a stranger's, is not.

    Raises
    ------
    CsmriError
        If they are missing or damaged.
    """
    folder = saved_model_folder(path)
    graph = TrackableObjectGraph()
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        # The keys of the files only number the variables; their names stand in the description of the objects.
        graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        return {
            saved.full_name: tf.constant(reader.get_tensor(saved.checkpoint_key))
            for node in graph.nodes
            for saved in node.attributes
            if saved.full_name
        }
    except Exception as error:  # a damaged file lets the reader raise whatever it likes, also an IndexError
        raise CsmriError(f"{path}: the SavedModel cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def load_weights(network: keras.Model, path: str | Path) -> list[str]:
    """Assign the variables of a SavedModel to a network of the same layers, by name and shape, bit for bit.

    Returns
    -------
    list of str
        Variables of the SavedModel that were not loaded because the network has none of that name.

    Raises
    ------
    CsmriError
        If a variable of the network is missing from the SavedModel or has another shape, as that of a window of other
        frames or of a U-net that is told the acceleration has; nothing is assigned then.
    """
    saved = saved_variables(path)
    for variable in network.weights:
        if variable.path not in saved:
            raise CsmriError(f"{path}: has no variable {variable.path}; it is a network of other layers (depth?)")
        found, wanted = tuple(saved[variable.path].shape), tuple(variable.shape)
        if saved[variable.path].dtype != variable.dtype:
            raise CsmriError(f"{path}: variable {variable.path} holds {saved[variable.path].dtype.name}, not float32")
        if found != wanted:
            differs = _first_kernel_differs(found, wanted) if variable is network.weights[0] else ""
            raise CsmriError(
                f"{path}: variable {variable.path} has shape {found}, the network needs {wanted}; "
                f"{differs or 'base_channels'} of the config and of the SavedModel differ"
            )
    for variable in network.weights:
        variable.assign(saved.pop(variable.path).numpy())
    return sorted(saved)


def _first_kernel_differs(found: Sequence[int], wanted: Sequence[int]) -> str:
    """Fields in which U-nets differ by the inputs of their first kernels (..., input channel, output channel).

    These are an odd number of frames, and one more with `acceleration_input`.
    """
    n_found, n_wanted = found[-2], wanted[-2]
    differs = {"acceleration_input": n_found % 2 != n_wanted % 2, "frames": (n_found - 1) // 2 != (n_wanted - 1) // 2}
    return " and ".join(name for name, is_other in differs.items() if is_other)
