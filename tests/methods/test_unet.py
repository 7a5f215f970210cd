"""The U-net: its size by a closed formula, its initialisation, and that it takes any matrix."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

from csmri.methods import unet
from csmri.methods.unet import build_unet


def count_by_formula(b, d):
    """Count weights and biases of the U-net from the paper's figure 1, summed in closed form over its levels.

    With c = b 2^l channels, an encoder level below the first has 9 (c/2) c + 9 c c + 2 c = 13.5 c^2 + 2 c parameters,
    a decoder level (8 c^2 + c) + (27 c^2 + 2 c), and the sum of c^2 over d levels is b^2 (4^d - 1) / 3.
    """
    squares, sums, bottom = b * b * (4**d - 1) // 3, b * (2**d - 1), b * 2**d
    first = 9 * b + 9 * b * b + 2 * b
    encoder = 27 * (squares - b * b + bottom * bottom) // 2 + 2 * (sums - b + bottom)
    decoder = 35 * squares + 3 * sums
    return first + encoder + decoder + b + 1


def kernels(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def test_formula_gives_the_papers_network():
    assert count_by_formula(64, 4) == 31_030_593


@pytest.mark.parametrize(("base_channels", "depth"), [(64, 4), (1, 1), (3, 2), (8, 3), (16, 4), (2, 5)])
def test_number_of_parameters(base_channels, depth):
    model = build_unet(base_channels=base_channels, depth=depth)
    assert model.count_params() == count_by_formula(base_channels, depth)
    assert all(weight.trainable for weight in model.weights)


@pytest.mark.parametrize("matrix", [(4, 4), (16, 8), (12, 20)])
def test_takes_any_matrix_of_whole_multiples(matrix):
    frames = np.random.default_rng(0).random((2, *matrix, 1)).astype(np.float32)
    target = build_unet(base_channels=2, depth=2)(frames)
    assert target.shape == frames.shape
    assert target.dtype == "float32"
    assert (0 < target.numpy()).all() and (target.numpy() < 1).all()


def test_every_pixel_sees_its_surroundings_and_no_other_frame():
    """Depth 2 and 3x3 kernels: a change reaches neighbours through the bottom, yet never the other frame."""
    model = build_unet(base_channels=4, depth=2, seed=1)
    frames = np.random.default_rng(1).random((2, 16, 16, 1)).astype(np.float32)
    changed = frames.copy()
    changed[0, 8, 8] += 1
    difference = abs(model(changed).numpy() - model(frames).numpy())
    assert difference[0, 4, 8] > 0
    assert not difference[1].any()


def test_mixed_precision_computes_in_bfloat16_and_returns_float32():
    model = build_unet(base_channels=2, depth=1, precision="mixed_bfloat16")
    frames = np.random.default_rng(2).random((1, 8, 8, 1)).astype(np.float32)
    target = model(frames)
    assert target.dtype == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    compute = {layer.name: layer.compute_dtype for layer in model.layers if layer.weights}
    assert compute.pop("normalised_error") == "float32"
    assert set(compute.values()) == {"bfloat16"}
    full = build_unet(base_channels=2, depth=1)(frames).numpy()
    np.testing.assert_allclose(target, full, atol=0.02)
    assert (target.numpy() != full).any()


def test_glorot_initialisation():
    for name, (kernel, bias) in kernels(build_unet(base_channels=8, depth=2)).items():
        limit = np.sqrt(6 / (np.prod(kernel.shape[:2]) * sum(kernel.shape[2:])))
        assert abs(kernel).max() <= limit, name
        if kernel.size > 500:  # uniform up to the limit, with the variance of a uniform distribution
            assert abs(kernel).max() > 0.95 * limit, name
            assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.1), name
        assert not bias.any(), name


def test_seed():
    first, again, other = (kernels(build_unet(base_channels=4, depth=2, seed=seed)) for seed in (0, 0, 1))
    for name, (kernel, _) in first.items():
        np.testing.assert_array_equal(kernel, again[name][0])
        assert (kernel != other[name][0]).all(), name


def test_layers_of_the_same_shape_differ():
    """One seed for every layer would make equal kernels wherever shapes agree."""
    weights = kernels(build_unet(base_channels=4, depth=2))
    assert (weights["encoder0_conv1"][0] != weights["decoder0_conv1"][0]).all()


def test_layer_names():
    """Weights are exchanged by name: a renamed layer would silently break every stored model."""
    for _ in range(2):  # no counter may run on from model to model
        model = build_unet(base_channels=1, depth=2)
        assert list(kernels(model)) == [
            "encoder0_conv0",
            "encoder0_conv1",
            "encoder1_conv0",
            "encoder1_conv1",
            "bottom_conv0",
            "bottom_conv1",
            "decoder1_up",
            "decoder1_conv0",
            "decoder1_conv1",
            "decoder0_up",
            "decoder0_conv0",
            "decoder0_conv1",
            "normalised_error",
        ]
    names = [layer.name for layer in build_unet(base_channels=1, depth=3).layers]
    assert len(set(names)) == len(names)


def test_imports_nothing_of_csmri():
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(inspect.getsource(unet)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {"__future__", "keras", "numpy", "typing"}


def test_a_window_of_frames_changes_the_first_kernel_and_nothing_else():
    one, three = (build_unet(base_channels=2, depth=2, **fields) for fields in ({}, {"frames": 3}))
    assert three.input_shape == (None, None, None, 3)
    assert [variable.path for variable in three.weights] == [variable.path for variable in one.weights]
    first, *others = zip(one.weights, three.weights, strict=True)
    assert [tuple(variable.shape) for variable in first] == [(3, 3, 1, 2), (3, 3, 3, 2)]
    for plain, windowed in others:
        np.testing.assert_array_equal(plain.numpy(), windowed.numpy())


def test_the_sigmoid_starts_where_it_is_told_to():
    frames = np.zeros((1, 16, 16, 1), np.float32)
    for initial_output in (0.5, 0.4):
        model = build_unet(base_channels=2, depth=2, initial_output=initial_output)
        assert np.asarray(model(frames)) == pytest.approx(initial_output, abs=1e-6)
