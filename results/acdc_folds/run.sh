#!/usr/bin/env bash
# Everything in this folder: SL against TL50 on ACDC, every volunteer tested in a fold of its own. Needs CSMRI_DATA (folder acdc/). What was
# stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The store of results/acdc: the folds take the subjects of its splits train and test together.
[ -d work/acdc_store ] || csmri prepare "$CSMRI_DATA/acdc" work/acdc_store --split configs/acdc_split.toml
csmri study configs/study_acdc_folds.toml --out results/acdc_folds

# The committed report plays a numerical phantom: images of real hearts are not ours to commit. `csmri report results/acdc_folds` plays the
# test subject of figure 4 instead, from examples.npz, where the study was run. Seed 5 is the fold that tests it, patient066.
phantom=work/acdc_phantom
if [ ! -d "$phantom/store" ]; then
    csmri phantom "$phantom/cines" --domain k --subjects 1 --first 20 --size 96 --slices 3 --frames 24
    echo 'test = ["k_phantom_020"]' > "$phantom/split.toml"
    csmri prepare "$phantom/cines" "$phantom/store" --split "$phantom/split.toml"
fi
models=results/acdc_folds/work/seed_5
csmri evaluate "standalone=$models/standalone/models/final" "transfer_50=$models/transfer_50/models/final" "$phantom/store" \
    --example-acceleration 8 --example-slices 1 --out work/acdc_folds_phantom
csmri report results/acdc_folds --slices 1 --examples work/acdc_folds_phantom/examples.npz --note "The player shows a numerical phantom, which none \
of these networks was trained on: images of the test subjects may not be published here. Numbers, curves and figures are of the real hearts."
