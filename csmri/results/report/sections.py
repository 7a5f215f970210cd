"""The parts of the page that are words and tables: table 2, epochs saved, what was run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from csmri.config import Config, Study, by_key, read_config
from csmri.core.names import INITIAL, PRETRAIN, ZERO_FILLED, pretraining_epochs, short, title
from csmri.core.texts import read_json
from csmri.data.records import mean_over_subjects
from csmri.data.runs import CONFIG, RECORD
from csmri.results.folder import EVALUATION, PROVENANCE, Results, run_folder
from csmri.results.report.findings import QUALITY, Comparison, column, percent, thousandths, times
from csmri.results.report.fragments import definitions, details, nested
from csmri.results.report.naming import colours, ordered
from csmri.results.tables.quality import (
    about_folds,
    about_heads,
    acceleration_head,
    left_out,
    n_counted_subjects,
    number,
    quality_tables,
)
from csmri.results.tables.savings import Saving, savings_table
from csmri.results.tables.text import html, html_table


def key_figures(saving: Saving | None, comparison: Comparison | None) -> str:
    """The two or three numbers to remember, each with what it means."""
    items = []
    length = f"N\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{saving.standalone_epochs}" if saving else ""
    if saving and saving.factor and saving.factor > 1:
        text = f"fewer epochs to standalone’s training error after {length} epochs"
        items.append((f"{times(saving.factor)}×", "good", text))
    elif saving:
        items.append(("no", "bad", f"epochs saved on the way to standalone’s training error after {length} epochs"))
    if comparison and comparison.transfer:
        where = f"R\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{comparison.acceleration:g}"
        for other, name in ((comparison.standalone, "standalone"), (comparison.initial, "the initial reconstruction")):
            if other:
                change = percent(comparison.transfer, other)
                tone = {"\N{MINUS SIGN}": "good", "+": "bad"}.get(change[0], "")
                text = f"test NMSE against {name}, {where}"
                if name == "standalone" and math.isfinite(comparison.p):
                    text += f" (p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{comparison.p:.2g})"
                    tone = tone if comparison.is_shown else ""  # what may be chance is neither good nor bad
                items.append((change, tone, text))
    cells = "".join(f'<div><dt>{text}</dt><dd class="{tone}">{number}</dd></div>' for number, tone, text in items)
    return f'<dl class="key">{cells}</dl>' if cells else ""


def table2(results: Results, trained: Sequence[float]) -> str:
    """Table 2 of the paper: NMSE in the heart box, mean and spread over subjects, change against IR, best marked."""
    records = results.records
    means = mean_over_subjects(records, QUALITY)
    methods = [name for name in ordered(record.method for record in records) if name != ZERO_FILLED]
    accelerations = sorted({record.acceleration for record in records})
    classes = colours(methods)
    head = ["<span>Method</span>"]
    for acceleration in accelerations:
        note = "" if not trained else "trained on" if acceleration in trained else "not trained on"
        head.append(f"{acceleration_head(records, acceleration)}<small>{note}</small>")
    rows = []
    for method in methods:
        name = f'<i class="swatch {classes[method]}"></i>{_name(method)}'
        cells = [_cell(means, methods, method, acceleration, classes[method]) for acceleration in accelerations]
        rows.append([name, *cells])
    n_subjects = n_counted_subjects(records, QUALITY)
    over = filter(None, [_count(n_subjects, "subject"), about_folds(results.fold_subjects)])
    caption = (
        f"NMSE × 10³ in the heart box, mean ± standard deviation over {', '.join(over)}; bars start at "
        "zero, the lowest of a column is filled"
    )
    notes = filter(None, [*about_heads(records), *left_out(records, QUALITY), results.acceleration_note(records)])
    caption = ". ".join([caption, *(note.removesuffix(".") for note in notes)])
    return html_table(head, rows, caption=caption, name="errors")


def _name(method: str) -> str:
    abbreviation = short(method)
    return escape(method) if abbreviation == method else f"<abbr>{escape(abbreviation)}</abbr> {escape(title(method))}"


def _cell(
    means: Mapping[tuple[str, float], tuple[float, float]],
    methods: Sequence[str],
    method: str,
    acceleration: float,
    colour: str,
) -> str:
    if (method, acceleration) not in means:
        return "–"
    mean, spread = means[method, acceleration]
    column = {name: means[name, acceleration][0] for name in methods if (name, acceleration) in means}
    highest = max((value for value in column.values() if math.isfinite(value)), default=0)
    share = 100 * min(mean / highest, 1) if highest else 0
    best = " best" if len(column) > 1 and mean == min(column.values()) else ""
    mark = '<span class="hidden"> (lowest)</span>' if best else ""
    change = ""
    if method != INITIAL and INITIAL in column:
        text = percent(mean, column[INITIAL])
        tone = {"\N{MINUS SIGN}": "good", "+": "bad"}.get(text[0], "")
        change = f'<small class="{tone}">{text} to IR</small>'
    return (
        f'<span class="value{best}">{_with_spread(mean, spread)}{mark}</span>'
        f'<span class="bar {colour}{best}"><i style="width:{share:.1f}%"></i></span>{change}'
    )


def _with_spread(mean: float, spread: float) -> str:
    text = number(QUALITY, mean)
    return text if math.isnan(spread) else f"{text}<small> ± {number(QUALITY, spread)}</small>"


def other_qualities(results: Results) -> str:
    """Tests, spread over seeds, the whole image, PSNR and SSIM, zero-filling included, folded."""
    tables = [html(one, name=one.name) for one in quality_tables(results.records, results.fold_subjects)]
    kinds = "Tests, whole image" if results.fold_subjects else "Tests, seeds, whole image"
    return details(f"{kinds}, PSNR, SSIM, and zero-filling", "".join(tables)) if tables else ""


def epochs_saved(savings: Sequence[Saving]) -> str:
    """Epochs that each transfer needed, over all seeds."""
    return html(savings_table(savings), name="savings") if savings else ""


def facts(results: Results, study: Study | None, config: Config | None) -> str:
    """What was run, in a list, and every field folded under it; `config` is of one training on the target."""
    seeds = sorted({seed for _, seed in results.logs})
    items = []
    if config:
        items.append(("Network", f"U-net, {config.base_channels} channels at the top, depth {config.depth}"))
        sampling = f"{config.mask_law} mask, width {config.mask_width:g} of the lines"
        items.append(("Sampling", escape(f"{sampling}, {_count(config.mask_centre_lines, 'centre line')} always kept")))
        items.append(("Trained on", f"R = {', '.join(f'{a:g}' for a in config.accelerations)}, mixed"))
        optimizer = f"{config.optimizer}, learning rate {config.learning_rate:g}, {config.schedule}, batches of "
        items.append(("Optimizer", escape(f"{optimizer}{config.batch_size}")))
    for training in dict.fromkeys(name for name, _ in results.logs):
        epochs = sorted({len(log) for (name, _), log in results.logs.items() if name == training})
        items.append((_plain(training), f"{' or '.join(map(str, epochs))} epochs"))
    if seeds:
        of_fold = ", one a fold" if results.fold_subjects else ""
        items.append(("Seeds", ", ".join(map(str, seeds)) + of_fold))
    subjects = list(dict.fromkeys(record.subject for record in results.records))
    if subjects:
        folds = f", {about}" if (about := about_folds(results.fold_subjects)) else ""
        items.append((f"Tested on {_count(len(subjects), 'subject')}{folds}", escape(", ".join(subjects))))
        items.append(("Records", f"{len(results.records):,}, one a frame, acceleration, method and seed"))
    whole = study or config
    fields = definitions((name, nested(value)) for name, value in by_key(whole).items()) if whole else ""
    kind = "study" if study else "training"
    return definitions(items) + (details(f"Every field of the {kind}", fields) if fields else "")


def _plain(training: str) -> str:
    epochs = pretraining_epochs(training)
    return "Pretraining" if training == PRETRAIN else title(training) + (f" from {epochs}" if epochs else "")


def runs_table(results: Results) -> str:
    """Time, size and revision of every training, folded."""
    rows = []
    for (training, seed), log in results.logs.items():
        record = read_json(run_folder(results.path, training, seed) / RECORD)
        where = f"runs/seed_{seed}/{training}/log.csv"
        seconds, errors = sum(column(log, "seconds", where).values()), column(log, "nmse", where)
        parameters = record.get("parameters")
        rows.append(
            [
                escape(training),
                str(seed),
                str(len(log)),
                thousandths(errors[max(errors)]) if errors else "–",
                f"{seconds / 60:.0f}" if seconds else "–",
                f"{parameters:,}" if isinstance(parameters, int) else "–",
                f"<code>{escape(str(record.get('git_revision') or '–')[:10])}</code>",
            ]
        )
    head = ["Training", "Seed", "Epochs", "Final NMSE × 10³", "Minutes", "Parameters", "Revision"]
    return details("Every training", html_table(head, rows, caption="Trainings in the order they ran")) if rows else ""


def provenance(results: Results) -> str:
    """What study.json and evaluation.json tell of versions, revision and stores, folded."""
    parts = []
    for name in (PROVENANCE, EVALUATION):
        if found := read_json(results.path / name):
            parts.append(details(f"Provenance: {name}", nested(found)))
    return "".join(parts)


def training_config(results: Results) -> Config | None:
    """Config of the first training that is not the pretraining, for folders without a study."""
    for training, seed in results.logs:
        path = run_folder(results.path, training, seed) / CONFIG
        if training != PRETRAIN and path.exists():
            return read_config(path)
    return None


def _count(n: int, noun: str) -> str:
    return f"{n or 'no'} {noun}{'s' * (n != 1)}"
