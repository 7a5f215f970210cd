"""BART: round trips, what BART itself makes of our files and we of its, and refusals."""

import shutil
import subprocess

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.kspace import LazySlices
from csmri.formats import bart

BART = shutil.which("bart")
needs_bart = pytest.mark.skipif(BART is None, reason="install BART (Debian: bart) to run this")


def run(folder, *arguments):
    done = subprocess.run([BART, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def refusal(path):
    with pytest.raises(CsmriError) as caught:
        list(bart.read(path).slices())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("given", ["a.cfl", "a.hdr", "a"])
def test_round_trip(tmp_path, kspace, check_same, given):
    bart.write(tmp_path / "a.cfl", kspace)
    assert bart.is_bart(tmp_path / given) and not bart.is_bart(tmp_path / "b")
    record = bart.read(tmp_path / given)
    check_same(record, kspace)
    assert isinstance(record.kspace, LazySlices) and record.subject == "a" and record.cyclic is None


def test_time_has_no_place(tmp_path, make_kspace):
    bart.write(tmp_path / "a.cfl", make_kspace(cyclic=False))
    assert bart.read(tmp_path / "a.cfl").cyclic is None


def test_names_with_dots(tmp_path, kspace, check_same):
    bart.write(tmp_path / "scan.1", kspace)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.1.cfl", "scan.1.hdr"]
    check_same(bart.read(tmp_path / "scan.1"), kspace)


@needs_bart
def test_bart_reads_it_and_has_dc_where_we_have(tmp_path, kspace, coil_images, make_kspace):
    full = make_kspace(mask=np.ones((5, 24), bool))
    bart.write(tmp_path / "k", full)
    assert "40\t24\t1\t2\t1\t1\t1\t1\t1\t1\t5\t1\t1\t3" in run(tmp_path, "show", "-m", "k")
    run(tmp_path, "fft", "-i", "3", "k", "images")
    images = np.fromfile(tmp_path / "images.cfl", np.complex64).reshape(3, 5, 2, 24, 40).transpose(0, 2, 1, 3, 4)
    # BART's inverse transform has no factor, NumPy's 1 / n.
    np.testing.assert_allclose(images / (24 * 40), coil_images, atol=1e-5)


@needs_bart
def test_we_read_what_bart_writes(tmp_path, kspace, check_same):
    bart.write(tmp_path / "k", kspace)
    run(tmp_path, "scale", "2", "k", "twice")
    record = bart.read(tmp_path / "twice")
    np.testing.assert_array_equal(record.slice_of(2), 2 * kspace.kspace[2])
    np.testing.assert_array_equal(record.mask, kspace.mask)


def write_header(path, sizes):
    path.write_text(f"# Dimensions\n{sizes}\n")


def test_refusals(tmp_path, kspace):
    bart.write(tmp_path / "a", kspace)
    header = tmp_path / "a.hdr"
    write_header(header, "40 24 1 2 1 1 1 1 1 1 1 5 1 3")
    assert "11 (TIME2) has 5; if these are the frames" in refusal(tmp_path / "a")
    write_header(header, "40 24 3 2 1 1 1 1 1 1 5")
    assert "2 (PHS2) has 3" in refusal(tmp_path / "a")
    write_header(header, "40 24 1 2 1 1 1 1 1 1 1")
    assert "has 230,400 bytes, but a.hdr promises 15,360" in refusal(tmp_path / "a.cfl")
    write_header(header, "40 24 1 2 1 1 1 1 1 1 1 1 1 15")
    assert "at least 2 frames" in refusal(tmp_path / "a")
    for wrong in ("40 24 0 2", "40 -24", "", "x y", "1 " * 17):
        write_header(header, wrong)
        refusal(tmp_path / "a")
    header.write_text("hello")
    assert not bart.is_bart(tmp_path / "a")
    header.unlink()
    assert "a.hdr" in refusal(tmp_path / "a.cfl")
    bart.write(tmp_path / "b", kspace)
    (tmp_path / "b.cfl").unlink()
    assert "b.cfl" in refusal(tmp_path / "b.hdr")
