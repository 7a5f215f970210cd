"""When the frames of raw data were measured, and whether they are of one heartbeat or of real time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONGEST_BEAT_MS = 3000.0
SAME_CLOCK = 0.1
"""How much steps of two clocks may differ, relative to them."""
TICK_MS = 2.5
"""To which time stamps are rounded."""


def frame_times(
    frame_axis: str,
    heads: NDArray[np.void],
    frame: NDArray[np.int64],
    slice_index: NDArray[np.intp],
    n_frames: int,
    notes: list[str],
) -> tuple[NDArray[np.float32] | None, bool | None]:
    """Tell the time of every frame (frame,) [ms], and whether the last neighbours the first.

    Parameters
    ----------
    frame_axis : "phase" or "repetition"
        The counter of frames; repetitions are real time.
    heads : (readout,)
        Has `measured_ms` and `after_r_ms`, see `readouts.HEAD`.
    frame, slice_index : (readout,)
    n_frames : int
    notes : list of str
        Gets what was guessed.

    Returns
    -------
    times, cyclic
        Each None where nothing tells.
    """
    measured_ms, after_r_ms = heads["measured_ms"], heads["after_r_ms"]
    in_turn = _is_in_turn(measured_ms, frame, slice_index)
    is_one_beat = frame_axis == "phase" and _is_one_beat(heads, frame, slice_index, n_frames)
    if in_turn and is_one_beat:
        notes.append(
            "The readouts lie frame after frame, as in real time, but their times after the R wave rise within a "
            "heartbeat that the clock does not follow: taken as gated, overrule it with --time real-time."
        )
    elif frame_axis == "repetition" or in_turn:
        notes.append(
            "The frames were measured one after the other, in real time. If they are gated, overrule it with "
            "--time cyclic."
        )
        times = _mean_times(_since_first(measured_ms, frame, slice_index), frame, n_frames)
        if times is not None:
            times -= times[0]
        return times, False
    times = _mean_times(after_r_ms, frame, n_frames)
    if times is None:
        notes.append("Frame times are unknown: the readouts do not tell the time after the R wave.")
    return times, True if times is not None or in_turn is False else None


def _is_in_turn(measured_ms: NDArray, frame: NDArray[np.int64], slice_index: NDArray[np.intp]) -> bool | None:
    """Whether, in every slice, no frame goes on after the next began; None where no times are told."""
    if len(np.unique(measured_ms)) == 1:
        return None
    order = np.lexsort((np.arange(len(frame)), measured_ms, slice_index))
    falls = (np.diff(frame[order]) < 0) & (np.diff(slice_index[order]) == 0)
    return not falls.any()


def _is_one_beat(
    heads: NDArray[np.void], frame: NDArray[np.int64], slice_index: NDArray[np.intp], n_frames: int
) -> bool:
    """Whether, in every slice, times after the R wave rise from frame to frame within a beat, unlike the clock.

    In real time, both run alike until the next R wave.
    """
    for index in np.unique(slice_index):
        here = slice_index == index
        after_r = _mean_times(heads["after_r_ms"][here], frame[here], n_frames)
        if after_r is None or after_r[-1] - after_r[0] > LONGEST_BEAT_MS:
            return False
        clock = _mean_times(heads["measured_ms"][here], frame[here], n_frames)
        if clock is not None and np.allclose(np.diff(clock), np.diff(after_r), rtol=SAME_CLOCK, atol=2 * TICK_MS):
            return False
    return True


def _since_first(measured_ms: NDArray, frame: NDArray[np.int64], slice_index: NDArray[np.intp]) -> NDArray:
    """Times since the middle of the first frame of the slice."""
    since = measured_ms.astype(np.float64, copy=True)
    for index in np.unique(slice_index):
        here = slice_index == index
        since[here] -= measured_ms[here & (frame == frame[here].min())].mean()
    return since


def _mean_times(times: NDArray, frame: NDArray[np.int64], n_frames: int) -> NDArray[np.float32] | None:
    """Mean time of every frame, or None where they do not rise."""
    count = np.bincount(frame, minlength=n_frames)
    mean = np.bincount(frame, times, n_frames) / np.maximum(count, 1)
    return mean.astype(np.float32) if count.all() and (np.diff(mean) > 0).all() else None
