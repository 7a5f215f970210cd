"""The page holds what the results say and nothing that another program could load, run or mistake."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

from csmri.cli.report import report
from csmri.config import Study
from csmri.core.errors import CsmriError
from csmri.core.names import short
from csmri.data.records import QUALITIES
from csmri.evaluation.metrics import nmse
from csmri.results.folder import Results, read_results
from csmri.results.report import render_report
from csmri.results.report.curves import ticks
from csmri.results.report.findings import Comparison, compare, learning_curves, percent, sentence, thousandths
from csmri.results.report.fragments import embedded_json, without_folders
from csmri.results.report.lengths import lengths_html
from csmri.results.report.naming import last_transfer, ordered
from csmri.results.report.sections import key_figures
from csmri.results.report.sprites import CEILING, Sprite, decode, encode_error, encode_reference, player_data
from csmri.results.tables.lengths import FIRST, SUSTAINED, SavingCurve
from csmri.results.tables.savings import Race, Saving

EVIL = '</script><b>O\'Brien & "co"</b><!--'


def render(results, tmp_path, **options):
    render_report(results, tmp_path / "page.html", **options)
    return (tmp_path / "page.html").read_text("utf-8")


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def sprite_of(data):
    return Sprite(base64.b64decode(data["uri"].partition(",")[2]), data["columns"], data["zero"], data["step"])


class Parsed(HTMLParser):
    """Every element with its attributes; knows which elements were left open."""

    VOID = {"meta", "link", "input", "br", "img", "path", "line", "circle", "polyline", "polygon"}

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.wrong = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.mark.parametrize("shape", [(1, 5, 7), (6, 12, 9), (7, 30, 31), (20, 8, 8)])
def test_sprites_come_back_within_half_a_step(shape):
    rng = np.random.default_rng(0)
    reference, error = rng.random(shape), rng.normal(0, 0.05, shape)
    for sprite, images in ((encode_reference(reference), reference), (encode_error(error), error)):
        assert np.abs(decode(sprite, *shape) - images).max() <= 0.5 * sprite.step * 1.001


def test_no_error_is_cut_and_small_ones_are_fine():
    error = np.array([[[-0.9, 0.0, 0.9]]])
    np.testing.assert_allclose(decode(encode_error(error), 1, 1, 3), error, atol=0.9 / 250)
    assert encode_error(0.1 * error).step == 1 / 400
    assert decode(encode_error(0 * error), 1, 1, 3).max() == 0
    assert decode(encode_reference(np.full((1, 2, 2), 9.0)), 1, 2, 2).max() == pytest.approx(CEILING)


def test_the_player_shows_the_examples(images):
    data = player_data(images, max_slices=3)
    assert [method["name"] for method in data["methods"]] == ["initial", "standalone", "transfer_50"]
    assert len(data["slices"]) == 2 and [a["value"] for a in data["slices"][1]["accelerations"]] == [4.0, 8.0]
    example = next(one for one in images if one.slice == 1 and one.acceleration == 8)
    part, place = data["slices"][1], data["slices"][1]["accelerations"][1]
    frames, height, width = part["frames"], data["height"], data["width"]
    box = example.heart_box
    y, x, h, w = part["box"]
    assert (h, w) == box[2:]
    top, left = box.y - y, box.x - x
    reference = decode(sprite_of(part["reference"]), frames, height, width)
    error = decode(sprite_of(place["errors"]["transfer_50"]), frames, height, width)
    white = np.quantile(box.crop(example.reference), 0.995)
    truth = example.reference[:, top : top + height, left : left + width] / white
    image = example.methods["transfer_50"][:, top : top + height, left : left + width] / white
    np.testing.assert_allclose(reference, np.minimum(truth, CEILING), atol=0.004)
    np.testing.assert_allclose(error, image - truth, atol=0.005)
    exact = [nmse(box.crop(a), box.crop(b)) for a, b in zip(example.reference, example.methods["initial"], strict=True)]
    np.testing.assert_allclose(place["nmse"]["initial"], exact, rtol=1e-3)


def test_slices_are_thinned_out_evenly(images):
    many = [replace(images[0], slice=i) for i in range(12)]
    data = player_data(many, max_slices=3)
    assert [part["slice"] for part in data["slices"]] == [2, 6, 10]
    assert data["left_out"] == 9


def test_names_of_ones_own_are_shown_and_zero_filling_only_alone(images):
    methods = images[0].methods
    own = replace(images[0], methods={name: methods["initial"] for name in ("zero-filled", "mine", "transfer")})
    alone = replace(images[0], methods={"zero-filled": methods["initial"]})
    assert [method["name"] for method in player_data([own], max_slices=1)["methods"]] == ["transfer", "mine"]
    assert [method["name"] for method in player_data([alone], max_slices=1)["methods"]] == ["zero-filled"]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_blank_images_are_shown_blank(images, value):
    blank = np.full_like(images[0].reference, value)
    data = player_data([replace(images[0], reference=blank)], max_slices=1)
    assert set(data["slices"][0]["accelerations"][0]["nmse"]["initial"]) == {None}
    embedded_json(data)


def test_one_blank_frame_leaves_the_others_as_they_are(images):
    reference = images[0].reference.copy()
    reference[2] = 0
    data = player_data([replace(images[0], reference=reference)], max_slices=1)
    shown = data["slices"][0]["accelerations"][0]["nmse"]["initial"]
    assert [value is None for value in shown] == [False, False, True, False, False, False]
    embedded_json(data)


def test_images_without_content_and_achieved_accelerations_are_told(study_folder, tmp_path):
    results = read_results(study_folder)
    nothing = dict.fromkeys(QUALITIES, float("nan"))
    last = results.records[-1].subject
    records = [
        replace(r, **nothing) if (r.slice, r.frame) == (0, 2) or r.subject == last else r for r in results.records
    ]
    records = [replace(r, achieved=1.1 * r.acceleration) for r in records]
    html = render(replace(results, records=records), tmp_path)
    assert not re.search(r"\bnan\b|\binf\b|∞", html.partition("<script")[0])
    tables = re.findall(r"<table.*?</table>", html, re.DOTALL)
    told = [table for table in tables if "15 of 48 images without content are left out" in table]
    assert len(told) == 8 and all("R = 8 (8.80)" in table for table in told)
    assert "standard deviation over 3 subjects" in told[0]
    found = compare(records)
    assert found.n_subjects == 3
    kept = [r for r in results.records if (r.slice, r.frame) != (0, 2) and r.subject != last]
    assert found == compare(kept)


def test_an_error_without_end_is_shown_as_such(study_folder, tmp_path):
    results = read_results(study_folder)
    spoilt = {"nmse": math.inf, "nmse_heart": math.inf, "psnr": -math.inf, "psnr_heart": -math.inf}
    records = [replace(r, **spoilt) if r.method == "transfer_50" and not r.frame else r for r in results.records]
    html = render(replace(results, records=records), tmp_path)
    row = re.search(r"<abbr>TL 50</abbr>.*?</tr>", html, re.DOTALL)[0]
    assert ">inf<" in row and "nan" not in row


def test_images_that_do_not_fit_are_refused(images):
    wrong = replace(images[0], methods={"initial": images[0].reference[:2]})
    with pytest.raises(CsmriError, match=r"slice 0: initial has shape \(2, 40, 40\), the reference"):
        player_data([wrong], max_slices=1)
    with pytest.raises(CsmriError, match="expected a reference"):
        player_data([replace(images[0], reference=np.ones(3, np.float32))], max_slices=1)


def test_nothing_is_loaded_from_anywhere(page):
    html = page.read_text("utf-8")
    parsed = Parsed(html)
    assert not parsed.wrong and not parsed.open
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:", "#")), (tag, target)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(", html)
    policy = next(a["content"] for t, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;") and "http" not in policy
    assert "/home/someone" not in html and str(page.parent) not in html


def test_every_name_of_the_template_is_filled(page):
    html = page.read_text("utf-8")
    head, _, rest = html.partition("<script>")
    assert not re.search(r"\$[a-z]+", head)
    assert rest


def test_same_results_give_the_same_bytes(study_folder, page, tmp_path):
    render_report(read_results(study_folder), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_what_was_run_is_the_standalone_training_and_every_field_by_its_name(study_folder, tmp_path):
    study = Study(learning_rate=0.5, standalone={"accelerations": [3.0], "learning_rate": 0.25})
    html = render(replace(read_results(study_folder), study=study), tmp_path)
    for term, text in {
        "Trained on": "R = 3, mixed",
        "Optimizer": "adam, learning rate 0.25, constant, batches of 8",
        "learning_rate": "0.5",
        "[pretrain] learning_rate": "0.001",
        "[standalone] accelerations": "3.0",
        "[transfer] epochs": "100",
    }.items():
        assert f"<dt>{term}</dt><dd>{text}</dd>" in html
    assert "<dt>[transfer] accelerations</dt>" not in html


def test_names_cannot_become_markup(study_folder, images, tmp_path):
    results = read_results(study_folder)
    records = [replace(record, subject=EVIL, method=EVIL) for record in results.records]
    examples = [replace(one, subject=EVIL, methods={EVIL: one.reference}) for one in images]
    logs = {(EVIL, 0): next(iter(results.logs.values()))}
    study = Study(caption=EVIL)
    evil = Results(tmp_path, study, logs, records)
    (tmp_path / "study.json").write_text(json.dumps({EVIL: [EVIL, {EVIL: None}]}))
    html = render(evil, tmp_path, note=EVIL, examples=examples)
    parsed = Parsed(html)
    assert not parsed.wrong and not parsed.open and not any(tag == "b" for tag, _ in parsed.elements[-200:])
    assert "</script><b>" not in html and "<!--" not in html
    assert data_of(html)["player"]["slices"][0]["subject"] == EVIL
    assert any(attributes.get("data-method") == EVIL for _, attributes in parsed.elements)


def test_without_images_the_page_says_how_to_get_them(study_folder, tmp_path):
    results = read_results(study_folder)
    html = render(results, tmp_path, note="Not here.", examples=())
    assert data_of(html)["player"] is None
    for text in ("csmri report RESULTS --examples", "Not here.", "Errors on the test subjects", 'class="curves wide"'):
        assert text in html


def test_given_images_do_not_carry_the_attribution_of_the_data(study_folder, images, tmp_path):
    results = read_results(study_folder)
    assert render(results, tmp_path).count(results.study.caption) == 3  # player, data, every field
    assert render(results, tmp_path, examples=images[:1]).count(results.study.caption) == 2


@pytest.mark.parametrize("missing", ["study.toml", "study.json", "records.csv", "runs", "examples.npz"])
def test_what_is_missing_is_left_out(study_folder, tmp_path, missing):
    folder = shutil.copytree(study_folder, tmp_path / "results")
    path = folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    parsed = Parsed(render(read_results(folder), tmp_path))
    assert not parsed.wrong and not parsed.open


def test_table_marks_the_best_and_tells_the_change(page):
    html = page.read_text("utf-8")
    table = re.search(r'<table class="errors">.*?</table>', html, re.DOTALL)[0]
    assert table.count('class="value best"') == 2
    rows = dict(re.findall(r"<abbr>(.*?)</abbr>.*?</th>(.*?)</tr>", table))
    assert list(rows) == ["IR", "SL", "TL 10", "TL 20", "TL 50"]
    assert "to IR" not in rows["IR"] and rows["SL"].count("% to IR") == 2 and "(lowest)" in rows["TL 50"]


def test_curves_and_savings_are_read_off_the_logs(study_folder):
    results = read_results(study_folder)
    curves = learning_curves(results)
    assert [curve.training for curve in curves] == ["standalone", "transfer_10", "transfer_20", "transfer_50"]
    standalone, transfer = curves[0], curves[-1]
    logs = [
        [float(row["nmse"]) / float(row["initial_nmse"]) for row in results.logs["transfer_50", seed]]
        for seed in (0, 1)
    ]
    np.testing.assert_allclose(transfer.mean, np.mean(logs, axis=0))
    np.testing.assert_allclose(transfer.low, np.min(logs, axis=0))
    assert standalone.mean[-1] == pytest.approx(np.mean([standalone.of_seed[seed][40] for seed in (0, 1)]))


def saving(reached, standalone=100):
    return Saving("transfer_50", [Race(0, 0.8, standalone, 100, 0.79, reached, standalone, None)])


@pytest.mark.parametrize(
    ("speed", "quality", "said"),
    [
        (
            saving(6),
            Comparison(8, 0.0153, 0.0131, 0.0128, 3, 4),
            "error of N = 100 standalone epochs after 6 epochs (17× fewer)",
        ),
        (
            Saving("transfer_50", [Race(0, 0.8, 100, 100, 0.79, 10, 100, (1000, 10, 1900))]),
            None,
            "after 10 epochs (10× fewer; 0.5× in images, those of the pretraining counted)",
        ),
        (saving(6), Comparison(8, 0.0153, 0.0131, 0.0128, 3, 4), "fell from 13.1 to 12.8 (−2 %, lower in 3 of 4 subj"),
        (saving(6), Comparison(8, 0.0153, 0.0131, 0.0138, 1, 4), ", but on the test subjects"),
        (saving(6), Comparison(8, 0.0153, 0.0131, 0.0138, 1, 4), "rose from 13.1 to 13.8 (+5 %, lower in 1 of 4"),
        (saving(6), Comparison(8, 0.0153, 0.01310, 0.01311, 1, 4), "stayed at 13.1 (lower in 1 of 4"),
        (
            saving(6),
            Comparison(8, 0.0140, 0.01258, 0.01248, 5, 8, p=0.713, shown=0.066),
            "(−0.8 %, lower in 5 of 8 subjects, p = 0.71; 6.6 % could have been shown)",
        ),
        (saving(6), Comparison(8, 0.0140, 0.0126, 0.0113, 8, 8, p=0.004, shown=0.066), "8 of 8 subjects, p = 0.004)"),
        (saving(6), Comparison(2, 0.0012, 0.0015, 0.0014, 3, 4), "without any network, is better than both with 1.20"),
        (saving(6), Comparison(2, 0.0014, 0.0013, 0.0015, 0, 4), "without any network, is better with 1.40"),
        (saving(None), None, "did not reach the training error of N = 100 standalone epochs within its 100 epochs."),
        (saving(100), None, "after 100 epochs, no sooner than"),
        (None, Comparison(8, None, 0.0131, 0.0128, 1, 1), "On the test subjects"),
        (None, None, "compare no transfer"),
    ],
)
def test_the_sentence_says_no_more_than_is_so(speed, quality, said):
    assert said in sentence(speed, quality)


@pytest.mark.parametrize("reached", [6, 100, None])
def test_no_factor_without_its_length(study_folder, page, reached):
    assert "N = 100" in sentence(saving(reached), None)
    assert "N\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}100" in key_figures(saving(reached), None)
    assert "standalone after N = 40 epochs" in page.read_text("utf-8")  # beside the factors in the curves
    assert "<b>N = 40</b>" in page.read_text("utf-8")


@pytest.mark.parametrize(("p", "tone"), [(0.713, ""), (0.004, "good"), (math.nan, "good")])
def test_a_change_that_may_be_chance_is_not_painted(p, tone):
    shown = key_figures(None, Comparison(8, 0.0140, 0.01258, 0.01248, 5, 8, p=p, shown=0.066))
    assert f'<dd class="{tone}">−0.8 %</dd>' in shown
    assert '<dd class="good">−11 %</dd>' in shown  # against the initial reconstruction, which nobody doubts
    assert ("(p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.71)" in shown) == (p == 0.713)


def test_the_saving_is_told_for_every_length(study_folder, tmp_path):
    def section(folder):
        found = re.findall(
            r'<section aria-labelledby="lengths-title">.*?</section>', render(folder, tmp_path), re.DOTALL
        )
        return found[0] if found else ""

    counting = shutil.copytree(study_folder, tmp_path / "counting")
    for log in counting.glob("runs/seed_*/*/log.csv"):
        (log.parent / "run.json").write_text('{"images_per_epoch": 100}')
    html = section(read_results(counting))
    assert html.count("<svg") == 4 and html.count('class="mark') == 12  # two pictures in two sizes, the paper's three
    assert len(html.encode()) < 45_000
    rows = re.findall(r'<th scope="row">(\d+)</th>', html)
    assert rows == ["2", "4", "8", "16", "24", "32", "40"] * 4  # one table of all, one a transfer
    assert all(f"{name}, pretraining counted<" in html for name in ("TL 10", "TL 20", "TL 50"))
    for log in counting.glob("runs/seed_*/standalone/log.csv"):
        log.unlink()
    assert section(read_results(counting)) == ""


def test_a_transfer_that_is_never_as_good_has_no_line_but_an_arrow():
    def drawn(reached):
        savings = {n: Saving("transfer", [Race(0, 1, n, 10, 1, reached, n, None)]) for n in range(1, 11)}
        return lengths_html([SavingCurve("transfer", 1, {FIRST: savings, SUSTAINED: savings})], {"transfer": "c-tl0"})

    assert ("polyline" in drawn(2), 'class="arrow' in drawn(2), "h0" in drawn(2)) == (True, False, True)
    assert ("polyline" in drawn(None), 'class="arrow' in drawn(None), "h0" in drawn(None)) == (False, True, False)
    assert drawn(2).count("<svg") == 2  # without numbers of images one picture


def test_comparison_is_at_the_highest_trained_acceleration(study_folder):
    records = read_results(study_folder).records
    assert compare(records, (4.0,)).acceleration == 4
    assert compare(records, (4.0, 16.0)).acceleration == 4
    found = compare(records)
    assert (found.acceleration, found.better_in, found.n_subjects) == (8, 4, 4)
    assert found.transfer < found.standalone < found.initial
    assert compare([]) is None


def test_numbers_and_names_are_written_for_people():
    assert [thousandths(v) for v in (0.0131, 0.00119, 0.2417, 0, 1e-9)] == ["13.1", "1.19", "242", "0", "0.000001"]
    assert [percent(a, 1.0) for a in (0.98, 1.25, 1.0, 0.996)] == ["−2 %", "+25 %", "0 %", "−0.4 %"]
    assert ordered(["mine", "transfer_50", "standalone", "transfer_9", "initial"])[1:] == [
        "standalone",
        "transfer_9",
        "transfer_50",
        "mine",
    ]
    assert last_transfer(["transfer_50", "transfer_9"]) == "transfer_50" and last_transfer(["mine"]) is None
    assert [short(name) for name in ("initial", "transfer", "transfer_10", "transfer_x")] == [
        "IR",
        "TL",
        "TL 10",
        "transfer_x",
    ]
    assert ticks(5.1, 8.9, logarithmic=False) == [6.0, 7.0, 8.0]
    assert ticks(1, 100, logarithmic=True) == [1, 2, 5, 10, 20, 50, 100]


def test_folders_of_a_machine_are_cut():
    assert without_folders("/home/a/b/store and /x/y.npz") == "…/store and …/y.npz"
    assert (
        without_folders("10/20 https://doi.org/10.1/2 work/a/b and/or")
        == "10/20 https://doi.org/10.1/2 work/a/b and/or"
    )


def test_command_writes_the_page(study_folder, tmp_path):
    out = tmp_path / "deep" / "page.html"
    done = CliRunner().invoke(report, [str(study_folder), "--out", str(out), "--note", "A phantom.", "--slices", "1"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"{out}: written, ") and done.output.count("\n") == 1
    assert "A phantom." in out.read_text("utf-8")
    assert len(data_of(out.read_text("utf-8"))["player"]["slices"]) == 1


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("study.json", "{", "study.json: not the JSON"),
        ("study.json", "[1]", "study.json: expected a JSON object, found list"),
        (
            "runs/seed_0/standalone/log.csv",
            "epoch,nmse\n1,many\n",
            "standalone/log.csv: not the log of `csmri train`; expected numbers",
        ),
        ("runs/seed_0/pretrain/run.json", "no", "run.json: damaged; expected the record"),
        ("examples.npz", "no", "not the examples"),
    ],
)
def test_damaged_files_are_told_in_one_line(study_folder, tmp_path, file, content, said):
    folder = shutil.copytree(study_folder, tmp_path / "results", ignore=shutil.ignore_patterns("*.html"))
    (folder / file).write_text(content)
    done = CliRunner().invoke(report, [str(folder)])
    assert isinstance(done.exception, CsmriError)
    assert said in str(done.exception) and "\n" not in str(done.exception)
    assert not (folder / "report.html").exists()
