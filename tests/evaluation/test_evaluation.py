"""Evaluation: complete records, the same masks for all, and means over subjects."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csmri.config import Config, Sampling
from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.records import (
    QUALITIES,
    UNTRAINED,
    Record,
    Timing,
    mean_over_subjects,
    read_records,
    read_timings,
    with_quality,
    write_records,
    write_timings,
)
from csmri.data.store import StoreWriter, open_store
from csmri.evaluation import evaluate as evaluation
from csmri.evaluation.evaluate import common_law, with_direct
from csmri.evaluation.metrics import frame_quality
from csmri.methods.model import Origin, SavedNetwork, hash_subject
from csmri.methods.reconstruction import Reconstructor, baseline_reconstructor, simulate_slices
from csmri.physics.fourier import ifft_y
from csmri.physics.initial import initial_images

ACCELERATIONS = (2.0, 8.0)


def make_network(name, factor=1, **fields):
    def reconstruct(acquisition):
        return initial_images(acquisition).numpy() / factor

    return Reconstructor(name, reconstruct, SavedNetwork(Path(name), Config(**fields), 1), 7)


COPY, HALF = make_network("copy"), make_network("half", 2)


def records_of(store, reconstructors=(COPY, HALF), **options):
    return [record for one in evaluated(store, reconstructors, **options) for record in one.outcome.records()]


def evaluated(store, reconstructors, **options):
    return evaluation.evaluate(store, with_direct(reconstructors), **options)


@pytest.fixture(scope="module")
def visited():
    return []


@pytest.fixture(scope="module")
def records(store, visited):
    visited += evaluated(store, (COPY, HALF), accelerations=ACCELERATIONS)
    return [record for one in visited for record in one.outcome.records()]


def test_one_record_a_subject_slice_frame_acceleration_and_method(records):
    n_images = 1 * 4 + 2 * 6  # slices x frames of the two subjects in the test split
    assert len(records) == n_images * 2 * 4
    keys = {(r.subject, r.slice, r.frame, r.acceleration, r.method) for r in records}
    assert len(keys) == len(records)
    assert {r.subject for r in records} == {"k_phantom_002", "k_phantom_003"}
    assert {r.acceleration for r in records} == set(ACCELERATIONS)
    assert {r.method for r in records} == {"zero-filled", "initial", "copy", "half"}
    assert {(r.acceleration, r.achieved) for r in records} == {(2, 2), (8, 8)}


def test_all_methods_meet_the_same_masks(records):
    by_key = {(r.subject, r.slice, r.frame, r.acceleration, r.method): r for r in records}
    for record in records:
        if record.method == "initial":
            copied = by_key[record.subject, record.slice, record.frame, record.acceleration, "copy"]
            assert replace(copied, method="initial", seed=UNTRAINED) == record


def test_same_again_and_whoever_takes_part(store, records):
    alone = records_of(store, (HALF,), accelerations=(8.0,))
    assert alone == [r for r in records if r.acceleration == 8 and r.method != "copy"]
    other = records_of(store, (HALF,), accelerations=(8.0,), seed=1)
    assert [r.nmse for r in other] != [r.nmse for r in alone]


def test_quality_is_that_of_the_visited_images(store, records, visited):
    assert len(visited) == (1 + 2) * 2 * 4
    wanted = {}
    for one in visited:
        item, entry = one.outcome.item, one.entry
        np.testing.assert_array_equal(one.reference, list(store.slices(entry))[item.slice])
        y, x, height, width = entry.heart_box
        for frame in range(entry.n_frames):
            truth, image = one.reference[frame].astype(float), one.images[frame].astype(float)
            heart = np.s_[y : y + height, x : x + width]
            wanted[entry.subject, item.slice, frame, item.acceleration, item.method] = (
                np.linalg.norm(image - truth) ** 2 / np.linalg.norm(truth) ** 2,
                np.linalg.norm((image - truth)[heart]) ** 2 / np.linalg.norm(truth[heart]) ** 2,
            )
    for r in records:
        nmse, nmse_heart = wanted[r.subject, r.slice, r.frame, r.acceleration, r.method]
        assert r.nmse == pytest.approx(nmse, rel=1e-9)
        assert r.nmse_heart == pytest.approx(nmse_heart, rel=1e-9)


def test_interpolation_beats_zero_filling(records):
    means = mean_over_subjects(records, "nmse_heart")
    for acceleration in ACCELERATIONS:
        assert means["initial", acceleration][0] < 0.5 * means["zero-filled", acceleration][0]
    assert means["initial", 2.0][0] < means["initial", 8.0][0]


def test_every_cine_and_method_is_timed_and_no_first_call(store, monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def reconstruct(acquisition):
        now[0] += 3 if acquisition.data.shape in calls else 60  # the first of a size compiles
        calls.append(acquisition.data.shape)
        return ifft_y(acquisition.data[0])

    slow = Reconstructor("slow", reconstruct)
    timings = [one.outcome.timing() for one in evaluated(store, [slow], accelerations=ACCELERATIONS)]
    cines = [("k_phantom_002", 0, 4), ("k_phantom_003", 0, 6), ("k_phantom_003", 1, 6)]
    assert [(t.subject, t.slice, t.n_frames, t.acceleration, t.method) for t in timings] == [
        (*cine, acceleration, method)
        for cine in cines
        for acceleration in ACCELERATIONS
        for method in ("zero-filled", "initial", "slow")
    ]
    assert {(t.n_y, t.n_x) for t in timings} == {(32, 32)}
    assert len(calls) == 3 * 2 + 2  # one more for each of the two sizes
    assert {(t.method, t.seconds) for t in timings} == {("zero-filled", 0), ("initial", 0), ("slow", 3)}


def test_baselines_take_part_like_networks(store):
    baseline = baseline_reconstructor("view-sharing")
    some = records_of(store, (baseline, COPY), accelerations=(4.0,), split="validation")
    assert [(r.method, r.seed) for r in some[::4]] == [
        ("zero-filled", UNTRAINED),
        ("initial", UNTRAINED),
        ("view-sharing", UNTRAINED),
        ("copy", 0),
    ]
    assert common_law([baseline, make_network("a", cyclic=False)]) == Sampling(cyclic=False)


def test_real_network_takes_part(store, run):
    from csmri.methods.reconstruction import load_reconstructor

    reconstructor = load_reconstructor(run / "models" / "final")
    some = records_of(store, (reconstructor,), accelerations=(4.0,), split="validation")
    assert [r.method for r in some[::4]] == ["zero-filled", "initial", "standalone"]
    assert all(np.isfinite(r.nmse) for r in some)
    assert some[4].nmse != some[8].nmse


@pytest.mark.parametrize(
    ("reconstructors", "options", "message"),
    [
        ((COPY, COPY), {}, "have one name .*NAME=PATH"),
        ((make_network("initial"),), {}, "have one name"),
        ((make_network("zero-filled"),), {}, "have one name"),
        (
            (COPY, make_network("other", cyclic=False)),
            {},
            "sampling: cyclic = False and True; evaluate them one",
        ),
        ((), {"accelerations": (2.0, 33.0)}, "acceleration 33 is impossible"),
        ((), {"accelerations": (0.9,)}, r"acceleration 0\.9 is impossible"),
        ((), {"split": "nobody"}, "no subject in split 'nobody'"),
    ],
)
def test_refused_before_any_work(store, reconstructors, options, message):
    with pytest.raises(CsmriError, match=message):
        evaluated(store, reconstructors, **options)


def test_law_is_the_one_of_the_networks():
    assert common_law([]) == Sampling()
    narrow = Sampling(mask_width=0.3, mask_centre_lines=4, cyclic=False)
    trained = [make_network(name, **narrow.model_dump(), seed=i) for i, name in enumerate("ab")]
    assert common_law(trained) == narrow


def test_given_law_decides(store):
    schlemper = records_of(store, (), law=Sampling(mask_law="schlemper"), accelerations=(3.0,))
    gaussian = records_of(store, (), accelerations=(3.0,))
    assert {r.achieved for r in schlemper} == {32 / 10}  # rounded down
    assert {r.achieved for r in gaussian} == {32 / 11}  # rounded to the nearest


@pytest.mark.parametrize("change", [{"phase": "moving"}, {"coils": 4}, {"snr": 10.0}, {"phase": "drift", "coils": 3}])
def test_phase_coils_and_noise_are_simulated(store, change):
    """The same masks, other data; coils alone change nothing of a combined image, phase and noise make it worse."""
    law = Sampling(**change)
    plain, other = (records_of(store, (), law=one, accelerations=(3.0,)) for one in (Sampling(), law))
    assert [r.achieved for r in plain] == [r.achieved for r in other]
    before, now = (np.mean([r.nmse for r in found if r.method == "initial"]) for found in (plain, other))
    assert now != before
    if law.coils == 1:
        assert now > before
    assert [r.nmse for r in other] == [r.nmse for r in records_of(store, (), law=law, accelerations=(3.0,))]


# --- records and means


def make_record(**fields):
    quality = dict.fromkeys(QUALITIES, 0.5)
    common = {"subject": "a", "slice": 0, "frame": 0, "acceleration": 4.0, "achieved": 4.0}
    return Record(**{**common, "method": "initial", "seed": 0, **quality, **fields})


def test_records_come_back_from_csv(records, tmp_path):
    path = tmp_path / "records.csv"
    write_records(records, path)
    back = read_records(path)
    assert len(back) == len(records)
    for one, other in zip(records, back, strict=True):
        for name in ("subject", "slice", "frame", "acceleration", "achieved", "method"):
            assert getattr(one, name) == getattr(other, name)
            assert type(getattr(one, name)) is type(getattr(other, name)) or name == "achieved"
        for name in QUALITIES:
            assert getattr(other, name) == pytest.approx(getattr(one, name), rel=5e-5)
    write_records(back, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
    assert path.read_text().splitlines()[0] == (
        "subject,slice,frame,acceleration,achieved,method,seed,nmse,nmse_heart,psnr,psnr_heart,ssim,ssim_heart"
    )


def test_times_come_back_from_csv(tmp_path):
    timings = [Timing("a", 1, 4.0, "temporal-tv", 25, 144, 162, 3.25), Timing("b, c", 0, 2.5, "initial", 4, 3, 2, 1e-3)]
    write_timings(timings, tmp_path / "seconds.csv")
    assert read_timings(tmp_path / "seconds.csv") == timings
    head = "subject,slice,acceleration,method,n_frames,n_y,n_x,seconds"
    assert (tmp_path / "seconds.csv").read_text().splitlines()[0] == head
    with pytest.raises(CsmriError, match=r"seconds\.csv: not a table of records"):
        read_records(tmp_path / "seconds.csv")


def test_infinite_and_missing_values_come_back(tmp_path):
    write_records([make_record(psnr=float("inf"), ssim_heart=float("nan"), subject='B, "C"')], tmp_path / "r.csv")
    (back,) = read_records(tmp_path / "r.csv")
    assert back.psnr == float("inf")
    assert np.isnan(back.ssim_heart)
    assert back.subject == 'B, "C"'


def test_compressed_tables_have_no_date(tmp_path):
    write_records([make_record()], tmp_path / "r.csv.gz")
    write_records(read_records(tmp_path / "r.csv.gz"), tmp_path / "again.csv.gz")
    assert (tmp_path / "r.csv.gz").read_bytes() == (tmp_path / "again.csv.gz").read_bytes()
    (tmp_path / "r.csv.gz").write_bytes((tmp_path / "again.csv.gz").read_bytes()[:-20])
    with pytest.raises(CsmriError, match="not a table of records"):
        read_records(tmp_path / "r.csv.gz")


def test_a_column_that_tells_nothing_is_left_out(tmp_path):
    write_records([make_record(), make_record(acquisition="moving")], tmp_path / "r.csv")
    assert [r.acquisition for r in read_records(tmp_path / "r.csv")] == ["", "moving"]
    write_records([make_record()], tmp_path / "r.csv")
    assert "acquisition" not in (tmp_path / "r.csv").read_text()


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n", b"subject,slice\nx,0\n", b"\xff\xfe\x00", None], ids=["other", "part", "binary", "none"]
)
def test_what_is_no_table_of_records_is_refused(tmp_path, content):
    path = tmp_path / "records.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CsmriError, match=r"records\.csv: not a table of records"):
        read_records(path)


@pytest.fixture
def unequal():
    """Subject `a` has 1 frame with NMSE 0.1, `b` has 3 with 0.2, 0.3, 0.4: over frames 0.25, over subjects 0.2."""
    values = [("a", 0, 0.1), ("b", 0, 0.2), ("b", 1, 0.3), ("b", 2, 0.4)]
    return [make_record(subject=subject, frame=frame, nmse_heart=value) for subject, frame, value in values]


def test_mean_is_over_subjects_not_over_frames(unequal):
    mean, spread = mean_over_subjects(unequal, "nmse_heart")["initial", 4.0]
    assert mean == pytest.approx((0.1 + 0.3) / 2)
    assert spread == pytest.approx(np.sqrt(0.1**2 + 0.1**2))


def test_single_subject_has_no_spread(unequal):
    assert mean_over_subjects(unequal[1:], "nmse_heart")["initial", 4.0] == (pytest.approx(0.3), 0.0)


def test_subject_without_content_drops_out_of_the_mean_and_of_the_count(unequal):
    nothing = dict.fromkeys(QUALITIES, float("nan"))
    blank = [make_record(subject="c", frame=frame, **nothing) for frame in range(5)]
    assert mean_over_subjects([*unequal, *blank], "nmse_heart") == mean_over_subjects(unequal, "nmse_heart")
    assert mean_over_subjects(blank, "nmse_heart") == {}


def test_left_out_images_are_counted_once_whatever_methods_there_are(unequal):
    blank = make_record(subject="b", frame=3, **dict.fromkeys(QUALITIES, float("nan")))
    every = [
        replace(r, method=method, acceleration=a) for r in [*unequal, blank] for method in "xy" for a in (2.0, 4.0)
    ]
    counted, note = with_quality(every, "psnr")
    assert len(counted) == 4 * len(unequal)
    assert note == "1 of 5 images without content is left out."
    assert with_quality(unequal, "psnr") == (unequal, "")
    more = [*every, *(replace(r, frame=4) for r in every if r.frame == 3)]
    assert with_quality(more, "ssim_heart")[1] == "2 of 6 images without content are left out."


def test_a_psnr_that_an_older_csmri_gave_a_blank_image_does_not_count(unequal):
    for psnr in (float("inf"), 45.0):
        blank = make_record(subject="b", frame=3, **{name: float("nan") for name in ("nmse", "nmse_heart")}, psnr=psnr)
        assert mean_over_subjects([*unequal, blank], "psnr")["initial", 4.0] == (0.5, 0.0)


def test_content_is_asked_for_where_the_quality_is_judged(unequal):
    nothing = {name: float("nan") for name in QUALITIES if name.endswith("heart")}
    empty_box = make_record(subject="b", frame=3, **nothing)
    assert with_quality([*unequal, empty_box], "psnr")[1] == ""
    assert with_quality([*unequal, empty_box], "psnr_heart")[1] == "1 of 5 images without content is left out."


def test_images_too_small_for_ssim_are_told_apart(unequal):
    small = make_record(subject="b", frame=3, ssim_heart=float("nan"))
    note = "1 of 5 images, too small for the window of SSIM, is left out."
    assert with_quality([*unequal, small], "ssim_heart")[1] == note
    assert with_quality([*unequal, small], "psnr_heart")[1] == ""


def test_a_mean_that_is_not_finite_has_no_spread(unequal):
    spoilt = make_record(subject="b", frame=3, nmse_heart=float("inf"))
    mean, spread = mean_over_subjects([*unequal, spoilt], "nmse_heart")["initial", 4.0]
    assert mean == float("inf") and np.isnan(spread)


def test_blank_slices_and_frames_have_no_quality(cines, tmp_path):
    images = np.concatenate([cines["k_phantom_003"].images, np.zeros((1, 6, 32, 32), np.float32)])
    images[0, 2] = 0
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(Cine(images, "padded"), "test")
    found = records_of(open_store(tmp_path / "store"), (COPY,), accelerations=(4.0,))
    blank = {(r.slice, r.frame) for r in found if np.isnan([getattr(r, name) for name in QUALITIES]).all()}
    assert blank == {(0, 2), *((2, frame) for frame in range(6))}
    assert all(np.isfinite(getattr(r, name)) for r in found for name in QUALITIES if (r.slice, r.frame) not in blank)
    assert with_quality(found, "ssim")[1] == "7 of 18 images without content are left out."


def test_complex_images_are_undersampled_with_their_phase(cines, tmp_path):
    """A phase that moves makes the initial reconstruction worse, and must not be lost on the way through a store."""
    magnitude = cines["k_phantom_003"].images
    frame, y = np.arange(6)[:, np.newaxis, np.newaxis], np.arange(32)[:, np.newaxis]
    cine = Cine((magnitude * np.exp(1j * (0.8 * frame + 0.1 * y))).astype(np.complex64), "flow")
    with StoreWriter(tmp_path / "store") as writer:
        entry = writer.add(cine, "test")
        writer.add(replace(cine, images=magnitude, subject="still"), "train")
    store = open_store(tmp_path / "store")
    found = [r for r in records_of(store, (), accelerations=(4.0,)) if r.method == "initial"]
    done = simulate_slices(cine, 4.0, seed=0, law=Sampling(), reconstructors=())
    wanted = [
        quality["nmse"]
        for reference, one in zip(cine.magnitude, done, strict=True)
        for quality in frame_quality(reference, one.methods["initial"], entry.heart_box)
    ]
    assert [r.nmse for r in found] == pytest.approx(wanted, rel=1e-4)
    still = [r for r in records_of(store, (), accelerations=(4.0,), split="train") if r.method == "initial"]
    assert np.mean(wanted) > 2 * np.mean([r.nmse for r in still])


def test_blank_frames_are_left_out_of_the_mean(unequal):
    blank = make_record(subject="b", frame=3, nmse_heart=float("nan"))
    assert mean_over_subjects([*unequal, blank], "nmse_heart") == mean_over_subjects(unequal, "nmse_heart")


def test_no_network_is_judged_on_whom_it_was_trained_on(store):
    knows = Origin((hash_subject("k_phantom_003"), hash_subject("somebody")), (), True)
    network = make_network("a")
    network = replace(network, saved=replace(network.saved, origin=knows))
    with pytest.raises(CsmriError, match="a: was trained on k_phantom_003 of split 'test'.*--allow-trained-subjects"):
        evaluated(store, [network])
    assert evaluated(store, [network], allow_trained_subjects=True)
    assert evaluated(store, [network], split="train")  # no held-out subjects
    assert evaluated(store, [make_network("b")])  # of before, does not tell
