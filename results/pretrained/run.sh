#!/usr/bin/env bash
# The weights that csmri ships: trained on two Sunnybrook patients and 8 phantoms, tested on the third patient.
# Needs CSMRI_DATA (folder sunnybrook/). A training that was stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=results/pretrained
work=${CSMRI_WORK:-work}/pretrained

if [ ! -d "$work/store" ]; then
    for domain in york k; do
        csmri phantom "$work/phantoms" --domain $domain --subjects 4 --size 256 --slices 4 --frames 20
    done
    csmri prepare "$work/phantoms" "$CSMRI_DATA"/sunnybrook/SCD* "$work/store" --split configs/pretrained_split.toml
fi
csmri train configs/pretrained.toml --store "$work/store" --out "$work/run"
rm -rf csmri/pretrained/unet
csmri export "$work/run" csmri/pretrained/unet --precision float32
(cd csmri/pretrained/unet && find . -type f | LC_ALL=C sort | xargs sha256sum) > csmri/pretrained/unet.sha256
csmri evaluate pretrained "$work/store" --example-slices 3 --out "$here"
# Figures 1 and 2, of the network and the method, are drawn in results/acdc.
csmri figures "$here" --run "$work/run" --only fig3 --only fig4 --only table2 \
    --caption "Data: Sunnybrook Cardiac Data, Radau et al., The MIDAS Journal 2009, hdl 10380/3070 (CC0)"
