"""Search the design of the unrolled network under an equal compute budget, on training subjects alone.

Every design is trained on the split `pretrain` until it has used `BUDGET` CPU seconds, and tested on four other
patients, split `validation`: two slices each, R = 2, 3, 4 and 8, both mask laws, one set of masks. Numbers are NMSE in
the heart box over that of temporal interpolation, mean over slices; `untrained` is the total variation that all designs
but two begin with. The test subjects are never read.

    python results/beyond/search.py [STORE] [DESIGN ...]

STORE is prepared with configs/beyond/acdc_split.toml (default work/beyond_store). Writes search.csv and search.md; a
design that stands in search.csv is not trained again.
"""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from csmri.cines import training_cines
from csmri.config import EVALUATION_ACCELERATIONS, Config, Sampling
from csmri.core.provenance import versions
from csmri.data.store import Store, open_store
from csmri.evaluation import metrics
from csmri.kspace.fourier import as_pair, fft_y
from csmri.kspace.initial import initial_images
from csmri.layers import AddCorrection, CineConvolution, CropLike, DataConsistency, Motion, RestingPhase, TotalVariation
from csmri.losses import CineError
from csmri.reconstruction import simulation_mask
from csmri.training import CLIP_NORM, OPTIMIZERS
from csmri.unrolled import TV_ITERATIONS, build_unrolled

HERE = Path(__file__).parent
BUDGET = 240
"""CPU seconds of training that a design gets, of all cores together."""
WARM_UP = 5
"""Steps that are not counted: graphs are compiled in the first ones."""
SLICES = (1, 3)
UNTRAINED = "untrained"
LAWS = ("gaussian", "schlemper")
CONFIG = Config(
    network="unrolled",
    consistency="hard",
    batch_size=1,
    both_laws=True,
    accelerations=EVALUATION_ACCELERATIONS,
    train_split="pretrain",
    crop_columns=48,
    loss="relative",
    precision="float32",
    learning_rate=2e-3,
    epochs=20,
)
Block = Callable[[keras.KerasTensor, int], keras.KerasTensor]


@dataclass(frozen=True)
class Design:
    """A network to try, and the loss that it is trained with."""

    build: Callable[[], keras.Model]
    loss: Callable[[], keras.losses.Loss] = lambda: CineError(relative=True)
    note: str = ""


# --- what the package's network is made of, in other ways


class AddComplex(AddCorrection):
    """`AddCorrection` that drops nothing: an ordinary unrolled network."""

    def call(self, inputs):
        image, phase, correction = inputs
        return image + super().call([ops.zeros_like(image), phase, correction])


def unrolled(
    block: Block,
    cascades: int,
    *,
    tv_iterations: int = TV_ITERATIONS,
    add: type = AddCorrection,
    residual: bool = False,
) -> keras.Model:
    """The package's network with another network in its cascades, or another start.

    With `residual`, a cascade also sees what data consistency changed after the one before: how wrong that one was.
    """
    initial, mask = keras.Input((None, None, None, 2)), keras.Input((None, None))
    peak = ops.max(ops.norm(initial, axis=-1, keepdims=True), axis=(1, 2, 3, 4), keepdims=True)
    start = initial / peak
    rest = ops.mean(start, axis=1, keepdims=True)
    phase = RestingPhase()(rest)
    image = before = start
    if tv_iterations:
        before = TotalVariation(tv_iterations)([start, phase, mask])
        image = DataConsistency()([before, start, mask])
    for i in range(cascades):
        motion = Motion()([image, rest, phase])
        if residual:
            motion = ops.concatenate([motion, motion - Motion()([before, rest, phase])], axis=-1)
        before = add()([image, phase, block(motion, i)])
        image = DataConsistency()([before, start, mask])
    return keras.Model([initial, mask], image * peak)


def convolution(features, channels, kernel=3, *, stride=1, **options):
    options = {"activation": "relu", "dtype": CONFIG.precision, **options}
    return CineConvolution(channels, kernel, strides=(1, stride, stride), **options)(features)


def enlarged(features, like, channels, **options):
    options = {"activation": "relu", "dtype": CONFIG.precision, **options}
    features = layers.Conv3DTranspose(channels, (1, 2, 2), strides=(1, 2, 2), **options)(features)
    return CropLike(dtype=CONFIG.precision)([features, like])


LAST = {"activation": None, "kernel_initializer": "zeros"}


def flat(channels: int, depth: int = 5) -> Block:
    """Convolutions at full resolution, one after the other: the prototype."""

    def block(motion, _):
        features = motion
        for _ in range(depth - 1):
            features = convolution(features, channels)
        return convolution(features, 2, **LAST)

    return block


def half(channels: int, kernels: tuple = (3, 3, 3, 3)) -> Block:
    """All convolutions at half resolution; with kernels (1, 3, 3) and (3, 1, 1) in turn, (2+1)-D ones."""

    def block(motion, _):
        features = convolution(motion, channels, stride=2)
        for kernel in kernels:
            features = convolution(features, channels, kernel)
        return enlarged(features, motion, 2, **LAST)

    return block


