#!/usr/bin/env bash
# Everything in this folder: the paper's study on ACDC. Needs CSMRI_DATA (folder acdc/). What was stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/../.."

# What table 1 says was tried (tuning.csv is of an earlier revision, see README.md).
for stage in target pretraining; do
    [ -d work/acdc_${stage}_store ] || csmri prepare "$CSMRI_DATA/acdc" work/acdc_${stage}_store --split configs/sweeps/acdc_${stage}_split.toml
    csmri sweep configs/sweeps/acdc_$stage.toml --out work/acdc_$stage
done

[ -d work/acdc_store ] || csmri prepare "$CSMRI_DATA/acdc" work/acdc_store --split configs/acdc_split.toml
csmri study configs/study_acdc.toml --out results/acdc

# The committed report plays a numerical phantom through the study's networks: images of real hearts are not ours to commit.
# `csmri report results/acdc` plays the test subject of figure 4 instead, from examples.npz, where the study was run.
phantom=work/acdc_phantom
if [ ! -d "$phantom/store" ]; then
    csmri phantom "$phantom/cines" --domain k --subjects 1 --first 20 --size 96 --slices 3 --frames 24
    echo 'test = ["k_phantom_020"]' > "$phantom/split.toml"
    csmri prepare "$phantom/cines" "$phantom/store" --split "$phantom/split.toml"
fi
models=results/acdc/work/seed_0
csmri evaluate "standalone=$models/standalone/models/final" "transfer_50=$models/transfer_50/models/final" "$phantom/store" \
    --example-acceleration 2 --example-acceleration 4 --example-acceleration 8 --example-slices 3 --out "$phantom/results"
csmri report results/acdc --examples "$phantom/results/examples.npz" --note "The player shows a numerical phantom, which none of \
these networks was trained on: images of the test subjects may not be published here. Numbers, curves and figures are of the real hearts."
