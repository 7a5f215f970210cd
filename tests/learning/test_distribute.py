"""Several devices train what one does: shards that are disjoint and complete, the same sums, and a worker lost.

Processes meet on loopback; there is no GPU here, and no cluster.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from csmri.cli import main
from csmri.config import Config, write_config
from csmri.core.errors import CsmriError
from csmri.core.reasons import TRY_AGAIN
from csmri.data.store import StoreWriter, open_store
from csmri.learning import stream as streaming
from csmri.learning.compiling import compiled_network
from csmri.learning.devices import Devices, part_of
from csmri.learning.distribute import _Loop
from csmri.learning.stream import WHOLE, Part, Stream, training_stream, validation_stream
from csmri.learning.train import train
from csmri.methods.model import saved_variables

FRAMES = Config(
    base_channels=2, depth=2, epochs=3, batch_size=6, passes=1, validation_split="validation", shuffle_frames=16
)
CINES = Config(
    network="unrolled",
    base_channels=2,
    cascades=1,
    cg_steps=1,
    start_iterations=1,
    batch_size=2,
    accelerations=(2.0, 3.0),  # of 32 lines, Schlemper's law has none to draw from 4 on
    passes=1,
    images_per_epoch=3,  # the last batch has one cine for two workers
    crop_columns=20,
    coils_share=0.5,
    coils_range=(2, 3),
    epochs=1,
)
# Weights are below 1, where float32 is spaced by up to 6e-8. Found: 6e-8 with two workers, also after a loss, 3e-8 with
# three, 6e-8 with two devices of one process and with two of JAX, 1.5e-8 of cines (Intel Xeon).
ROUNDING = 3e-7


def quiet(_: str) -> None:
    """Report nothing."""


def rows_of(run):
    with (run / "log.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def assert_same_run(run, other, *, atol=ROUNDING):
    """Weights, optimizer's state and log are alike but for rounding."""
    one, two = (saved_variables(path / "models" / "final") for path in (run, other))
    assert one.keys() == two.keys()
    for name, variable in one.items():
        np.testing.assert_allclose(two[name].numpy(), variable.numpy(), rtol=0, atol=atol, err_msg=name)
    first, second = (keras.saving.load_model(path / "checkpoint.keras").optimizer for path in (run, other))
    assert int(first.iterations.numpy()) == int(second.iterations.numpy())
    for mine, theirs in zip(first.variables, second.variables, strict=True):
        scale = np.abs(mine.numpy()).max()
        np.testing.assert_allclose(theirs.numpy(), mine.numpy(), rtol=0, atol=1e-4 * scale, err_msg=mine.path)
    logs = rows_of(run), rows_of(other)
    for row, wanted in zip(*logs, strict=True):
        assert row.keys() == wanted.keys()
        for name in row.keys() - {"seconds"}:
            # Six digits are written; a bias is a difference of values around 0.5.
            assert row[name] == pytest.approx(wanted[name], rel=2e-5, abs=1e-6 if "bias" in name else 0), name


# --- shards


@pytest.fixture(scope="module")
def two_matrices(cines, tmp_path_factory):
    """A store whose subjects make batches of two padded matrices."""
    path = tmp_path_factory.mktemp("two") / "store"
    with StoreWriter(path) as writer:
        writer.add(cines["k_phantom_000"], "train")
        smaller = cines["k_phantom_003"]
        writer.add(type(smaller)(smaller.images[..., :24, :24], "smaller"), "train")
    return open_store(path)


def frames_of(targets):
    """Every frame of a batch as bytes."""
    return sorted(frame.tobytes() for frame in np.asarray(targets))


