"""The order of frames where trigger times fail: what is taken instead, what is told, and what is refused."""

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.formats import dicom

RIGHT = [[100 * (s + 1) + f for f in range(4)] for s in range(3)]
SHUFFLE = [2, 0, 3, 1]


def images(make, elements, keep_trigger=False):
    """A stack whose instance numbers are shuffled; `elements(slice, frame)` are set instead of the trigger time."""
    made = []
    for s in range(3):
        for f in range(4):
            base = {} if keep_trigger else {"TriggerTime": None}
            made.append(make.classic(s, f, **(base | {"InstanceNumber": 10 * s + SHUFFLE[f]} | elements(s, f))))
    return made


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        (lambda s, f: {"TemporalPositionIdentifier": f + 1}, "temporal position"),
        (lambda s, f: {"AcquisitionTime": f"12{s:02d}{f:02d}.250000"}, "acquisition time"),
        (lambda s, f: {"AcquisitionDateTime": f"2026013123595{f}.5"}, "acquisition time"),
        (lambda s, f: {"AcquisitionTime": ["235959.7", "235959.9", "000000.1", "000000.3"][f]}, "acquisition time"),
        (
            lambda s, f: {
                "AcquisitionDate": "20260131",
                "AcquisitionTime": ["235958", "235959", "000000", "000001"][f],
            },
            "acquisition time",
        ),
        (
            lambda s, f: {
                "AcquisitionDateTime": ["20260131235958", "20260131235959", "20260201000000", "20260201000001"][f]
            },
            "acquisition time",
        ),
        (lambda s, f: {"ContentTime": ["235959.7", "235959.9", "000000.1", "000000.3"][f]}, "content time"),
        (lambda s, f: {"ContentTime": f"120000.{f}"}, "content time"),
        (lambda s, f: {"InstanceNumber": 100 * s + f}, "instance number"),
        (lambda s, f: {"TriggerTime": "", "TemporalPositionIdentifier": f}, "temporal position"),
        (lambda s, f: {"TriggerTime": "0", "TemporalPositionIdentifier": f}, "temporal position"),
        (lambda s, f: {"TemporalPositionIdentifier": 1, "InstanceNumber": f}, "instance number"),
        (lambda s, f: {"TriggerTime": None if s + f == 5 else str(f), "ContentTime": f"12000{f}"}, "content time"),
        (lambda s, f: {"TriggerTime": ["1", "2"], "InstanceNumber": f}, "instance number"),
    ],
)
def test_the_next_best_is_taken_and_told(make, tmp_path, elements, name):
    cine = dicom.read(make.save(tmp_path, images(make, elements)))
    assert make.codes(cine) == RIGHT and cine.frame_times_ms is None
    assert len(cine.notes) == 1 and f"sorted by {name} and frame times are unknown" in cine.notes[0]


def test_a_rounded_tie_is_settled_by_the_instance_number(make, tmp_path):
    def elements(s, f):
        return {"TriggerTime": str([0, 22, 22, 60][f]), "InstanceNumber": f}

    cine = dicom.read(make.save(tmp_path, images(make, elements)))
    assert make.codes(cine) == RIGHT
    assert "2 images of a slice have the same trigger time, 22: frames were sorted by trigger time" in cine.notes[0]


def test_only_the_slice_concerned_falls_back(make, tmp_path):
    def elements(s, f):
        return {"TriggerTime": None if s == 1 else str(40 * f), "TemporalPositionIdentifier": f}

    cine = dicom.read(make.save(tmp_path, images(make, elements)))
    assert make.codes(cine) == RIGHT and "frames of slice 2 were sorted by temporal position" in cine.notes[0]


def test_every_time_twice_is_two_sets_of_images(make, tmp_path):
    made = make.stack() + make.stack(series=5, InstanceNumber=7)
    for number, image in enumerate(made):
        image.SOPInstanceUID, image.InstanceNumber = make.uid(number), number
    with pytest.raises(
        CsmriError, match="slice 1 holds 2 images with the same trigger time, 20: .*; remove duplicates"
    ):
        dicom.read(make.save(tmp_path, made))


def test_contradictions_are_told(make, tmp_path):
    made = images(make, lambda s, f: {"TemporalPositionIdentifier": 4 - f}, keep_trigger=True)
    cine = dicom.read(make.save(tmp_path, made))
    assert make.codes(cine) == RIGHT and "tell different orders of the frames in slice 1, 2, 3" in cine.notes[0]


@pytest.mark.parametrize(
    ("elements", "times", "origin"),
    [
        ({"NominalInterval": 800, "CardiacNumberOfImages": 4}, [0, 200, 400, 600], "NominalInterval"),
        ({"TemporalResolution": "35"}, [0, 35, 70, 105], "TemporalResolution"),
        ({"NominalInterval": 0, "CardiacNumberOfImages": 4}, None, "unknown"),
        ({"NominalInterval": 800, "CardiacNumberOfImages": 0}, None, "unknown"),
    ],
)
def test_times_from_the_beat(make, tmp_path, elements, times, origin):
    made = images(make, lambda s, f: {"TemporalPositionIdentifier": f + 1} | elements)
    cine = dicom.read(make.save(tmp_path, made))
    assert origin in cine.notes[0]
    if times is None:
        assert cine.frame_times_ms is None
    else:
        np.testing.assert_allclose(cine.frame_times_ms, times)


def test_nothing_tells_the_order(make, tmp_path):
    with pytest.raises(CsmriError, match="no time and no instance number puts in order"):
        dicom.read(make.save(tmp_path, images(make, lambda s, f: {"InstanceNumber": 1})))