def u_shaped(full: int, *, linear: bool = True, memory: bool = True, share: dict | None = None) -> Block:
    """The package's U; without the motion in its last layer, or without the features of the cascade before."""
    kept = {}

    def block(motion, i):
        features = motion
        if memory and i:
            features = layers.Concatenate(dtype=CONFIG.precision)([motion, kept["features"]])
        skip0 = features = convolution(convolution(features, full), full)
        skip1 = features = convolution(convolution(features, 3 * full, stride=2), 3 * full)
        features = convolution(convolution(features, 4 * full, stride=2), 4 * full)
        features = layers.Add(dtype=CONFIG.precision)([enlarged(features, skip1, 3 * full), skip1])
        features = convolution(features, 3 * full)
        features = layers.Add(dtype=CONFIG.precision)([enlarged(features, skip0, full), skip0])
        kept["features"] = features = convolution(features, full)
        if linear:
            features = layers.Concatenate(dtype=CONFIG.precision)([features, motion])
        return convolution(features, 2, **LAST)

    return block


def with_spectrum(block: Block, channels: int) -> Block:
    """A block, and beside it two convolutions over the temporal spectrum of the motion (after k-t methods)."""

    def both(motion, i):
        spectrum = Spectrum()(motion)
        features = convolution(convolution(spectrum, channels), 2, **LAST)
        return layers.Add(dtype="float32")([block(motion, i), Spectrum(inverse=True)(features)])

    return both


class Spectrum(keras.layers.Layer):
    """Temporal Fourier transform of the first two channels, a complex pair."""

    def __init__(self, inverse: bool = False) -> None:
        super().__init__(dtype="float32")
        self.inverse = inverse

    def call(self, pair):
        real, imaginary = (ops.moveaxis(pair[..., i], 1, -1) for i in (0, 1))
        n = ops.cast(ops.shape(pair)[1], "float32")
        if self.inverse:
            imaginary, real = ops.fft((imaginary, real))
        else:
            real, imaginary = ops.fft((real, imaginary))
        return ops.moveaxis(ops.stack([real, imaginary], axis=-1), -2, 1) / ops.sqrt(n)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2)


def shared(make: Callable[[], keras.Model], cascades: int) -> keras.Model:
    """All cascades with the weights of one."""
    motion = keras.Input((None, None, None, 3))
    one = keras.Model(motion, make()(motion, 0))
    return unrolled(lambda features, _: one(features), cascades)


class MagnitudeError(CineError):
    """`CineError` of the magnitude, which is what is judged."""

    def call(self, y_true, y_pred):
        magnitude = ops.sqrt(ops.sum(ops.square(y_pred), axis=-1, keepdims=True) + 1e-12)
        return super().call(y_true, ops.concatenate([magnitude, ops.zeros_like(magnitude)], axis=-1))


def package(channels: int = 8, cascades: int = 4) -> keras.Model:
    return build_unrolled(base_channels=channels, cascades=cascades, precision=CONFIG.precision)


DESIGNS = {
    "package": Design(package, note="the package's network, 8 channels, 4 cascades"),
    "wide": Design(lambda: package(16, 3), note="16 channels, 3 cascades"),
    "deep": Design(lambda: package(8, 8), note="8 channels, 8 cascades"),
    "flat": Design(lambda: unrolled(flat(12), 4), note="five 3x3x3 convolutions at full resolution, 12 channels"),
    "half resolution": Design(lambda: unrolled(half(24), 4), note="five convolutions at half resolution, 24 channels"),
    "(2+1)-D": Design(
        lambda: unrolled(half(32, ((1, 3, 3), (3, 1, 1)) * 4), 4), note="at half resolution, 32 channels, 4 pairs"
    ),
    "shared weights": Design(
        lambda: shared(lambda: u_shaped(8, memory=False), 4), note="one cascade's weights, four times"
    ),
    "temporal spectrum": Design(
        lambda: unrolled(with_spectrum(u_shaped(8), 8), 4), note="with a branch over temporal frequencies"
    ),
    "no total variation": Design(lambda: unrolled(u_shaped(8), 4, tv_iterations=0), note="projections alone"),
    "complex": Design(
        lambda: unrolled(u_shaped(8), 4, tv_iterations=0, add=AddComplex),
        note="no total variation, and nothing out of phase is dropped: an ordinary unrolled network",
    ),
    "absolute loss": Design(package, lambda: CineError(relative=False)),
    "loss of the magnitude": Design(package, lambda: MagnitudeError(relative=True)),
    "no features from before": Design(lambda: unrolled(u_shaped(8, memory=False), 4)),
    "no linear path": Design(lambda: unrolled(u_shaped(8, linear=False), 4), note="last layer without the motion"),
    "residual of the data": Design(
        lambda: unrolled(u_shaped(8), 4, residual=True), note="a cascade sees what data consistency changed"
    ),
}


# --- training and test


