"""ISMRMRD: what the format's own library reads of ours, what we read of the habits of scanners, and refusals."""

import h5py
import ismrmrd
import numpy as np
import pytest
from ismrmrd import xsd

from csmri.core.errors import CsmriError
from csmri.data.kspace import KSpace
from csmri.formats import mrd, mrd_write


def refusal(path):
    with pytest.raises(CsmriError) as caught:
        record = mrd.read(path)
        list(record.slices())
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def rewrite(tmp_path, kspace):
    """Write the k-space, or another, with every acquisition and the header changed; further acquisitions appended."""

    def write(change=lambda one: None, *, header=lambda one: None, more=lambda every: [], of=kspace):
        mrd.write(tmp_path / "plain.h5", of)
        path = tmp_path / "changed.h5"
        path.unlink(missing_ok=True)
        with h5py.File(tmp_path / "plain.h5") as plain:
            head = xsd.CreateFromDocument(plain["dataset/xml"][0])
            every = [acquisition(*row) for row in plain["dataset/data"][()]]
        header(head)
        every = [change(one) or one for one in every]
        every += more(every)
        with ismrmrd.Dataset(str(path), mode="w") as changed:
            changed.write_xml_header(xsd.ToXML(head))
        rows = np.zeros(len(every), ismrmrd.hdf5.acquisition_dtype)
        for number, one in enumerate(every):
            rows[number]["head"] = np.frombuffer(one.getHead(), ismrmrd.hdf5.acquisition_header_dtype)[0]
            rows[number]["data"] = np.ascontiguousarray(one.data).view(np.float32).reshape(-1)
            rows[number]["traj"] = np.zeros(0, np.float32)
        with h5py.File(path, "r+") as changed:
            changed["dataset/data"] = rows
        return path

    return write


def acquisition(head, _, data):
    """What the library makes of a row, faster than one by one."""
    one = ismrmrd.Acquisition(head)
    one.data[:] = data.view(np.complex64).reshape(one.active_channels, one.number_of_samples)
    return one


def image(one):
    return not one.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)


def copy_of(one, data=None, **changes):
    other = ismrmrd.Acquisition.from_array(one.data if data is None else data)
    for name in ("center_sample", "acquisition_time_stamp", "sample_time_us"):
        setattr(other, name, changes.pop(name, getattr(one, name)))
    for name in ("position", "read_dir", "phase_dir", "slice_dir", "physiology_time_stamp"):
        getattr(other, name)[:] = getattr(one, name)[:]
    for name in ("kspace_encode_step_1", "slice", "phase", "repetition"):
        setattr(other.idx, name, changes.pop(name, getattr(one.idx, name)))
    for flag in changes.pop("flags", ()):
        other.set_flag(flag)
    assert not changes
    return other


@pytest.mark.parametrize("cyclic", [True, False])
def test_round_trip(tmp_path, make_kspace, check_same, cyclic):
    kspace = make_kspace(cyclic=cyclic)
    mrd.write(tmp_path / "a.h5", kspace)
    assert mrd.is_mrd(tmp_path / "a.h5")
    again = mrd.read(tmp_path / "a.h5")
    check_same(again, kspace)
    assert again.subject == "P 7" and again.matrix == kspace.matrix and again.cyclic is cyclic
    np.testing.assert_allclose(again.spacing_mm, kspace.spacing_mm)
    np.testing.assert_allclose(again.slice_spacing_mm, 8, rtol=1e-6)
    np.testing.assert_allclose(again.affine, kspace.affine, atol=1e-4)
    np.testing.assert_array_equal(again.frame_times_ms, kspace.frame_times_ms)
    np.testing.assert_allclose(again.noise_covariance, kspace.noise_covariance, atol=1e-6)


def test_the_formats_own_library_reads_the_same(tmp_path, kspace):
    mrd.write(tmp_path / "a.h5", kspace)
    with ismrmrd.Dataset(str(tmp_path / "a.h5"), mode="r") as file:
        header = xsd.CreateFromDocument(file.read_xml_header())
        every = [file.read_acquisition(number) for number in range(file.number_of_acquisitions())]
    encoding = header.encoding[0]
    assert (encoding.encodedSpace.matrixSize.x, encoding.reconSpace.matrixSize.x) == (40, 20)
    assert (encoding.encodedSpace.fieldOfView_mm.x, encoding.reconSpace.fieldOfView_mm.x) == (50, 25)
    assert encoding.encodingLimits.phase.maximum == 4 and header.subjectInformation.patientID == "P 7"
    lines = [one for one in every if image(one)]
    assert len(lines) == kspace.mask.sum() * kspace.n_slices and len(every) == len(lines) + 1
    for one in lines:
        index = one.idx
        expected = kspace.kspace[index.slice, :, index.phase, index.kspace_encode_step_1]
        np.testing.assert_array_equal(one.data, expected)
        assert one.physiology_time_stamp[0] * 2.5 == kspace.frame_times_ms[index.phase]


