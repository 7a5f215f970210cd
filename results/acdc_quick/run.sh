#!/usr/bin/env bash
# Everything in this folder: pretraining on 24 ACDC patients, standalone and transfer learning on 4 volunteers,
# evaluation on 4 others, and one Sunnybrook patient (DICOM, 256 x 256) through the same weights.
# Needs CSMRI_DATA (folders acdc/ and sunnybrook/). A run that was stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=results/acdc_quick
work=${CSMRI_WORK:-work}/acdc_quick
acdc="Data: ACDC, Bernard et al., IEEE TMI 2018, doi 10.1109/TMI.2018.2837502 (CC BY-NC-SA 4.0)"
sunnybrook="Data: Sunnybrook Cardiac Data, Radau et al., The MIDAS Journal 2009, hdl 10380/3070 (CC0)"

[ -d "$work/store" ] || csmri prepare "$CSMRI_DATA/acdc" "$work/store" --split configs/acdc_split.toml
csmri train configs/acdc_quick_pretrain.toml --store "$work/store" --out "$work/pretrain"
csmri train configs/acdc_quick_target.toml --store "$work/store" --out "$work/standalone"
csmri train configs/acdc_quick_target.toml --store "$work/store" --out "$work/transfer" \
    --init "$work/pretrain/models/epoch_010"
csmri evaluate "$work/standalone/models/final" "$work/transfer/models/final" "$work/store" --out "$here"
csmri figures "$here" --run "$work/pretrain" --run "$work/standalone" --run "$work/transfer" \
    --curve standalone --curve transfer --caption "$acdc"
for acceleration in 4 8; do
    csmri reconstruct "$CSMRI_DATA/sunnybrook/SCD0000101" "$work/sunnybrook_R$acceleration.npz" \
        --model "$work/transfer/models/final" --acceleration $acceleration \
        --picture "$here/sunnybrook_R$acceleration.png" --caption "$sunnybrook" | tee "$here/sunnybrook_R$acceleration.txt"
done
