"""Figure 2: block diagrams of learning and reconstruction.

    python results/fig2_blocks.py [RESULTS]

RESULTS is the folder that `csmri study` or `csmri evaluate` wrote, results/acdc if none is given.
"""

from csmri.cli.figures import draw_blocks, redraw

if __name__ == "__main__":
    redraw(draw_blocks, __file__)
