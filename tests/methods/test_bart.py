"""Several coils against BART, where it is installed: the same data, maps, mask and regulariser."""

import numpy as np

from csmri.config import Sampling
from csmri.methods.classical import METHODS
from csmri.methods.iterative import make_problem
from csmri.methods.reconstruction import simulated_acquisition
from csmri.phantom import make_subject
from csmri.physics.fourier import fft_x
from tests.physics import bart


@bart.needs_bart
def test_temporal_tv_of_coils_is_as_good_as_bart_s(tmp_path):
    """Measured on 128 x 128: 0.95 of its error; benchmarks/methods.py has the time."""
    images = make_subject(9, size=96, n_slices=1, n_frames=8).images[0]
    law = Sampling(phase="moving", coils=6, snr=25.0)
    one = simulated_acquisition(images, 4.0, law, seed=0, subject="phantom", slice_index=0)
    kspace = fft_x(one.data).numpy()
    n_coils, n_frames, n_ky, n_kx = kspace.shape
    method = METHODS["temporal-tv"]
    assert method.settings
    scale = make_problem(one).scale
    options = f"-w {scale} -R T:1024:0:{method.settings.strength} -i {method.settings.max_iterations}"
    theirs = bart.run(
        tmp_path,
        f"pics {options} kspace maps out",
        kspace=kspace.transpose(1, 0, 2, 3).reshape(n_frames, *[1] * 6, n_coils, 1, n_ky, n_kx),
        maps=np.asarray(one.maps)[:, np.newaxis],
    )

    def error(found):
        return np.sum((np.abs(found) - images) ** 2) / np.sum(images**2)

    ours = method.reconstruct(one).images
    assert 0.5 * error(METHODS["zero-filled"].reconstruct(one).images) > error(theirs * scale) > 0
    assert error(ours) <= 1.05 * error(theirs * scale)
