"""K-space by `csmri simulate` into every format and back by `csmri reconstruct`, and images out in every format."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from pydicom.uid import generate_uid

from csmri.cli import main
from csmri.cli.reading import Reading
from csmri.config import Config
from csmri.core.names import DEFAULT_MODEL
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats import read, read_cine, write
from csmri.methods.model import SHIPPED, write_saved_model
from csmri.methods.task import task_of
from csmri.phantom import make_subject

FORMATS = {"ismrmrd": "k.h5", "cmrxrecon": "k.mat", "bart": "k.cfl", "npz": "k.npz", "hdf5": "k.hdf5"}
PATIENT = {
    "PatientName": "Doe^Jane",
    "PatientID": "HIS-4711",
    "PatientBirthDate": "19600229",
    "ReferringPhysicianName": "House^Gregory",
    "InstitutionName": "Mercy Hospital",
    "StudyDate": "20260102",
    "AccessionNumber": "ACC-99",
}
AFFINE = np.array([[0, 1.44, 2.52, -20], [1.4, 0, 0, -30], [0, -0.42, 8.64, 40], [0, 0, 0, 1]])


def run(*words, code=0):
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == code, (result.output, result.exception)
    notes = result.stderr.splitlines()
    assert len(set(notes)) == len(notes), notes  # everything once
    return result


def refused(*words):
    """The one line that a command is refused with, and what it printed; notes may stand before it."""
    result = run(*words, code=2)
    *notes, line = result.stderr.splitlines()
    assert all(note.startswith("note: ") for note in notes)
    return line, result.stdout


def errors(printed):
    """NMSE of every method in the table of `csmri reconstruct`."""
    return {name: float(nmse) for name, nmse in re.findall(r"^\| ([\w-]+) +\| +([\d.]+) \|", printed, re.MULTILINE)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """`cine.npz` of 2 slices x 4 frames x 32 x 24 pixels, its k-space in every format, and DICOM of it."""
    folder = tmp_path_factory.mktemp("measured")
    cine = make_subject(3, domain="k", size=32, n_slices=2, n_frames=4)
    cine = replace(cine, images=cine.images[..., 4:28], spacing_mm=(1.5, 1.4), slice_spacing_mm=9.0)
    write(folder / "cine.npz", cine)
    for name, file in FORMATS.items():
        options = ("--acceleration", 2, "--coils", 3, "--phase", "static", "--snr", 60, "--format", name)
        run("simulate", folder / "cine.npz", folder / name / file, *options)
    run("simulate", folder / "cine.npz", folder / "full/k.npz", "--acceleration", 1, "--coils", 3, "--phase", "static")
    write_patient(folder / "dicom", replace(cine, affine=AFFINE))
    return folder


def write_patient(folder, cine):
    """DICOM as a scanner leaves it: with a person in it, and instance numbers that begin at 11."""
    write(folder, cine, to="dicom")
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        for keyword, value in PATIENT.items():
            setattr(dataset, keyword, value)
        dataset.InstanceNumber += 10
        dataset.save_as(path)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- k-space


@pytest.mark.parametrize("name", FORMATS)
def test_simulate_writes_every_format_and_the_truth_beside(world, name):
    record = read(world / name / FORMATS[name])
    assert isinstance(record, KSpace) and tuple(record.kspace.shape) == (2, 3, 4, 32, 24)
    assert record.mask_of(0).sum() == 4 * 16
    truth = read_cine(world / name / "k_truth.npz")
    np.testing.assert_array_equal(truth.images, read_cine(world / "cine.npz").images)
    assert files(world / name) == sorted({FORMATS[name], "k_truth.npz", *(["k.hdr"] if name == "bart" else [])})


@pytest.mark.parametrize("method", ["cg-sense", "view-sharing"])
@pytest.mark.parametrize("name", FORMATS)
def test_reconstruct_reads_every_format_and_judges_by_the_truth(world, tmp_path, name, method):
    result = run("reconstruct", world / name / FORMATS[name], tmp_path / "out.npz", "--method", method)
    nmse = errors(result.stdout)
    assert list(nmse) == ["zero-filled", "initial", method]
    assert nmse[method] < 0.6 * nmse["zero-filled"]
    assert f"compared with {world / name / 'k_truth.npz'}" in result.stdout
    assert "3 virtual coils of 3 keep 100.0% of the energy" in result.stdout
    cine, truth = read_cine(tmp_path / "out.npz"), read_cine(world / "cine.npz").images
    error = np.sum((cine.magnitude - truth) ** 2, axis=(-3, -2, -1)) / np.sum(truth**2, axis=(-3, -2, -1))
    np.testing.assert_allclose(1000 * error.mean(), nmse[method], rtol=0.05)
    assert method in cine.provenance


def test_all_formats_give_the_same_images(world, tmp_path):
    images = []
    for name in FORMATS:
        run("reconstruct", world / name / FORMATS[name], tmp_path / f"{name}.npz", "--method", "initial")
        images.append(read_cine(tmp_path / f"{name}.npz").images)
    # The formats without noise scan are not whitened; the simulated noise is independent, so that nothing changes.
    for other in images[1:]:
        np.testing.assert_allclose(other, images[0], atol=2e-3 * images[0].max())


def test_notes_are_told_once(world, tmp_path):
    line = ("reconstruct", world / "cmrxrecon/k.mat", tmp_path / "out.npz", "--method", "zero-filled")
    notes = run(*line).stderr.splitlines()
    assert "note: Pixel spacing and frame times are unknown: CMRxRecon's files do not hold them." in notes
    assert sum("spacing" in note for note in notes) == 1


def test_a_note_is_not_told_again(capsys):
    reading = Reading()
    for of in ("", "", "a.npz", "a.npz"):
        reading.tell(["One.", "Two.", "One."], of)
    assert capsys.readouterr().err.splitlines() == [
        "note: One.",
        "note: Two.",
        "note: a.npz: One.",
        "note: a.npz: Two.",
    ]


def test_a_reference_of_another_unit_or_size(world, tmp_path):
    cine = read_cine(world / "cine.npz")
    write(tmp_path / "other.npz", replace(cine, images=1000 * cine.images))
    line = ("reconstruct", world / "npz/k.npz", tmp_path / "out.npz", "--method", "initial", "--reference")
    result = run(*line, tmp_path / "other.npz")
    (note,) = [note for note in result.stderr.splitlines() if "another unit" in note]
    factor = float(note.split()[-1].rstrip("."))
    assert 800 < factor < 1250
    assert f"compared with {tmp_path / 'other.npz'}" in result.stdout
    assert errors(result.stdout)["initial"] < errors(result.stdout)["zero-filled"]
    write(tmp_path / "small.npz", replace(cine, images=cine.images[..., :20]))
    (tmp_path / "out.npz").unlink()
    assert "the truth has the shape (2, 4, 32, 20)" in refused(*line, tmp_path / "small.npz")[0]
    assert files(tmp_path) == ["other.npz", "small.npz"]


def test_the_truth_changes_nothing_that_is_written(world, tmp_path):
    """Of data as noisy as the image itself; the unit is the same, whatever noise adds to magnitudes."""
    run("simulate", world / "cine.npz", tmp_path / "noisy.h5", "--coils", 3, "--snr", 1)
    shutil.copy(tmp_path / "noisy.h5", tmp_path / "alone.h5")
    for name in ("noisy", "alone"):
        result = run("reconstruct", tmp_path / f"{name}.h5", tmp_path / f"{name}.npz", "--method", "initial")
        assert "another unit" not in result.stderr and ("|" in result.stdout) == (name == "noisy")
    np.testing.assert_array_equal(read_cine(tmp_path / "noisy.npz").images, read_cine(tmp_path / "alone.npz").images)
    run(
        "reconstruct",
        tmp_path / "alone.h5",
        tmp_path / "b.npz",
        "--method",
        "initial",
        "--reference",
        far(world, tmp_path),
    )
    np.testing.assert_array_equal(read_cine(tmp_path / "b.npz").images, read_cine(tmp_path / "alone.npz").images)


def far(world, tmp_path):
    """The truth in another unit."""
    cine = read_cine(world / "cine.npz")
    write(tmp_path / "far.npz", replace(cine, images=1000 * cine.images))
    return tmp_path / "far.npz"


def test_truth_and_method_beat_on_a_page(world, tmp_path):
    page = tmp_path / "page.html"
    options = ("--method", "cg-sense", "--picture", page)
    printed = run("reconstruct", world / "npz/k.npz", tmp_path / "out", *options).output
    text = page.read_text("utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])
    player = data["player"]
    assert [one["name"] for one in player["methods"]] == ["initial", "cg-sense"]
    assert [(one["slice"], one["frames"]) for one in player["slices"]] == [(0, 4), (1, 4)]
    assert re.search(r'<p class="lead">cg-sense at acceleration [\d.]+, 3 coils, from \S+', text)
    assert not re.search(r"(src|href)=.http", text)
    table = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)[1]
    assert errors(table) == errors(printed) and len(errors(table)) == 3
    assert "page.html: drawn" in printed


@pytest.mark.parametrize("method", ["zero-filled", "initial", "view-sharing"])
def test_a_page_of_images_tells_what_was_simulated(world, tmp_path, method):
    write(tmp_path / "a.npz", replace(read_cine(world / "cine.npz"), subject="<script>alert(1)</script>"))
    options = ("--method", method, "--acceleration", 3, "--coils", 4, "--snr", 20, "--picture", tmp_path / "p.html")
    run("reconstruct", tmp_path / "a.npz", tmp_path / "out", *options)
    text = (tmp_path / "p.html").read_text("utf-8")
    assert "<script>alert" not in text
    assert "Undersampling is simulated: masks by the gaussian law, phase: none, 4 coils, SNR 20." in text
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])
    shown = [one["name"] for one in data["player"]["methods"]]
    assert shown == list(dict.fromkeys(["initial"] * (method == "view-sharing") + [method]))
    assert len(str(data["player"]["slices"][0]["accelerations"][0]["value"])) <= 4


def test_a_page_of_someone_anonymised_names_nobody(world, tmp_path):
    options = ("--method", "view-sharing", "--acceleration", 2, "--anonymise", tmp_path / "key.json")
    run("reconstruct", world / "dicom", tmp_path / "out", *options, "--picture", tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text("utf-8")
    assert PATIENT["PatientID"] not in text and "Doe" not in text and str(world) not in text
    assert "<h1>subject-" in text


def test_nobody_is_judged_by_the_truth_of_another(world, tmp_path):
    run("simulate", world / "cine.npz", tmp_path / "a.h5", "--acceleration", 2)
    line, _ = refused("simulate", world / "cine.npz", tmp_path / "a.mat", "--acceleration", 2)
    assert "a_truth.npz: is there already, and not the truth of a.mat" in line
    run("simulate", world / "cine.npz", tmp_path / "a.h5", "--acceleration", 2)  # its own is replaced
    shutil.copy(world / "cine.npz", tmp_path / "a_truth.npz")
    result = run("reconstruct", tmp_path / "a.h5", tmp_path / "out.npz", "--method", "initial")
    assert "|" not in result.stdout and "compared" not in result.stdout


def test_without_truth_nothing_is_judged(world, tmp_path):
    shutil.copy(world / "npz/k.npz", tmp_path / "alone.npz")
    result = run("reconstruct", tmp_path / "alone.npz", tmp_path / "out.npz", "--method", "initial")
    assert "|" not in result.stdout and "compared" not in result.stdout
    assert result.stdout.endswith(f"{tmp_path / 'out.npz'}: written\n")


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """A tiny unrolled network, untrained, as the one that csmri ships."""
    config = Config(network="unrolled", base_channels=2, cascades=1, batch_size=1, phase="static", coils=3)
    folder = tmp_path_factory.mktemp("shipped") / "unrolled"
    write_saved_model(task_of(config).build(), folder, config=config, epoch=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SHIPPED, DEFAULT_MODEL, folder)
        yield folder


@pytest.mark.parametrize(
    ("source", "options", "limits"),
    [
        ("ismrmrd/k.h5", (), ["trained at accelerations 4 to 8, this is 2"]),
        ("cine.npz", ("--acceleration", 4, "--coils", 3), []),
        ("complex.npz", ("--acceleration", 4, "--coils", 1), ["trained with 3 coils, these are 1"]),
    ],
)
def test_the_shipped_network_is_taken_by_default(world, default, tmp_path, source, options, limits):
    """Of raw, magnitude and complex input; what it was not trained on is told once, not slice by slice."""
    images = read_cine(world / "cine.npz").images
    write(world / "complex.npz", Cine((images * np.exp(0.5j)).astype(np.complex64), "complex"))
    result = run("reconstruct", world / source, tmp_path / "out.npz", *options)
    assert "method: pretrained-unrolled, the default; --method and --model choose others\n" in result.stdout
    assert list(nmse := errors(result.stdout)) == ["zero-filled", "initial", DEFAULT_MODEL]
    assert nmse[DEFAULT_MODEL] < nmse["initial"]
    assert f"reconstruction by {DEFAULT_MODEL}" in read_cine(tmp_path / "out.npz").provenance
    told = [line for line in result.stderr.splitlines() if line.startswith(f"note: {DEFAULT_MODEL}: ")]
    assert len(told) == len(limits)
    for line, limit in zip(told, limits, strict=True):
        assert limit in line and line.endswith(" (in all 2 slices); judge the result with care.")
    named = run("reconstruct", world / source, tmp_path / "named.npz", *options, "--model", DEFAULT_MODEL)
    assert "the default" not in named.stdout
    np.testing.assert_array_equal(read_cine(tmp_path / "named.npz").images, read_cine(tmp_path / "out.npz").images)


def test_a_classical_method_beyond_its_tuning_is_told(world, tmp_path):
    line = ("reconstruct", world / "cine.npz", tmp_path / "out.npz", "--method", "temporal-tv", "--acceleration")
    note = "note: temporal-tv: tuned at accelerations 2 to 8, this is 16 (in all 2 slices); judge the result with care."
    assert note in run(*line, 16).stderr.splitlines()
    assert "judge" not in run(*line, 8).stderr


def test_full_kspace_that_is_undersampled_is_its_own_reference(world, tmp_path):
    line = ("reconstruct", world / "full/k.npz", tmp_path / "out.npz", "--method", "cg-sense", "--acceleration", 2)
    result = run(*line)
    assert "acceleration 2 requested, 2.000 achieved" in result.stdout and "compared with" not in result.stdout
    nmse = errors(result.stdout)
    assert 0 < nmse["cg-sense"] < 0.6 * nmse["zero-filled"]
    (tmp_path / "out.npz").unlink()
    again = errors(run(*line, "--seed", 1).stdout)
    assert again != nmse


def test_time_and_virtual_coils_change_what_is_done(world, tmp_path):
    line = ("reconstruct", world / "npz/k.npz")
    for name, options in {
        "plain": (),
        "cyclic": ("--time", "cyclic"),
        "real": ("--time", "real-time"),
        "one": ("--virtual-coils", 1),
    }.items():
        result = run(*line, tmp_path / f"{name}.npz", "--method", "initial", *options)
        assert ("1 virtual coils of 3" in result.stdout) == (name == "one")
    images = {path.stem: read_cine(path).images for path in tmp_path.iterdir()}
    np.testing.assert_array_equal(images["plain"], images["cyclic"])
    assert not np.allclose(images["plain"], images["real"], rtol=1e-3)
    assert not np.allclose(images["plain"], images["one"], rtol=1e-3)


def test_simulated_in_real_time_is_reconstructed_so(world, tmp_path):
    line = ("--acceleration", 2, "--coils", 2, "--real-time")
    run("simulate", world / "cine.npz", tmp_path / "k.h5", *line)
    assert read(tmp_path / "k.h5").cyclic is False
    assert "real time, not cyclic" in run("inspect", tmp_path / "k.h5").stdout


# --- images out


def test_images_of_kspace_in_every_format(world, tmp_path):
    outputs = ("a.npz", "a.nii.gz", "a.h5", "a.gif", "a.mp4", "classic", "enhanced")
    for name in outputs:
        options = ("--to", "dicom-enhanced") if name == "enhanced" else ()
        run("reconstruct", world / "ismrmrd/k.h5", tmp_path / name, "--method", "initial", *options)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(outputs)
    assert len(files(tmp_path / "classic")) == 8 and len(files(tmp_path / "enhanced")) == 1
    first = read_cine(tmp_path / "a.npz")
    for name in ("a.nii.gz", "a.h5", "classic", "enhanced"):
        cine = read_cine(tmp_path / name)
        np.testing.assert_allclose(cine.images, first.magnitude, atol=1e-4 * first.magnitude.max())
        np.testing.assert_allclose(cine.spacing_mm, (1.5, 1.4), rtol=1e-4)
        np.testing.assert_allclose(cine.affine, first.affine, atol=1e-3)
    for name in outputs[3:5]:
        assert (tmp_path / name).stat().st_size > 100


@pytest.mark.parametrize("to", ["dicom", "dicom-enhanced"])
def test_dicom_to_dicom_keeps_patient_geometry_and_order(world, tmp_path, to):
    run("reconstruct", world / "dicom", tmp_path / "out", "--method", "initial", "--acceleration", 2, "--to", to)
    before, after = read_cine(world / "dicom"), read_cine(tmp_path / "out")
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-6)
    np.testing.assert_allclose(after.frame_times_ms, before.frame_times_ms, rtol=1e-5)
    assert after.subject == before.subject == "HIS-4711" and after.spacing_mm == before.spacing_mm
    assert 0 < np.sum((after.images - before.images) ** 2) < 0.2 * np.sum(before.images**2)
    old = [pydicom.dcmread(path) for path in sorted((world / "dicom").iterdir())]
    new = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    for dataset in new:
        assert {keyword: str(dataset[keyword].value) for keyword in PATIENT} == PATIENT
        assert dataset.StudyInstanceUID == old[0].StudyInstanceUID
        assert dataset.SeriesInstanceUID != old[0].SeriesInstanceUID
        assert "initial" in dataset.SeriesDescription
    if to == "dicom":
        for keyword in ("InstanceNumber", "TriggerTime", "ImagePositionPatient", "ImageOrientationPatient"):
            assert sorted(str(one[keyword].value) for one in new) == sorted(str(one[keyword].value) for one in old)
        by_number = {one.InstanceNumber: one for one in new}
        for one in old:
            assert by_number[one.InstanceNumber].ImagePositionPatient == one.ImagePositionPatient
            assert by_number[one.InstanceNumber].TriggerTime == one.TriggerTime


@pytest.mark.parametrize("to", ["dicom", "dicom-enhanced"])
def test_anonymised_dicom_names_nobody(world, tmp_path, to):
    line = ("--method", "initial", "--acceleration", 2, "--to", to, "--anonymise", tmp_path / "key.json")
    pseudonyms = set()
    for name in ("one", "two"):
        run("reconstruct", world / "dicom", tmp_path / name, *line)
        content = b"".join(path.read_bytes() for path in (tmp_path / name).iterdir())
        for value in (*PATIENT.values(), "Mercy"):
            assert value.encode() not in content, value
        for path in (world / "dicom").iterdir():
            for keyword in ("StudyInstanceUID", "SOPInstanceUID", "SeriesInstanceUID"):
                assert pydicom.dcmread(path)[keyword].value.encode() not in content
        pseudonyms |= {pydicom.dcmread(path).PatientID for path in (tmp_path / name).iterdir()}
    assert len(pseudonyms) == 1
    assert json.loads((tmp_path / "key.json").read_text())["subjects"] == {pseudonyms.pop(): "HIS-4711"}
    np.testing.assert_allclose(read_cine(tmp_path / "one").affine, read_cine(world / "dicom").affine, atol=1e-6)


def test_two_people_without_an_id_get_two_pseudonyms(world, tmp_path):
    """Their folders have the same name."""
    line = ("--method", "initial", "--acceleration", 2, "--anonymise", tmp_path / "key.json")
    for person in ("Doe^Jane", "Roe^Rick", ""):
        shutil.copytree(world / "dicom", tmp_path / (person or "none") / "cine_sax")
        for path in (tmp_path / (person or "none") / "cine_sax").iterdir():
            dataset = pydicom.dcmread(path)
            dataset.PatientID, dataset.PatientName = "", person
            dataset.save_as(path)
    for person in ("Doe^Jane", "Roe^Rick"):
        run("reconstruct", tmp_path / person / "cine_sax", tmp_path / f"out{person}", *line)
    known = json.loads((tmp_path / "key.json").read_text())["subjects"]
    assert sorted(known.values()) == ["Doe^Jane", "Roe^Rick"]
    told, _ = refused("reconstruct", tmp_path / "none/cine_sax", tmp_path / "out", *line)
    assert "neither PatientID nor PatientName" in told and "--subject NAME" in told
    run("reconstruct", tmp_path / "none/cine_sax", tmp_path / "out", *line, "--subject", "volunteer 7")
    assert "volunteer 7" in json.loads((tmp_path / "key.json").read_text())["subjects"].values()


def test_what_nifti_cannot_keep_is_told(world, tmp_path):
    cine = read_cine(world / "cine.npz")
    sheared = np.diag([1.4, 1.5, 9.0, 1.0])
    sheared[0, 2] = 3.0
    write(tmp_path / "sheared.npz", replace(cine, affine=sheared))
    line = (
        "reconstruct",
        tmp_path / "sheared.npz",
        tmp_path / "out.nii.gz",
        "--method",
        "initial",
        "--acceleration",
        2,
    )
    assert "note: Slices are offset sideways by 3 mm" in run(*line).stderr


# --- what is refused, before anything is written

# Words of the command line, {w} the files above and {o} an empty folder, and what the line must hold.
REFUSED = {
    "acceleration-of-undersampled": (
        "reconstruct {w}/npz/k.npz {o}/a.npz --method initial --acceleration 2",
        "k.npz: is undersampled as it was measured; leave out --acceleration",
    ),
    "coils-of-measured": (
        "reconstruct {w}/npz/k.npz {o}/a.npz --method initial --coils 4",
        "nothing is simulated of it; leave out --coils",
    ),
    "snr-of-full": (
        "reconstruct {w}/full/k.npz {o}/a.npz --method initial --acceleration 2 --snr 10",
        "nothing is simulated of it; leave out --snr",
    ),
    "reference-of-full": (
        "reconstruct {w}/full/k.npz {o}/a.npz --method initial --acceleration 2 --reference {w}/cine.npz",
        "is its own reference with --acceleration; leave out --reference",
    ),
    "virtual-coils-of-images": (
        "reconstruct {w}/cine.npz {o}/a.npz --method initial --acceleration 2 --virtual-coils 2",
        "--virtual-coils is for measured k-space, leave it out",
    ),
    "time-of-images": (
        "reconstruct {w}/cine.npz {o}/a.npz --method initial --acceleration 2 --time cyclic",
        "--time is for measured k-space, leave it out",
    ),
    "reference-of-images": (
        "reconstruct {w}/cine.npz {o}/a.npz --method initial --acceleration 2 --reference {w}/cine.npz",
        "--reference is for measured k-space, leave it out",
    ),
    "reference-missing": (
        "reconstruct {w}/npz/k.npz {o}/a.npz --method initial --reference {w}/none.npz",
        "none.npz: no such file",
    ),
    "reference-of-kspace": (
        "reconstruct {w}/npz/k.npz {o}/a.npz --method initial --reference {w}/full/k.npz",
        "k.npz: holds k-space, expected images; reconstruct it first",
    ),
    "anonymise-no-dicom": (
        "reconstruct {w}/dicom {o}/a.npz --method initial --acceleration 2 --anonymise {o}/key.json",
        "a.npz: --anonymise is for DICOM; give --to dicom or a name without suffix",
    ),
    "key-is-no-key": (
        "reconstruct {w}/dicom {o}/a --method initial --acceleration 2 --anonymise {w}/cine.npz",
        "cine.npz: ",
    ),
    "key-in-the-output": (
        "reconstruct {w}/dicom {o}/a --method initial --acceleration 2 --anonymise {o}/a/key.json",
        "key.json: the key of the pseudonyms would lie inside",
    ),
    "key-in-the-input": (
        "reconstruct {w}/dicom {o}/a --method initial --acceleration 2 --anonymise {w}/dicom/key.json",
        "lies inside",
    ),
    "dicom-onto-files": (
        "reconstruct {w}/cine.npz {w}/npz --method initial --acceleration 2",
        "holds files; choose an empty or new folder",
    ),
    "to-and-suffix": (
        "reconstruct {w}/cine.npz {o}/a.npz --method initial --acceleration 2 --to nifti",
        "expected a name that ends in .nii.gz or .nii",
    ),
    "dicom-of-unknown-size": (
        "reconstruct {w}/cmrxrecon/k.mat {o}/a --method initial",
        "the spacing of pixels and slices is unknown, and DICOM needs it",
    ),
    "axes-that-are-none": (
        "reconstruct {w}/cine.npz {o}/a.npz --method initial --acceleration 2 --axes abc",
        "--axes abc: expected the axes in the order of the file",
    ),
    "simulate-of-kspace": ("simulate {w}/npz/k.npz {o}/k.h5", "k.npz: holds k-space"),
    "simulate-into-images": ("simulate {w}/cine.npz {o}/k.nii.gz", "k-space is written as .npz, .h5"),
    "simulate-without-suffix": ("simulate {w}/cine.npz {o}/k", "cannot tell the format to write"),
    "simulate-onto-itself": ("simulate {w}/cine.npz {w}/cine.npz", "is what is read"),
    "simulate-truth-onto-input": ("simulate {w}/npz/k_truth.npz {w}/npz/k.h5", "is what is read"),
    "simulate-too-fast": ("simulate {w}/cine.npz {o}/k.h5 --acceleration 40", "acceleration 40 is impossible"),
    "simulate-format-and-suffix": ("simulate {w}/cine.npz {o}/k.h5 --format bart", "ends in .cfl for bart"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_options_are_refused_before_anything_is_written(world, tmp_path, case):
    words, expected = REFUSED[case]
    before = files(world)
    line, printed = refused(*words.format(w=world, o=tmp_path).split())
    assert line.startswith("csmri: ") and expected in line
    assert "slices: 0 of" not in printed  # before any work
    assert files(world) == before and not list(tmp_path.iterdir())


# --- folders with something wrong


def test_a_damaged_file_is_named_and_the_others_are_there(world, tmp_path):
    cine = read_cine(world / "cine.npz")
    for name in ("good1", "zgood2"):
        write(tmp_path / f"in/{name}.nii.gz", cine)
    content = (tmp_path / "in/good1.nii.gz").read_bytes()
    (tmp_path / "in/bad.nii.gz").write_bytes(content[: len(content) * 7 // 10])
    result = run("inspect", tmp_path / "in", code=3)
    assert "good1\n" in result.stdout and "zgood2\n" in result.stdout and "2 cines\n" in result.stdout
    left_out, *_, last = result.stderr.splitlines()
    assert left_out.startswith(f"left out: {tmp_path / 'in/bad.nii.gz'}: could not be read as a NIfTI file")
    assert last.startswith("incomplete: ") and last.endswith("bad.nii.gz could not be read, see above")
    (tmp_path / "split.toml").write_text('train = ["good1"]\ntest = ["zgood2"]\n')
    result = run("prepare", tmp_path / "in", tmp_path / "store", "--split", tmp_path / "split.toml", code=3)
    assert "2 subjects (1 train, 1 test)" in result.stdout and "left out: " in result.stderr
    (tmp_path / "split.toml").write_text('train = ["good1"]\ntest = ["bad"]\n')
    result = run("prepare", tmp_path / "in", tmp_path / "other", "--split", tmp_path / "split.toml", code=2)
    assert "names bad, which" in result.stderr and "could not be read: bad.nii.gz" in result.stderr
    assert not (tmp_path / "other").exists()


def test_reconstruct_tells_of_what_is_damaged_beside_its_input(world, tmp_path):
    write(tmp_path / "in/good.nii.gz", read_cine(world / "cine.npz"))
    (tmp_path / "in/bad.nii.gz").write_bytes(b"\x1f\x8b and no more")
    line = ("reconstruct", tmp_path / "in", tmp_path / "out.npz", "--method", "initial", "--acceleration", "2")
    result = run(*line, code=3)
    assert (tmp_path / "out.npz").is_file() and "out.npz: written" in result.stdout
    assert result.stderr.splitlines()[-1].endswith("bad.nii.gz could not be read, see above")


def test_an_empty_slice_leaves_no_nan_in_the_table(world, tmp_path):
    cine = read_cine(world / "cine.npz")
    images = np.concatenate([cine.images, np.zeros_like(cine.images[:1])])
    write(tmp_path / "empty.nii.gz", replace(cine, images=images))
    line = ("reconstruct", tmp_path / "empty.nii.gz", tmp_path / "out.npz", "--method", "initial", "--acceleration", 2)
    result = run(*line)
    nmse = errors(result.stdout)
    assert "nan" not in result.stdout and 0 < nmse["initial"] < nmse["zero-filled"]
    assert not read_cine(tmp_path / "out.npz").images[2].any()


def test_patients_without_id_are_prepared_by_folder(world, tmp_path):
    for name in ("p1", "p2"):
        shutil.copytree(world / "dicom", tmp_path / "in" / name / "DICOM")
        for path in (tmp_path / "in" / name / "DICOM").iterdir():
            dataset = pydicom.dcmread(path)
            dataset.PatientID = ""
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                setattr(dataset, keyword, generate_uid(entropy_srcs=[dataset[keyword].value, name]))
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(path)
    (tmp_path / "split.toml").write_text('train = ["p1"]\ntest = ["p2"]\n')
    result = run("prepare", tmp_path / "in", tmp_path / "store", "--split", tmp_path / "split.toml")
    assert "2 subjects (1 train, 1 test)" in result.stdout
    assert "note: 2 of 2 cines have no patient ID; their subjects are named by folder: p1, p2." in result.stderr


def test_axes_are_named_on_the_command_line(world, tmp_path):
    images = read_cine(world / "cine.npz").images
    np.save(tmp_path / "odd.npy", images.transpose(3, 0, 2, 1))  # (x, slice, y, frame)
    text = run("inspect", tmp_path / "odd.npy", "--axes", "xzyt").stdout
    assert "2 slices x 4 frames x 32 rows (y) x 24 columns (x)" in text
    line = ("reconstruct", tmp_path / "odd.npy", tmp_path / "a.npz", "--method", "zero-filled", "--acceleration", 1)
    run(*line, "--axes", "xzyt")
    np.testing.assert_allclose(read_cine(tmp_path / "a.npz").magnitude, images, atol=1e-4 * images.max())


def test_nothing_half_written_is_left(world):
    assert not [path for path in Path(world).rglob("*") if "partial" in path.name or path.name.startswith(".")]
