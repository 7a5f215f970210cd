"""The unrolled network through the same doors as the U-net: train, resume, transfer, export, evaluate, reconstruct."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.config import Config, write_config
from csmri.data.kspace import KSpace
from csmri.data.records import read_records
from csmri.formats import read, write
from csmri.learning import export as exporting
from csmri.learning.train import train
from csmri.methods.model import saved_variables
from csmri.methods.reconstruction import load_reconstructor
from csmri.physics.fourier import image_to_kspace
from csmri.physics.prepare import calibrate, prepare

pytestmark = pytest.mark.slow  # trains, and what it trains: a minute of one core

CONFIG = Config(
    network="unrolled",
    base_channels=2,
    cascades=1,
    batch_size=1,
    both_laws=True,
    accelerations=(2.0, 3.0),  # of 32 lines, Schlemper's law has none to draw from 4 on
    images_per_epoch=3,
    crop_columns=20,
    loss="relative",
    epochs=2,
    save_epochs=(1,),
    validation_split="validation",
)


def quiet(_: str) -> None:
    """Report nothing."""


@pytest.fixture(scope="module")
def trained(store, train_through, tmp_path_factory):
    """A finished run."""
    path = tmp_path_factory.mktemp("unrolled") / "run"
    train_through(CONFIG, store, path)
    return path


@pytest.fixture(scope="module")
def reconstruct(trained):
    return load_reconstructor(trained / "models" / "final").reconstruct


def acquire(images, mask):
    """Measured k-space of coil images (coil, frame, y, x), made ready."""
    kspace = image_to_kspace(images).numpy()
    return prepare(kspace, mask, calibrate(kspace, mask))


def draw(shape, seed=0):
    rng = np.random.default_rng(seed)
    images = (rng.gamma(2.0, 50.0, shape) * np.exp(0.3j * rng.random(shape))).astype(np.complex64)
    mask = rng.random((shape[-3], shape[-2])) < 0.5
    mask[0] = True
    return images, mask


def test_killed_and_resumed_is_the_same_as_uninterrupted(store, trained, tmp_path):
    path = shutil.copytree(trained.with_name("run_killed"), tmp_path / "run")
    lines: list[str] = []
    train(CONFIG, store, path, report=lines.append)
    assert any("epochs 2 to 2" in line for line in lines)
    once, twice = (saved_variables(one / "models" / "final") for one in (trained, path))
    assert once.keys() == twice.keys()
    for name, variable in once.items():
        assert variable.numpy().tobytes() == twice[name].numpy().tobytes(), name


def test_export_computes_what_the_network_does(trained, tmp_path):
    epochs, deviation = exporting.export(trained, tmp_path / "model")
    assert epochs == 2 and deviation < 1e-5
    _, deviation = exporting.export(trained, tmp_path / "bfloat16", precision="mixed_bfloat16")
    assert 1e-7 < deviation < 1e-2


@pytest.mark.parametrize("shape", [(5, 16, 12), (1, 9, 7), (3, 21, 16)])
def test_reconstructs_any_size_and_unit(reconstruct, shape):
    images, mask = draw((1, *shape))
    acquisition = acquire(images, mask)
    once = np.abs(reconstruct(acquisition))
    assert once.shape == shape
    larger = np.abs(reconstruct(replace(acquisition, data=1000 * acquisition.data)))
    np.testing.assert_allclose(larger, 1000 * once, rtol=1e-3, atol=1e-2 * once.max())


def test_transfer_starts_from_its_weights_and_may_only_scale_them(store, trained, tmp_path):
    init = trained / "models" / "epoch_001"
    before = saved_variables(init)
    changes = {"transfer": "scale-shift", "train_subjects": 1, "epochs": 1, "save_epochs": (), "validation_split": ""}
    config = CONFIG.model_copy(update=changes)
    train(config, store, tmp_path / "run", init=init, report=quiet)
    after = saved_variables(tmp_path / "run" / "models" / "final")
    kernels = [name for name in before if name.endswith("/kernel") and "_conditions" not in name]
    assert len(kernels) == 10
    for name in kernels:
        axis = 2 if "_up" in name else 3  # of a transpose convolution (y, x, out, in)
        old, new = (np.moveaxis(some[name].numpy(), axis, -1) for some in (before, after))
        old, new = (some.reshape(-1, some.shape[-1]) for some in (old, new))
        strongest = np.abs(old).argmax(axis=0), np.arange(old.shape[1])
        np.testing.assert_allclose(new, old * (new[strongest] / old[strongest]), rtol=1e-5, atol=1e-9)


def test_evaluate_and_reconstruct_take_it_like_any_model(store, trained, tmp_path):
    model = str(trained / "models" / "final")
    arguments = ["evaluate", f"net={model}", str(store.path), "--method", "view-sharing", "--acceleration", "4"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "results")])
    assert result.exit_code == 0, result.output
    methods = {record.method for record in read_records(tmp_path / "results" / "records.csv.xz")}
    assert methods == {"zero-filled", "initial", "view-sharing", "net"}

    images, mask = draw((1, 2, 4, 16, 12))
    kspace = np.where(mask[:, :, np.newaxis], image_to_kspace(images), 0).astype(np.complex64)
    write(tmp_path / "measured.npz", KSpace(kspace, mask, "someone"))
    output = tmp_path / "improved.npz"
    result = CliRunner().invoke(main, ["reconstruct", str(tmp_path / "measured.npz"), str(output), "--model", model])
    assert result.exit_code == 0, result.output
    assert read(output).magnitude.shape == (1, 4, 16, 12)


@pytest.mark.parametrize("option", [["--consistency", "none"], ["--consistency", "soft"]])
def test_other_consistency_is_refused(store, trained, tmp_path, option):
    model = str(trained / "models" / "final")
    arguments = ["evaluate", model, str(store.path), "--acceleration", "4", "--out", str(tmp_path / "results"), *option]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and "data consistency inside" in result.output and "Traceback" not in result.output


def test_u_net_weights_are_refused(run, store, tmp_path):
    with pytest.raises(Exception, match="has no variable"):
        train(CONFIG, store, tmp_path / "run", init=run / "models" / "final", report=quiet)
    assert not (tmp_path / "run").exists()


def test_config_survives_its_file(tmp_path):
    from csmri.config import read_config

    write_config(CONFIG, tmp_path / "config.toml")
    assert read_config(tmp_path / "config.toml") == CONFIG
