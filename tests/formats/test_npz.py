"""NumPy archives: round trips of every field, files made by hand, and what is refused."""

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace, LazySlices
from csmri.formats import measured, npz

RNG = np.random.default_rng(1)
IMAGES = RNG.random((2, 3, 5, 4), np.float32)
KSPACE = (RNG.standard_normal((2, 3, 4, 6, 5)) + 1j * RNG.standard_normal((2, 3, 4, 6, 5))).astype(np.complex64)
MASK = RNG.random((4, 6)) < 0.6
EXTRAS = {
    "subject": "Zoë 1",
    "spacing_mm": (1.25, 1.5),
    "slice_spacing_mm": 8.0,
    "affine": np.diag([-1.5, -1.25, 8, 1]),
    "provenance": "scanner",
    "notes": ("One thing.", "Another."),
}
FIELDS = (*EXTRAS, "frame_times_ms")


def same(first, second):
    for name in FIELDS:
        one, two = getattr(first, name), getattr(second, name)
        assert (one is None) == (two is None) and type(one) is type(two), name
        if one is not None:
            np.testing.assert_array_equal(one, two, err_msg=name)


@pytest.mark.parametrize("images", [IMAGES, IMAGES * np.complex64(1 - 2j)], ids=["magnitude", "complex"])
def test_cine_round_trip(tmp_path, images):
    cine = Cine(images=images, frame_times_ms=np.float32([1, 40, 83]), **EXTRAS)
    npz.write(tmp_path / "a.npz", cine)
    again = npz.read(tmp_path / "a.npz")
    assert isinstance(again, Cine) and again.images.dtype == images.dtype
    np.testing.assert_array_equal(again.images, images)
    same(again, cine)


def test_kspace_round_trip(tmp_path):
    kspace = KSpace(kspace=KSPACE * MASK[:, :, None], mask=MASK, frame_times_ms=np.float32([1, 40, 83, 120]), **EXTRAS)
    npz.write(tmp_path / "a.npz", kspace)
    again = npz.read(tmp_path / "a.npz")
    assert isinstance(again, KSpace)
    np.testing.assert_array_equal(again.kspace, kspace.kspace)
    np.testing.assert_array_equal(again.mask, MASK)
    same(again, kspace)


def test_unknown_fields_stay_unknown(tmp_path):
    npz.write(tmp_path / "a.npz", Cine(images=IMAGES, subject="s"))
    again = npz.read(tmp_path / "a.npz")
    assert (again.spacing_mm, again.slice_spacing_mm, again.frame_times_ms, again.affine) == (None,) * 4
    assert again.notes == ()


def test_made_by_hand(tmp_path):
    np.savez(tmp_path / "hand.npz", images=(IMAGES[0] * 1000).astype(np.int16))
    cine = npz.read(tmp_path / "hand.npz")
    assert cine.images.shape == (1, 3, 5, 4) and cine.images.dtype == np.float32 and cine.subject == "hand"
    np.savez(tmp_path / "k.npz", kspace=(KSPACE * MASK[:, :, None])[0, 0], mask=MASK.astype(int), scanner="x")
    kspace = npz.read(tmp_path / "k.npz")
    assert kspace.kspace.shape == (1, 1, 4, 6, 5) and kspace.mask.dtype == np.bool_
    assert "scanner" in kspace.notes[0]
    np.savez(tmp_path / "k.npz", kspace=KSPACE[0])
    assert npz.read(tmp_path / "k.npz").kspace.shape == (1, 3, 4, 6, 5)


def test_mask_is_derived_from_the_lines(tmp_path):
    np.savez(tmp_path / "k.npz", kspace=KSPACE * MASK[:, :, None])
    kspace = npz.read(tmp_path / "k.npz")
    np.testing.assert_array_equal(kspace.mask, MASK)
    assert "no mask" in kspace.notes[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"volume": IMAGES}, "expected either `images` or `kspace` and `mask`, found volume"),
        ({"images": IMAGES, "kspace": KSPACE}, "expected either"),
        ({}, "found nothing"),
        ({"images": IMAGES[0, 0]}, r"a\.npz: expected images \(slice, frame, y, x\), got 2 axes"),
        ({"images": np.array(["a", "b"])}, "expected images of numbers"),
        ({"images": np.array([{}, []], object)}, "could not be read as a NumPy archive"),
        ({"images": IMAGES, "spacing_mm": [1.0, 1.0, 8.0]}, r"expected spacing_mm \(2\)"),
        ({"images": IMAGES, "slice_spacing_mm": "8"}, r"expected slice_spacing_mm \(a single number\)"),
        ({"images": IMAGES, "affine": np.eye(3)}, r"expected affine \(4 x 4\)"),
        ({"images": IMAGES, "affine": np.full((4, 4), np.nan)}, r"affine \(4 x 4\), found NaN or infinite values"),
        ({"images": IMAGES, "frame_times_ms": [1.0, 2.0]}, r"frame times of shape \(2,\) do not fit 3 frames"),
        ({"images": IMAGES, "subject": 7}, "expected subject as text"),
        ({"images": IMAGES * np.float32(np.nan), "provenance": "elsewhere"}, r"a\.npz: NaN"),
        ({"kspace": KSPACE, "mask": MASK * 2}, "True and False"),
        ({"kspace": KSPACE, "mask": MASK[:, :3]}, "expected a boolean mask"),
        ({"kspace": KSPACE[0, 0, 0]}, "expected k-space"),
    ],
)
def test_refusals(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(CsmriError, match=message) as caught:
        npz.read(tmp_path / "a.npz")
    assert "\n" not in str(caught.value) and str(tmp_path / "a.npz") in str(caught.value)


def test_truncated(tmp_path):
    npz.write(tmp_path / "a.npz", Cine(images=IMAGES, subject="s"))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(CsmriError, match="could not be read as a NumPy archive"):
        npz.read(tmp_path / "a.npz")


@pytest.mark.parametrize("cyclic", [True, False, None])
def test_everything_of_measured_kspace_comes_back(tmp_path, make_kspace, check_same, cyclic):
    kspace = make_kspace(cyclic=cyclic, provenance="scanner")
    npz.write(tmp_path / "a.npz", kspace)
    again = npz.read(tmp_path / "a.npz")
    check_same(again, kspace)
    same(again, kspace)
    assert again.matrix == kspace.matrix and again.cyclic is cyclic
    np.testing.assert_array_equal(again.noise_covariance, kspace.noise_covariance)


def test_lazy_slices_are_written(tmp_path, kspace, check_same):
    lazy = LazySlices(kspace.kspace.shape, lambda index: kspace.kspace[index])
    npz.write(tmp_path / "a.npz", KSpace(lazy, kspace.mask, "s"))
    check_same(npz.read(tmp_path / "a.npz"), kspace)


def test_more_frames_than_columns_are_doubted(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES.transpose(0, 2, 3, 1)[0])  # (y, x, frame), read as (frame, y, x)
    assert "more frames (5) than rows or columns" in npz.read(tmp_path / "a.npz").notes[0]


def test_an_archive_that_unpacks_to_gigabytes(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((1, 2, 1000, 1000), np.float32))
    monkeypatch.setattr(measured, "HARMLESS", 2**20)
    with pytest.raises(CsmriError, match="promises 8 MiB of arrays, but the file has 0.0 MiB"):
        npz.read(tmp_path / "a.npz")