def train(design: Design, store: Store) -> tuple[keras.Model, dict[str, str]]:
    """Train with a cosine schedule until the budget is spent; compilation is not counted."""
    network, loss = design.build(), design.loss()
    optimizer = OPTIMIZERS["adam"](CONFIG.learning_rate, global_clipnorm=CLIP_NORM["unrolled"])
    optimizer.build(network.trainable_variables)
    dataset = training_cines(store, CONFIG).dataset

    # A signature without sizes, so that cines of all sizes share one graph.
    @tf.function(input_signature=dataset.element_spec)
    def step(inputs, truth):
        with tf.GradientTape() as tape:
            error = loss(truth, network(inputs, training=True))
        optimizer.apply(tape.gradient(error, network.trainable_variables))

    n_steps, begun, spent = 0, 0.0, 0.0
    for inputs, truth in dataset:
        if n_steps == WARM_UP:
            begun = time.process_time()
        spent = time.process_time() - begun if begun else 0.0
        if spent >= BUDGET:
            break
        optimizer.learning_rate.assign(CONFIG.learning_rate * math.cos(math.pi / 2 * spent / BUDGET) ** 2)
        step(inputs, truth)
        n_steps += 1
    told = {"parameters": f"{network.count_params()}", "steps": f"{n_steps}", "cpu_seconds": f"{spent:.0f}"}
    return network, told


def ratios(network: keras.Model, store: Store) -> dict[str, str]:
    """Heart-box NMSE over that of the initial reconstruction, for every law and acceleration."""
    signature = [tf.TensorSpec((1, None, None, None, 2)), tf.TensorSpec((1, None, None))]
    run = tf.function(lambda initial, mask: network([initial, mask], training=False), input_signature=signature)
    found: dict[str, list[float]] = {f"{law} {r:g}": [] for law in LAWS for r in EVALUATION_ACCELERATIONS}
    for entry in store.of_split("validation"):
        for index, reference in enumerate(store.slices(entry)):
            if index not in SLICES:
                continue
            for law in LAWS:
                for acceleration in EVALUATION_ACCELERATIONS:
                    mask = simulation_mask(
                        Sampling(mask_law=law),
                        seed=0,
                        subject=entry.subject,
                        slice_index=index,
                        n_frames=reference.shape[0],
                        n_ky=reference.shape[1],
                        acceleration=acceleration,
                    )
                    pair = as_pair(initial_images(fft_y(reference), mask))[tf.newaxis]
                    improved = run(pair, tf.cast(mask, tf.float32)[tf.newaxis])
                    after, before = (
                        metrics.nmse(
                            entry.heart_box.crop(reference), entry.heart_box.crop(np.linalg.norm(images[0], axis=-1))
                        )
                        for images in (improved, pair)
                    )
                    found[f"{law} {acceleration:g}"].append(after / before)
    return {name: f"{np.mean(values):.4f}" for name, values in found.items()}


def main(store: Store, names: list[str]) -> None:
    """Try what is not in the table yet."""
    table = HERE / "search.csv"
    rows = list(csv.DictReader(table.open(encoding="utf-8"))) if table.exists() else []
    for name in names:
        if name in {row["design"] for row in rows}:
            continue
        if name == UNTRAINED:
            network, told = package(), {"parameters": "0", "steps": "0", "cpu_seconds": "0"}
        else:
            network, told = train(DESIGNS[name], store)
        rows.append({"design": name, **told, **ratios(network, store)})
        print(rows[-1], flush=True)
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        (HERE / "search.md").write_text(report(rows), encoding="utf-8")
        keras.backend.clear_session()


def report(rows: list[dict[str, str]]) -> str:
    """The table for people."""
    cases = [f"{law} {r:g}" for law in LAWS for r in EVALUATION_ACCELERATIONS]
    lines = [
        "# Designs of the unrolled network under an equal budget",
        "",
        f"{BUDGET} CPU seconds of training each (both cores; compilation not counted), seed {CONFIG.seed}, on 20",
        "patients; NMSE in the heart box over that of temporal interpolation on 4 others (2 slices each). A short",
        "budget tells what learns fast, not what ends best. Made by `python results/beyond/search.py`; "
        + ", ".join(f"{name} {version}" for name, version in versions().items())
        + ".",
        "",
        "| design | " + " | ".join(cases) + " | mean | parameters | steps |",
        "|---|" + "---:|" * (len(cases) + 3),
    ]
    for row in rows:
        values = [float(row[case]) for case in cases]
        numbers = " | ".join(f"{value:.3f}" for value in [*values, float(np.mean(values))])
        lines.append(f"| {row['design']} | {numbers} | {int(row['parameters']):,} | {row['steps']} |")
    notes = [f"- {name}: {design.note}" for name, design in DESIGNS.items() if design.note]
    return "\n".join([*lines, "", *notes, ""])


if __name__ == "__main__":
    arguments = sys.argv[1:]
    known = {UNTRAINED, *DESIGNS}
    path = arguments.pop(0) if arguments and arguments[0] not in known else "work/beyond_store"
    main(open_store(path), arguments or [UNTRAINED, *DESIGNS])
