"""Records and logs of a study of ways to transfer -> what each way gives on the target, costs, and forgets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from csmri.core.names import INITIAL, SELF_SUPERVISED, STANDALONE, method_label, split_way, way_name
from csmri.data.records import UNTRAINED, Record, mean_over_subjects, read_records
from csmri.results.folder import SOURCE_RECORDS, Results, read_results, table_path
from csmri.results.tables.quality import quality_tables
from csmri.results.tables.savings import Saving, run_record, savings, savings_table
from csmri.results.tables.text import MISSING, Table

Ratios = Mapping[str, Sequence[float]]
"""Training -> NMSE in the heart box over that of the initial reconstruction, mean over accelerations, seed by seed."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Results of `csmri transfer`."""

    results: Results
    """Logs, and records of the target's test subjects."""
    source_records: Sequence[Record]
    """Of held-out subjects of the source."""

    @property
    def n_subjects(self) -> list[int]:
        """Numbers of target subjects that were trained on."""
        return sorted({way[1] for name, _ in self.results.logs if (way := split_way(name))})

    def trainings(self, n_subjects: int) -> list[str]:
        """Transfers to so many target subjects that logged the NMSE of true images, in the order of the records."""
        names = dict.fromkeys(record.method for record in self.results.records)
        ways = {name: split_way(name) for name in names}
        return [
            name
            for name, way in ways.items()
            if way and way[0] not in (STANDALONE, SELF_SUPERVISED) and way[1] == n_subjects
        ]

    def savings(self, n_subjects: int) -> list[Saving]:
        """Epochs that the transfers to so many subjects save against standalone learning on as many."""
        return savings(self.results, self.trainings(n_subjects), standalone=way_name(STANDALONE, n_subjects))


def read_sweep(path: str | Path) -> Sweep:
    """Read a results folder of `csmri transfer`; refuses as `read_results` and `read_records` do."""
    return Sweep(read_results(path), read_records(table_path(Path(path), SOURCE_RECORDS)))


def ratios(records: Sequence[Record]) -> Ratios:
    """NMSE in the heart box over that of the initial reconstruction, mean over accelerations, of every training."""
    seeds = sorted({record.seed for record in records if record.seed != UNTRAINED})
    found: defaultdict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        means = mean_over_subjects([record for record in records if record.seed in (UNTRAINED, seed)], "nmse_heart")
        of_method: defaultdict[str, list[float]] = defaultdict(list)
        for (method, acceleration), (mean, _) in means.items():
            if method != INITIAL:
                of_method[method].append(mean / means[INITIAL, acceleration][0])
        for method, values in of_method.items():
            found[method].append(fmean(values))
    return dict(found)


def transfer_tables(sweep: Sweep) -> list[Table]:
    """Quality on the target, on the source (what is forgotten), and epochs saved with the numbers that were trained."""
    return [
        _quality("target", "on the target's test subjects", sweep.results.records),
        _quality("source", "on held-out source subjects: more than pretrained was forgotten", sweep.source_records),
        _costs(sweep),
    ]


def _quality(name: str, where: str, records: Sequence[Record]) -> Table:
    # The first table is the one of NMSE in the heart box.
    table = quality_tables(records)[0]
    found = ratios(records)
    last = [
        f"{fmean(found[method]):.3f}" if method in found else "1" if method == INITIAL else MISSING
        for method in _methods(records)
    ]
    rows = [[*row, cell] for row, cell in zip(table.rows, ["of initial", *last], strict=True)]
    note = "Last column: NMSE over that of the initial reconstruction, mean over accelerations and seeds."
    return Table(name, f"NMSE × 10⁻³ in the heart box {where}", rows, [*table.notes, note])


def _methods(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record.method for record in records))


def _costs(sweep: Sweep) -> Table:
    found = {saving.training: saving for n in sweep.n_subjects for saving in sweep.savings(n)}
    head, *cells = savings_table(list(found.values())).rows
    saved = dict(zip(found, cells, strict=True))
    rows = [[*head, "trained parameters"]]
    for name in filter(split_way, _methods(sweep.results.records)):
        row = saved.get(name, [method_label(name), *[MISSING] * (len(head) - 1)])
        seed = next((seed for training, seed in sweep.results.logs if training == name), UNTRAINED)
        n_trained = run_record(sweep.results, name, seed).get("trained_parameters")
        rows.append([*row, f"{n_trained:,}" if n_trained else MISSING])
    note = (
        "Epoch at which the NMSE of the training images, relative to that of their initial reconstructions, is first "
        "at or below that of standalone learning on as many subjects after its last epoch, and how many times fewer "
        "epochs that is: median (range) over seeds. Of blended transfer only epochs without source data count. With "
        "pretraining: images seen by standalone learning over images seen by pretraining and transfer together."
    )
    return Table("costs", "Epochs saved and parameters trained", rows, [note])
