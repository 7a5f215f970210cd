"""Records, logs and examples -> tables, the epochs that transfer learning saves, areas; text only, no picture."""

from csmri.core.names import method_label, shown_methods
from csmri.results.tables.areas import Areas, area_tables, measure_areas, read_areas, write_areas
from csmri.results.tables.hyperparameters import table1
from csmri.results.tables.lengths import lengths_tables, saving_curves
from csmri.results.tables.overview import methods_tables
from csmri.results.tables.quality import Comparison, compare, quality_tables, spread_over_seeds, table2
from csmri.results.tables.savings import Race, Saving, savings, savings_table
from csmri.results.tables.sweep import sweep_ratios, sweep_tables
from csmri.results.tables.text import Table, html, html_table, latex, markdown, write_tables
from csmri.results.tables.transfer import Ratios, Sweep, ratios, read_sweep, transfer_tables
from csmri.results.tables.variants import variant_rows, variants_table

__all__ = [
    "Areas",
    "Comparison",
    "Race",
    "Ratios",
    "Saving",
    "Sweep",
    "Table",
    "area_tables",
    "compare",
    "html",
    "html_table",
    "latex",
    "lengths_tables",
    "markdown",
    "measure_areas",
    "method_label",
    "methods_tables",
    "quality_tables",
    "ratios",
    "read_areas",
    "read_sweep",
    "saving_curves",
    "savings",
    "savings_table",
    "shown_methods",
    "spread_over_seeds",
    "sweep_ratios",
    "sweep_tables",
    "table1",
    "table2",
    "transfer_tables",
    "variant_rows",
    "variants_table",
    "write_areas",
    "write_tables",
]
