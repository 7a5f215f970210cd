"""The whole way on numerical phantoms, one command after the other, and every command documented."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import nibabel
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from csmri import __version__
from csmri.cli import COMMANDS, main
from csmri.config import Sampling
from csmri.data.records import read_records, read_timings
from csmri.data.store import open_store
from csmri.formats import read_cine, write
from csmri.formats.gif import durations_ms
from csmri.methods.classical import METHODS
from csmri.methods.model import saved_model_sha256, saved_variables
from csmri.methods.reconstruction import baseline_reconstructor, load_reconstructor, simulate_slices
from csmri.results.tables import table2

SPLIT = 'pretrain = ["york_phantom_000"]\ntrain = ["k_phantom_000"]\ntest = ["k_phantom_001"]\n'
CONFIG = "base_channels = 4\ndepth = 1\nepochs = 1\nbatch_size = 8\npasses = 1\naccelerations = [4.0]\n"
RECONSTRUCT = (
    "reconstruct {{f}}/phantoms/k_phantom_001.npz {{f}}/out/new.{} --model {{f}}/exported --acceleration 4 --seed 2"
)
STEPS = {
    "york": "phantom {f}/phantoms --domain york --subjects 1 --size 32 --slices 1 --frames 4",
    "k": "phantom {f}/phantoms --domain k --subjects 3 --size 32 --slices 2 --frames 4",
    "inspect": "inspect {f}/phantoms",
    "prepare": "prepare {f}/phantoms {f}/store --split {f}/split.toml",
    "pretrain": "train {f}/pretrain.toml --store {f}/store --out {f}/pretrain",
    "transfer": "train {f}/target.toml --store {f}/store --out {f}/transfer --init {f}/pretrain/models/final",
    "again": "train {f}/target.toml --store {f}/store --out {f}/transfer --init {f}/pretrain/models/final",
    "evaluate": "evaluate {f}/transfer/models/final first={f}/pretrain/models/final {f}/store --out {f}/results"
    " --acceleration 2 --acceleration 4 --seed 5",
    "methods": "evaluate {f}/transfer/models/final {f}/transfer/models/final@hard"
    " soft={f}/transfer/models/final@soft:2 {f}/store --out {f}/methods --acceleration 4"
    " --method view-sharing --method initial --method kt-focuss",
    "all": "evaluate {f}/store --out {f}/all --acceleration 4 --method all",
    "acquired": "evaluate {f}/transfer/models/final {f}/store --out {f}/acquired --acceleration 3 --method all"
    " --phase moving --coils 8 --snr 25",
    "figures": "figures {f}/results --run {f}/pretrain --run {f}/transfer --caption made-up",
    "export": "export {f}/transfer {f}/exported",
    "npz": RECONSTRUCT.format("npz") + " --picture {f}/out/picture.png",
    "nii": RECONSTRUCT.format("nii.gz") + " --picture {f}/out/beating.gif",
    "gif": RECONSTRUCT.format("gif"),
    "hard": RECONSTRUCT.format("hard.npz") + " --consistency hard",
    "at": RECONSTRUCT.format("at.npz").replace("exported", "exported@hard"),
    "focuss": RECONSTRUCT.format("focuss.npz").replace("--model {f}/exported", "--method kt-focuss"),
    "coils": RECONSTRUCT.format("coils.npz").replace("--model {f}/exported", "--method cg-sense")
    + " --coils 4 --snr 30 --phase drift --mask-law schlemper --acceleration 2",
    "initial": RECONSTRUCT.format("initial.npz").replace("--model {f}/exported", "--method initial"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def printed(folder) -> dict[str, str]:
    """What every step printed; each must end well and tell nothing but notes, once, on stderr."""
    (folder / "split.toml").write_text(SPLIT)
    (folder / "pretrain.toml").write_text(CONFIG + 'train_split = "pretrain"\n')
    (folder / "target.toml").write_text(CONFIG)
    printed = {}
    for name, line in STEPS.items():
        result = CliRunner().invoke(main, line.format(f=folder).split())
        assert result.exit_code == 0, (name, result.output, result.exception)
        notes = result.stderr.splitlines()
        assert all(note.startswith("note: ") for note in notes) and len(set(notes)) == len(notes), name
        printed[name] = result.stdout
    return printed


def test_phantom_writes_a_file_a_subject(folder, printed):
    names = sorted(path.name for path in (folder / "phantoms").iterdir())
    assert names == ["k_phantom_000.npz", "k_phantom_001.npz", "k_phantom_002.npz", "york_phantom_000.npz"]
    assert read_cine(folder / "phantoms" / "k_phantom_000.npz").images.shape == (2, 4, 32, 32)
    assert f"{folder}/phantoms: 3 subjects, 32 x 32 pixels" in printed["k"]


def test_inspect_describes_every_cine(folder, printed):
    text = printed["inspect"]
    assert text.count("2 slices x 4 frames x 32 rows (y) x 32 columns (x)") == 3
    assert text.count("1 slices x 4 frames x 32 rows (y) x 32 columns (x)") == 1
    for line in ("k_phantom_001\n", "magnitude images", "mm (y, x)", "numerical phantom, no real person"):
        assert line in text
    assert text.endswith(f"{folder}/phantoms: 4 cines\n")


def test_prepare_takes_the_subjects_of_the_split(folder, printed):
    entries = open_store(folder / "store").entries
    assert {entry.subject: entry.split for entry in entries} == {
        "k_phantom_000": "train",
        "k_phantom_001": "test",
        "york_phantom_000": "pretrain",
    }
    assert "left out: k_phantom_002\n" in printed["prepare"]
    assert printed["prepare"].endswith(f"{folder}/store: 3 subjects (1 pretrain, 1 train, 1 test)\n")


def test_train_reports_and_keeps_its_start(folder, printed):
    assert "4 images an epoch in 1 batches, epochs 1 to 1" in printed["pretrain"]
    assert printed["pretrain"].endswith(f"{folder}/pretrain/models/final: SavedModel after 1 epochs\n")
    assert "all 16 variables loaded, after 1 epochs of pretraining" in printed["transfer"]
    assert "finished already, nothing to do" in printed["again"]
    record = json.loads((folder / "transfer" / "run.json").read_text())
    assert record["init"] == "models/final"
    with (folder / "transfer" / "log.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]


def test_evaluate_writes_records_and_table(folder, printed):
    results = folder / "results"
    records = read_records(results / "records.csv.xz")
    assert len(records) == 2 * 4 * 2 * 4  # slices, frames, accelerations, methods
    assert list(dict.fromkeys(r.method for r in records)) == ["zero-filled", "initial", "transfer", "first"]
    assert table2(records) in printed["evaluate"]
    description = json.loads((results / "evaluation.json").read_text())
    assert description["seed"] == 5
    assert description["subjects"] == ["k_phantom_001"]
    first = description["models"]["first"]
    assert (first["path"], first["epoch"]) == ("models/final", 1)  # no absolute path in what may be published
    assert first["weights_sha256"] == saved_model_sha256(folder / "pretrain/models/final")
    assert description["store_sha256"] == open_store(folder / "store").sha256


def test_evaluate_takes_classical_methods_and_a_model_in_several_ways(folder, printed):
    results = folder / "methods"
    records = read_records(results / "records.csv.xz")
    names = ["zero-filled", "initial", "view-sharing", "kt-focuss", "transfer", "transfer@hard", "soft"]
    assert list(dict.fromkeys(r.method for r in records)) == names
    nmse = {name: [r.nmse for r in records if r.method == name] for name in names}
    assert len({tuple(values) for values in nmse.values()}) == len(names)
    assert [(t.method, t.slice) for t in read_timings(results / "seconds.csv.xz")] == [
        (n, i) for i in (0, 1) for n in names
    ]
    description = json.loads((results / "evaluation.json").read_text())
    assert list(description["parameters"]) == names
    assert description["parameters"]["view-sharing"] == 0
    assert description["parameters"]["soft"] == description["parameters"]["transfer"] > 1000
    assert [model["consistency"] for model in description["models"].values()] == ["none", "hard", "soft"]
    assert description["models"]["soft"]["consistency_weight"] == 2
    assert description["baselines"]["kt-focuss"]["max_iterations"] == METHODS["kt-focuss"].settings.max_iterations
    every = dict.fromkeys(r.method for r in read_records(folder / "all" / "records.csv.xz"))
    assert sorted(every) == sorted(METHODS)


def test_every_method_is_evaluated_on_moving_phase_coils_and_noise(folder, printed):
    description = json.loads((folder / "acquired" / "evaluation.json").read_text())
    simulated = {name: description["sampling"][name] for name in ("phase", "coils", "snr")}
    assert simulated == {"phase": "moving", "coils": 8, "snr": 25.0}
    records = read_records(folder / "acquired" / "records.csv.xz")
    assert sorted({r.method for r in records}) == sorted([*METHODS, "transfer"])
    error = {name: np.mean([r.nmse for r in records if r.method == name]) for name in {r.method for r in records}}
    assert error.pop("zero-filled") > max(error.values()) and max(error.values()) < 0.1


def test_reconstruct_simulates_coils_jointly(folder, printed):
    source = read_cine(folder / "phantoms" / "k_phantom_001.npz")
    law = Sampling(phase="drift", coils=4, snr=30.0, mask_law="schlemper")
    method = baseline_reconstructor("cg-sense")
    done = list(simulate_slices(source, 2.0, seed=2, law=law, reconstructors=[method]))
    written = read_cine(folder / "out" / "new.coils.npz").images
    np.testing.assert_array_equal(written, np.stack([one.methods["cg-sense"] for one in done]))
    assert "acceleration 2 requested, 2.000 achieved" in printed["coils"]


def test_reconstruct_by_a_classical_method_or_consistently(folder, printed):
    read = {name: read_cine(folder / "out" / f"new.{name}.npz").images for name in ("hard", "at", "focuss", "initial")}
    np.testing.assert_array_equal(read["hard"], read["at"])
    source = read_cine(folder / "phantoms" / "k_phantom_001.npz")
    methods = [
        baseline_reconstructor("kt-focuss"),
        load_reconstructor(folder / "exported", name="hard", consistency="hard", runtime="auto"),
    ]
    done = list(simulate_slices(source, 4.0, seed=2, law=Sampling(), reconstructors=methods))
    for name, method in {"hard": "hard", "focuss": "kt-focuss", "initial": "initial"}.items():
        np.testing.assert_array_equal(read[name], np.stack([one.methods[method] for one in done]))
    assert "iterations, last relative change" in printed["focuss"]
    assert "of 2 slices\n" in printed["focuss"]
    assert "iterations" not in printed["initial"] + printed["hard"]


def test_figures_are_drawn_from_the_records(folder, printed):
    results = folder / "results"
    for name in ("fig1_unet.png", "fig2_blocks.png", "fig3_learning_curves.png", "fig4_reconstructions.png"):
        assert f"{results / name}: written" in printed["figures"]
        with Image.open(results / name) as picture:
            picture.verify()
    assert f"{results / 'table2_nmse.md'}: written" in printed["figures"]
    rows = {row.replace(" ", "") for row in printed["figures"].splitlines()}
    table = table2(read_records(results / "records.csv.xz")).splitlines()[2:]
    assert {row.replace(" ", "") for row in table} <= rows
    for run in ("pretrain", "transfer"):
        for name in ("log.csv", "config.toml", "run.json"):
            assert (results / "runs" / "seed_0" / run / name).read_bytes() == (folder / run / name).read_bytes()


def test_figures_can_be_drawn_again_from_what_was_kept(folder, printed, tmp_path):
    copy = shutil.copytree(folder / "results", tmp_path / "results")
    drawn = {path.name: path.read_bytes() for path in copy.glob("*.png")}
    for name in drawn:
        (copy / name).unlink()
    assert CliRunner().invoke(main, ["figures", str(copy), "--caption", "made-up"]).exit_code == 0
    assert {path.name: path.read_bytes() for path in copy.glob("*.png")} == drawn


def test_export_has_the_weights_of_the_run(folder, printed):
    final, exported = (
        {name: variable.numpy() for name, variable in saved_variables(path).items()}
        for path in (folder / "transfer" / "models" / "final", folder / "exported")
    )
    assert final.keys() == exported.keys()
    assert all(final[name].tobytes() == exported[name].tobytes() for name in final)
    assert f"{folder}/exported: SavedModel after 1 epochs; differs from the Keras model by" in printed["export"]


def test_reconstruct_writes_the_networks_images(folder, printed):
    source = read_cine(folder / "phantoms" / "k_phantom_001.npz")
    reconstructor = load_reconstructor(folder / "exported", runtime="auto")
    done = simulate_slices(source, 4.0, seed=2, law=reconstructor.saved.config, reconstructors=(reconstructor,))
    wanted = np.stack([one.methods["exported"] for one in done])
    written = read_cine(folder / "out" / "new.npz")
    np.testing.assert_array_equal(written.images, wanted)
    assert (written.subject, written.spacing_mm) == (source.subject, source.spacing_mm)
    np.testing.assert_array_equal(written.frame_times_ms, source.frame_times_ms)
    nifti = nibabel.load(folder / "out" / "new.nii.gz")
    np.testing.assert_array_equal(np.asarray(nifti.dataobj).transpose(2, 3, 1, 0), wanted)
    with Image.open(folder / "out" / "new.gif") as animation:
        assert animation.n_frames == 4
        assert animation.size == (2 * 32 + 2, 32)


def test_reconstruct_prints_quality_and_draws(folder, printed):
    text = printed["npz"]
    assert "acceleration 4 requested, 4.000 achieved" in text
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")] == [
        "method",
        "-" * 13,
        "zero-filled",
        "initial",
        "exported",
    ]
    with Image.open(folder / "out" / "picture.png") as picture:
        picture.verify()
    with Image.open(folder / "out" / "beating.gif") as picture:
        assert picture.n_frames == 4
        assert picture.info["duration"] == durations_ms(read_cine(folder / "phantoms" / "k_phantom_001.npz"))[0]
    assert f"{folder}/out/beating.gif: drawn\n" in printed["nii"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "beating.gif",
        "new.at.npz",
        "new.coils.npz",
        "new.focuss.npz",
        "new.gif",
        "new.hard.npz",
        "new.initial.npz",
        "new.nii.gz",
        "new.npz",
        "picture.png",
    ]


def test_reconstruct_takes_measured_kspace(folder, printed, cines):
    from csmri.data.kspace import KSpace
    from csmri.physics.fourier import image_to_kspace
    from csmri.physics.simulate import simulated_mask

    cine = cines["k_phantom_002"]
    mask = simulated_mask(Sampling(), seed=0, subject="m", slice_index=0, shape=(4, 32), acceleration=4)
    kspace = np.array(image_to_kspace(cine.images[:, np.newaxis]))
    kspace[..., ~mask, :] = 0
    write(folder / "measured.npz", KSpace(kspace, mask, "m"))
    line = ["reconstruct", str(folder / "measured.npz"), str(folder / "measured_out.npz"), "--model"]
    result = CliRunner().invoke(main, [*line, str(folder / "exported")])
    assert result.exit_code == 0, result.output
    images = read_cine(folder / "measured_out.npz").images
    assert images.shape == cine.images.shape
    multi = np.concatenate([kspace * 0.6, kspace * 0.8j], axis=1)
    write(folder / "coils.npz", KSpace(multi, mask, "m"))
    line = ["reconstruct", str(folder / "coils.npz"), str(folder / "coils_out.npz"), "--method", "kt-focuss"]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 0, result.output
    assert "of 1 slices" in result.output
    by_coils = read_cine(folder / "coils_out.npz").images
    assert np.linalg.norm(by_coils - cine.images) < 0.5 * np.linalg.norm(cine.images)
    assert np.linalg.norm(images - cine.images) < 0.5 * np.linalg.norm(cine.images)
    text = CliRunner().invoke(main, ["inspect", str(folder / "measured.npz")]).stdout
    assert "32 of 128 (frame, ky) lines, acceleration 4.00" in text


def test_nothing_half_written_is_left(folder, printed):
    assert not [path for path in folder.rglob("*") if "partial" in path.name or path.name.startswith(".")]


# --- documentation


def test_commands_stand_in_the_order_of_work():
    names = [
        "phantom",
        "simulate",
        "inspect",
        "prepare",
        "study",
        "transfer",
        "sweep",
        "train",
        "reconstruct",
        "evaluate",
        "export",
        "figures",
        "report",
    ]
    assert main.list_commands(click.Context(main)) == names


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name):
    command = main.get_command(click.Context(main), name)
    assert command.help
    assert command.help.splitlines()[0].endswith((".", ","))
    assert COMMANDS[name].endswith(".") and len(COMMANDS[name]) <= 65, "more than a line of help"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
        else:
            assert parameter.make_metavar(click.Context(command)).strip("[].").split("|")[-1].split("=")[-1] in (
                command.help.replace("input", "INPUT") if name == "reconstruct" else command.help.upper()
            )
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert all(opt in result.output for parameter in command.params for opt in parameter.opts if opt.startswith("--"))


def test_a_misspelt_command_is_guessed():
    result = CliRunner().invoke(main, ["reconstuct"])
    assert result.exit_code == 2 and "Did you mean 'reconstruct'?" in result.output


def test_version():
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"csmri, version {__version__}\n"
    assert importlib.metadata.version("csmri") == __version__


def test_installed_program_helps_without_tensorflow():
    code = "import sys; from csmri.cli import main; main(['--help'], standalone_mode=False); " \
        "sys.exit(bool({'tensorflow', 'keras', 'numpy', 'pydantic'} & sys.modules.keys()))"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout
