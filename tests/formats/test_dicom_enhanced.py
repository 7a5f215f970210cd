"""Multi-frame DICOM: functional groups as each vendor fills them, one file or many, converted and plain files."""

import itertools

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.formats import dicom

N_SLICES, N_FRAMES = 3, 4
PLACES = list(itertools.product(range(N_SLICES), range(N_FRAMES)))
EXPECTED = [[100 * (s + 1) + f for f in range(N_FRAMES)] for s in range(N_SLICES)]


def shuffled(places, seed=0):
    return [places[index] for index in np.random.default_rng(seed).permutation(len(places))]


def delay(make, frame):
    return make.group(NominalCardiacTriggerDelayTime=20.0 + make.step_ms * frame)


def siemens(make):
    """XA: a trigger delay of each frame, stacks and dimensions, rescaling and spacing of each frame."""

    def groups(s, f):
        return {
            "CardiacSynchronizationSequence": delay(make, f),
            "FrameContentSequence": make.group(
                StackID="1",
                InStackPositionNumber=s + 1,
                TemporalPositionIndex=f + 1,
                DimensionIndexValues=[1, s + 1, f + 1],
            ),
            "MRImageFrameTypeSequence": make.group(
                FrameType=["ORIGINAL", "PRIMARY", "CINE", "NONE"], ComplexImageComponent="MAGNITUDE"
            ),
        }

    return groups


def dimension(make):
    """GE: only the dimension index tells the frame."""
    return lambda s, f: {"FrameContentSequence": make.group(DimensionIndexValues=[s + 1, f + 1])}


def acquisition_time(make):
    return lambda s, f: {"FrameContentSequence": make.group(FrameAcquisitionDateTime=f"2026013112{s:02d}{f:02d}.5")}


def test_one_file_holds_all_slices_and_frames(make, tmp_path):
    folder = make.save(tmp_path, [make.enhanced(shuffled(PLACES), frame_groups=siemens(make))])
    [source], left_out = make.find(folder)
    assert (source.n_slices, source.n_frames, source.files, left_out) == (3, 4, (folder / "IM0000",), [])
    cine = source.load()
    assert make.codes(cine) == EXPECTED and cine.notes == ()
    assert make.codes(dicom.read(folder / "IM0000")) == EXPECTED
    np.testing.assert_array_equal(cine.images[2, 1], make.pixels(2, 1))
    np.testing.assert_allclose(cine.frame_times_ms, [20, 60, 100, 140])
    assert cine.spacing_mm == (1.5, 1.25) and cine.slice_spacing_mm == 8
    np.testing.assert_allclose(cine.affine @ [2, 1, 2, 1], [10 - 2.5, 20 - 1.5, 16, 1])


@pytest.mark.parametrize("axis", [0, 1], ids=["a slice", "a phase"])
@pytest.mark.parametrize("series", ["one", "several"])
def test_one_file_each(make, tmp_path, axis, series):
    files = [
        make.enhanced(
            shuffled([place for place in PLACES if place[axis] == index]),
            number=index + 1,
            frame_groups=siemens(make),
            series=5 + (index if series == "several" else 0),
        )
        for index in range((N_SLICES, N_FRAMES)[axis])
    ]
    [source], left_out = make.find(make.save(tmp_path, reversed(files)))
    assert make.codes(source.load()) == EXPECTED and left_out == []


def test_philips_keeps_trigger_times_in_a_private_sequence(make, tmp_path):
    dataset = make.enhanced(places := shuffled(PLACES))
    for item, (_, frame) in zip(dataset.PerFrameFunctionalGroupsSequence, places, strict=True):
        item.add_new(0x20050014, "LO", "Philips MR Imaging DD 005")
        item.add_new(0x2005140F, "SQ", make.group(TriggerTime=str(20 + make.step_ms * frame)))
    cine = dicom.read(make.save(tmp_path, [dataset]))
    assert make.codes(cine) == EXPECTED
    np.testing.assert_allclose(cine.frame_times_ms, [20, 60, 100, 140])


def test_dimension_index_tells_the_frame_where_nothing_else_does(make, tmp_path):
    dataset = make.enhanced(shuffled(PLACES), frame_groups=dimension(make))
    dataset.DimensionIndexSequence = [
        *make.group(DimensionIndexPointer=0x00209057, FunctionalGroupPointer=0x00209111),
        *make.group(DimensionIndexPointer=0x00209153, FunctionalGroupPointer=0x00189118),
    ]
    cine = dicom.read(make.save(tmp_path, [dataset]))
    assert make.codes(cine) == EXPECTED and cine.frame_times_ms is None
    assert "sorted by temporal position" in cine.notes[0]


def test_acquisition_times_of_frames(make, tmp_path):
    cine = dicom.read(make.save(tmp_path, [make.enhanced(shuffled(PLACES), frame_groups=acquisition_time(make))]))
    assert make.codes(cine) == EXPECTED and "sorted by acquisition time" in cine.notes[0]


def test_without_any_time_the_order_in_the_file_is_kept(make, tmp_path):
    cine = dicom.read(make.save(tmp_path, [make.enhanced(PLACES)]))
    assert make.codes(cine) == EXPECTED and "instance number" in cine.notes[0]


