"""Figure 4: images, profiles and error maps at R = 4 and 8, from fig4_panels.json and its sheets.

    python results/fig4_reconstructions.py [RESULTS]

RESULTS is the folder that `csmri study` or `csmri evaluate` wrote, results/acdc if none is given.
"""

from csmri.results.draw import redraw

if __name__ == "__main__":
    redraw("fig4", __file__)
