"""Figure 1 is the model: every layer once, with its channels and what it takes from."""

from __future__ import annotations

import keras
import pytest

from csmri.core.errors import CsmriError
from csmri.methods.unet import build_unet
from csmri.results.figures import describe_network, render_unet


def drawn_text(path):
    return [line.split("<!-- ")[1].split(" -->")[0] for line in path.read_text().splitlines() if "<!-- " in line]


def test_network_of_the_paper():
    operations = describe_network(build_unet(base_channels=64, depth=4))
    kinds = [operation.kind for operation in operations]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    wanted = {"InputLayer": 1, "Conv2D": 18, "MaxPooling2D": 4, "Conv2DTranspose": 4, "Concatenate": 4, "Head": 1}
    assert counts == wanted
    shapes = {operation.name: operation.shape for operation in operations}
    for level in range(4):
        assert shapes[f"encoder{level}_conv1"] == (256 >> level, 256 >> level, 64 << level)
        assert shapes[f"decoder{level}_concat"] == (256 >> level, 256 >> level, 128 << level)
    assert shapes["bottom_conv1"] == (16, 16, 1024)
    assert operations[-1].shape == (256, 256, 1)
    assert operations[-1].text == "1 × 1 convolution + sigmoid"
    sources = {operation.name: operation.sources for operation in operations}
    assert sources["decoder2_concat"] == ("encoder2_conv1", "decoder2_up")
    assert sources["encoder1_conv0"] == ("encoder0_pool",)


@pytest.mark.parametrize(("base_channels", "depth"), [(2, 1), (3, 2), (16, 7)])
def test_every_map_is_drawn_with_its_channels(tmp_path, base_channels, depth):
    model = build_unet(base_channels=base_channels, depth=depth)
    render_unet(model, tmp_path / "unet.svg")
    found = drawn_text(tmp_path / "unet.svg")
    channels = [  # of every layer but the transpose convolutions, whose maps are the concatenations' right halves
        layer.output.shape[-1] for layer in model.layers if not isinstance(layer, keras.layers.Conv2DTranspose)
    ]
    assert sorted(int(text) for text in found if text.isdecimal()) == sorted(channels)
    assert any(text.startswith(f"{model.count_params():,} parameters") for text in found)
    for text in ("3 × 3 convolution + ReLU", "2 × 2 max-pooling", "2 × 2 transpose convolution, stride 2"):
        assert found.count(text) == 1
    assert [text for text in found if text in ("256 × 256", "128 × 128")] == ["256 × 256", "128 × 128"]


def test_same_network_gives_the_same_bytes(tmp_path):
    for name, base_channels in (("one", 2), ("two", 2), ("other", 4)):
        for suffix in (".png", ".svg"):
            render_unet(build_unet(base_channels=base_channels, depth=2), tmp_path / f"{name}{suffix}")
    for suffix in (".png", ".svg"):
        one, two, other = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two", "other"))
        assert one == two != other


def test_another_network_is_refused():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.BatchNormalization(name="norm")(inputs), name="other")
    with pytest.raises(CsmriError, match="other: layer norm is a BatchNormalization; figure 1 knows Conv2D"):
        describe_network(model)
