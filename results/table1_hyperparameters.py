"""Table 1: hyper-parameters, from study.toml, and what was tried to find them, from tuning.csv.

    python results/table1_hyperparameters.py [RESULTS]

RESULTS is the folder that `csmri study` or `csmri evaluate` wrote, results/acdc if none is given.
"""

from csmri.results.draw import redraw

if __name__ == "__main__":
    redraw("table1", __file__)
