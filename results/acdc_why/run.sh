#!/usr/bin/env bash
# Everything in this folder: what the saving depends on. Needs CSMRI_DATA (folder acdc/). What was stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ -d work/acdc_store ] || csmri prepare "$CSMRI_DATA/acdc" work/acdc_store --split configs/acdc_split.toml
[ -d work/acdc_six_store ] || csmri prepare "$CSMRI_DATA/acdc" work/acdc_six_store --split configs/sweeps/acdc_six_split.toml

# As many subjects as the Y set has patients, and about as many images.
for kind in york textures; do
    if [ ! -d work/${kind}_store ]; then
        csmri phantom work/${kind}_cines --domain $kind --subjects 24 --size 96
        { echo 'pretrain = ['; for i in $(seq -w 000 023); do echo "    \"${kind}_phantom_$i\","; done; echo ']'; } > work/${kind}_split.toml
        csmri prepare work/${kind}_cines work/${kind}_store --split work/${kind}_split.toml
    fi
done
csmri study configs/study_acdc_why.toml --out results/acdc_why
