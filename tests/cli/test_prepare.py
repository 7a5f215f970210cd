"""`csmri prepare` and `csmri reconstruct` say what a reader must know of the data, and pseudonyms hide who is in it."""

from __future__ import annotations

import json
import stat
from dataclasses import asdict, replace

import numpy as np
import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.data.cine import Cine
from csmri.data.roi import heart_box
from csmri.data.store import open_store
from csmri.formats import read_cine, write

NAMES = ("Doe^Jane", "Roe^Richard", "Poe^Edgar")


def run(*words):
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refused(*words):
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 2 and "Traceback" not in result.output, result.output
    return result.output


@pytest.fixture
def ward(cines, tmp_path):
    """Three persons in files of their names, and a split that names two of them."""
    for name in NAMES:
        cine = replace(cines["k_phantom_000"], subject=name, provenance="", notes=(f"Exported for {name}.",))
        write(tmp_path / "ward 7" / f"{name}.npz", cine)
    (tmp_path / "split.toml").write_text('train = ["Doe^Jane"]\ntest = ["Roe^Richard"]\n')
    return tmp_path


# --- pseudonyms


def prepare(ward, *options, store="store", split="split.toml"):
    return "prepare", ward / "ward 7", ward / store, "--split", ward / split, *options


def test_pseudonyms_hide_who_is_in_the_store(ward):
    text = run(*prepare(ward, "--pseudonyms", ward / "key.json"))
    key = json.loads((ward / "key.json").read_text())["subjects"]
    assert sorted(key.values()) == sorted(NAMES[:2])  # not who was left out
    entries = open_store(ward / "store").entries
    assert {key[entry.subject]: entry.split for entry in entries} == {"Doe^Jane": "train", "Roe^Richard": "test"}
    assert all(f"{original} ({pseudonym}): " in text for pseudonym, original in key.items())  # notes, to who may know
    files = list((ward / "store").iterdir())
    assert {file.name for file in files} == {"manifest.json", "heart_boxes.png", *(f"{name}.tfrecord" for name in key)}
    content = b"".join(file.read_bytes() for file in files)
    for part in ("Doe", "Jane", "Roe", "Richard", "Poe", "ward", ".npz", str(ward)):
        assert part.encode() not in content
    assert stat.S_IMODE((ward / "key.json").stat().st_mode) == 0o600
    assert sorted(path.name for path in ward.iterdir()) == ["key.json", "split.toml", "store", "ward 7"]


def test_without_pseudonyms_names_stay_and_paths_are_short(ward):
    run(*prepare(ward))
    entry = open_store(ward / "store").entries[0]
    assert (entry.subject, entry.provenance) == ("Doe^Jane", "ward 7/Doe^Jane.npz (NPZ)")
    assert str(ward).encode() not in (ward / "store" / "manifest.json").read_bytes()


def test_a_split_may_name_subjects_either_way_and_the_key_is_gone_on_with(ward):
    run(*prepare(ward, "--pseudonyms", ward / "key.json"))
    key = {original: name for name, original in json.loads((ward / "key.json").read_text())["subjects"].items()}
    (ward / "other.toml").write_text(f'train = ["{key["Doe^Jane"]}", "Poe^Edgar"]\ntest = ["Roe^Richard"]\n')
    run(*prepare(ward, "--pseudonyms", ward / "key.json", store="again", split="other.toml"))
    again = {original: name for name, original in json.loads((ward / "key.json").read_text())["subjects"].items()}
    assert key.items() < again.items() and set(again) == set(NAMES)
    splits = {entry.subject: entry.split for entry in open_store(ward / "again").entries}
    assert splits == {again["Doe^Jane"]: "train", again["Poe^Edgar"]: "train", again["Roe^Richard"]: "test"}
    (ward / "twice.toml").write_text(f'train = ["{key["Doe^Jane"]}"]\ntest = ["Doe^Jane"]\n')
    said = refused(*prepare(ward, "--pseudonyms", ward / "key.json", store="third", split="twice.toml"))
    assert f"names Doe^Jane and {key['Doe^Jane']}, which are one subject" in said
    assert not (ward / "third").exists()


def test_a_key_in_the_store_or_in_results_is_refused(ward):
    for place in ("store/key.json", "results/key.json", "old/deep/key.json", "runs/key.json"):
        for mark in ("results/evaluation.json", "old/manifest.json", "runs/run.json"):
            (ward / mark).parent.mkdir(exist_ok=True)
            (ward / mark).write_text("{}")
        assert "would lie inside" in refused(*prepare(ward, "--pseudonyms", ward / place))
        assert not (ward / "store").exists() and not (ward / place).exists()
    (ward / "other.json").write_text('{"format": 1}')
    said = refused(*prepare(ward, "--pseudonyms", ward / "other.json"))
    assert "other.json: not a key of pseudonyms" in said


def test_a_failure_leaves_the_key_as_it_was(ward):
    (ward / "absent.toml").write_text('train = ["Nobody"]\n')
    assert "names Nobody" in refused(*prepare(ward, "--pseudonyms", ward / "key.json", split="absent.toml"))
    assert sorted(path.name for path in ward.iterdir()) == ["absent.toml", "split.toml", "ward 7"]


# --- what is told of the data


def beating(y, x, n_slices=2):
    """A disc that beats at a place (y, x) of 64 x 64 pixels."""
    distance = np.hypot(np.arange(64)[:, np.newaxis] - y, np.arange(64) - x)
    radius = 6 + 2 * np.sin(np.arange(5))[:, np.newaxis, np.newaxis]
    return np.broadcast_to(1 + (distance < radius), (n_slices, 5, 64, 64)).astype(np.float32)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (beating(32, 32), None),
        (beating(4, 4), "The heart box lies at the edge of the image"),
        (beating(32, 32, n_slices=1), "The heart box comes from the motion of one slice alone"),
    ],
)
def test_a_heart_box_that_may_miss_the_heart_is_told(tmp_path, images, said):
    write(tmp_path / "a.npz", Cine(images, "a"))
    (tmp_path / "split.toml").write_text('test = ["a"]\n')
    prepared = run("prepare", tmp_path / "a.npz", tmp_path / "store", "--split", tmp_path / "split.toml")
    line = ("--method", "initial", "--acceleration", 4)
    reconstructed = run("reconstruct", tmp_path / "a.npz", tmp_path / "out.npz", *line)
    if said is None:
        assert "note:" not in prepared + reconstructed
    else:
        assert (
            f"note: a: {said}" in prepared and "heart_boxes.png; where a box misses the heart, give --outl" in prepared
        )
        assert f"note: {said}" in reconstructed and "Look at it with --picture." in reconstructed
        assert any(note.startswith(said) for note in open_store(tmp_path / "store").entries[0].notes)


def test_of_complex_images_the_phase_is_kept_and_both_commands_say_the_same(tmp_path):
    images = beating(30, 33) * np.exp(0.9j * np.arange(5))[:, np.newaxis, np.newaxis]
    write(tmp_path / "a.npz", Cine(images, "a"))
    (tmp_path / "split.toml").write_text('test = ["a"]\n')
    text = run("prepare", tmp_path / "a.npz", tmp_path / "store", "--split", tmp_path / "split.toml")
    assert "note: a: The images are complex: their phase is kept" in text
    assert "look at" not in text
    line = ("--method", "initial", "--acceleration", 4)
    by_reconstruct = cells(run("reconstruct", tmp_path / "a.npz", tmp_path / "out.npz", *line))
    by_evaluate = cells(run("evaluate", tmp_path / "store", "--out", tmp_path / "results", "--acceleration", 4))
    # In the heart box; of one subject the one mean is the other.
    assert float(by_evaluate["initial (IR)"][0]) == pytest.approx(float(by_reconstruct["initial"][1]), abs=0.006)


def test_what_many_share_is_told_once(ward, cines):
    for number in range(8):
        write(
            ward / "ward 7" / f"{number}.npz",
            replace(cines["k_phantom_000"], subject=f"p{number}", notes=("Guessed.",)),
        )
    (ward / "split.toml").write_text(f"train = {[f'p{number}' for number in range(8)]}\n")
    assert "note: p0, p1, p2, p3, p4, p5 and 2 more: Guessed.\n" in run(*prepare(ward))


