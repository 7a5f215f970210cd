"""Figure 2: block diagrams of learning and reconstruction.

    python results/fig2_blocks.py [RESULTS]

RESULTS is the folder that `csmri study` or `csmri evaluate` wrote, results/acdc if none is given.
"""

from csmri.results.draw import redraw

if __name__ == "__main__":
    redraw("fig2", __file__)
