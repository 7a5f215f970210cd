"""All methods: NMSE, PSNR, SSIM, seconds and parameters, from records.csv.xz, seconds.csv.xz and evaluation.json.

    python results/methods_table.py RESULTS

RESULTS is the folder that `csmri evaluate` wrote; results/acdc, if none is given, has no times.
"""

from csmri.cli.figures import redraw

if __name__ == "__main__":
    redraw("methods", __file__)
