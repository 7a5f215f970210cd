"""Tables and figures of a study of ways to transfer, on results with a known answer."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.config import TransferStudy, write_config
from csmri.data.records import QUALITIES, UNTRAINED, Record, write_records
from csmri.results.folder import run_folder
from csmri.results.tables import ratios, read_sweep, transfer_tables

STUDY = TransferStudy(
    **{"seeds": (0, 1), "base_channels": 2, "depth": 2, "epochs": 10, "pretrain": {"epochs": 5}, "blend_steps": 1},
    **{"ways": ("standalone", "all", "scale-shift", "blended"), "n_subjects": (1, 2), "caption": "Made up"},
)
TARGET = {"pretrain": 0.95, "standalone_1": 0.9, "standalone_2": 0.8, "all_1": 0.7, "all_2": 0.7} | {
    "scale-shift_2": 0.85,
    "blended_2": 0.75,
}
"""NMSE on the target over that of the initial reconstruction."""
SOURCE = {name: 0.5 if name == "pretrain" else 1 - value / 2 for name, value in TARGET.items()}
PACE = {"standalone": 1, "all": 5, "scale-shift": 0.5, "blended": 5}
"""Learning of a way, in epochs of standalone learning."""


def write_run(folder, name, seed, config):
    run = run_folder(folder, name, seed)
    run.mkdir(parents=True)
    write_config(config.model_copy(update={"seed": seed}), run / "config.toml")
    init = None if name.startswith(("pretrain", "standalone")) else "work/seed_0/pretrain/models/epoch_005"
    trained = 100 if name.startswith("scale") else 1000
    record = {"images_per_epoch": 60 if name == "pretrain" else 96, "init": init, "trained_parameters": trained}
    (run / "run.json").write_text(json.dumps(record))
    pace = PACE.get(name.rpartition("_")[0], 1)
    final = 1 if name.startswith("standalone") else 0.999
    rows = [f"{e},{0.9 * final * 0.8 ** (pace * e):.8g},0.9,1.5" for e in range(1, config.epochs + 1)]
    (run / "log.csv").write_text("\n".join(["epoch,nmse,initial_nmse,seconds", *rows]) + "\n")


def records_of(parts, subjects):
    records = []
    for number, subject in enumerate(subjects):
        for acceleration in (4.0, 8.0):
            initial = 1e-3 * acceleration * (1 + number)
            for method, part in {"initial": 1.0, **parts}.items():
                untrained = method == "initial"
                for seed in (UNTRAINED,) if untrained else (0,) if method == "pretrain" else (0, 1):
                    nmse = initial * (part if untrained else part + 0.02 * seed)
                    quality = dict.fromkeys(("psnr", "psnr_heart", "ssim", "ssim_heart"), 0.5)
                    place = (subject, 0, 0, acceleration, acceleration, method, seed)
                    records.append(Record(*place, nmse=nmse / 2, nmse_heart=nmse, **quality))
    return records


@pytest.fixture
def folder(tmp_path):
    write_config(STUDY, tmp_path / "transfer.toml")
    for seed in STUDY.seeds:
        for name, config in STUDY.stages().items():
            if name != "pretrain" or seed == 0:
                write_run(tmp_path, name, seed, config)
    write_records(records_of(TARGET, ("a", "b")), tmp_path / "records.csv")
    write_records(records_of(SOURCE, ("c",)), tmp_path / "source_records.csv")
    return tmp_path


def test_images_without_content_are_left_out_and_told(folder):
    sweep = read_sweep(folder)
    tables = transfer_tables(sweep)
    nothing = dict.fromkeys(QUALITIES, float("nan"))
    blank = [replace(record, frame=1, **nothing) for record in sweep.results.records if record.subject == "a"]
    records = [replace(record, achieved=1.1 * record.achieved) for record in [*sweep.results.records, *blank]]
    again = transfer_tables(replace(sweep, results=replace(sweep.results, records=records)))
    assert again[0].rows[1:] == tables[0].rows[1:]
    assert again[0].rows[0][1:3] == ["R = 4 (4.40)", "R = 8 (8.80)"]
    assert "1 of 3 images without content is left out." in again[0].notes
    assert not any("left out" in note for note in tables[0].notes)


def test_ratios_are_those_of_the_means_seed_by_seed(folder):
    sweep = read_sweep(folder)
    for records, parts in ((sweep.results.records, TARGET), (sweep.source_records, SOURCE)):
        found = ratios(records)
        assert list(found) == list(TARGET)
        for name, part in parts.items():
            expected = [part] if name == "pretrain" else [part, part + 0.02]
            assert found[name] == pytest.approx(expected, rel=1e-4)


def test_savings_are_against_as_many_subjects_and_on_target_images_alone(folder):
    sweep = read_sweep(folder)
    assert sweep.n_subjects == [1, 2]
    assert sweep.trainings(2) == ["all_2", "scale-shift_2", "blended_2"]
    reached = {saving.training: saving.reached for n in (1, 2) for saving in sweep.savings(n)}
    # The blended one is as good after 2 epochs, too, but up to the fifth on images of the source.
    assert reached == {"all_1": 2, "all_2": 2, "scale-shift_2": None, "blended_2": 6}


def test_tables_tell_target_source_and_costs(folder):
    target, source, costs = transfer_tables(read_sweep(folder))
    assert target.rows[0] == ["method", "R = 4", "R = 8", "of initial"]
    rows = {row[0]: row[1:] for row in target.rows[1:]}
    assert list(rows) == [
        *("initial (IR)", "pretrained", "standalone, 1 subject", "standalone, 2 subjects", "all weights, 1 subject"),
        *("all weights, 2 subjects", "scale and shift, 2 subjects", "blended, 2 subjects"),
    ]
    assert rows["initial (IR)"] == ["6.00 ± 2.83", "12.00 ± 5.66", "1"]
    assert rows["standalone, 1 subject"][-1] == "0.910"
    forgotten = {row[0]: row[-1] for row in source.rows[1:]}
    assert forgotten["pretrained"] == "0.500" and forgotten["all weights, 2 subjects"] == "0.660"
    rows = {row[0]: row[1:] for row in costs.rows[1:]}
    assert costs.rows[0][-1] == "trained parameters"
    assert rows["standalone, 2 subjects"] == ["–", "–", "–", "–", "1,000"]
    # 10 x 96 images of standalone learning over 5 x 60 of pretraining and 2 x 96 of the transfer.
    assert rows["all weights, 2 subjects"] == ["2", "10", "5×", "2×", "1,000"]
    assert rows["scale and shift, 2 subjects"] == ["not reached by 2 of 2 seeds", "10", "–", "–", "100"]
    assert rows["blended, 2 subjects"][0] == "6"


def test_command_draws_them_from_the_records_alone_and_the_same_again(folder):
    names = [f"transfer{suffix}" for suffix in (".md", ".tex", ".png", ".svg")]
    names += ["transfer_curves.png", "transfer_curves.svg"]
    drawn = []
    for _ in range(2):
        done = CliRunner().invoke(main, ["figures", str(folder), "--format", "png", "--format", "svg"])
        assert done.exit_code == 0, done.output
        assert "| blended, 2 subjects" in done.output
        assert all(f"{folder / name}: written" in done.output for name in names)
        drawn.append([(folder / name).read_bytes() for name in names])
    assert drawn[0] == drawn[1]
    svg = (folder / "transfer.svg").read_text()
    assert "Made up" in (folder / "transfer_curves.svg").read_text() or "<text" not in svg


def test_no_model_is_loaded_for_it(folder):
    code = f"import sys; from csmri.cli import main; main(['figures', {str(folder)!r}], standalone_mode=False); " \
        "sys.exit('tensorflow' in sys.modules)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr


def test_missing_source_records_are_named(folder):
    (folder / "source_records.csv").unlink()
    done = CliRunner().invoke(main, ["figures", str(folder)])
    assert done.exit_code == 2
    assert "source_records.csv.xz: not a table of records" in done.output
