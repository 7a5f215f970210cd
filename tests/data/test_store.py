"""A store gives back what was put in, refuses what was altered, and is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from csmri.core.errors import CsmriError
from csmri.core.files import temporary_name
from csmri.data.cine import Cine, Outlines
from csmri.data.pseudonyms import Pseudonyms
from csmri.data.roi import heart_box, heart_box_notes
from csmri.data.shard import parse_slice, record_at
from csmri.data.split import read_split
from csmri.data.store import StoreWriter, extents_of, open_store


@pytest.fixture
def own_store(tmp_path, cines):
    """A store that a test may spoil: one subject of 2 slices, 5 frames."""
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(cines["k_phantom_000"], "train")
    return tmp_path / "store"


def test_gives_back_every_slice(store, cines):
    assert [entry.subject for entry in store.entries] == list(cines)
    for entry in store.entries:
        stored = np.stack(list(store.slices(entry)))
        assert stored.dtype == np.float32
        assert stored.min() >= 0
        assert stored.max() == 1
        np.testing.assert_allclose(stored * entry.scale, cines[entry.subject].images, rtol=2e-7)


def test_manifest_tells_what_a_subject_is(store, cines):
    entry = store.of_split("test")[1]
    cine = cines["k_phantom_003"]
    assert (entry.subject, entry.split) == ("k_phantom_003", "test")
    assert (entry.n_slices, entry.n_frames, entry.matrix) == (2, 6, (32, 32))
    assert entry.scale == cine.images.max()
    assert entry.heart_box == heart_box(cine.images)
    assert entry.spacing_mm == cine.spacing_mm
    assert (entry.provenance, entry.notes) == (cine.provenance, cine.notes)


def test_manifest_holds_the_sha256_of_every_shard(store):
    manifest = json.loads((store.path / "manifest.json").read_text())
    digests = {entry["shard"]: entry["sha256"] for entry in manifest["entries"]}
    assert sorted([*digests, "manifest.json"]) == sorted(file.name for file in store.path.iterdir())
    for shard, digest in digests.items():
        assert hashlib.sha256((store.path / shard).read_bytes()).hexdigest() == digest
    lines = "".join(f"{entry['split']} {entry['sha256']}\n" for entry in manifest["entries"])
    assert store.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_same_cine_makes_the_same_bytes(own_store, tmp_path, cines):
    with StoreWriter(tmp_path / "again") as writer:
        writer.add(cines["k_phantom_000"], "train")
    assert open_store(tmp_path / "again").sha256 == open_store(own_store).sha256


def test_complex_images_keep_their_phase(tmp_path, cines):
    magnitude = cines["k_phantom_001"].images
    cine = Cine(magnitude * np.exp(1j * np.arange(32)).astype(np.complex64), "turned")
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(cine, "train")
        writer.add(cines["k_phantom_000"], "train")
    store = open_store(tmp_path / "store")
    turned, plain = store.entries
    assert turned.complex and not plain.complex
    assert turned.heart_box == heart_box(cine.magnitude)
    assert any("their phase is kept" in note for note in turned.notes)
    assert not any("phase" in note for note in plain.notes)
    (stored,) = store.slices(turned)
    assert stored.dtype == np.complex64 and np.abs(stored).max() == pytest.approx(1)
    np.testing.assert_allclose(stored * turned.scale, cine.images[0], rtol=1e-6)
    assert next(store.slices(plain)).dtype == np.float32


def test_both_kinds_are_parsed_as_complex_where_asked_for(tmp_path, cines):
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(cines["k_phantom_001"], "train")
        writer.add(replace(cines["k_phantom_000"], images=cines["k_phantom_000"].images * np.complex64(1j)), "train")
    store = open_store(tmp_path / "store")
    for entry in store.entries:
        records = tf.data.TFRecordDataset(store.shard(entry)).map(lambda r: parse_slice(r, as_complex=True))
        for parsed, images in zip(records, store.slices(entry), strict=True):
            assert parsed.dtype == tf.complex64
            np.testing.assert_array_equal(parsed, images.astype(np.complex64))


@pytest.mark.parametrize("golden", [True, False])
def test_every_slice_is_read_at_its_offset(store, golden):
    """Also of a store of format 1, also in tf.data, in any order."""
    opened = open_store(Path(__file__).parents[1] / "golden" / "store") if golden else store
    for entry in opened.entries:
        shard, offsets = opened.shard(entry), opened.offsets(entry)
        assert len(offsets) == entry.n_slices
        order = list(reversed(range(entry.n_slices)))
        found = tf.data.Dataset.from_tensor_slices([offsets[i] for i in order]).map(
            lambda offset, shard=shard: parse_slice(record_at(shard, offset))
        )
        slices = list(opened.slices(entry))
        for index, images in zip(order, found, strict=True):
            np.testing.assert_array_equal(images, slices[index])


def test_a_store_of_format_1_opens_and_magnitudes_have_the_shards_of_then(tmp_path):
    golden = Path(__file__).parents[1] / "golden" / "store"
    assert json.loads((golden / "manifest.json").read_text())["format"] == 1
    store = open_store(golden)
    with StoreWriter(tmp_path / "store") as writer:
        for entry in store.entries:
            assert not entry.complex
            images = np.stack(list(store.slices(entry)))
            assert images.dtype == np.float32
            # The maximum is 1, so that the stored values are their own scaled ones.
            writer.add(Cine(images, entry.subject), entry.split)
    assert open_store(tmp_path / "store").sha256 == store.sha256
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["format"] == 2


def test_no_absolute_path_gets_into_a_store(tmp_path, cines):
    told = f"{tmp_path}/some where/file.npz (NPZ)"
    cine = replace(cines["k_phantom_000"], provenance=told, notes=(f"Made again by /usr/me/script.py from {told}",))
    with StoreWriter(tmp_path / "store") as writer:
        entry = writer.add(cine, "train")
    assert entry.provenance == "some where/file.npz (NPZ)"
    content = b"".join(file.read_bytes() for file in (tmp_path / "store").iterdir())
    assert str(tmp_path).encode() not in content and b"/usr/me" not in content


def test_under_pseudonyms_neither_name_nor_place_gets_into_a_store(tmp_path, cines):
    cine = replace(
        cines["k_phantom_000"],
        subject="Doe^Jane 4711",
        provenance="/ward/Doe^Jane 4711/series (DICOM)",
        notes=("Ignored 1 file without a DICOM image, the first is Doe.txt.",),
    )
    images = cine.images.copy()
    images[0, 1] = 0
    pseudonyms = Pseudonyms(tmp_path / "key.json")
    with StoreWriter(tmp_path / "store", pseudonyms) as writer:
        entry = writer.add(replace(cine, images=images), "train")
        with pytest.raises(CsmriError, match="'Doe\\^Jane 4711' was added already"):
            writer.add(cine, "test")
    assert entry.subject == pseudonyms.of("Doe^Jane 4711") != pseudonyms.of("Doe^Jane 4712")
    assert entry.shard == f"{entry.subject}.tfrecord"
    assert entry.notes == ("Slice 0, frame 1 is blank; it has no NMSE.",)
    names = "".join(str(file) for file in (tmp_path / "store").iterdir())
    content = b"".join(file.read_bytes() for file in (tmp_path / "store").iterdir())
    for part in ("Doe", "Jane", "4711", "ward", "series"):
        assert part not in names.removeprefix(str(tmp_path)) and part.encode() not in content


def test_blank_frame_is_noted(tmp_path, cines):
    images = cines["k_phantom_001"].images.copy()
    images[0, 2] = 0
    with StoreWriter(tmp_path / "store") as writer:
        entry = writer.add(Cine(images, "gap"), "train")
    assert "Slice 0, frame 2 is blank; it has no NMSE." in entry.notes


def test_blank_slice_is_noted_once(tmp_path, cines):
    images = cines["k_phantom_000"].images.copy()
    images[1] = 0
    with StoreWriter(tmp_path / "store") as writer:
        entry = writer.add(Cine(images, "padded"), "train")
    assert [note for note in entry.notes if "blank" in note] == ["Slice 1 is blank; it has no quality."]


def test_heart_box_that_may_miss_the_heart_is_noted(tmp_path, cines):
    cine = cines["k_phantom_001"]  # of one slice
    outlines = Outlines(endocardium={(0, 0): np.array([[1.0, 1.0], [2.0, 1.0]], np.float32)})
    with StoreWriter(tmp_path / "store") as writer:
        moving = writer.add(cine, "train")
        outlined = writer.add(replace(cine, subject="outlined"), "train", outlines)
    (note,) = heart_box_notes(moving.heart_box, cine.magnitude)
    assert moving.notes == (*cine.notes, note)
    assert outlined.notes == (*cine.notes, "The heart box is centred on the outlines of 1 images.")


def test_split_without_subjects_is_refused(own_store):
    with pytest.raises(CsmriError, match=r"no subject in split 'test'; the store has train$"):
        open_store(own_store).of_split("test")


@pytest.mark.parametrize("position", [0.0, 0.5, 0.999])
def test_one_altered_byte_is_refused(own_store, position):
    shard = own_store / "k_phantom_000.tfrecord"
    content = bytearray(shard.read_bytes())
    content[int(position * len(content))] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CsmriError, match=r"k_phantom_000\.tfrecord: was altered .*sha256.*csmri prepare"):
        open_store(own_store)


def test_missing_shard_is_refused(own_store):
    (own_store / "k_phantom_000.tfrecord").unlink()
    with pytest.raises(CsmriError, match=r"k_phantom_000\.tfrecord: missing"):
        open_store(own_store)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"format": 1}', b'{"format": 1, "entries": [{"subject": "a"}]}'],
    ids=["empty", "cut", "list", "binary", "no-entries", "fields-missing"],
)
def test_damaged_manifest_is_refused(own_store, content):
    (own_store / "manifest.json").write_bytes(content)
    with pytest.raises(CsmriError, match=r"manifest\.json: damaged"):
        open_store(own_store)


def test_store_of_another_format_is_refused(own_store):
    manifest = json.loads((own_store / "manifest.json").read_text())
    (own_store / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(CsmriError, match="store format 99, expected 1 or 2; run"):
        open_store(own_store)


def test_what_is_no_store_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("text")
    for path in (tmp_path, tmp_path / "missing", file):
        with pytest.raises(CsmriError, match="not a prepared store"):
            open_store(path)


def test_existing_path_is_never_overwritten(own_store):
    before = sorted(own_store.iterdir())
    with pytest.raises(CsmriError, match="exists already"), StoreWriter(own_store):
        pass
    assert sorted(own_store.iterdir()) == before


def test_subject_twice_is_refused_and_nothing_is_left(tmp_path, cines):
    cine = cines["k_phantom_001"]
    with pytest.raises(CsmriError, match="'k_phantom_001' was added already"), StoreWriter(tmp_path / "s") as writer:
        writer.add(cine, "train")
        writer.add(replace(cine, images=cine.images + 1), "test")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error_in_the_middle(tmp_path, cines, error):
    with pytest.raises(error), StoreWriter(tmp_path / "deep" / "store") as writer:
        writer.add(cines["k_phantom_001"], "train")
        assert any((tmp_path / "deep").iterdir())
        raise error
    assert list((tmp_path / "deep").iterdir()) == []


def test_remains_of_a_killed_preparation_do_not_leak_in(tmp_path, cines):
    remains = temporary_name(tmp_path / "store", process=999999999)
    remains.mkdir()
    (remains / "other.tfrecord").write_bytes(b"half")
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(cines["k_phantom_001"], "train")
    names = sorted(file.name for file in (tmp_path / "store").iterdir())
    assert names == ["k_phantom_001.tfrecord", "manifest.json"]
    assert not remains.exists()


@pytest.mark.parametrize("subject", ["ward 3/bed 7", "../outside", "..", "Ä b", "a\\b", "x" * 300])
def test_any_subject_name_makes_one_shard_inside_the_store(tmp_path, cines, subject):
    """A DICOM patient ID may hold anything."""
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(replace(cines["k_phantom_001"], subject=subject), "train")
        writer.add(replace(cines["k_phantom_001"], subject=subject.replace("/", "_") + "!"), "train")
    assert list(tmp_path.iterdir()) == [tmp_path / "store"]
    opened = open_store(tmp_path / "store")
    assert opened.entries[0].subject == subject
    assert len({entry.shard for entry in opened.entries}) == 2
    assert len(list(opened.slices(opened.entries[0]))) == 1


def test_split_file(tmp_path):
    path = tmp_path / "split.toml"
    path.write_text('pretrain = ["a", "b"]\ntrain = ["c"]\nvalidation = []\ntest = ["d"]\n')
    assert read_split(path) == {"a": "pretrain", "b": "pretrain", "c": "train", "d": "test"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('training = ["a"]', "found 'training'"),
        ('train = "a"', "expected lists of subject names"),
        ("train = [1]", "expected lists of subject names"),
        ('[train]\nsubjects = ["a"]', "expected lists of subject names"),
        ('train = ["a"]\ntest = ["b", "a"]', "subject 'a' stands in 'train' and again in 'test'"),
        ('train = ["a", "a"]', "subject 'a' stands in 'train' and again in 'train'"),
        ("train: [a]", "not a TOML file"),
        ("train = []", "names no subject"),
        ("", "names no subject"),
        (b"\xff\xfe", "the split is not in UTF-8 .*save it as UTF-8"),
        (None, "cannot read the split: No such file"),
    ],
)
def test_bad_split_file_is_refused(tmp_path, content, message):
    path = tmp_path / "split.toml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CsmriError, match=message) as caught:
        read_split(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_outlines_place_the_heart_box_and_are_noted(cines, tmp_path):
    corner = Outlines(endocardium={(0, 0): np.array([[9.0, 10.0], [11.0, 10.0]], np.float32)})
    with StoreWriter(tmp_path / "store") as writer:
        outlined = writer.add(cines["k_phantom_000"], "train", corner)
        moving = writer.add(cines["k_phantom_001"], "train")
    assert outlined.heart_box == heart_box(cines["k_phantom_000"].magnitude, corner)
    assert outlined.heart_box != heart_box(cines["k_phantom_000"].magnitude)
    assert "The heart box is centred on the outlines of 1 images." in outlined.notes
    assert not any("outlines" in note for note in moving.notes)


def test_a_store_of_before_extents_were_measured_opens():
    golden = open_store(Path(__file__).parents[1] / "golden" / "store")
    assert {entry.extent for entry in golden.entries} == {None} and extents_of(golden.entries) == {}
