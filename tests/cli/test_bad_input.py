"""Bad input: one clear line that starts with `csmri: `, exit code 2, no traceback, nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from csmri.cli import main
from csmri.formats import write

TRAIN = "train_split = 'train'\nbase_channels = 2\ndepth = 2\nepochs = 1\n"
FILES = {
    "good.toml": TRAIN,
    "unknown_key.toml": TRAIN + "learning_rat = 1e-3\n",
    "wrong_type.toml": "epochs = 'many'\n",
    "below_one.toml": TRAIN + "accelerations = [0.5]\n",
    "above_n_ky.toml": TRAIN + "accelerations = [4.0, 33.0]\n",
    "wider.toml": TRAIN.replace("base_channels = 2", "base_channels = 3"),
    "deeper.toml": TRAIN.replace("depth = 2", "depth = 3"),
    "no_such_split.toml": TRAIN + "validation_split = 'holdout'\n",
    "not_toml.toml": "epochs: 3\n",
    "split.toml": "test = ['k_phantom_002']\n",
    "unknown_split.toml": "training = ['k_phantom_002']\n",
    "two_splits.toml": "train = ['k_phantom_002']\ntest = ['k_phantom_002']\n",
    "absent_subject.toml": "train = ['k_phantom_002', 'k_phantom_099']\n",
    "notes.txt": "no cine\n",
    "renamed.nii.gz": "no gzip\n",
    "renamed.mat": "no MATLAB file\n",
    "renamed.npz": "no archive\n",
    "other.csv/records.csv": "a,b\n1,2\n",
    "other.log/runs/seed_0/one/log.csv": "a,b\n1,2\n",
    "other.npz/examples.npz": "no archive\n",
    "other.npz/study.toml": "",
    "study_no_store.toml": "pretrain_store = 'nowhere'\ntarget_store = 'nowhere'\n",
    "study_half.toml": "target_store = 'nowhere'\n",
    "study_unknown_key.toml": "epochs = 3\n",
}


def write_dicom(folder: Path, frame: int, n_rows: int) -> None:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = MRImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.PatientID, image.SeriesInstanceUID = "P1", generate_uid(entropy_srcs=["one series"])
    image.InstanceNumber, image.TriggerTime = frame + 1, str(40 * frame)
    image.PixelSpacing, image.ImagePositionPatient = [1.5, 1.5], [0, 0, 0]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.Rows, image.Columns = n_rows, 32
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.PixelData = np.full((n_rows, 32), frame + 1, np.uint16).tobytes()
    pydicom.dcmwrite(folder / f"{frame}.dcm", image, enforce_file_format=True)


@pytest.fixture(scope="session")
def world(tmp_path_factory, cines, store, run) -> Path:
    """Good and bad files; what is good is `cine.npz`, `store`, `run`, `model`, `good.toml` and `split.toml`."""
    folder = tmp_path_factory.mktemp("world")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    cine = cines["k_phantom_002"]
    write(folder / "cine.npz", cine)
    # Records refuse these themselves, so the arrays are written as another program would.
    spoilt = cine.images.copy()
    spoilt[0, 1, 5, 6] = np.nan
    np.savez(folder / "nan.npz", images=spoilt)
    np.savez(folder / "bare.npz", images=cine.images)
    np.savez(folder / "one_frame.npz", images=cine.images[:, :1])
    np.savez(folder / "kspace.npz", kspace=np.ones((1, 1, 4, 32, 32), np.complex64), mask=np.ones((4, 32), bool))
    mask = np.ones((4, 32), bool)
    mask[:, ::3] = False
    np.savez(folder / "under.npz", kspace=np.ones((1, 1, 4, 32, 32), np.complex64) * mask[..., None], mask=mask)
    (folder / "twice").mkdir()
    write(folder / "twice" / "a.npz", cine)
    write(folder / "twice" / "b.npz", replace(cine, images=cine.images + 1))
    (folder / "empty").mkdir()
    (folder / "mixed_dicom").mkdir()
    for frame in range(4):
        write_dicom(folder / "mixed_dicom", frame, n_rows=32 if frame < 2 else 30)
    (folder / "store").symlink_to(store.path)
    (folder / "run").symlink_to(run)
    (folder / "model").symlink_to(run / "models" / "final")
    altered = shutil.copytree(store.path, folder / "altered")
    content = bytearray((altered / "k_phantom_002.tfrecord").read_bytes())
    content[len(content) // 2] ^= 1
    (altered / "k_phantom_002.tfrecord").write_bytes(content)
    bare = shutil.copytree(run / "models" / "final", folder / "foreign_model")
    (bare / "csmri.json").unlink()
    return folder


# name: (command line after `csmri`, what the one line must hold). {o} is an empty folder, {w} the world above.
CASES = {
    # a wrong path
    "inspect-wrong-path": ("inspect {w}/missing", "missing: no such file or folder"),
    "prepare-wrong-path": ("prepare {w}/missing {o}/store --split {w}/split.toml", "missing: no such file or folder"),
    "prepare-wrong-split-path": (
        "prepare {w}/cine.npz {o}/store --split {w}/missing",
        "missing: cannot read the split",
    ),
    "train-wrong-config-path": ("train {w}/missing --store {w}/store --out {o}/run", "missing: cannot read the config"),
    "train-wrong-store-path": (
        "train {w}/good.toml --store {w}/missing --out {o}/run",
        "missing: not a prepared store",
    ),
    "train-wrong-init-path": (
        "train {w}/good.toml --store {w}/store --out {o}/run --init {w}/missing",
        "missing: not a SavedModel",
    ),
    "evaluate-wrong-store-path": ("evaluate {w}/missing --out {o}/results", "missing: not a prepared store"),
    "evaluate-wrong-model-path": ("evaluate {w}/missing {w}/store --out {o}/results", "missing: not a SavedModel"),
    "reconstruct-wrong-path": (
        "reconstruct {w}/missing {o}/out.npz --model {w}/model --acceleration 4",
        "missing: no such file or folder",
    ),
    "export-wrong-path": ("export {w}/missing {o}/model", "missing: not a run folder"),
    "figures-wrong-path": ("figures {o}/missing", "missing: no such folder"),
    "figures-wrong-run": ("figures {w}/other.csv --run {w}/missing", "missing: not a run with a finished epoch"),
    "report-wrong-path": ("report {o}/missing", "missing: no such folder"),
    "report-wrong-examples": ("report {w}/other.npz --examples {w}/notes.txt", "notes.txt: not the examples"),
    "study-wrong-path": ("study {w}/missing --out {o}/study", "missing: cannot read the study"),
    "study-wrong-store": ("study {w}/study_no_store.toml --out {o}/study", "pretrain_store = 'nowhere': no such store"),
    "study-half-the-stores": ("study {w}/study_half.toml --out {o}/study", "give both pretrain_store and target_store"),
    "study-unknown-key": ("study {w}/study_unknown_key.toml --out {o}/study", "unknown key 'epochs'; allowed are"),
    "study-into-a-file": ("study {w}/study_no_store.toml --out {w}/notes.txt", "notes.txt: is a file"),
    "study-into-other-results": (
        "study {w}/study_no_store.toml --out {w}/other.csv",
        "holds records.csv of an experiment that it does not tell",
    ),
    "prepare-outlines-of-nobody": (
        "prepare {w}/cine.npz {o}/store --split {w}/split.toml --outlines nobody={w}/empty",
        "--outlines nobody=",
    ),
    "prepare-outlines-of-another-kind": (
        "prepare {w}/cine.npz {o}/store --split {w}/split.toml --outlines k_phantom_002={w}/notes.txt",
        "notes.txt: ",
    ),
    # an empty folder
    "report-empty-folder": ("report {w}/empty", "empty: holds neither"),
    "inspect-empty-folder": ("inspect {w}/empty", "empty: no cine among 0 files"),
    "prepare-empty-folder": ("prepare {w}/empty {o}/store --split {w}/split.toml", "empty: no cine among 0 files"),
    "reconstruct-empty-folder": (
        "reconstruct {w}/empty {o}/out.npz --model {w}/model --acceleration 4",
        "empty: no cine among 0 files",
    ),
    "train-empty-store": ("train {w}/good.toml --store {w}/empty --out {o}/run", "empty: not a prepared store"),
    "export-empty-folder": ("export {w}/empty {o}/model", "empty: not a run folder"),
    "figures-empty-folder": ("figures {w}/empty", "empty: holds neither"),
    # a file of another kind
    "inspect-text": ("inspect {w}/notes.txt", "notes.txt: this is no format that csmri knows"),
    "inspect-renamed-nifti": ("inspect {w}/renamed.nii.gz", "renamed.nii.gz: "),
    "inspect-renamed-mat": ("inspect {w}/renamed.mat", "renamed.mat: the name says .mat, but the content is not that"),
    "inspect-renamed-npz": ("inspect {w}/renamed.npz", "renamed.npz: the name says .npz"),
    "prepare-text": ("prepare {w}/notes.txt {o}/store --split {w}/split.toml", "notes.txt: this is no format"),
    "prepare-kspace": (
        "prepare {w}/kspace.npz {o}/store --split {w}/split.toml",
        "holds k-space, which is reconstructed first: kspace.npz",
    ),
    "prepare-cine-as-split": ("prepare {w}/cine.npz {o}/store --split {w}/cine.npz", "cine.npz: cannot read the split"),
    "train-cine-as-store": ("train {w}/good.toml --store {w}/cine.npz --out {o}/run", "cine.npz: not a prepared store"),
    "evaluate-cine-as-store": ("evaluate {w}/cine.npz --out {o}/results", "cine.npz: not a prepared store"),
    "evaluate-into-a-file": ("evaluate {w}/store --out {w}/notes.txt", "notes.txt: is a file"),
    "figures-other-records": ("figures {w}/other.csv", "records.csv: not a table of records"),
    "figures-other-log": ("figures {w}/other.log", "log.csv: not the log of `csmri train`"),
    "figures-other-examples": ("figures {w}/other.npz", "examples.npz: not the examples"),
    "report-other-records": ("report {w}/other.csv", "records.csv: not a table of records"),
    "export-into-a-file": ("export {w}/run {w}/notes.txt", "notes.txt: exists already"),
    "train-into-a-file": ("train {w}/good.toml --store {w}/store --out {w}/notes.txt", "notes.txt: is a file"),
    "prepare-into-a-file": ("prepare {w}/cine.npz {w}/notes.txt --split {w}/split.toml", "notes.txt: exists already"),
    "phantom-into-a-file": (
        "phantom {w}/notes.txt --domain k --subjects 1 --size 32 --slices 1 --frames 2",
        "could not be written",
    ),
    # a cine with NaN or one frame, measured k-space where it does not fit, mixed sizes
    "inspect-nan": ("inspect {w}/nan.npz", "nan.npz: NaN or infinite values, the first in slice 0, frame 1"),
    "prepare-nan": ("prepare {w}/nan.npz {o}/store --split {w}/split.toml", "nan.npz: NaN or infinite"),
    "reconstruct-nan": (
        "reconstruct {w}/nan.npz {o}/out.gif --model {w}/model --acceleration 4",
        "nan.npz: NaN or infinite values",
    ),
    "inspect-one-frame": ("inspect {w}/one_frame.npz", "one_frame.npz: a cine needs at least 2 frames, this has 1"),
    "prepare-one-frame": (
        "prepare {w}/one_frame.npz {o}/store --split {w}/split.toml",
        "one_frame.npz: a cine needs at least 2 frames",
    ),
    "reconstruct-one-frame": (
        "reconstruct {w}/one_frame.npz {o}/out.nii.gz --model {w}/model --acceleration 4",
        "one_frame.npz: a cine needs at least 2 frames",
    ),
    "inspect-mixed-sizes": ("inspect {w}/mixed_dicom", "mixed_dicom: "),
    "prepare-mixed-sizes": ("prepare {w}/mixed_dicom {o}/store --split {w}/split.toml", "mixed_dicom: "),
    "reconstruct-mixed-sizes": (
        "reconstruct {w}/mixed_dicom {o}/out.npz --model {w}/model --acceleration 4",
        "mixed_dicom: ",
    ),
    # splits
    "prepare-unknown-split": (
        "prepare {w}/cine.npz {o}/store --split {w}/unknown_split.toml",
        "unknown_split.toml: expected lists of subject names",
    ),
    "prepare-subject-in-two-splits": (
        "prepare {w}/cine.npz {o}/store --split {w}/two_splits.toml",
        "'k_phantom_002' stands in 'train' and again in 'test'",
    ),
    "prepare-absent-subject": (
        "prepare {w}/cine.npz {o}/store --split {w}/absent_subject.toml",
        "absent_subject.toml: names k_phantom_099, which",
    ),
    "prepare-subject-twice": (
        "prepare {w}/twice {o}/store --split {w}/split.toml",
        "'k_phantom_002' was added already from another file",
    ),
    # an altered store
    "train-altered-store": (
        "train {w}/good.toml --store {w}/altered --out {o}/run",
        "k_phantom_002.tfrecord: was altered since it was written",
    ),
    "evaluate-altered-store": (
        "evaluate {w}/altered --out {o}/results",
        "k_phantom_002.tfrecord: was altered since it was written",
    ),
    # SavedModels
    "train-init-of-another-width": (
        "train {w}/wider.toml --store {w}/store --out {o}/run --init {w}/model",
        "variable encoder0_conv0/kernel has shape (3, 3, 1, 2), the network needs (3, 3, 1, 3)",
    ),
    "train-init-of-another-depth": (
        "train {w}/deeper.toml --store {w}/store --out {o}/run --init {w}/model",
        "has no variable encoder2_conv0/kernel",
    ),
    "reconstruct-no-model": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/empty --acceleration 4",
        "empty: not a SavedModel folder (saved_model.pb is missing)",
    ),
    "reconstruct-cine-as-model": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/cine.npz --acceleration 4",
        "cine.npz: not a SavedModel folder",
    ),
    "reconstruct-foreign-model": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/foreign_model --acceleration 4",
        "foreign_model: a SavedModel, but not of csmri",
    ),
    "reconstruct-model-and-method": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/model --method view-sharing --acceleration 4",
        "give one of --model (a SavedModel) and --method (a classical method), for OUTPUT, not both",
    ),
    "reconstruct-method-with-consistency": (
        "reconstruct {w}/cine.npz {o}/out.npz --method kt-focuss --consistency hard --acceleration 4",
        "--consistency is for networks",
    ),
    "reconstruct-weight-of-no-consistency": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/model --consistency-weight 3 --acceleration 4",
        "model: a weight is of soft data consistency, not of consistency = 'none'",
    ),
    "reconstruct-measured-by-a-method": (
        "reconstruct {w}/kspace.npz {o}/out.npz --method initial --picture {o}/out.png",
        "kspace.npz: has no reference to draw errors against",
    ),
    "reconstruct-model-without-a-path": (
        "reconstruct {w}/cine.npz {o}/out.npz --model= --acceleration 4",
        "expected [NAME=]MODEL[@none|@hard|@soft[:WEIGHT]]",
    ),
    "evaluate-weight-of-no-number": (
        "evaluate {w}/model@soft:much {w}/store --out {o}/results",
        "the weight of soft consistency must be a number, not 'much'",
    ),
    "evaluate-weight-below-zero": (
        "evaluate {w}/model@soft:-1 {w}/store --out {o}/results",
        "consistency_weight = -1",
    ),
    "evaluate-weight-of-hard": (
        "evaluate {w}/model@hard:2 {w}/store --out {o}/results",
        "not of consistency = 'hard'",
    ),
    "evaluate-unknown-consistency": (
        "evaluate {w}/model@firm {w}/store --out {o}/results",
        "model@firm: not a SavedModel",
    ),
    "evaluate-baseline-as-name": (
        "evaluate temporal-tv={w}/model {w}/store --out {o}/results --method temporal-tv",
        "two methods have one name",
    ),
    "evaluate-same-name-twice": (
        "evaluate a={w}/model a={w}/model {w}/store --out {o}/results",
        "two methods have one name",
    ),
    # accelerations
    "reconstruct-below-one": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/model --acceleration 0.5",
        "acceleration 0.5 is impossible: it must lie between 1 (all lines) and the number of phase-encode lines, 32",
    ),
    "reconstruct-above-n-ky": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/model --acceleration 33",
        "acceleration 33 is impossible",
    ),
    "reconstruct-not-a-number": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/model --acceleration nan",
        "acceleration nan is impossible",
    ),
    "reconstruct-none": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/model",
        "is fully sampled; give --acceleration",
    ),
    "reconstruct-measured-simulated": (
        "reconstruct {w}/kspace.npz {o}/out.npz --model {w}/model --mask-law gaussian",
        "kspace.npz: is measured k-space, nothing is simulated of it; leave out --mask-law",
    ),
    "evaluate-too-good-a-snr": (
        "evaluate {w}/store --out {o}/out --snr 1e9",
        "snr = 1000000000.0: Input should be less",
    ),
    "reconstruct-no-snr": (
        "reconstruct {w}/cine.npz {o}/out.npz --method initial --acceleration 4 --snr nan",
        "simulation: snr = nan",
    ),
    "reconstruct-measured": (
        "reconstruct {w}/under.npz {o}/out.npz --model {w}/model --acceleration 4",
        "under.npz: is undersampled as it was measured",
    ),
    "evaluate-below-one": ("evaluate {w}/store --out {o}/results --acceleration 0.9", "acceleration 0.9 is impossible"),
    "evaluate-above-n-ky": ("evaluate {w}/store --out {o}/results --acceleration 33", "acceleration 33 is impossible"),
    "train-below-one": ("train {w}/below_one.toml --store {w}/store --out {o}/run", "below_one.toml: accelerations"),
    "train-above-n-ky": ("train {w}/above_n_ky.toml --store {w}/store --out {o}/run", "acceleration 33 is impossible"),
    # unknown suffixes
    "reconstruct-unknown-suffix": (
        "reconstruct {w}/cine.npz {o}/out.xyz --model {w}/model --acceleration 4",
        "out.xyz: cannot tell the format to write; end the name in .npz, .nii.gz, .nii, .h5, .hdf5, .gif, .mp4",
    ),
    "reconstruct-no-suffix": (
        "reconstruct {w}/bare.npz {o}/out --method initial --acceleration 4",
        "bare.npz (NPZ): the spacing of pixels and slices is unknown, and DICOM needs it; write .nii.gz or .npz",
    ),
    "reconstruct-unknown-picture": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/model --acceleration 4 --picture {o}/out.xyz",
        "out.xyz: cannot tell the format of the picture; end the name in .png, .svg, .pdf",
    ),
    # configs
    "train-unknown-key": (
        "train {w}/unknown_key.toml --store {w}/store --out {o}/run",
        "unknown_key.toml: unknown key 'learning_rat'; allowed are ",
    ),
    "train-wrong-type": (
        "train {w}/wrong_type.toml --store {w}/store --out {o}/run",
        "wrong_type.toml: epochs = 'many'",
    ),
    "train-unknown-split": (
        "train {w}/no_such_split.toml --store {w}/store --out {o}/run",
        "validation_split = 'holdout'",
    ),
    "train-not-toml": ("train {w}/not_toml.toml --store {w}/store --out {o}/run", "not_toml.toml: not a TOML file"),
    # a place that is taken
    "prepare-existing-store": ("prepare {w}/cine.npz {w}/store --split {w}/split.toml", "store: exists already"),
    "train-folder-of-others": (
        "train {w}/good.toml --store {w}/store --out {w}/other.csv",
        "other.csv: holds files but no run",
    ),
    "train-other-config": ("train {w}/good.toml --store {w}/store --out {w}/run", "run: holds a run with "),
}


def state(folder: Path) -> set[tuple[str, int, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(world, tmp_path, case):
    line, expected = CASES[case]
    before = state(world)
    result = CliRunner().invoke(main, line.format(w=world, o=tmp_path).split())
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    *notes, line = result.stderr.splitlines()
    assert line.startswith("csmri: ") and expected in line, result.stderr
    assert all(note.startswith("note: ") for note in notes), result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []
    assert state(world) == before


def test_in_a_process_of_its_own(world, tmp_path):
    """Nothing else reaches stderr either: no notes of TensorFlow, no warnings, no traceback."""
    program = "from csmri.cli import main; main()"
    line = ["evaluate", str(world / "altered"), "--out", str(tmp_path / "results")]
    done = subprocess.run(
        [sys.executable, "-c", program, *line], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"csmri: {world / 'altered'}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "line",
    [
        "train",
        "reconstruct a.npz",
        "reconstruct a.npz b.npz --method fista",
        "reconstruct a.npz b.npz --model m --consistency firm",
        "reconstruct a.npz b.npz --model m --consistency soft --consistency-weight 0",
        "evaluate store --out out --method every",
        "reconstruct a.npz b.npz --model m --acceleration four",
        "phantom out --domain w --subjects 1",
        "phantom out --domain k --subjects 0",
        "evaluate store --out out --split all",
        "evaluate store --out out --no-such-option",
        "no-such-command",
    ],
)
def test_wrong_command_line_says_how_to_call(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, line.split())
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")
    assert "Error: " in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []
