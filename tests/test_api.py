"""The door for Python: lazy, typed, the same as the commands, and with errors that say what to do."""

from __future__ import annotations

import ast
import os
import platform
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import csmri
from csmri.api import Simulated
from csmri.cli import main
from csmri.core.names import DEFAULT_MODEL, INITIAL
from csmri.data.records import QUALITIES, mean_over_subjects, read_records
from csmri.evaluation.metrics import frame_quality
from csmri.methods.model import SHIPPED, Origin, write_saved_model
from csmri.methods.reconstruction import baseline_reconstructor, simulated_acquisition
from csmri.methods.task import task_of
from csmri.physics.fourier import fft_x, image_to_kspace
from csmri.results.folder import RECORDS

TV = "temporal-tv"


@pytest.fixture(scope="module")
def cine(cines):
    return cines["k_phantom_003"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A tiny unrolled network, untrained, in place of the one that csmri ships."""
    config = csmri.Config(network="unrolled", base_channels=2, cascades=1, batch_size=1, phase="moving", coils=4)
    folder = tmp_path_factory.mktemp("shipped") / "unrolled"
    origin = Origin(is_complete=True, frames=(6, 6), sides=(32, 32))
    write_saved_model(task_of(config).build(), folder, config=config, epoch=0, origin=origin)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SHIPPED, DEFAULT_MODEL, folder)
        yield csmri.load_model(DEFAULT_MODEL)


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own, where nothing is imported yet."""
    kept = {name: value for name, value in os.environ.items() if name not in ("TF_ENABLE_ONEDNN_OPTS", "KERAS_BACKEND")}
    return subprocess.run(
        [sys.executable, "-c", script], env=kept | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("use", "heavy"),
    [
        ("", "numpy pydantic scipy tensorflow keras matplotlib skimage nibabel pydicom click"),
        ("csmri.CsmriError; csmri.__version__; dir(csmri)", "numpy pydantic tensorflow keras matplotlib"),
        ("csmri.Cine; csmri.KSpace; csmri.Acquisition; csmri.read; csmri.write", "tensorflow keras matplotlib"),
        ("csmri.Config; csmri.Sampling", "numpy tensorflow keras matplotlib"),
    ],
)
def test_only_what_is_used_is_imported(use, heavy):
    done = python(f"import csmri, sys; {use}\nprint(*set(sys.modules) & set({heavy.split()!r}))")
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_start_up_notes_of_tensorflow_are_not_shown():
    assert python("import csmri; csmri.simulate; import tensorflow").stderr == ""


def test_names_are_those_of_the_stub():
    tree = ast.parse((Path(csmri.__file__).parent / "__init__.pyi").read_text("utf-8"))
    places = {
        alias.asname: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert places == csmri._MODULE_OF
    assert set(csmri.__all__) == {*places, "__version__"} <= set(dir(csmri))
    for name in csmri.__all__:
        assert getattr(csmri, name) is not None
    with pytest.raises(AttributeError, match="'csmri' has no attribute 'reconstuct'"):
        csmri.reconstuct  # noqa: B018


def test_what_can_be_simulated_otherwise_is_what_sampling_has():
    assert Simulated.__annotations__.keys() == csmri.Sampling.model_fields.keys()


@pytest.mark.slow
def test_a_user_sees_the_types(tmp_path):
    lines = {
        'csmri.read("a")': "csmri.data.cine.Cine | csmri.data.kspace.KSpace",
        "csmri.simulate(cine, 4)": "list[csmri.data.acquisition.Acquisition]",
        "csmri.simulate(cine, 4, slice_index=0, coils=8)": "csmri.data.acquisition.Acquisition",
        "csmri.simulate(np.ones((2, 8, 8)), 4)": "csmri.data.acquisition.Acquisition",
        'csmri.reconstruct(csmri.simulate(cine, 4), "initial")': "numpy.ndarray",
        "csmri.evaluate(cine, cine).nmse": "float",
        'csmri.train(csmri.Config(epochs=3), "store", "run")': "pathlib",
    }
    wrong = {"csmri.simulate(cine, 4, coil=8)": "coil", "csmri.Config(epoch=3)": "epoch", "csmri.draws": "draws"}
    begin = 'import csmri\nimport numpy as np\ncine = csmri.Cine(np.ones((1, 2, 8, 8), np.float32), "a")\n'
    user = tmp_path / "user.py"
    user.write_text(begin + "".join(f"reveal_type({line})\n" for line in lines) + "".join(f"{one}\n" for one in wrong))
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", f"--cache-dir={tmp_path}/cache", "user.py"]
    package = str(Path(csmri.__file__).parents[1])
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MYPYPATH": package}, capture_output=True, text=True, check=False
    )
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert len(revealed) == len(lines), done.stdout + done.stderr
    for found, expected in zip(revealed, lines.values(), strict=True):
        assert expected in found
    first = begin.count("\n") + len(lines) + 1
    for line, word in enumerate(wrong.values(), first):
        assert re.search(rf"user.py:{line}: error: .*\"{word}\"", done.stdout), done.stdout


def test_simulate_makes_what_the_commands_make(cine):
    options = {"phase": "moving", "coils": 3, "snr": 25}
    law = csmri.Sampling(**options)
    made = csmri.simulate(cine, 4, seed=5, **options)
    assert len(made) == cine.n_slices == 2
    for index, one in enumerate(made):
        expected = simulated_acquisition(cine.images[index], 4.0, law, seed=5, subject=cine.subject, slice_index=index)
        for again in (one, csmri.simulate(cine, np.float64(4), seed=5, slice_index=index, sampling=law)):
            for name in ("data", "mask", "maps"):
                np.testing.assert_array_equal(getattr(again, name), getattr(expected, name))
            assert (again.noise, again.cyclic) == (expected.noise, True)
    assert not csmri.simulate(cine, 4, slice_index=0, sampling=law, coils=np.int64(1), cyclic=False).cyclic


def test_an_array_is_slice_0_of_the_subject_array(cine):
    images = (10 * cine.images[0]).astype(np.uint16)
    one = csmri.simulate(images, 4)
    (other,) = csmri.simulate(csmri.Cine(images[np.newaxis], "array"), 4)
    np.testing.assert_array_equal(one.data, other.data)
    assert one.data.shape == (1, *images.shape)


def test_a_network_is_simulated_as_it_was_trained(cine, network):
    schlemper = csmri.Sampling(mask_law="schlemper", cyclic=False)
    config = csmri.Config.model_validate({**network.saved.config.model_dump(), **schlemper.model_dump()})
    trained = replace(network, saved=replace(network.saved, config=config))
    one, other = (csmri.simulate(cine, 2, slice_index=0, sampling=given) for given in (trained, schlemper))
    np.testing.assert_array_equal(one.mask, other.mask)
    assert not one.cyclic


def test_reconstruct_takes_one_several_and_arrays(cine):
    both = csmri.simulate(cine, 4, coils=2)
    images = csmri.reconstruct(both, TV)
    assert images.shape == cine.images.shape
    assert images.dtype == np.complex64
    expected = baseline_reconstructor(TV).reconstruct(both[1])
    np.testing.assert_array_equal(images[1], expected)
    own = csmri.Acquisition(*(np.asarray(part) for part in (both[1].data, both[1].mask, both[1].maps)))
    doubles = replace(own, data=own.data.astype(np.complex128), maps=own.maps.astype(np.complex128))
    for one in (own, doubles):
        np.testing.assert_array_equal(csmri.reconstruct(one, TV), expected)
    fewer = csmri.reconstruct(own, TV, settings={"max_iterations": 1})
    assert not np.allclose(fewer, expected, rtol=1e-3)


def test_reconstruct_by_a_network_by_default_by_its_name_and_loaded(cine, network):
    acquisition = csmri.simulate(cine, 4, slice_index=0, coils=4, phase="moving")
    images = csmri.reconstruct(acquisition, model=network)
    np.testing.assert_array_equal(csmri.reconstruct(acquisition, model="pretrained-unrolled"), images)
    np.testing.assert_array_equal(csmri.reconstruct(acquisition), images)
    initial = csmri.reconstruct(acquisition, INITIAL)
    nmse = [csmri.evaluate(cine, one, slice_index=0).nmse for one in (images, initial)]
    assert nmse[0] < nmse[1]


def test_reconstruct_measured_kspace(cine, network, tmp_path):
    scans = csmri.simulate(cine, 2, coils=4)
    kspace, mask = (np.stack(parts) for parts in ([fft_x(s.data) for s in scans], [s.mask for s in scans]))
    np.savez(tmp_path / "measured.npz", kspace=kspace, mask=mask)
    measured = csmri.read(tmp_path / "measured.npz")
    images = csmri.reconstruct(measured, TV)
    assert images.shape == cine.images.shape
    assert csmri.evaluate(cine, images).nmse < 0.1
    with pytest.warns(
        UserWarning, match=r"^pretrained-unrolled: trained at accelerations 4 to 8, this is 2 \(in all 2"
    ):
        by_default = csmri.reconstruct(measured)
    assert csmri.evaluate(cine, by_default).nmse < 0.1


def test_reconstruct_warns_of_what_a_method_was_not_made_for(cine, network):
    both = csmri.simulate(cine, 2, coils=4)
    for one, slices in ((both, " (in all 2 slices)"), (both[0], "")):
        with pytest.warns(UserWarning) as told:
            csmri.reconstruct(one, model=network)
        expected = (
            f"pretrained-unrolled: trained at accelerations 4 to 8, this is 2{slices}; judge the result with care."
        )
        assert [str(warning.message) for warning in told] == [expected]
        assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="temporal-tv: tuned at accelerations 2 to 8, this is 16; judge"):
        csmri.reconstruct(csmri.simulate(cine, 16, slice_index=0), TV, settings={"max_iterations": 1})


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_the_command_reconstructs_and_draws_the_same(cine, tmp_path, suffix):
    csmri.write(tmp_path / "cine.npz", cine)
    command = (
        f"reconstruct {tmp_path}/cine.npz {tmp_path}/out.npz --method {TV} --acceleration 4 --seed 3 --coils 2 "
        f"--picture {tmp_path}/command.{suffix} --caption phantom"
    )
    done = CliRunner().invoke(main, command.split(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    acquisitions = csmri.simulate(cine, 4, seed=3, coils=2)
    images = {name: csmri.reconstruct(acquisitions, name) for name in (INITIAL, TV)}
    # The absolute value itself may be rounded in another way.
    np.testing.assert_allclose(csmri.read(tmp_path / "out.npz").images, np.abs(images[TV]), rtol=1e-6)
    drawn = csmri.draw(tmp_path / f"own.{suffix}", cine, images, acceleration=4, caption="phantom")
    assert drawn.read_bytes() == (tmp_path / f"command.{suffix}").read_bytes()
    quality = csmri.evaluate(cine, images[TV])
    row = next(line for line in done.output.splitlines() if line.startswith(f"| {TV}"))
    told = [float(cell) for cell in row.split("|")[2:4]]
    assert told == pytest.approx([1e3 * quality.nmse, 1e3 * quality.nmse_heart], abs=6e-4)


def test_evaluate_means_over_frames_and_slices(cine):
    images = csmri.reconstruct(csmri.simulate(cine, 4), INITIAL)
    quality = csmri.evaluate(cine, images)
    every = [
        one
        for truth, image in zip(cine.images, np.abs(images), strict=True)
        for one in frame_quality(truth, image, quality.heart_box)
    ]
    for name in QUALITIES:
        assert getattr(quality, name) == pytest.approx(np.mean([one[name] for one in every]))
    assert csmri.evaluate(cine, replace(cine, images=np.abs(images))) == quality
    # One slice, in the box of all; of an array, in that of the slice.
    one = csmri.evaluate(cine, images[1], slice_index=1)
    assert one == csmri.evaluate(cine, images, slice_index=1)
    assert one.heart_box == quality.heart_box
    in_own_box = csmri.evaluate(cine.images[1], images[1], box=quality.heart_box)
    assert replace(in_own_box, notes=()) == replace(one, notes=())
    assert csmri.evaluate(cine.images, images).nmse == quality.nmse


def test_evaluate_leaves_out_what_has_no_content_and_says_what_is_in_doubt(cine):
    images = cine.images.copy()
    images[0] = 0
    blank = csmri.Cine(images, "blank")
    assert csmri.evaluate(blank, 0.9 * images).nmse == pytest.approx(0.01)
    empty = csmri.evaluate(blank, images, slice_index=0)
    assert np.isnan([empty.nmse, empty.psnr_heart, empty.ssim]).all()
    told = str(csmri.evaluate(blank, 0.9 * images))
    assert told.startswith("heart box: NMSE 0.01, PSNR")
    assert "\nnote: The heart box comes from the motion of one slice alone" in told


def test_draw_takes_one_image_and_the_middle_slice(cine, tmp_path):
    images = csmri.reconstruct(csmri.simulate(cine, 4), INITIAL)
    whole = csmri.draw(tmp_path / "a.png", cine, images, acceleration=4)
    named = csmri.draw(tmp_path / "b.png", cine, {"reconstructed": images[1]}, acceleration=4, slice_index=1)
    assert whole.read_bytes() == named.read_bytes()


def test_prepare_train_compare_are_the_commands(cines, config, store, run, tmp_path):
    split = {"train": ["k_phantom_000"], "validation": ("k_phantom_001",), "test": ["k_phantom_002", "k_phantom_003"]}
    made = csmri.prepare((cines[name] for name in sorted(cines)), tmp_path / "store", split)
    assert [(entry.subject, entry.split, entry.sha256) for entry in made.entries] == [
        (entry.subject, entry.split, entry.sha256) for entry in store.entries if entry.split != "pretrain"
    ]
    assert all(entry.extent for entry in made.entries)
    final = csmri.train(config, store, run, report=lambda line: None)  # finished already
    assert final == run / "models" / "final"
    records = csmri.compare(store, [final, TV], accelerations=4, seed=1)
    command = f"evaluate {final} {store.path} --method {TV} --acceleration 4 --seed 1 --out {tmp_path}/out"
    assert CliRunner().invoke(main, command.split(), catch_exceptions=False).exit_code == 0
    for quality in QUALITIES:
        means, expected = (
            mean_over_subjects(some, quality) for some in (records, read_records(tmp_path / "out" / RECORDS))
        )
        assert means.keys() == expected.keys()
        for key in means:
            assert means[key][0] == pytest.approx(expected[key][0], rel=1e-4)  # rounded in the file


def test_train_takes_paths(config, store, run, tmp_path):
    told = []
    final = csmri.train(str(run / "config.toml"), str(store.path), str(run), report=told.append)
    assert told == [f"{run}: finished already, nothing to do"]
    assert final == run / "models" / "final"


@pytest.fixture(scope="module")
def scan(cine):
    return csmri.simulate(cine, 4, slice_index=0)


REFUSED = {
    "read": (lambda: csmri.read("nothing.npz"), "nothing.npz: no such file"),
    "write-array": (lambda c: csmri.write("a.npz", c.images), "expected a Cine or a KSpace to write"),
    "simulate-path": (lambda: csmri.simulate("a.npz", 4), r"is a path; read it first: csmri.read\('a.npz'\)"),
    "simulate-kspace": (
        lambda: csmri.simulate(csmri.KSpace(np.ones((1, 1, 2, 8, 8)), np.ones((2, 8), bool), "m"), 4, snr=20),
        "m: is measured k-space, of which the mask alone is simulated; leave out snr",
    ),
    "simulate-undersampled": (
        lambda: csmri.simulate(csmri.KSpace(np.ones((1, 1, 2, 8, 8)), np.eye(2, 8, dtype=bool), "m"), 4),
        "m: is undersampled as it was measured; leave out the acceleration",
    ),
    "simulate-slices": (lambda c: csmri.simulate(c.images, 4), r"expected a Cine or an array \(frame, y, x\)"),
    "simulate-ragged": (lambda: csmri.simulate([[1, 2], [3]], 4), "expected an array of numbers, got a list"),
    "simulate-none": (lambda: csmri.simulate(None, 4), "expected an array of numbers, got a NoneType"),
    "simulate-nan": (lambda: csmri.simulate(np.full((3, 8, 8), np.nan), 4), "simulate: NaN or infinite values"),
    "simulate-scan": (lambda s: csmri.simulate(s, 4), "got an Acquisition; csmri.reconstruct makes images of it"),
    "simulate-acceleration": (lambda c: csmri.simulate(c, 400), "acceleration 400 is impossible"),
    "simulate-acceleration-text": (lambda c: csmri.simulate(c, "4"), "acceleration = '4': expected a number"),
    "simulate-slice": (lambda c: csmri.simulate(c, 4, slice_index=2), "slice_index = 2: expected 0 to 1"),
    "simulate-last-slice": (lambda c: csmri.simulate(c, 4, slice_index=-1), "slice_index = -1: expected 0 to 1"),
    "simulate-seed": (lambda c: csmri.simulate(c, 4, seed=-1), "seed = -1: expected a whole number from 0"),
    "simulate-coils": (lambda c: csmri.simulate(c, 4, coils=99), "coils = 99: .* less than or equal to 32"),
    "simulate-coil": (lambda c: csmri.simulate(c, 4, coil=8), "unknown key 'coil'; allowed are mask_law"),
    "simulate-sampling": (
        lambda c: csmri.simulate(c, 4, sampling={"coils": 3}),
        "expected csmri.Sampling or a network",
    ),
    "reconstruct-both": (
        lambda s: csmri.reconstruct(s, "initial", model="pretrained"),
        "give one of method .*temporal-tv.* and model .*, not both",
    ),
    "reconstruct-method": (lambda s: csmri.reconstruct(s, "tv"), "unknown method 'tv'; choose from zero-filled"),
    "reconstruct-network": (
        lambda s, n: csmri.reconstruct(s, n),
        "method = a Reconstructor: expected a name; a network is given as model=",
    ),
    "reconstruct-cine": (lambda c: csmri.reconstruct(c, "initial"), "got a Cine; csmri.simulate makes an Acquisition"),
    "reconstruct-array": (lambda c: csmri.reconstruct(c.images, "initial"), "got an array; csmri.simulate makes"),
    "reconstruct-empty": (lambda: csmri.reconstruct([], "initial"), "expected an Acquisition, a list of them"),
    "reconstruct-sizes": (
        lambda s: csmri.reconstruct([s, csmri.simulate(np.ones((6, 40, 40)), 4)], "initial"),
        "different sizes .*6 x 32 x 32, 6 x 40 x 40",
    ),
    "reconstruct-setting": (lambda s: csmri.reconstruct(s, TV, settings={"n": 3}), "has no setting 'n'; it has"),
    "reconstruct-model": (lambda s: csmri.reconstruct(s, model="nowhere"), "nowhere: not a SavedModel folder"),
    "reconstruct-model-settings": (
        lambda s, n: csmri.reconstruct(s, model=n, settings={"n": 3}),
        "settings are of classical methods",
    ),
    "reconstruct-nan": (
        lambda s: csmri.reconstruct(replace(s, data=np.asarray(s.data) * np.nan), "initial"),
        "data holds NaN or infinite values",
    ),
    "reconstruct-axes": (
        lambda s: csmri.reconstruct(replace(s, data=s.data[0]), "initial"),
        r"expected data \(coil, frame, ky, x\)",
    ),
    "reconstruct-mask": (
        lambda s: csmri.reconstruct(replace(s, mask=np.asarray(s.mask).astype(int)), "initial"),
        r"expected a boolean mask \(frame, ky\)",
    ),
    "reconstruct-maps": (
        lambda s: csmri.reconstruct(replace(s, data=np.ones((2, 6, 32, 32))), "initial"),
        "2 coils need coil sensitivity maps",
    ),
    "reconstruct-no-data": (lambda s: csmri.reconstruct(replace(s, data=None), "initial"), "acquisition has no data"),
    "evaluate-shape": (
        lambda c: csmri.evaluate(c, c.images[0, :3], slice_index=0),
        r"expected images of shape \(6, 32, 32\) \(frame, y, x\)",
    ),
    "evaluate-slice": (lambda c: csmri.evaluate(c, c.images[0]), "the reference has 2; give slice_index"),
    "evaluate-box": (lambda c: csmri.evaluate(c, c, box=(0, 0, 50, 5)), r"expected \(y, x, height, width\) inside"),
    "evaluate-box-number": (lambda c: csmri.evaluate(c, c, box=5), r"expected \(y, x, height, width\) inside"),
    "evaluate-path": (lambda c: csmri.evaluate("a.npz", c), "reference: 'a.npz' is a path"),
    "draw-suffix": (lambda c: csmri.draw("a.foo", c, c, acceleration=4), "a.foo: cannot tell the format"),
    "draw-nothing": (lambda c: csmri.draw("a.png", c, {}, acceleration=4), "no images to draw"),
    "load": (lambda: csmri.load_model(3), 'expected the folder of a SavedModel or "pretrained"'),
    "prepare-text": (lambda c: csmri.prepare([c], "s", {"train": "a"}), "expected lists of subject names under"),
    "prepare-list": (lambda c: csmri.prepare([c], "s", ["a"]), "expected lists of subject names by"),
    "prepare-missing": (lambda c: csmri.prepare(c, "s", {"train": ["a"]}), "names a, .* they are of k_phantom_003"),
    "prepare-array": (lambda c: csmri.prepare([c.images], "s", {"train": ["a"]}), "expected cines, .* got an array"),
    "train-config": (lambda: csmri.train({}, "s", "r"), "expected a csmri.Config or the path of its TOML file"),
    "train-store": (lambda: csmri.train(csmri.Config(), "nowhere", "r"), "nowhere: not a prepared store"),
    "train-store-array": (lambda c: csmri.train(csmri.Config(), [c], "r"), "expected a store, as csmri.prepare"),
    "compare-method": (lambda: csmri.compare("s", ["tv"]), "'tv' is no classical method .*, and no folder"),
    "compare-store": (lambda: csmri.compare("s", "initial"), "s: not a prepared store"),
    "compare-law": (lambda: csmri.compare("s", "initial", phase="x"), "phase = 'x': Input should be 'none', 'static'"),
    "config": (lambda: csmri.Config(epochs=-1), "Config: epochs = -1: Input should be greater"),
    "sampling": (lambda: csmri.Sampling(snr="much"), "Sampling: snr = 'much': Input should be a valid number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(name, cine, scan, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, expected = REFUSED[name]
    given = {"c": cine, "s": scan, "n": network}
    with pytest.raises(csmri.CsmriError, match=expected) as refused:
        call(*(given[argument] for argument in call.__code__.co_varnames[: call.__code__.co_argcount]))
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


FAKED = """
import platform, sys, types, warnings
platform.machine = lambda: {machine!r}
sys.platform = {system!r}
tensorflow = sys.modules["tensorflow"] = types.ModuleType("tensorflow")
tensorflow.config = types.SimpleNamespace(list_physical_devices=lambda kind: {gpus!r})
port = sys.modules["tensorflow.python.util._pywrap_util_port"] = types.ModuleType("port")
if {onednn!r} is not None:
    port.IsMklEnabled = lambda: {onednn!r}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("default")
    import csmri
    import csmri.core.errors
print(len(caught), *(f"{{one.category.__name__}} {{one.filename}} {{one.message}}" for one in caught))
"""
SLOW = {"machine": "x86_64", "system": "linux", "gpus": [], "onednn": False}


@pytest.mark.parametrize(
    ("changes", "environment", "warned"),
    [
        ({}, {}, True),
        ({}, {"TF_ENABLE_ONEDNN_OPTS": "1"}, True),  # set after TensorFlow was imported
        ({"machine": "AMD64", "system": "win32"}, {}, True),
        ({"onednn": True}, {}, False),  # by the variable, or by itself on a processor with AVX512_VNNI
        ({"onednn": None}, {}, False),  # a TensorFlow that does not tell
        ({}, {"TF_ENABLE_ONEDNN_OPTS": "0"}, False),  # on purpose
        ({"machine": "arm64", "system": "darwin"}, {}, False),  # has no oneDNN
        ({"machine": "aarch64"}, {}, False),
        ({"gpus": ["GPU:0"]}, {}, False),
        ({}, {"KERAS_BACKEND": "jax"}, False),
    ],
)
def test_whoever_imported_tensorflow_without_onednn_is_warned_once(changes, environment, warned):
    done = python(FAKED.format(**SLOW | changes), **environment)
    assert done.returncode == 0, done.stderr
    n_warnings, _, text = done.stdout.partition(" ")
    assert int(n_warnings) == warned
    if warned:
        assert text.startswith("UserWarning <string> ")  # the user's line
        assert "start Python again and import csmri first, or set TF_ENABLE_ONEDNN_OPTS=1" in text


ON_X86 = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="oneDNN is in TensorFlow for x86 only"
)


@ON_X86
def test_tensorflow_tells_that_it_works_without_onednn():
    script = "import os, tensorflow; del os.environ['TF_ENABLE_ONEDNN_OPTS']; import csmri"
    done = python(script, TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="")
    assert "UserWarning: TensorFlow was imported before csmri and works without oneDNN" in done.stderr


@ON_X86
def test_csmri_first_has_onednn():
    script = (
        "import csmri, tensorflow\nfrom tensorflow.python.util import _pywrap_util_port as port\n"
        "print(port.IsMklEnabled())"
    )
    assert python(script).stdout.strip() == "True"


def test_imported_again_nothing_is_warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        csmri._warn_of_slow_networks()


def test_full_kspace_is_undersampled_and_reconstructed_like_a_cine():
    """Of one coil without noise it is the cine's own simulation, mask by mask."""
    cine = csmri.Cine(np.random.default_rng(0).random((2, 6, 24, 16), np.float32), "someone")
    full = csmri.KSpace(image_to_kspace(cine.images[:, None]).numpy(), np.ones((6, 24), bool), "someone")
    acquisitions = csmri.simulate(full, 3, seed=1)
    for one, other in zip(acquisitions, csmri.simulate(cine, 3, seed=1), strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        expected = np.abs(csmri.reconstruct(other, "view-sharing"))
        np.testing.assert_allclose(np.abs(csmri.reconstruct(one, "view-sharing")), expected, atol=1e-4)
    second = csmri.simulate(full, 3, seed=1, slice_index=1)
    np.testing.assert_array_equal(second.data, acquisitions[1].data)
