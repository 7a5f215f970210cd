"""Records and logs -> the paper's tables and the epochs that transfer learning saves; text only, no picture."""

from csmri.tables.hyperparameters import table1
from csmri.tables.methods import method_label, shown_methods
from csmri.tables.quality import Comparison, compare, quality_tables, spread_over_seeds, table2
from csmri.tables.savings import Race, Saving, savings, savings_table
from csmri.tables.text import Table, latex, markdown, write_tables
from csmri.tables.transfer import Ratios, Sweep, ratios, read_sweep, transfer_tables

__all__ = [
    "Comparison",
    "Race",
    "Ratios",
    "Saving",
    "Sweep",
    "Table",
    "compare",
    "latex",
    "markdown",
    "method_label",
    "quality_tables",
    "ratios",
    "read_sweep",
    "savings",
    "savings_table",
    "shown_methods",
    "spread_over_seeds",
    "table1",
    "table2",
    "transfer_tables",
    "write_tables",
]
