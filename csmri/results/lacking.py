"""What a results folder must have and does not, for each figure and table: in words, empty where it can be drawn."""

from __future__ import annotations

from csmri.core.names import STANDALONE, TRANSFER
from csmri.data.runs import LOG
from csmri.results.figures.panels import SHEET
from csmri.results.folder import (
    AREAS,
    EXAMPLES,
    RECORDS,
    RUNS,
    STUDY,
    SWEEP,
    TIMINGS,
    TRANSFER_STUDY,
    VARIANTS,
    Results,
    table_path,
)
from csmri.results.tables import savings as savings_of
from csmri.results.variants import variant_files


def other_experiment(results: Results) -> str:
    """Tell an experiment whose figures are others than the paper's."""
    if (results.path / TRANSFER_STUDY).exists():
        return f"holds {TRANSFER_STUDY}, whose figures are transfer and transfer_curves"
    if (results.path / SWEEP).exists():
        return f"holds {SWEEP}, whose figure is sweep"
    if (results.path / VARIANTS).exists():
        return f"holds {VARIANTS}, whose figure is variants"
    return ""


def logs(results: Results) -> str:
    """Tell a folder without logs."""
    if results.logs:
        return other_experiment(results)
    return f"has no logs {RUNS}/seed_*/*/log.csv; `csmri figures --run RUN` keeps them there"


def savings(results: Results) -> str:
    """Tell a folder without a transfer beside standalone learning."""
    if savings_of(results):
        return other_experiment(results)
    return f"lacks logs {RUNS}/seed_*/{STANDALONE}/{LOG} and {RUNS}/seed_*/{TRANSFER}*/{LOG} of one seed"


def panels(results: Results) -> str:
    """Tell a folder that figure 4 cannot be drawn from."""
    if (results.path / SHEET).exists() or (results.path / EXAMPLES).exists():
        return other_experiment(results)
    return f"has neither {EXAMPLES} nor {SHEET}, the panels of figure 4; `csmri evaluate` keeps images"


def study(results: Results) -> str:
    """Tell a folder of no study."""
    return "" if results.study else f"has no {STUDY}; table 1 is of a study that `csmri study` made"


def records(results: Results) -> str:
    """Tell a folder without records."""
    if results.records:
        return other_experiment(results)
    return f"has no {RECORDS}; `csmri evaluate --out {results.path}` writes it"


def times(results: Results) -> str:
    """Tell a folder without records or times."""
    if results.records and results.timings:
        return other_experiment(results)
    return f"lacks {RECORDS} or {TIMINGS}; `csmri evaluate --out {results.path}` writes both"


def transfer(results: Results) -> str:
    """Tell a folder of no study of ways to transfer."""
    if (results.path / TRANSFER_STUDY).exists():
        return ""
    return f"has no {TRANSFER_STUDY}; the figure is of a study that `csmri transfer` made"


def sweep(results: Results) -> str:
    """Tell a folder of no sweep."""
    if (results.path / SWEEP).exists() and results.records:
        return ""
    return f"has no {SWEEP} with records; the figure is of a sweep that `csmri sweep` made"


def variants(results: Results) -> str:
    """Tell a folder of no study with variants."""
    if (results.path / VARIANTS).exists() and variant_files(results.path):
        return ""
    return f"has no {VARIANTS} with a variant that is done; the figure is of a study with variants, `csmri study`"


def areas(results: Results) -> str:
    """Tell a folder without areas."""
    if table_path(results.path, AREAS).exists():
        return ""
    return f"has no {AREAS}; `csmri figures --only area --cine CINE --outlines OUTLINES` measures them"
