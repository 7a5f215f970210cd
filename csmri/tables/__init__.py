"""Records and logs -> the paper's tables and the epochs that transfer learning saves; text only, no picture."""

from csmri.tables.hyperparameters import table1
from csmri.tables.methods import method_label, shown_methods
from csmri.tables.overview import methods_tables
from csmri.tables.quality import Comparison, compare, quality_tables, spread_over_seeds, table2
from csmri.tables.savings import Race, Saving, savings, savings_table
from csmri.tables.text import Table, latex, markdown, write_tables

__all__ = [
    "Comparison",
    "Race",
    "Saving",
    "Table",
    "compare",
    "latex",
    "markdown",
    "method_label",
    "methods_tables",
    "quality_tables",
    "savings",
    "savings_table",
    "shown_methods",
    "spread_over_seeds",
    "table1",
    "table2",
    "write_tables",
]
