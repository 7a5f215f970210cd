"""Steps that XLA fuses are the same but for rounding, and fused only where that was asked for."""

import numpy as np
import pytest
import tensorflow as tf

from csmri.config import Sampling
from csmri.methods.model import load_network
from csmri.methods.reconstruction import load_reconstructor, simulated_acquisition
from csmri.methods.task import task_of
from csmri.phantom import make_subject
from csmri.physics.fused import fused, fusing


def is_compiled(function):
    return isinstance(function, tf.types.experimental.PolymorphicFunction)


def test_functions_are_fused_where_that_is_asked_for():
    def step(values):
        return 2 * values + 1

    assert fused(step) is step
    with fusing():
        compiled = fused(step)
        with fusing():
            assert is_compiled(fused(step))
        assert is_compiled(fused(step))
    assert fused(step) is step
    assert compiled.experimental_get_compiler_ir(tf.ones(3))(stage="hlo")
    np.testing.assert_array_equal(compiled(tf.constant([1.0, 2.0])), [3.0, 5.0])


@pytest.mark.parametrize("coils", [1, 3])
def test_the_shipped_network_reconstructs_the_same_fused_or_not(coils):
    images = make_subject(0, size=48, n_slices=1, n_frames=6).images[0]
    law = Sampling(phase="moving", coils=coils, snr=30.0)
    one = simulated_acquisition(images, 4.0, law, seed=0, subject="s", slice_index=0)
    saved, network = load_network("pretrained-unrolled")
    serve, _ = task_of(saved.config).serve(network)
    maps = one.maps if one.maps is not None else np.ones((1, *images.shape[1:]), np.complex64)
    unfused = serve(
        tf.convert_to_tensor(one.data),
        tf.convert_to_tensor(one.mask),
        tf.convert_to_tensor(maps),
        tf.cast(one.noise, tf.float32),
        tf.convert_to_tensor(one.cyclic),
    )["improved"].numpy()
    found = load_reconstructor("pretrained-unrolled").reconstruct(one)
    assert np.max(np.abs(found - unfused)) / np.max(np.abs(unfused)) < 3e-5  # measured: 3e-6
