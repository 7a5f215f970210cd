#!/usr/bin/env bash
# The network that csmri takes by default: trained on two Sunnybrook patients and two phantoms with simulated phase, coils and noise;
# tested on the third patient. Needs CSMRI_DATA (folder sunnybrook/). A training that was stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=results/pretrained_unrolled
work=${CSMRI_WORK:-work}/pretrained_unrolled

if [ ! -d "$work/store" ]; then
    for domain in york k; do
        csmri phantom "$work/phantoms" --domain $domain --subjects 1 --size 256 --slices 4 --frames 20
    done
    csmri prepare "$work/phantoms" "$CSMRI_DATA"/sunnybrook/SCD* "$work/store" --split configs/pretrained_unrolled_split.toml
fi
# Three stages, each from the weights of the one before. The first two are of networks with another total variation before the cascades:
# 1: revision 7a55e50, 12 iterations whatever the acceleration; this config with epochs = 11, learning_rate = 2e-3, coils_share = 0.3,
#    noise_share = 0.4, stopped after 10 epochs. 2: revision a162706, 8 iterations for every unit of R, epochs = 7, learning_rate = 1.5e-3.
# Their end is what revision 6d9fa10 shipped; it lies in `stage2` where it is at hand. Without it the training begins anew, and needs more epochs.
stage2=()
if [ -d "$work/stage2" ]; then stage2=(--init "$work/stage2"); fi
csmri train configs/pretrained_unrolled.toml --store "$work/store" --out "$work/run" "${stage2[@]}"
rm -rf csmri/pretrained/unrolled
csmri export "$work/run" csmri/pretrained/unrolled --precision float32
(cd csmri/pretrained/unrolled && find . -type f | LC_ALL=C sort | xargs sha256sum) > csmri/pretrained/unrolled.sha256
csmri sweep configs/sweeps/pretrained_unrolled.toml --out $here --work "$work/sweep"
mkdir -p $here/runs/seed_0/run
cp "$work"/run/{log.csv,run.json,config.toml} $here/runs/seed_0/run/
