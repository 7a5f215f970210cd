"""Seconds to simulate a cine of 20 x 256 x 256, as training and evaluation do, against bare transforms.

    python benchmarks/simulation.py [--size 256] [--frames 20] [--rounds 9]

Simulation: phase, coils, noise, mask, undersampling and the linear interpolation that follows. Bare: a transform along
ky and its inverse of every coil image, by SciPy and by TensorFlow, whichever is faster.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
import tensorflow as tf
from harness import Records, options

from csmri.config import Sampling
from csmri.core.seeds import derive_seed
from csmri.core.workers import threads
from csmri.phantom import make_subject
from csmri.physics.initial import initial_images
from csmri.physics.sampling import make_mask
from csmri.physics.simulate import acquire, simulate

CASES = {
    "1 coil": Sampling(),
    "1 coil, moving phase": Sampling(phase="moving"),
    "8 coils, SNR 25, moving phase": Sampling(phase="moving", coils=8, snr=25.0),
}


def main() -> None:
    asked = options(__doc__, size=256, frames=20, rounds=9)
    records = Records("simulation")
    images = tf.constant(make_subject(0, size=asked.size, n_slices=1, n_frames=asked.frames).images[0])
    for case, law in CASES.items():

        def simulated(seed: tf.Tensor, law: Sampling = law) -> tf.Tensor:
            mask = make_mask(seed, asked.frames, asked.size, 4.0, law)
            return initial_images(acquire(simulate(images, law, seed=seed), mask))

        traced = tf.function(simulated, autograph=False).get_concrete_function(tf.TensorSpec((2,), tf.int64))
        rng = np.random.default_rng(0)
        shape = (law.coils, asked.frames, asked.size, asked.size)
        coils = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
        tensor, seed = tf.constant(coils), tf.cast(derive_seed(0, 1), tf.int64)
        bare = tf.function(lambda one: tf.signal.ifft(tf.signal.fft(one)), autograph=False)

        def transforms(coils: np.ndarray = coils) -> np.ndarray:
            return scipy.fft.ifft(scipy.fft.fft(coils, axis=-2, workers=threads()), axis=-2, workers=threads())

        contenders = {
            "csmri simulation": lambda one=traced, seed=seed: one(seed).numpy(),
            "two transforms, SciPy": transforms,
            "two transforms, TensorFlow": lambda one=tensor, run=bare: run(one).numpy(),
        }
        records.time(case, contenders, rounds=asked.rounds)
    records.write(asked.out)


if __name__ == "__main__":
    main()
