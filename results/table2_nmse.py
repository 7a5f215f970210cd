"""Table 2: NMSE of every method with a paired test, PSNR, SSIM and the savings, from records.csv.xz.

    python results/table2_nmse.py [RESULTS]

RESULTS is the folder that `csmri study` or `csmri evaluate` wrote, results/acdc if none is given.
"""

from csmri.cli.figures import redraw

if __name__ == "__main__":
    redraw("table2", __file__)
