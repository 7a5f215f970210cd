"""MP4: every frame at its time, even sizes, what is seen, and nothing half-written."""

import sys

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats import gif, mp4

av = pytest.importorskip("av")
TIMES = (19.2 + 38.46 * np.arange(8)).astype(np.float32)


def make_cine(n_slices=3, matrix=(47, 41), times=TIMES):
    y, x = np.indices(matrix)
    frames = [[np.hypot(y - 20, x - 15 - frame) < 8 + index for frame in range(8)] for index in range(n_slices)]
    return Cine(np.array(frames, np.float32) * 300 + 20, "s", frame_times_ms=times)


@pytest.mark.parametrize("n_slices", [1, 3])
def test_plays_some_beats_at_the_rate_of_the_heart(tmp_path, n_slices):
    cine = make_cine(n_slices)
    mp4.write(tmp_path / "a.mp4", cine, n_beats=3)
    with av.open(tmp_path / "a.mp4") as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        frames = list(video.decode(video=0))
        assert video.duration == pytest.approx(3 * 8 * 38.46e3, abs=4e3)  # in microseconds
    assert len(frames) == 24
    starts = [1000 * float(frame.pts * frame.time_base) for frame in frames]
    np.testing.assert_allclose(starts, np.arange(24) * 38.46, atol=4)
    pages = gif.grid(cine)
    height, width = pages.shape[1:]
    for number, frame in enumerate(frames):
        picture = frame.to_ndarray(format="gray")
        assert picture.shape == (height + height % 2, width + width % 2)
        error = picture[:height, :width].astype(float) - pages[number % 8]
        assert np.abs(error).mean() < 4 and picture[height:].max(initial=0) < 30


def test_unknown_times_are_as_in_the_gif(tmp_path):
    mp4.write(tmp_path / "a.mp4", make_cine(times=None), n_beats=1)
    with av.open(tmp_path / "a.mp4") as video:
        assert video.duration == 8 * gif.UNKNOWN_FRAME_MS * 1000


def test_times_that_hardly_rise_are_still_played_in_order(tmp_path):
    mp4.write(tmp_path / "a.mp4", make_cine(times=np.arange(8, dtype=np.float32) / 1000), n_beats=1)
    with av.open(tmp_path / "a.mp4") as video:
        assert len(list(video.decode(video=0))) == 8


def test_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CsmriError, match=r"pip install 'csmri\[mp4\]'"):
        mp4.write(tmp_path / "a.mp4", make_cine())
    assert not list(tmp_path.iterdir())


def test_failure_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_text("before")
    with pytest.raises(CsmriError, match="at least 1 beat"):
        mp4.write(tmp_path / "a.mp4", make_cine(), n_beats=0)

    def fail(*args):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(mp4, "_store", fail)
    with pytest.raises(RuntimeError):
        mp4.write(tmp_path / "a.mp4", make_cine())
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "before"
