"""Reconstruction: the same masks for everybody, measured data as simulated data, quality against NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from csmri.physics.consistency import combine, enforce_magnitude
from skimage.metrics import structural_similarity

from csmri.config import Config, Sampling
from csmri.core.errors import CsmriError
from csmri.core.names import BASELINES
from csmri.data.cine import KSpace
from csmri.data.roi import Box
from csmri.evaluation.metrics import frame_quality
from csmri.learning.train import load_checkpoint
from csmri.methods.classical import METHODS
from csmri.methods.model import DESCRIPTION, load_saved_model
from csmri.methods.reconstruction import (
    Reconstructor,
    baseline_reconstructor,
    load_reconstructor,
    measured_slices,
    model_name,
    reconstruct_slice,
    simulate_slices,
    simulation_mask,
)
from csmri.physics.fourier import fft_y, ifft_y, image_to_kspace
from csmri.physics.initial import simulate_initial
from csmri.physics.interpolation import interpolate_frames
from csmri.physics.sampling import undersample

DRAW = {"seed": 0, "subject": "a", "slice_index": 0, "n_frames": 6, "n_ky": 32, "acceleration": 4.0}
LAW = Sampling()


def halve(hybrid, mask):
    return combine(ifft_y(interpolate_frames(hybrid, mask))).numpy() / 2


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
    mask = simulation_mask(LAW, **DRAW)
    assert mask.dtype == np.bool_
    assert mask.shape == (6, 32)
    assert (mask.sum(axis=1) == 8).all()
    np.random.seed(1)
    np.testing.assert_array_equal(simulation_mask(LAW, **DRAW), mask)
    for other in ({"seed": 1}, {"subject": "b"}, {"slice_index": 1}, {"acceleration": 4.001}):
        assert not np.array_equal(simulation_mask(LAW, **{**DRAW, **other}), mask), other


@pytest.mark.parametrize("acceleration", [0.5, 33, float("nan"), -1])
def test_impossible_acceleration_is_refused(acceleration):
    with pytest.raises(CsmriError, match="is impossible.*32"):
        simulation_mask(LAW, **{**DRAW, "acceleration": acceleration})


def test_all_lines_give_the_image_back(cines):
    images = cines["k_phantom_003"].images[0]
    full = np.ones((6, 32), bool)
    methods = reconstruct_slice(fft_y(images), full, reconstructors=(HALF,), cyclic=True).methods
    assert list(methods) == ["zero-filled", "initial", "half"]
    for name, factor in {"zero-filled": 1, "initial": 1, "half": 0.5}.items():
        np.testing.assert_allclose(methods[name], images * factor, atol=1e-5 * images.max())


def test_measured_data_are_reconstructed_like_simulated(cines):
    cine = cines["k_phantom_003"]
    (first, second) = simulate_slices(cine, 4.0, seed=3, law=LAW, reconstructors=(HALF,))
    for index, simulated in enumerate((first, second)):
        kspace = np.array(image_to_kspace(cine.images[index : index + 1, np.newaxis]))
        kspace[..., ~simulated.mask, :] = 0
        (measured,) = measured_slices(KSpace(kspace, simulated.mask, "m"), law=LAW, reconstructors=(HALF,))
        for name, images in simulated.methods.items():
            np.testing.assert_allclose(measured.methods[name], images, atol=1e-5 * images.max())
    assert not np.array_equal(first.mask, second.mask)


def test_coils_are_combined_by_the_root_of_the_sum_of_squares(cines):
    images = cines["k_phantom_003"].images[0]
    mask = simulation_mask(LAW, **DRAW)
    ramp = np.linspace(0, 1, 32, dtype=np.float32)
    coils = np.stack([images * ramp, images * np.sqrt(1 - ramp**2) * np.complex64(1j)])
    done = reconstruct_slice(fft_y(coils), mask, reconstructors=(HALF,), cyclic=True)
    wanted = np.sqrt(sum(simulate_initial(coil, mask).numpy() ** 2 for coil in coils))
    np.testing.assert_allclose(done.methods["initial"], wanted, rtol=1e-5)
    np.testing.assert_array_equal(done.methods["half"], done.methods["initial"] / 2)
    whole = reconstruct_slice(fft_y(coils), np.ones_like(mask), reconstructors=(), cyclic=True)
    np.testing.assert_allclose(whole.methods["initial"], images, atol=1e-5 * images.max())


def test_cyclic_interpolation_is_passed_on(cines):
    images = cines["k_phantom_003"].images[0]
    mask = simulation_mask(LAW, **DRAW)
    for cyclic in (True, False):
        done = reconstruct_slice(fft_y(images), mask, reconstructors=(), cyclic=cyclic)
        np.testing.assert_array_equal(done.methods["initial"], simulate_initial(images, mask, cyclic=cyclic))


def test_quality_against_independent_formulas():
    rng = np.random.default_rng(0)
    reference, image = rng.random((2, 3, 20, 24)).astype(np.float32)
    reference[1] *= 3
    box = Box(2, 5, 9, 12)
    peak = reference.max()
    rows = frame_quality(reference, image, box)
    assert len(rows) == 3
    for row, truth, other in zip(rows, reference.astype(float), image.astype(float), strict=True):
        for suffix, region in {"": np.s_[:, :], "_heart": np.s_[2:11, 5:17]}.items():
            a, b = truth[region], other[region]
            assert row[f"nmse{suffix}"] == pytest.approx(((a - b) ** 2).sum() / (a**2).sum())
            assert row[f"psnr{suffix}"] == pytest.approx(20 * np.log10(peak) - 10 * np.log10(((a - b) ** 2).mean()))
            assert row[f"ssim{suffix}"] == pytest.approx(structural_similarity(a, b, data_range=peak), abs=1e-5)


def test_small_box_and_blank_slice_have_no_quality():
    images = np.ones((2, 8, 8), np.float32)
    (row, _) = frame_quality(images, images * 2, Box(0, 0, 6, 8))
    assert np.isnan(row["ssim_heart"])
    assert np.isfinite(row["ssim"])
    assert row["nmse_heart"] == 1
    (row, _) = frame_quality(images * 0, images, Box(0, 0, 8, 8))
    assert all(np.isnan(value) for value in row.values())


# --- classical methods and networks as one kind of thing


def draw_coils(seed=0, shape=(2, 4, 16, 12)):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape)).astype(np.float32)
    return real + 1j * imaginary


def draw_mask(shape=(4, 16)):
    return simulation_mask(LAW, **{**DRAW, "n_frames": shape[0], "n_ky": shape[1]})


@pytest.mark.parametrize("name", ["zero-filled", "view-sharing", "initial", "kt-focuss"])
def test_baseline_is_the_one_of_the_package(name):
    hybrid, mask = draw_coils(), draw_mask()
    heard = []
    method = baseline_reconstructor(name, cyclic=False, callback=heard.append)
    assert (method.name, method.saved, method.n_parameters) == (name, None, 0)
    expected = METHODS[name].reconstruct(hybrid, mask, cyclic=False)
    images = method.reconstruct(hybrid, mask)
    assert (images.dtype, images.shape) == (np.float32, (4, 16, 12))
    np.testing.assert_allclose(images, expected.magnitude, rtol=1e-4, atol=1e-5)
    assert len(heard) == sum(len(coil.relative_changes) for coil in expected.coils)


def test_names_on_the_command_line_are_those_of_the_package():
    assert list(METHODS) == list(BASELINES)


@pytest.mark.parametrize("consistency", [None, "none", "hard", "soft"])
@pytest.mark.parametrize("n_coils", [0, 1, 3])
def test_unet_and_its_data_consistency(run, consistency, n_coils):
    hybrid, mask = draw_coils(shape=(n_coils or 1, 4, 16, 12)), draw_mask()
    hybrid = hybrid if n_coils else hybrid[0]
    final = run / "models" / "final"
    method = load_reconstructor(
        final, consistency=consistency, consistency_weight=3.0 if consistency == "soft" else None
    )
    initial = combine(ifft_y(interpolate_frames(hybrid, mask)))
    serve = load_saved_model(final).signatures["serving_default"]
    expected = serve(initial=initial)["improved"]
    if weight := {"hard": np.inf, "soft": 3.0}.get(consistency):
        expected = combine(enforce_magnitude(expected, hybrid, mask, weight=weight))
        assert method.saved.config.measurement_weight == weight
    images = method.reconstruct(hybrid, mask)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-5)
    assert method.n_parameters == load_checkpoint(run).count_params()


def test_hard_consistency_brings_a_network_nearer_to_the_data(run, cines):
    hybrid, mask = fft_y(cines["k_phantom_003"].images[0]), simulation_mask(LAW, **DRAW)
    plain, hard = (
        load_reconstructor(run / "models" / "final", name=name, consistency=name) for name in ("none", "hard")
    )
    done = reconstruct_slice(hybrid, mask, reconstructors=[plain, hard], cyclic=True).methods

    def misfit(images):
        return np.linalg.norm((np.abs(fft_y(images)) - np.abs(hybrid))[mask])

    # Of a magnitude only a part of the data can be met: its phase is lost.
    assert misfit(done["hard"]) < misfit(done["none"])


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
    """SavedModel with the signature of the unrolled network: twice the zero-filled image."""
    path = tmp_path_factory.mktemp("models") / "unrolled"
    module = tf.Module()
    module.factor = tf.Variable(2.0, name="factor")

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None], tf.complex64, name="hybrid"),
            tf.TensorSpec([None, None], tf.bool, name="mask"),
        ]
    )
    def improve(hybrid, mask):
        return {"improved": tf.cast(module.factor, tf.complex64) * ifft_y(undersample(hybrid, mask))}

    tf.saved_model.save(module, str(path), signatures={"serving_default": improve})
    config = Config(network="unrolled", consistency="hard", batch_size=1).model_dump(mode="json")
    (path / DESCRIPTION).write_text(json.dumps({"csmri": "0", "epoch": 4, "config": config}))
    return path


@pytest.mark.parametrize("n_coils", [0, 1, 3])
def test_unrolled_network_is_called_coil_by_coil(unrolled, n_coils):
    hybrid, mask = draw_coils(shape=(n_coils or 1, 4, 16, 12)), draw_mask()
    method = load_reconstructor(unrolled)
    assert (method.name, method.saved.epoch) == ("unrolled", 4)
    images = method.reconstruct(hybrid if n_coils else hybrid[0], mask)
    expected = 2 * np.linalg.norm(ifft_y(np.where(mask[..., np.newaxis], hybrid, 0)), axis=0)
    np.testing.assert_allclose(images, expected, rtol=1e-5)
    with pytest.raises(CsmriError, match="unrolled network has its data consistency inside"):
        load_reconstructor(unrolled, consistency="none")


def test_no_method_is_shown_what_was_not_acquired(run, unrolled):
    hybrid, mask = draw_coils(), draw_mask()
    spoilt = np.where(mask[..., np.newaxis], hybrid, np.nan)
    seen = []
    spy = Reconstructor("spy", lambda data, mask: seen.append(np.array(data)) or halve(data, mask))
    reconstructors = [
        spy,
        load_reconstructor(run / "models" / "final", consistency="hard"),
        load_reconstructor(unrolled),
        baseline_reconstructor("kt-focuss", cyclic=True),
    ]
    clean = reconstruct_slice(hybrid, mask, reconstructors=reconstructors, cyclic=True)
    other = reconstruct_slice(spoilt, mask, reconstructors=reconstructors, cyclic=True)
    for name, images in clean.methods.items():
        np.testing.assert_array_equal(other.methods[name], images)
    np.testing.assert_array_equal(seen[0], np.where(mask[..., np.newaxis], hybrid, 0))
    assert (
        list(clean.seconds)
        == list(clean.methods)
        == ["zero-filled", "initial", "spy", "standalone", "unrolled", "kt-focuss"]
    )
    assert all(0 < seconds < 60 for seconds in clean.seconds.values())
