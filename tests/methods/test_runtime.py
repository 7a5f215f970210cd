"""Networks computed in OpenVINO are those of TensorFlow."""

import importlib.util
import sys

import numpy as np
import pytest

import csmri
from csmri.config import Sampling, make_config
from csmri.core.errors import CsmriError
from csmri.core.names import AUTO, OPENVINO, RUNTIMES, TENSORFLOW
from csmri.core.provenance import computes_bfloat16_in_software
from csmri.methods import runtime
from csmri.methods.model import write_saved_model
from csmri.methods.reconstruction import load_reconstructor, simulated_acquisition
from csmri.methods.task import TASKS, task_of

needs_openvino = pytest.mark.skipif(importlib.util.find_spec(OPENVINO) is None, reason="OpenVINO is not installed")


@pytest.fixture
def acquisition():
    images = np.random.default_rng(1).gamma(2.0, 100.0, (5, 37, 42)).astype(np.float32)
    return simulated_acquisition(images, 3.0, Sampling(), seed=0, subject="s", slice_index=0)


def saved(folder, **fields):
    """A U-net with weights that do something."""
    config = make_config({"base_channels": 4, "depth": 2, **fields}, where="here")
    network = task_of(config).build()
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(0, 0.1, one.shape).astype(np.float32) for one in network.get_weights()])
    write_saved_model(network, folder, config=config, epoch=1)
    return folder


def difference(a, b):
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


@needs_openvino
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"frames": 3, "consistency": "hard"},
        {"frames": 3, "consistency": "soft"},
        {"acceleration_input": True, "consistency": "hard"},
    ],
)
def test_openvino_gives_what_tensorflow_gives(fields, tmp_path, acquisition):
    folder = saved(tmp_path / "model", **fields)
    ours, theirs = (load_reconstructor(folder, runtime=one).reconstruct(acquisition) for one in (OPENVINO, TENSORFLOW))
    assert difference(ours, theirs) < 2e-6  # measured: 3e-7
    initial = load_reconstructor(saved(tmp_path / "other", seed=1, **fields)).reconstruct(acquisition)
    assert np.all(np.isfinite(initial))


@needs_openvino
def test_the_shipped_network_is_the_same_for_any_size(acquisition):
    ours, theirs = (load_reconstructor("pretrained", runtime=one) for one in (OPENVINO, TENSORFLOW))
    larger = np.random.default_rng(2).gamma(2.0, 100.0, (3, 64, 50)).astype(np.float32)
    for one in (acquisition, simulated_acquisition(larger, 2.0, Sampling(), seed=0, subject="s", slice_index=1)):
        assert difference(ours.reconstruct(one), theirs.reconstruct(one)) < 2e-6


@needs_openvino
@pytest.mark.skipif(computes_bfloat16_in_software(), reason="the processor has no bfloat16")
def test_bfloat16_is_as_good_as_tensorflows(tmp_path, acquisition):
    folder = saved(tmp_path / "model", precision="mixed_bfloat16")
    exact = load_reconstructor(saved(tmp_path / "exact")).reconstruct(acquisition)
    ours, theirs = (load_reconstructor(folder, runtime=one).reconstruct(acquisition) for one in (OPENVINO, TENSORFLOW))
    assert difference(ours, exact) < 1.5 * difference(theirs, exact) < 0.02


@needs_openvino
def test_auto_takes_openvino_for_a_unet_and_says_so(tmp_path, acquisition):
    assert load_reconstructor("pretrained", runtime=AUTO).runtime == OPENVINO
    assert csmri.load_model("pretrained").runtime == OPENVINO
    assert load_reconstructor("pretrained-unrolled", runtime=AUTO).runtime == TENSORFLOW


@needs_openvino
def test_openvino_is_imported_without_its_telemetry():
    load_reconstructor("pretrained", runtime=OPENVINO)
    assert sys.modules["openvino_telemetry"] is None


def test_auto_does_without_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, OPENVINO, None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert load_reconstructor("pretrained", runtime=AUTO).runtime == TENSORFLOW
    with pytest.raises(CsmriError, match=r"openvino is not installed; install it \(pip install 'csmri\[openvino\]'\)"):
        load_reconstructor("pretrained", runtime=OPENVINO)


def test_every_network_offers_what_there_is():
    for task in TASKS.values():
        assert TENSORFLOW in task.runtimes
        assert set(task.runtimes) < set(RUNTIMES)
    assert runtime.choose_runtime(TENSORFLOW, (TENSORFLOW,), where="here") == TENSORFLOW


def test_what_a_network_cannot_run_in_is_refused():
    with pytest.raises(CsmriError, match="pretrained-unrolled: runs in tensorflow, not in openvino"):
        load_reconstructor("pretrained-unrolled", runtime=OPENVINO)
    with pytest.raises(CsmriError, match="runtime is one of"):
        csmri.load_model("pretrained", runtime="torch")