@pytest.mark.parametrize(
    ("changes", "n_workers"),
    [
        ({}, 2),
        pytest.param({"images_per_epoch": 13}, 3, marks=pytest.mark.slow),
        pytest.param({"transfer": "blended", "blend_steps": 1}, 2, marks=pytest.mark.slow),
    ],
    ids=["whole", "some", "blended"],
)
def test_batches_of_frames_are_divided_disjointly_and_completely(store, changes, n_workers):
    config = FRAMES.model_copy(update={"epochs": 2, **changes})
    whole = list(training_stream(store, config).dataset)
    parts = [list(training_stream(store, config, part=Part(i, n_workers)).dataset) for i in range(n_workers)]
    assert [len(part) for part in parts] == [len(whole)] * n_workers
    for (_, target), *shares in zip(whole, *parts, strict=True):
        assert frames_of(target) == sorted(frame for _, share in shares for frame in frames_of(share))


@pytest.mark.slow
def test_batches_of_two_matrices_and_validation_are_divided_too(store, two_matrices):
    config = FRAMES.model_copy(update={"epochs": 1})
    for make in (
        lambda **part: training_stream(two_matrices, config, **part),
        lambda **part: validation_stream(store, config, **part),
    ):
        whole, *parts = (make(part=part) for part in (WHOLE, Part(0, 2), Part(1, 2)))
        batches = list(zip(*(one.dataset for one in (whole, *parts)), strict=True))
        assert len(batches) == whole.n_batches
        for (_, target), *shares in batches:
            assert frames_of(target) == sorted(frame for _, share in shares for frame in frames_of(share))


@pytest.mark.parametrize("config", [pytest.param(FRAMES, marks=pytest.mark.slow), CINES], ids=["frames", "cines"])
def test_no_worker_simulates_what_another_takes(store, config, monkeypatch):
    made: list[tuple[int, ...]] = []
    original = streaming.make_example

    def recorded(images, item, epoch, task):
        keys = [item[name] for name in ("subject_key", "slice", "pass", "acceleration_index")]
        note = tf.py_function(lambda *values: made.append(tuple(int(one) for one in values)), keys, [])
        with tf.control_dependencies([note]):
            return original(tf.identity(images), item, epoch, task)

    monkeypatch.setattr(streaming, "make_example", recorded)
    found = []
    for part in (WHOLE, Part(0, 2), Part(1, 2)):
        made.clear()
        one = config.model_copy(update={"epochs": 1})
        n_elements = len(list(training_stream(store, one, part=part).dataset))
        found.append(set(made))
        if config is CINES:
            counts = [part.n_cines(batch, 2, 3) for batch in range(2)]
            assert sum(counts) == n_elements
    whole, *parts = found
    assert parts[0] | parts[1] == whole and not parts[0] & parts[1] and all(parts)


# --- the loop, on one device


def test_the_loop_trains_as_fit_does(store, config, run, tmp_path, monkeypatch):
    monkeypatch.setattr(Devices, "is_distributed", True)
    train(config, store, tmp_path / "run", report=quiet)
    assert_same_run(run, tmp_path / "run")


@pytest.mark.slow
def test_a_batch_in_rounds_is_one_step_by_the_mean_gradient(store):
    """Cines of different sizes follow each other, and the gradient of all is clipped, not that of each."""
    config = CINES.model_copy(update={"optimizer": "sgd", "learning_rate": 1.0})
    network = compiled_network(config, 2)
    before = [variable.numpy() for variable in network.trainable_variables]
    stream = training_stream(store, config)
    (inputs, target), (others, another) = list(stream.dataset.take(2))
    loop = _Loop(network, Devices(), config, stream)
    found = next(loop.batches(stream))
    assert [len(one) for one in found] == [1, 1]
    for pieces in found:
        loop.add(pieces)
    logged = loop.step().numpy()

    loss, gradients = 0.0, []
    for given, wanted in ((inputs, target), (others, another)):
        with tf.GradientTape() as tape:
            error = loop.loss(wanted, network(given, training=True))
        gradients.append(tape.gradient(error, [v.value for v in network.trainable_variables]))
        loss += float(error) / 2
    mean = [(one + other) / 2 for one, other in zip(*gradients, strict=True)]
    clipped, norm = tf.clip_by_global_norm([100 * one for one in mean], 1.0)
    assert logged[0] / logged[1] == pytest.approx(loss, rel=1e-5)
    after = [variable.numpy() for variable in loop.network.trainable_variables]
    scale = 1.9 * min(1.0, 1.0 / float(norm / 100))  # the first step of Nesterov's momentum 0.9
    for new, old, gradient in zip(after, before, mean, strict=True):
        np.testing.assert_allclose(old - new, scale * gradient.numpy(), rtol=1e-3, atol=1e-6)