def test_rescaling_of_each_frame(make, tmp_path):
    def groups(s, f):
        scaling = make.group(RescaleSlope=str(0.5**s), RescaleIntercept=str(f), RescaleType="US")
        return {"CardiacSynchronizationSequence": delay(make, f), "PixelValueTransformationSequence": scaling}

    cine = dicom.read(make.save(tmp_path, [make.enhanced(PLACES, frame_groups=groups)]))
    expected = [[(100 * (s + 1) + f) * 0.5**s + f for f in range(N_FRAMES)] for s in range(N_SLICES)]
    np.testing.assert_allclose(cine.images[:, :, 0, 0], expected, rtol=1e-6)


def test_magnitude_is_taken_of_magnitude_and_phase_in_one_file(make, tmp_path):
    def groups(s, f):
        component = "PHASE" if f >= N_FRAMES else "MAGNITUDE"
        return {
            "CardiacSynchronizationSequence": delay(make, f % N_FRAMES),
            "MRImageFrameTypeSequence": make.group(ComplexImageComponent=component),
        }

    places = list(itertools.product(range(N_SLICES), range(2 * N_FRAMES)))
    cine = dicom.read(make.save(tmp_path, [make.enhanced(places, frame_groups=groups)]))
    assert make.codes(cine) == EXPECTED and "left out 12 of phase parts" in cine.notes[0]


def test_stacks_of_other_directions_in_one_file_are_cines_of_their_own(make, tmp_path):
    def groups(s, f):
        long_axis = [0, 1, 0, 0, 0, -1] if s == 2 else [1, 0, 0, 0, 1, 0]
        return {
            "CardiacSynchronizationSequence": delay(make, f),
            "PlaneOrientationSequence": make.group(ImageOrientationPatient=long_axis),
            "FrameContentSequence": make.group(StackID=str(1 + s // 2)),
        }

    sources, _ = make.find(make.save(tmp_path, [make.enhanced(PLACES, frame_groups=groups)]))
    assert [source.n_slices for source in sources] == [2, 1]
    assert len({source.label for source in sources}) == 2
    assert [make.codes(source.load()) for source in sources] == [EXPECTED[:2], EXPECTED[2:]]


def test_converted_files_keep_the_classic_elements_in_a_group(make, tmp_path):
    def groups(s, f):
        return {
            "UnassignedPerFrameConvertedAttributesSequence": make.group(TriggerTime=str(20 + 40 * f), EchoTime="1.2")
        }

    dataset = make.enhanced(shuffled(PLACES), frame_groups=groups, SOPClassUID=make.converted)
    cine = dicom.read(make.save(tmp_path, [dataset]))
    assert make.codes(cine) == EXPECTED and cine.frame_times_ms[1] == 60


@pytest.mark.parametrize("times", [{"FrameTime": "40"}, {"FrameTimeVector": [0, 40, 40, 40]}])
def test_plain_multi_frame_image_with_frame_time(make, tmp_path, times):
    content = np.stack([make.pixels(0, f) for f in range(N_FRAMES)]).tobytes()
    dataset = make.classic(0, 0, TriggerTime=None, NumberOfFrames=N_FRAMES, PixelData=content, **times)
    cine = dicom.read(make.save(tmp_path, [dataset]))
    assert make.codes(cine) == EXPECTED[:1]
    np.testing.assert_allclose(cine.frame_times_ms, [0, 40, 80, 120])


def test_beat_and_number_of_images_give_times(make, tmp_path):
    shared = {"CardiacSynchronizationSequence": make.group(RRIntervalTimeNominal=800.0)}
    dataset = make.enhanced(PLACES, shared_groups=shared, CardiacNumberOfImages=N_FRAMES)
    cine = dicom.read(make.save(tmp_path, [dataset]))
    np.testing.assert_allclose(cine.frame_times_ms, [0, 200, 400, 600])
    assert "NominalInterval" in cine.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"NumberOfFrames": 11}, "expected 11 frames, found the description of 12"),
        ({"NumberOfFrames": 10**9}, "the file is incomplete"),
        ({"NumberOfFrames": -3}, "damaged"),
        ({"Rows": 60000, "Columns": 60000}, "damaged"),
        ({"Rows": 4000}, "the file is incomplete"),
    ],
)
def test_nonsense_sizes_are_named(make, tmp_path, change, message):
    folder = make.save(tmp_path, [make.enhanced(PLACES, frame_groups=siemens(make), **change)])
    sources, [left] = make.find(folder)
    assert sources == [] and left.is_fault and message in left.reason and left.path == folder / "IM0000"
    with pytest.raises(CsmriError, match=message):
        dicom.read(folder)


def test_frame_without_a_place_is_named(make, tmp_path):
    dataset = make.enhanced(PLACES, frame_groups=siemens(make))
    del dataset.PerFrameFunctionalGroupsSequence[7].PlanePositionSequence
    with pytest.raises(CsmriError, match="1 of 12 images.*ImagePositionPatient.*frame 8 of IM0000"):
        dicom.read(make.save(tmp_path, [dataset]))
