"""What k-space of every format goes through: masks, DC, and promises that a file cannot keep."""

import re

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.kspace import LazySlices
from csmri.formats.measured import as_mask, check_size, dc_place, measured


def lazy(kspace):
    return LazySlices(kspace.shape, lambda index: kspace[index])


@pytest.fixture(params=["array", "lazy"])
def given(request):
    return (lambda kspace: kspace) if request.param == "array" else lazy


def test_nothing_is_changed_where_all_is_well(tmp_path, kspace, given, check_same):
    record = measured(tmp_path / "k", given(kspace.kspace), kspace.mask, subject="s")
    check_same(record, kspace)
    assert record.notes == () and isinstance(record.kspace, LazySlices) == (given is lazy)


def test_without_a_mask_the_zeros_tell_also_where_slices_differ(tmp_path, make_kspace, given):
    mask = np.stack([make_kspace().mask, make_kspace().mask[::-1], make_kspace().mask])
    kspace = make_kspace(mask=mask)
    record = measured(tmp_path / "k", given(kspace.kspace), None, subject="s")
    np.testing.assert_array_equal(record.mask, mask)
    assert "no mask" in record.notes[0]


def test_masks_in_every_common_layout(tmp_path, kspace):
    shape, mask = kspace.kspace.shape, kspace.mask
    n_slices, n_kx = shape[0], shape[4]
    along = np.repeat(mask[..., None], n_kx, -1)
    for one in (mask, mask.astype(int), along, along.astype(float)):
        np.testing.assert_array_equal(as_mask(tmp_path, one, shape), mask)
    stack = np.stack([mask] * n_slices)
    for one in (stack, np.repeat(stack[..., None], n_kx, -1)):
        np.testing.assert_array_equal(as_mask(tmp_path, one, shape), stack)
    np.testing.assert_array_equal(as_mask(tmp_path, mask[0], shape), np.stack([mask[0]] * len(mask)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: mask * 2, "True and False"),
        (lambda mask: mask[:, :-1], r"mask \(frame, ky\) of shape \(5, 24\)"),
        (lambda mask: mask.T, "transpose the mask"),
        (lambda mask: mask[:2], "put the coil before the frame"),
        (lambda mask: mask[..., None] & (np.arange(40) > 3), "differs along kx"),
    ],
)
def test_masks_that_fit_nowhere(tmp_path, kspace, change, message):
    with pytest.raises(CsmriError, match=message):
        as_mask(tmp_path, change(kspace.mask), kspace.kspace.shape)


def first_of(record):
    return [record.slice_of(index) for index in range(record.n_slices)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: np.roll(mask, 12, 1), r"when it is shifted by half"),
        (lambda mask: ~mask, "inverted"),
        (lambda mask: np.ones_like(mask), r"\d+ lines marked as acquired but zero in all coils, 0 not marked"),
    ],
)
def test_a_mask_that_the_zeros_contradict(tmp_path, kspace, given, change, message):
    wrong = change(kspace.mask)
    if not wrong.any(axis=1).all():
        pytest.skip("a frame without lines is another refusal")
    with pytest.raises(CsmriError, match=message) as caught:
        first_of(measured(tmp_path / "k.x", given(kspace.kspace), wrong, subject="s"))
    frame, line = np.argwhere(wrong != kspace.mask)[0] + 1
    assert f"the first in frame {frame}, ky {line};" in str(caught.value) and "k.x" in str(caught.value)
    empty, unmarked = (wrong & ~kspace.mask).sum(), (kspace.mask & ~wrong).sum()
    assert re.search(rf"\b{empty} lines? marked .* {unmarked} not marked", str(caught.value))


def test_full_data_with_the_mask_of_an_undersampling(tmp_path, kspace, make_kspace, given):
    full = make_kspace(mask=np.ones_like(kspace.mask))
    with pytest.raises(CsmriError, match=r" 0 lines marked as acquired but zero in all coils, \d+ not marked"):
        first_of(measured(tmp_path / "k", given(full.kspace), kspace.mask, subject="s"))


def test_a_fault_of_one_slice_is_found_when_it_is_read(tmp_path, kspace):
    data = np.array(kspace.kspace)
    data[2, :, 1, kspace.mask[1]] = 0
    record = measured(tmp_path / "k", lazy(data), kspace.mask, subject="s")
    record.slice_of(0)
    with pytest.raises(CsmriError, match="disagree in slice 3"):
        record.slice_of(2)


def test_zeros_at_the_ends_of_ky_were_not_measured(tmp_path, make_kspace, given):
    full = make_kspace(mask=np.ones((5, 24), bool))
    data = np.array(full.kspace)
    data[:, :, :, :7] = 0  # partial phase encoding, filled up
    record = measured(tmp_path / "k", given(data), full.mask, subject="s")
    assert not record.mask[:, :7].any() and record.mask[:, 7:].all()
    assert "7 lines at the ends of ky" in record.notes[0]


def corner(images, axes, *, starts_first):
    """K-space with DC in the corner of some axes."""
    kspace = images
    for axis in (-2, -1):
        if axis not in axes or not starts_first:
            kspace = np.fft.ifftshift(kspace, axis)
        kspace = np.fft.fft(kspace, axis=axis)
        kspace = kspace if axis in axes else np.fft.fftshift(kspace, axis)
    return kspace.astype(np.complex64)


@pytest.mark.parametrize("axes", [(-1,), (-2,), (-2, -1)], ids=["kx", "ky", "both"])
@pytest.mark.parametrize("starts_first", [True, False], ids=["fft2", "fft2 of ifftshift"])
@pytest.mark.parametrize("n_ky", [24, 23])
def test_dc_in_the_corner_is_moved_exactly(tmp_path, coil_images, given, axes, starts_first, n_ky):
    images = coil_images[..., :n_ky, :]
    mask = np.random.default_rng(3).random((5, n_ky)) < 0.6
    mask[:, [0, 1, -1, n_ky // 2]] = True
    there = np.fft.fftshift(mask, -1) if -2 in axes else mask
    expected = corner(images, (), starts_first=False) * there[:, :, None]
    data = corner(images, axes, starts_first=starts_first) * mask[:, :, None]
    record = measured(tmp_path / "k", given(data), mask, subject="s")
    np.testing.assert_array_equal(record.mask, there)
    for index in range(3):
        np.testing.assert_allclose(record.slice_of(index), expected[index], atol=1e-4 * np.abs(expected).max())
    assert len(record.notes) == len(axes) and all("DC was in the corner" in note for note in record.notes)
    assert all(("numpy.fft.fft2" in note) == starts_first for note in record.notes)


def test_noise_is_not_moved():
    draw = np.random.default_rng(0)
    assert {dc_place(draw.random(40)) for _ in range(200)} == {"centre"}


def test_a_missing_centre_is_not_taken_for_a_corner(kspace):
    energy = np.square(np.abs(kspace.kspace)).sum((0, 1, 2, 4))
    energy[11:14] = 0
    assert dc_place(energy) == "centre"


def test_a_promise_beyond_the_file(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(bytes(1000))
    check_size(path, 2**28, "k-space")  # harmless, whatever the file
    with pytest.raises(CsmriError, match=r"promises 3,072 MiB of k-space, but the file has 0\.0 MiB"):
        check_size(path, 3 * 2**30, "k-space")