# --- refused


def test_a_batch_that_cannot_be_divided_is_refused():
    stream = Stream(lambda: tf.data.Dataset.range(1), 9, 54, by_matrix=(54,))
    Devices(n_replicas=3).check(FRAMES, [stream])
    with pytest.raises(CsmriError, match=r"multiple of 4 \(4, 8, 12, \.\.\.\), or 1, 2, 3 or 6 devices"):
        Devices(n_replicas=4).check(FRAMES, [stream])
    with pytest.raises(CsmriError, match="batch_size = 1 .* among 2; choose a multiple of 2 .* or 1 devices"):
        Devices(n_replicas=2).check(CINES.model_copy(update={"batch_size": 1}), [stream])


def test_jax_is_refused_an_epoch_that_it_cannot_divide(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    jax = Devices(n_replicas=2, by_keras=True)
    jax.check(FRAMES, [Stream(lambda: tf.data.Dataset.range(1), 9, 52, by_matrix=(52,))])
    with pytest.raises(CsmriError, match="31 images of one matrix .* among 2 devices by JAX"):
        jax.check(FRAMES, [Stream(lambda: tf.data.Dataset.range(1), 9, 52, by_matrix=(21 + 10, 21))])
    with pytest.raises(CsmriError, match="batch_size = 2: cines, each of a size of its own, make no batch"):
        jax.check(CINES, [Stream(lambda: tf.data.Dataset.range(1), 2, 15, n_cines=3)])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}', Part(1, 2)),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}', Part(1, 2)),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}', Part(0, 1)),
    ],
)
def test_the_environment_tells_which_worker_this_is(text, part):
    assert part_of(text) == part


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "TF_CONFIG is not set, which tells the workers; it is {"),
        ("{", "TF_CONFIG={: does not name the workers and this one"),
        ('{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}', "does not name the workers"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "does not name the workers"),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
            "a training has no ps, workers alone",
        ),
    ],
)
def test_workers_that_are_not_told_are_refused(store, config, tmp_path, monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    write_config(config, tmp_path / "config.toml")
    arguments = ["train", str(tmp_path / "config.toml"), "--store", str(store.path), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*arguments, "--distribute", "multiworker"])
    assert result.exit_code == 2 and message in result.output and "Traceback" not in result.output
    assert not (tmp_path / "run").exists()


def test_lines_of_the_page_tell_the_workers():
    """Of SLURM and of Kubernetes, as they stand there."""
    lines = [line.strip() for line in (Path(__file__).parents[2] / "docs/scale.md").read_text("utf-8").splitlines()]
    workers, tasks = ([one for one in lines if one.startswith(f"export {name}=")] for name in ("WORKERS", "TF_CONFIG"))
    assert len(workers) == len(tasks) == 2
    for pair in zip(workers, tasks, strict=True):
        script = "\n".join(["scontrol() { printf 'node%d\\n' 1 2 3 4; }", *pair, 'printf %s "$TF_CONFIG"'])
        environment = {
            **os.environ,
            "SLURM_JOB_NODELIST": "node[1-4]",
            "SLURM_PROCID": "2",
            "JOB_COMPLETION_INDEX": "2",
        }
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
        assert part_of(done.stdout) == Part(2, 4)
        first, *_, last = json.loads(done.stdout)["cluster"]["worker"]
        assert (first, last) in {("node1:12345", "node4:12345"), ("csmri-0.csmri:12345", "csmri-3.csmri:12345")}