def test_nothing_known_but_the_data(tmp_path, make_kspace, check_same):
    names = ("spacing_mm", "slice_spacing_mm", "frame_times_ms", "affine", "matrix", "noise_covariance", "cyclic")
    kspace = make_kspace(**dict.fromkeys(names))
    mrd.write(tmp_path / "a.h5", kspace)
    again = mrd.read(tmp_path / "a.h5")
    check_same(again, kspace)
    assert [getattr(again, name) for name in names] == [None] * len(names)


def test_asymmetric_echo_and_samples_to_leave_out(rewrite, kspace):
    def cut(one):
        if image(one):
            short = np.concatenate([np.full((2, 2), 99), one.data[:, 10:], np.full((2, 3), 99)], 1)
            other = copy_of(one, short.astype(np.complex64), center_sample=20 - 10 + 2)
            other.discard_pre, other.discard_post = 2, 3
            return other

    record = mrd.read(rewrite(cut))
    np.testing.assert_array_equal(record.slice_of(0)[..., 10:], kspace.kspace[0, ..., 10:])
    assert not record.slice_of(0)[..., :10].any()
    assert any("30 of 40 samples" in note for note in record.notes)


def test_partial_phase_encoding_is_placed_by_the_centre_of_the_header(rewrite, make_kspace, check_same):
    mask = make_kspace().mask.copy()
    mask[:, :8] = False
    kspace = make_kspace(mask=mask)

    def shift(one):
        one.idx.kspace_encode_step_1 -= 8 if image(one) else 0

    def header(head):
        limit = head.encoding[0].encodingLimits.kspace_encoding_step_1
        limit.center, limit.maximum = 12 - 8, 23 - 8

    check_same(mrd.read(rewrite(shift, header=header, of=kspace)), kspace)


def test_reversed_readouts_are_turned(rewrite, kspace, check_same):
    def turn(one):
        if image(one) and one.idx.kspace_encode_step_1 % 2:
            return copy_of(one, one.data[:, ::-1], flags=[ismrmrd.ACQ_IS_REVERSE])

    check_same(mrd.read(rewrite(turn)), kspace)


@pytest.mark.parametrize("n_cut", [0, 10])
@pytest.mark.parametrize("convention", ["as stored", "as turned", "from the end"])
def test_reversed_echoes_lie_where_the_others_do(rewrite, convention, n_cut):
    n_samples, echo = 40 - n_cut, 20 - n_cut
    told = {"as stored": n_samples - 1 - echo, "as turned": echo, "from the end": n_samples - echo}[convention]

    def turn(one):
        if image(one):
            data = one.data[:, n_cut:].copy()
            data[:, echo] += 1e4
            if one.idx.kspace_encode_step_1 % 2:
                return copy_of(one, data[:, ::-1], center_sample=told, flags=[ismrmrd.ACQ_IS_REVERSE])
            return copy_of(one, data, center_sample=echo)

    record = mrd.read(rewrite(turn))
    lines = record.slice_of(0)[:, record.mask_of(0)]
    assert (np.abs(lines).argmax(-1) == 20).all()
    assert not any("reversed readout" in note for note in record.notes)


def test_reversed_echoes_without_others_are_taken_as_stored(rewrite, kspace):
    def turn(one):
        if image(one):
            return copy_of(one, one.data[:, :9:-1], center_sample=29 - 10, flags=[ismrmrd.ACQ_IS_REVERSE])

    record = mrd.read(rewrite(turn))
    np.testing.assert_array_equal(record.slice_of(0)[..., 10:], kspace.kspace[0, ..., 10:])
    assert any("reversed readouts could not be compared" in note for note in record.notes)


def test_averages_are_means_with_less_noise(rewrite, kspace):
    def again(every):
        others = [copy_of(one, 3 * one.data) for one in filter(image, every)]
        for one in others:
            one.idx.average = 1
        return others

    record = mrd.read(rewrite(more=again))
    np.testing.assert_allclose(record.slice_of(1), 2 * kspace.kspace[1], rtol=1e-5)
    np.testing.assert_allclose(record.noise_covariance, kspace.noise_covariance / 2, atol=1e-6)
    assert any("measured 2 times" in note for note in record.notes)