def cells(text):
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_reconstruct_leaves_out_what_has_no_content_and_tells(tmp_path):
    images = beating(32, 32, n_slices=3).copy()
    line = ("--method", "view-sharing", "--acceleration", 4, "--picture", tmp_path / "picture.png")
    write(tmp_path / "whole.npz", Cine(images[:2], "a"))
    whole = run("reconstruct", tmp_path / "whole.npz", tmp_path / "out.npz", *line)
    images[2] = 0
    write(tmp_path / "padded.npz", Cine(images, "a"))
    padded = run("reconstruct", tmp_path / "padded.npz", tmp_path / "out.npz", *line)
    assert cells(padded) == cells(whole)
    assert str(tmp_path) not in read_cine(tmp_path / "out.npz").provenance
    assert "5 of 15 images without content are left out.\n" in padded and "left out" not in whole
    images[1, 2] = 0  # in the slice and, by far, the frame that would be drawn
    box = heart_box(images)
    box.crop(images)[0, 3] = 0
    write(tmp_path / "gaps.npz", Cine(images, "a"))
    gaps = run("reconstruct", tmp_path / "gaps.npz", tmp_path / "out.npz", *line)
    assert "nan" not in gaps and "inf" not in gaps
    assert "6 of 15 images without content" in gaps and "7 of 15 images without content" in gaps


# --- how far the signal reaches in k-space


@pytest.fixture
def interpolated(tmp_path):
    """Two cines of 64 x 64 pixels, one of them zero-filled along y from 32 lines, and a split that tests both."""
    from csmri.physics.fourier import image_to_kspace, kspace_to_image

    for number, name in enumerate(("whole", "zero-filled")):
        images = np.random.default_rng(number).uniform(1, 2, (1, 6, 64, 64)).astype(np.float32)
        kspace = image_to_kspace(images).numpy()
        if number:
            kspace[..., abs(np.arange(64) - 32) > 15, :] = 0
        write(tmp_path / "export" / f"{name}.npz", Cine(np.abs(kspace_to_image(kspace)), name))
    (tmp_path / "split.toml").write_text('test = ["whole", "zero-filled"]\n')
    return tmp_path


NOTE = "Of 64 lines about 31 carry signal in 1 of 2 subjects, as in images that were interpolated"


def test_how_far_the_signal_reaches_is_measured_kept_and_said(interpolated):
    told = run("inspect", interpolated / "export").splitlines()
    for kind, expected in (("lines (ky)", ["63", "31"]), ("samples (kx)", ["63", "63"])):
        rows = [line.removeprefix(f"  {kind}").split() for line in told if line.startswith(f"  {kind}")]
        assert [row[1] for row in rows] == expected and all(row[2:6] == "of 64 carry signal;".split() for row in rows)
    store, results = interpolated / "store", interpolated / "results"
    text = run("prepare", interpolated / "export", store, "--split", interpolated / "split.toml")
    assert text.count(f"note: {NOTE}") == text.count("carry signal") == 1
    entries = {entry.subject: entry for entry in open_store(store).entries}
    assert (entries["whole"].extent.is_limited, entries["zero-filled"].extent.edge) == (False, 31)

    run("evaluate", store, "--out", results, "--acceleration", "4")
    kept = json.loads((results / "evaluation.json").read_text())["extents"]
    assert kept == {name: asdict(entry.extent) for name, entry in entries.items()}
    run("figures", results, "--only", "table2", "--only", "methods", "--only", "report")
    for name in ("table2_nmse.md", "methods.md", "report.html"):
        assert NOTE in (results / name).read_text()

    del kept["zero-filled"]["band"]
    (results / "evaluation.json").write_text(json.dumps({"extents": kept}))
    assert "evaluation.json: damaged extents (KeyError('band'))" in refused("figures", results, "--only", "table2")
    (results / "evaluation.json").write_text("{}")
    run("figures", results, "--only", "table2")
    assert "carry signal" not in (results / "table2_nmse.md").read_text()


def test_a_damaged_extent_in_a_store_is_refused(interpolated):
    run("prepare", interpolated / "export", interpolated / "store", "--split", interpolated / "split.toml")
    manifest = interpolated / "store" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"edge": 31', '"edge": "far"'))
    assert "manifest.json: damaged" in refused("evaluate", interpolated / "store", "--out", interpolated / "out")