# --- processes

ON_TWO_CPUS = """
import sys
import csmri
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from csmri.cli import main
main(sys.argv[1:])
"""


def start(arguments, *, code=("-m", "csmri"), **environment):
    command = [sys.executable, *code, *map(str, arguments)]
    return subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(processes) -> list[int]:
    """Wait for all; their exit codes, and nobody shows a traceback."""
    codes = []
    for process in processes:
        told, _ = process.communicate(timeout=240)
        assert "Traceback" not in told, told
        codes.append(process.returncode)
    return codes


def free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_workers(n, arguments):
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(n)]}
    return [
        start(
            [*arguments, "--distribute", "multiworker"],
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index in range(n)
    ]


def command_of(config, store, run: Path, *options):
    write_config(config, run.with_suffix(".toml"))
    return ["train", run.with_suffix(".toml"), "--store", store.path, "--out", run, *options]


@pytest.fixture(scope="module")
def alone(store, tmp_path_factory):
    """What one process trains."""
    path = tmp_path_factory.mktemp("alone") / "run"
    train(FRAMES, store, path, report=quiet)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [2, 3])
def test_workers_train_what_one_process_does(store, alone, tmp_path, n_workers):
    run = tmp_path / "run"
    assert ended(start_workers(n_workers, command_of(FRAMES, store, run))) == [0] * n_workers
    assert_same_run(alone, run)
    assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in alone.iterdir())


@pytest.mark.slow
def test_workers_are_lost_and_all_go_on_when_they_are_back(store, alone, tmp_path):
    """First one of the others is killed, then the chief is told to end; whoever is left ends by itself."""
    run = tmp_path / "run"
    command = command_of(FRAMES, store, run)
    checkpoint = run / "checkpoint.keras"
    for lost, number, code in ((1, signal.SIGKILL, -9), (0, signal.SIGTERM, 143)):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        processes = start_workers(2, command)
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
            assert all(process.poll() is None for process in processes)
            time.sleep(0.01)
        processes[lost].send_signal(number)
        codes = ended(processes)
        assert (codes[lost], codes[1 - lost]) == (code, TRY_AGAIN)
        assert not (run / "models" / "final").exists()
    assert ended(start_workers(2, command)) == [0, 0]
    assert_same_run(alone, run)


@pytest.mark.slow
def test_two_devices_train_cines_as_one_does(store, tmp_path):
    """With clipped gradients, and a last batch in which one of both has nothing."""
    train(CINES, store, tmp_path / "alone", report=quiet)
    command = command_of(CINES, store, tmp_path / "run")
    assert ended(start_workers(2, command)) == [0, 0]
    assert_same_run(tmp_path / "alone", tmp_path / "run")


@pytest.mark.slow
def test_two_devices_of_one_process_train_as_one_does(store, run, tmp_path):
    """Transfer with rates by depth: what the optimizer knows of layers it knows of those on every device."""
    config = FRAMES.model_copy(update={"epochs": 1, "transfer": "discriminative"})
    init = run / "models" / "final"
    train(config, store, tmp_path / "alone", init=init, report=quiet)
    command = command_of(config, store, tmp_path / "run", "--init", init, "--distribute", "mirrored")
    assert ended([start(command, code=("-c", ON_TWO_CPUS))]) == [0]
    assert_same_run(tmp_path / "alone", tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="without JAX")
def test_two_devices_of_jax_train_as_one_does(store, tmp_path):
    config = FRAMES.model_copy(update={"epochs": 1, "depth": 1})
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    two = {**jax, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    for name, environment, options in (("alone", jax, []), ("run", two, ["--distribute", "mirrored"])):
        command = command_of(config, store, tmp_path / name, *options)
        assert ended([start(command, **environment)]) == [0]
    assert_same_run(tmp_path / "alone", tmp_path / "run")