def test_noise_of_another_bandwidth(rewrite, kspace):
    def dwell(one):
        one.sample_time_us = 4.0 if image(one) else 2.0

    record = mrd.read(rewrite(dwell))
    np.testing.assert_allclose(record.noise_covariance, kspace.noise_covariance / 2, atol=1e-6)
    assert any("scaled by 0.5" in note for note in record.notes)


@pytest.mark.parametrize(
    "flag",
    [
        ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
        ismrmrd.ACQ_IS_NAVIGATION_DATA,
        ismrmrd.ACQ_IS_PHASECORR_DATA,
        ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
        ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ],
)
def test_what_is_no_image_is_left_out(rewrite, kspace, check_same, flag):
    def more(every):
        return [copy_of(one, one.data * 7, flags=[flag]) for one in every[5:8]]

    record = mrd.read(rewrite(more=more))
    check_same(record, kspace)
    assert any("Left out: 3 readouts" in note for note in record.notes)


def test_calibration_that_is_image_too_counts(rewrite, kspace, check_same):
    def flag(one):
        if image(one):
            one.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
            one.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)

    check_same(mrd.read(rewrite(flag)), kspace)


def test_another_encoding_is_left_out(rewrite, kspace, check_same):
    def more(every):
        other = copy_of(every[5], np.ones((2, 17)))
        other.encoding_space_ref = 1
        return [other]

    check_same(mrd.read(rewrite(more=more)), kspace)


def test_slices_are_sorted_by_their_positions(rewrite, kspace):
    def swap(one):
        if image(one):
            one.idx.slice = (2, 0, 1)[one.idx.slice]  # interleaved, as scanners count

    record = mrd.read(rewrite(swap))
    for index in range(3):
        np.testing.assert_array_equal(record.slice_of(index), kspace.kspace[index])
    np.testing.assert_allclose(record.affine, kspace.affine, atol=1e-4)


@pytest.mark.parametrize(("moved", "named"), [([0, 0, 0], "1, 2, 3"), ([1, 0, 1], "1, 3")])
def test_slices_at_one_place_have_no_position(rewrite, kspace, check_same, moved, named):
    def move(one):
        if image(one):
            one.position[:] = (10.0, 20.0 + 8 * moved[one.idx.slice], 30.0)
            one.read_dir[:], one.phase_dir[:], one.slice_dir[:] = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)

    record = mrd.read(rewrite(move))
    check_same(record, kspace)
    assert record.affine is None and record.slice_spacing_mm is None
    assert any(f"the slices {named} are told to lie at one place" in note for note in record.notes)


def test_real_time_frames_in_the_counter_of_phases(rewrite, make_kspace, check_same):
    kspace = make_kspace(cyclic=False)

    def move(one):
        one.idx.phase, one.idx.repetition = one.idx.repetition, 0

    record = mrd.read(rewrite(move, of=kspace))
    check_same(record, kspace)
    assert record.cyclic is False
    np.testing.assert_allclose(record.frame_times_ms, kspace.frame_times_ms)


@pytest.mark.parametrize("beat_ms", [42.5, 1000])
def test_times_after_the_r_wave_overrule_the_order_of_readouts(rewrite, kspace, beat_ms):
    """As converters and simulators write that count readouts, frame after frame, and know the gated times."""

    def sort(one):
        if image(one):
            one.acquisition_time_stamp = 1 + 200 * one.idx.phase + 2000 * one.idx.slice
            one.physiology_time_stamp[0] = int(beat_ms / 2.5) * one.idx.phase

    record = mrd.read(rewrite(sort))
    is_beat = 4 * beat_ms <= 3000
    assert record.cyclic is is_beat
    np.testing.assert_allclose(record.frame_times_ms, (beat_ms if is_beat else 500) * np.arange(5))
    assert any(f"--time {'real-time' if is_beat else 'cyclic'}" in note for note in record.notes)


def test_phases_and_repetitions(rewrite, kspace, check_same):
    def more(every):
        return [copy_of(one, one.data * 5, repetition=1) for one in filter(image, every)]

    record = mrd.read(rewrite(more=more))
    check_same(record, kspace)
    assert any("first of 2 repetitions" in note for note in record.notes)


def test_interpolated_images_do_not_cut_off_more(rewrite, kspace):
    def header(head):
        head.encoding[0].reconSpace.matrixSize.x = head.encoding[0].reconSpace.matrixSize.y = 256

    assert mrd.read(rewrite(header=header)).matrix == kspace.matrix


def test_without_a_patient_the_file_names_the_subject(rewrite):
    def header(head):
        head.subjectInformation = None

    assert mrd.read(rewrite(header=header)).subject == "changed"


