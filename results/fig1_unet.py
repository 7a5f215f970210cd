"""Figure 1: the U-net of the study, drawn from the Keras model.

    python results/fig1_unet.py [RESULTS]

RESULTS is the folder that `csmri study` or `csmri evaluate` wrote, results/acdc if none is given.
"""

from csmri.results.draw import redraw

if __name__ == "__main__":
    redraw("fig1", __file__)
