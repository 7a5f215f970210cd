"""Reconstruction: the same masks for everybody, measured data as simulated data, networks and their consistency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from csmri.config import Config, Sampling
from csmri.core.errors import CsmriError
from csmri.core.names import BASELINES
from csmri.data.kspace import KSpace
from csmri.learning.train import load_checkpoint
from csmri.methods.classical import METHODS
from csmri.methods.measured import Preparation, measured_slices, reconstruct_measured
from csmri.methods.model import load_network, write_saved_model
from csmri.methods.reconstruction import (
    Reconstructor,
    baseline_reconstructor,
    load_reconstructor,
    model_name,
    reconstruct_slice,
    simulate_slices,
    simulated_acquisition,
)
from csmri.methods.task import task_of
from csmri.physics.encoding import encoding_of
from csmri.physics.fourier import fft_y, image_to_kspace
from csmri.physics.initial import initial_images
from csmri.physics.phase import unit
from csmri.physics.simulate import simulated_mask

from .conftest import acquired, draw_complex, draw_maps

PLACE = {"seed": 0, "subject": "a", "slice_index": 0}
DRAW = {**PLACE, "shape": (6, 32), "acceleration": 4.0}
LAW = Sampling()


def halve(acquisition):
    return initial_images(acquisition).numpy() / 2


HALF = Reconstructor("half", halve)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/transfer/models/final", "transfer"),
        ("runs/transfer/models/epoch_010", "transfer@10"),
        ("runs/transfer/models/epoch_100", "transfer@100"),
        ("somewhere/my_model", "my_model"),
    ],
)
def test_model_is_named_by_its_run(path, name):
    assert model_name(Path(path)) == name


def test_reconstructor_takes_the_name_of_its_run_or_the_given_one(run, config):
    reconstructor = load_reconstructor(run / "models" / "final")
    assert (reconstructor.name, reconstructor.saved.epoch, reconstructor.saved.config) == ("standalone", 2, config)
    assert load_reconstructor(run / "models" / "epoch_001").name == "standalone@1"
    assert load_reconstructor(run / "models" / "final", name="mine").name == "mine"


def test_mask_depends_on_its_arguments_and_nothing_else():
    mask = simulated_mask(LAW, **DRAW)
    assert mask.dtype == np.bool_
    assert mask.shape == (6, 32)
    assert (mask.sum(axis=1) == 8).all()
    np.random.seed(1)
    np.testing.assert_array_equal(simulated_mask(LAW, **DRAW), mask)
    for other in ({"seed": 1}, {"subject": "b"}, {"slice_index": 1}, {"acceleration": 4.001}):
        assert not np.array_equal(simulated_mask(LAW, **{**DRAW, **other}), mask), other


@pytest.mark.parametrize("acceleration", [0.5, 33, float("nan"), -1])
def test_impossible_acceleration_is_refused(acceleration):
    with pytest.raises(CsmriError, match="is impossible.*32"):
        simulated_mask(LAW, **{**DRAW, "acceleration": acceleration})


def test_all_lines_give_the_image_back(cines):
    images = cines["k_phantom_003"].images[0]
    methods = reconstruct_slice(acquired(images, np.ones((6, 32), bool)), reconstructors=(HALF,)).methods
    assert list(methods) == ["zero-filled", "initial", "half"]
    for name, factor in {"zero-filled": 1, "initial": 1, "half": 0.5}.items():
        np.testing.assert_allclose(methods[name], images * factor, atol=1e-5 * images.max())


@pytest.mark.parametrize("mask_per_slice", [False, True])
def test_measured_data_are_reconstructed_like_simulated(cines, mask_per_slice):
    cine = cines["k_phantom_003"]
    simulated = list(simulate_slices(cine, 4.0, seed=3, law=LAW, reconstructors=(HALF,)))
    assert not np.array_equal(simulated[0].mask, simulated[1].mask)
    kspace = np.array(image_to_kspace(cine.images[:, np.newaxis]))
    masks = np.stack([one.mask for one in simulated])
    kspace[~np.broadcast_to(masks[:, np.newaxis, ..., np.newaxis], kspace.shape)] = 0
    if mask_per_slice:
        measured = list(measured_slices(KSpace(kspace, masks, "m"), Preparation(), reconstructors=(HALF,)))
    else:
        measured = [
            next(measured_slices(KSpace(kspace[i : i + 1], masks[i], "m"), Preparation(), reconstructors=(HALF,)))
            for i in range(len(masks))
        ]
    for one, other in zip(measured, simulated, strict=True):
        for name, images in other.methods.items():
            np.testing.assert_allclose(one.methods[name], images, atol=1e-5 * cine.images.max())


@pytest.mark.parametrize("law", [LAW, Sampling(phase="moving", coils=3, snr=30.0)])
def test_an_acquisition_is_simulated_as_the_law_says(cines, law):
    images = cines["k_phantom_003"].images[0]
    one = simulated_acquisition(images, 2.0, law, **PLACE)
    again = simulated_acquisition(images, 2.0, law, **PLACE)
    np.testing.assert_array_equal(one.data, again.data)
    assert one.data.shape == (law.coils, *images.shape) and (float(one.noise) > 0) == (law.snr > 0)
    other = simulated_acquisition(images, 4.0, law, **PLACE)  # of the same phase, coils and noise
    both = np.asarray(one.mask) & np.asarray(other.mask)
    np.testing.assert_array_equal(one.data.numpy()[:, both], other.data.numpy()[:, both])


def test_measured_coils_are_combined_by_estimated_maps(cines):
    """Without the phase that rests, the image of the maps is the root sum of squares where there is signal.

    In one of 150 pixels the maps fit worse: on so few lines kernels tell coils apart up to their sharpest bends only.
    """
    images = cines["k_phantom_003"].images[0]
    maps = draw_maps(4, images.shape[1:])
    kspace = image_to_kspace(maps[np.newaxis, :, np.newaxis] * images).numpy()
    (done,) = measured_slices(KSpace(kspace, np.ones((6, 32), bool), "m"), Preparation(), reconstructors=(HALF,))
    bright = images > 0.2 * images.max()
    deviation = np.abs(done.methods["initial"][bright] / images[bright] - 1)
    assert np.quantile(deviation, 0.99) < 0.03 and deviation.max() < 0.2
    np.testing.assert_allclose(done.methods["half"], done.methods["initial"] / 2, rtol=1e-5)


@pytest.mark.parametrize("cyclic", [True, False])
def test_cyclic_interpolation_is_passed_on(cines, cyclic):
    images = cines["k_phantom_003"].images[0]
    mask = simulated_mask(LAW, **DRAW)
    done = reconstruct_slice(acquired(images, mask, cyclic=cyclic), reconstructors=())
    expected = initial_images(acquired(images, mask, cyclic=cyclic))
    np.testing.assert_array_equal(done.methods["initial"], tf.abs(expected))


# --- classical methods and networks as one kind of thing


def draw_acquisition(n_coils=None, shape=(4, 16, 12)):
    mask = simulated_mask(LAW, **PLACE, shape=shape[:2], acceleration=4.0)
    return acquired(draw_complex(shape), mask, maps=n_coils and draw_maps(n_coils, shape[1:]))


@pytest.mark.parametrize("name", ["zero-filled", "view-sharing", "initial", "kt-focuss"])
def test_baseline_is_the_one_of_the_package(name):
    acquisition, heard = draw_acquisition(), []
    method = baseline_reconstructor(name, callback=heard.append)
    assert (method.name, method.saved, method.n_parameters) == (name, None, 0)
    expected = METHODS[name].reconstruct(acquisition)
    images = method.reconstruct(acquisition)
    assert (images.dtype, images.shape) == (np.complex64, (4, 16, 12))
    np.testing.assert_array_equal(images, expected.images)
    assert len(heard) == len(expected.relative_changes)
    np.testing.assert_array_equal(method.magnitude(acquisition), tf.abs(images))


def test_names_on_the_command_line_are_those_of_the_package():
    assert list(METHODS) == list(BASELINES)


@pytest.mark.parametrize("consistency", [None, "none", "hard", "soft"])
@pytest.mark.parametrize("n_coils", [None, 3])
def test_unet_and_its_data_consistency(run, consistency, n_coils):
    acquisition, final = draw_acquisition(n_coils), run / "models" / "final"
    method = load_reconstructor(
        final, consistency=consistency, consistency_weight=3.0 if consistency == "soft" else None
    )
    saved, network = load_network(final)
    serve, _ = task_of(saved.config).serve(network)
    initial = initial_images(acquisition)
    expected = serve(tf.abs(initial))["improved"].numpy() * unit(initial).numpy()
    if weight := {"hard": np.inf, "soft": 3.0}.get(consistency):
        share = 1 if weight == np.inf else 0.75
        encoding = encoding_of(acquisition)
        expected = expected - np.float32(share) * encoding.adjoint(encoding.encode(expected) - acquisition.data)
        assert method.saved.config.measurement_weight == weight
    images = method.reconstruct(acquisition)
    assert images.dtype == np.complex64
    np.testing.assert_allclose(images, expected, rtol=1e-4, atol=1e-4)
    assert method.n_parameters == load_checkpoint(run).count_params()


def test_hard_consistency_puts_the_acquired_lines_back(run, cines):
    images, mask = cines["k_phantom_003"].images[0], simulated_mask(LAW, **DRAW)
    acquisition = acquired(images, mask)
    misfit = {}
    for name in ("none", "hard"):
        method = load_reconstructor(run / "models" / "final", name=name, consistency=name)
        data = fft_y(method.reconstruct(acquisition)).numpy()
        misfit[name] = np.linalg.norm((data - acquisition.data[0])[mask]) / np.linalg.norm(acquisition.data)
    assert misfit["hard"] < 1e-5 < misfit["none"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consistency_weight": 3.0}, "final: a weight is of soft data consistency, not of consistency = 'none'"),
        ({"consistency": "hard", "consistency_weight": 3.0}, "not of consistency = 'hard'"),
        ({"consistency": "soft", "consistency_weight": -1.0}, "final: consistency_weight = -1"),
        ({"consistency": "firm"}, "final: consistency = 'firm'"),
    ],
)
def test_impossible_consistency_is_refused(run, options, message):
    with pytest.raises(CsmriError, match=message):
        load_reconstructor(run / "models" / "final", **options)


@pytest.fixture(scope="module")
def unrolled(tmp_path_factory):
    """SavedModel of an untrained unrolled network."""
    config = Config(network="unrolled", batch_size=1, base_channels=2, cascades=1)
    path = tmp_path_factory.mktemp("models") / "unrolled"
    write_saved_model(task_of(config).build(), path, config=config, epoch=4)
    return path


def test_unrolled_network_takes_all_coils_at_once_and_no_other_consistency(unrolled):
    method = load_reconstructor(unrolled)
    assert (method.name, method.saved.epoch) == ("unrolled", 4)
    acquisition = draw_acquisition(3)
    images = method.reconstruct(acquisition)
    alone = np.stack([method.reconstruct(acquisition.of_coil(coil)) for coil in range(3)])
    combined = (acquisition.maps.conj()[:, np.newaxis] * alone).sum(axis=0)
    misfits = [np.linalg.norm(encoding_of(acquisition).encode(one) - acquisition.data) for one in (images, combined)]
    assert images.shape == combined.shape and misfits[0] < 0.9 * misfits[1]
    with pytest.raises(CsmriError, match="unrolled network has its data consistency inside"):
        load_reconstructor(unrolled, consistency="none")


def test_every_method_takes_every_acquisition(run, unrolled, cines):
    images = cines["k_phantom_003"].images[0]
    law = Sampling(phase="moving", coils=4, snr=25.0)
    acquisition = simulated_acquisition(images, 3.0, law, **PLACE)
    methods = [baseline_reconstructor(name) for name in METHODS if name not in ("zero-filled", "initial")]
    networks = [load_reconstructor(run / "models" / "final"), load_reconstructor(unrolled)]
    done = reconstruct_slice(acquisition, reconstructors=[*methods, *networks])
    assert list(done.methods) == [*dict.fromkeys(["zero-filled", "initial", *METHODS]), "standalone", "unrolled"]
    for name, magnitude in done.methods.items():
        error = ((magnitude - images) ** 2).sum() / (images**2).sum()
        assert magnitude.shape == images.shape and error < (0.9 if name == "zero-filled" else 0.2), name
    assert list(done.seconds) == list(done.methods)
    assert all(0 < seconds < 60 for seconds in done.seconds.values())


def test_no_method_is_shown_what_was_not_acquired(cines):
    images, seen = cines["k_phantom_003"].images[0], []
    spy = Reconstructor("spy", lambda acquisition: seen.append(acquisition) or halve(acquisition))
    list(simulate_slices(cines["k_phantom_003"], 4.0, seed=0, law=LAW, reconstructors=[spy]))
    kspace = np.broadcast_to(image_to_kspace(images).numpy(), (1, 1, *images.shape))
    mask = simulated_mask(LAW, **DRAW)
    list(measured_slices(KSpace(kspace, mask, "m"), Preparation(), reconstructors=[spy]))
    for acquisition in seen:
        assert not np.asarray(acquisition.data)[:, ~np.asarray(acquisition.mask)].any()
    assert len(seen) == cines["k_phantom_003"].n_slices + 1


def test_networks_reconstruct_on_tensorflow_alone(unrolled, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(CsmriError, match="with KERAS_BACKEND=jax csmri trains networks; .*again without it"):
        load_reconstructor(unrolled)


def test_images_that_are_not_finite_are_refused_by_name():
    measured = KSpace(np.ones((2, 1, 2, 8, 6), np.complex64), np.ones((2, 8), bool), "P7", provenance="scan.h5")
    broken = Reconstructor("broken", lambda one: np.full((2, 8, 6), np.nan, np.complex64))
    with pytest.raises(CsmriError, match=r"^scan\.h5: slice 1 of 2: broken gave values that are not finite"):
        list(measured_slices(measured, Preparation(), reconstructors=[broken]))
    with pytest.raises(CsmriError, match=r"^scan\.h5: slice 1 of 2: broken"):
        reconstruct_measured(measured, Preparation(), broken)