def set_index(name, when=lambda one: one.idx.phase == 1):
    def change(one):
        if image(one) and when(one):
            setattr(one.idx, name, 1)

    return change


def trajectory(name):
    def header(head):
        head.encoding[0].trajectory = xsd.trajectoryType(name)

    return header


def test_refusals_by_name(rewrite):
    assert "holds 2 contrasts" in refusal(rewrite(set_index("contrast")))
    assert "holds 2 sets" in refusal(rewrite(set_index("set")))
    assert "third dimension" in refusal(rewrite(set_index("kspace_encode_step_2")))
    assert "trajectory is radial" in refusal(rewrite(header=trajectory("radial")))
    assert "trajectory is spiral" in refusal(rewrite(header=trajectory("spiral")))


def test_no_cine_and_no_image(rewrite, tmp_path):
    def one_phase(one):
        one.idx.phase = 0

    assert "no cine" in refusal(rewrite(one_phase))

    def noise(one):
        one.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)

    assert "no imaging readout" in refusal(rewrite(noise))
    with ismrmrd.Dataset(str(tmp_path / "images.h5"), mode="w") as file:
        file.write_xml_header(xsd.ToXML(mrd_write.header_of(_kspace_like())))
        file.append_image("image_0", ismrmrd.Image.from_array(np.ones((4, 4), np.float32)))
    assert mrd.is_mrd(tmp_path / "images.h5")
    assert "reconstructed images only" in refusal(tmp_path / "images.h5")


def _kspace_like():
    return KSpace(np.ones((1, 1, 2, 4, 4), np.complex64), np.ones((2, 4), bool), "s")


def test_readouts_that_do_not_fit_one_another(rewrite):
    def shorter(one):
        return copy_of(one, one.data[:, :30]) if image(one) and one.idx.phase == 2 else None

    assert "has 30 samples, those before it 40" in refusal(rewrite(shorter))

    def fewer(one):
        return copy_of(one, one.data[:1]) if image(one) and one.idx.phase == 2 else None

    assert "has 1 coils, those before it 2" in refusal(rewrite(fewer))

    def outside(one):
        one.idx.kspace_encode_step_1 = 24 if image(one) and one.idx.phase == 2 else 12

    assert "is line 25 of a matrix of 24 lines" in refusal(rewrite(outside))

    def centre(one):
        one.center_sample = 3

    assert "echo at 4, which does not fit a matrix of 40" in refusal(rewrite(centre))


def test_mixed_orientations(rewrite):
    def turn(one):
        if one.idx.slice == 1:
            read = list(one.read_dir)
            one.read_dir[:], one.phase_dir[:] = list(one.phase_dir), read

    assert "3 slices have different orientations" in refusal(rewrite(turn))


def test_a_frame_that_was_never_acquired_and_a_silent_coil(rewrite):
    def skip(one):
        one.idx.phase += 1 if image(one) and one.idx.phase > 1 else 0

    assert "no line of frame 3" in refusal(rewrite(skip))

    def silence(one):
        return copy_of(one, one.data * [[1], [0]]) if image(one) else None

    assert "coil 2 of 2 is zero" in refusal(rewrite(silence))


def test_a_header_that_promises_more_than_there_is(tmp_path, kspace):
    mrd.write(tmp_path / "a.h5", kspace)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        stored = file["dataset/data"][()]
        stored["head"]["number_of_samples"] = 60_000
        file["dataset/data"][()] = stored
    assert "acquisitions promise" in refusal(tmp_path / "a.h5")
    mrd.write(tmp_path / "b.h5", kspace)
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        stored = file["dataset/data"][()]
        stored["head"]["number_of_samples"] = 20
        file["dataset/data"][()] = stored
    assert "holds 1024 numbers, its head promises 2 coils of 20" in refusal(tmp_path / "b.h5")


@pytest.mark.parametrize("counter", ["phase", "slice"])
def test_a_scan_that_was_cut_off(rewrite, counter):
    """The file is whole, but the last frame or slice of which the header knows is not in it."""

    def header(head):
        getattr(head.encoding[0].encodingLimits, counter).maximum += 1

    what = {"phase": "frames", "slice": "slices"}[counter]
    assert f"{what}, the readouts are of" in refusal(rewrite(header=header))


def test_a_matrix_that_no_memory_holds(rewrite):
    def header(head):
        head.encoding[0].encodedSpace.matrixSize.x = head.encoding[0].encodedSpace.matrixSize.y = 65_000

    assert "the header promises" in refusal(rewrite(header=header))
