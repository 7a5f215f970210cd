"""Figure 3: NMSE of the training images against epoch, from runs/seed_*/*/log.csv; prints what transfer learning saves.

    python results/fig3_learning_curves.py [RESULTS]

RESULTS is the folder that `csmri study` or `csmri evaluate` wrote, results/acdc if none is given.
"""

from csmri.results.draw import redraw

if __name__ == "__main__":
    redraw("fig3", __file__)
