"""York .mat files: axis order, subject names, outlines, and what is refused."""

import numpy as np
import pytest
from scipy.io import savemat

from csmri.core.errors import CsmriError
from csmri.formats import read_outlines, york


def volume(dtype=np.int16, shape=(6, 5, 3, 4)):
    """(y, x, slice, frame), every value different."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("n_slices", [1, 3, 8])
def test_reads_axes_in_our_order(tmp_path, dtype, n_slices):
    original = volume(dtype, (6, 5, n_slices, 2))
    savemat(tmp_path / "sol_yxzt_pat12.mat", {"sol_yxzt": original}, do_compression=True)
    cine = york.read(tmp_path / "sol_yxzt_pat12.mat")
    assert cine.images.shape == (n_slices, 2, 6, 5) and cine.images.dtype == np.float32
    for y, x, slice_index, frame in [(0, 0, 0, 0), (5, 1, n_slices - 1, 1), (2, 4, 0, 1)]:
        assert cine.images[slice_index, frame, y, x] == original[y, x, slice_index, frame]
    assert cine.subject == "york_pat12"
    assert cine.spacing_mm is None and cine.frame_times_ms is None and "spacing" in cine.notes[0]


def test_complex_images_stay_complex(tmp_path):
    savemat(tmp_path / "volunteer.mat", {"sol_yxzt": volume() * (1 + 2j)})
    cine = york.read(tmp_path / "volunteer.mat")
    assert cine.images.dtype == np.complex64 and cine.subject == "volunteer"
    assert cine.images[2, 3, 5, 4] == volume()[5, 4, 2, 3] * (1 + 2j)


def test_double_beyond_float32_is_refused_in_words(tmp_path):
    savemat(tmp_path / "a.mat", {"sol_yxzt": volume(np.float64) * 1e300})
    with pytest.raises(CsmriError, match="infinite"):
        york.read(tmp_path / "a.mat")


def outlines_cells(n_slices=2, n_frames=3):
    cells = np.empty((n_slices, n_frames), object)
    for index in np.ndindex(cells.shape):
        cells[index] = np.array([[-99999]])
    return cells


def circle(centre_x, centre_y, radius):
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return np.column_stack([centre_x + radius * np.cos(angle), centre_y + 2 * radius * np.sin(angle)])


def test_outlines_count_from_zero_and_keep_x_first(tmp_path):
    cells = outlines_cells()
    cells[1, 2] = np.vstack([circle(100, 120, 5), [[0, 0]], circle(100, 120, 9)])
    savemat(tmp_path / "manual_seg_32points_pat1.mat", {"manual_seg_32points": cells})
    outlines = york.read_outlines(tmp_path / "manual_seg_32points_pat1.mat")
    assert set(outlines.endocardium) == set(outlines.epicardium) == {(1, 2)}
    np.testing.assert_allclose(outlines.endocardium[1, 2], circle(99, 119, 5), rtol=1e-6)
    np.testing.assert_allclose(outlines.epicardium[1, 2], circle(99, 119, 9), rtol=1e-6)


def test_outlines_are_found_beside_their_cine_only(tmp_path):
    cells = outlines_cells()
    cells[0, 0] = np.vstack([circle(20, 30, 5), [[0, 0]], circle(20, 30, 9)])
    savemat(tmp_path / "manual_seg_32points_pat1.mat", {"manual_seg_32points": cells})
    found = read_outlines(tmp_path / "sol_yxzt_pat1.mat")
    np.testing.assert_allclose(found.endocardium[0, 0], circle(19, 29, 5), rtol=1e-6)
    assert read_outlines(tmp_path / "sol_yxzt_pat2.mat") is None
    assert read_outlines(tmp_path / "other.npz") is None
    named = read_outlines(tmp_path / "sol_yxzt_pat2.mat", tmp_path / "manual_seg_32points_pat1.mat")
    np.testing.assert_array_equal(named.endocardium[0, 0], found.endocardium[0, 0])
    with pytest.raises(CsmriError, match="nowhere: no such file or folder; expected outlines of .*pat2.mat"):
        read_outlines(tmp_path / "sol_yxzt_pat2.mat", "nowhere")


@pytest.mark.parametrize(
    "cell",
    [np.ones((64, 2)), np.ones((65, 2)), np.ones((65, 3)), np.full((65, 2), np.nan), np.array(["text"])],
    ids=["even", "no separator", "three columns", "nan", "text"],
)
def test_malformed_outline_names_its_cell(tmp_path, cell):
    cells = outlines_cells()
    cells[0, 1] = cell
    savemat(tmp_path / "seg.mat", {"manual_seg_32points": cells})
    with pytest.raises(CsmriError, match=r"seg\.mat: cell \{1, 2\}: expected 65x2"):
        york.read_outlines(tmp_path / "seg.mat")


def test_v73_is_refused_with_the_command_to_mend_it(tmp_path):
    path = tmp_path / "sol_yxzt_pat1.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(CsmriError, match=r"v7\.3 .* save\('sol_yxzt_pat1\.mat', 'sol_yxzt', '-v7'\)"):
        york.read(path)


def test_wrong_variable_wrong_axes_and_damage_are_told(tmp_path):
    savemat(tmp_path / "other.mat", {"volume": volume(), "age": 3})
    with pytest.raises(CsmriError, match="expected the variable sol_yxzt, found volume, age"):
        york.read(tmp_path / "other.mat")
    savemat(tmp_path / "flat.mat", {"sol_yxzt": volume()[..., 0]})
    with pytest.raises(CsmriError, match=r"expected sol_yxzt \(y, x, slice, frame\), found 3 axes"):
        york.read(tmp_path / "flat.mat")
    savemat(tmp_path / "text.mat", {"sol_yxzt": "hello"})
    with pytest.raises(CsmriError, match="found 1 axes|expected images of numbers"):
        york.read(tmp_path / "text.mat")
    savemat(tmp_path / "whole.mat", {"sol_yxzt": volume()}, do_compression=True)
    content = (tmp_path / "whole.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(content[: len(content) // 2])
    with pytest.raises(CsmriError, match=r"cut\.mat: could not be read as a MATLAB v5 file"):
        york.read(tmp_path / "cut.mat")


@pytest.mark.parametrize("kind", [0, 8, 14, 15, 134])
def test_a_wrong_type_of_element_is_refused_before_scipy_crashes_on_it(tmp_path, kind):
    savemat(tmp_path / "a.mat", {"sol_yxzt": volume()})
    content = bytearray((tmp_path / "a.mat").read_bytes())
    # After the header (128), the variable's tag (8), flags (16), dimensions (8 + 16) and name (8 + 8): the pixels' tag.
    assert content[192] == 3  # miINT16
    content[192] = kind
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(CsmriError, match="could not be read as a MATLAB v5 file"):
        york.read(tmp_path / "a.mat")


def test_big_endian_and_neighbours(tmp_path):
    savemat(tmp_path / "a.mat", {"info": {"age": 3}, "label": "x", "sol_yxzt": volume()})
    assert york.read(tmp_path / "a.mat").images.shape == (3, 4, 6, 5)
    savemat(tmp_path / "b.mat", {"sol_yxzt": volume().astype(">i2")})
    assert york.read(tmp_path / "b.mat").images[2, 3, 5, 4] == volume()[5, 4, 2, 3]
