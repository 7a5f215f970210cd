#!/usr/bin/env bash
# The picture in this folder: phantoms of both qualities beside a real short-axis cine. Needs CSMRI_DATA (folder sunnybrook/).
set -euo pipefail
cd "$(dirname "$0")/../.."

csmri phantom work/phantom_picture --domain k --subjects 1 --first 1 --slices 6
csmri phantom work/phantom_picture --domain york --subjects 1 --slices 6 \
    --beside "$CSMRI_DATA/sunnybrook/SCD0000301" --beside work/phantom_picture/k_phantom_001.npz \
    --caption "Real images: Sunnybrook Cardiac Data, Radau et al., The MIDAS Journal 2009 (CC0)." \
    --picture results/phantom/phantom_vs_sunnybrook.png
