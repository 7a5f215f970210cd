#!/usr/bin/env bash
# Everything in this folder but the designs and the tuning of the classical methods, which are sweeps of configs/sweeps/.
# Needs CSMRI_DATA (folders acdc/ and sunnybrook/).
# A training that was stopped goes on where it was; what is finished is not done again.
# acdc_gaussian/, acdc_schlemper/ and sunnybrook/ hold records of the unrolled network of revision efbb32a, which is no more: what is
# there is not made again. Remove them, and this script makes them with the present one, and transfer/.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=results/beyond
work=work/beyond
configs=configs/beyond
acdc="Data: ACDC, Bernard et al., IEEE TMI 2018, doi 10.1109/TMI.2018.2837502 (CC BY-NC-SA 4.0)"
sunnybrook="Data: Sunnybrook Cardiac Data, Radau et al., The MIDAS Journal 2009, hdl 10380/3070 (CC0)"

outlines=()
for pair in SCD0000101=SC-HF-I-1 SCD0000201=SC-HF-I-2 SCD0000301=SC-HF-I-4; do
    outlines+=(--outlines "${pair%=*}=$CSMRI_DATA/sunnybrook/${pair#*=}")
done
[ -d work/beyond_store ] || csmri prepare "$CSMRI_DATA/acdc" work/beyond_store --split $configs/acdc_split.toml
[ -d work/sunnybrook_store ] || csmri prepare "$CSMRI_DATA"/sunnybrook/SCD* work/sunnybrook_store \
    --split $configs/sunnybrook_split.toml "${outlines[@]}"

# The network that all transfers start from, then the transfers: unrolled to K and to Sunnybrook, U-nets to K.
csmri train $configs/pretrain.toml --store work/beyond_store --out $work/pretrain
csmri transfer $configs/transfer.toml --out $here/transfer --work $work/transfer
csmri train $configs/sunnybrook.toml --store work/sunnybrook_store --out $work/sunnybrook --init $work/pretrain/models/final
csmri train $configs/sunnybrook.toml --store work/sunnybrook_store --out $work/sunnybrook_standalone
csmri train $configs/unet1.toml --store work/beyond_store --out $work/unet1 --init pretrained
csmri train $configs/unet5_pretrain.toml --store work/beyond_store --out $work/unet5_pretrain
csmri train $configs/unet5.toml --store work/beyond_store --out $work/unet5 --init $work/unet5_pretrain/models/final
runs=()
for run in pretrain sunnybrook sunnybrook_standalone unet1 unet5_pretrain unet5; do
    runs+=(--run $work/$run)
done
csmri figures $here "${runs[@]}" --only fig3 --caption "Data: ACDC (CC BY-NC-SA 4.0); Sunnybrook Cardiac Data (CC0)"

# All methods on the test subjects, same masks for all. (`phase-constrained-tv` came later: `csmri evaluate --method phase-constrained-tv
# --mask-law $law --out "$out" work/beyond_store` added it, on another processor, as the notes of the tables say.)
# `draw FOLDER CAPTION METHOD ...`: figures 1 and 2, of the paper's network and method, are drawn in results/acdc. Without the images,
# which are not committed, figure 4 shows what its panels hold.
draw() {
    local out=$1 caption=$2 method show=()
    shift 2
    if [ -f "$out/examples.npz" ]; then
        for method; do show+=(--show "$method"); done
    fi
    csmri figures "$out" --only fig4 --only table2 --only methods --caption "$caption" "${show[@]}"
}
trained=$work/transfer/seed_0
for law in gaussian schlemper; do
    out=$here/acdc_$law
    [ -f "$out/records.csv.gz" ] || csmri evaluate --method all --mask-law $law --out "$out" \
        unet=$work/unet1/models/final "unet-hard=$work/unet1/models/final@hard" unet-5-hard=$work/unet5/models/final \
        unrolled-standalone=$trained/standalone_4/models/final unrolled-pretrained=$work/pretrain/models/final \
        unrolled-transfer=$trained/all_4/models/final work/beyond_store
    draw "$out" "$acdc" initial spatiotemporal-tv unet-5-hard unrolled-transfer
done
out=$here/sunnybrook
[ -f "$out/records.csv.gz" ] || csmri evaluate --method all --mask-law gaussian --example-slices 8 --out "$out" \
    unet-5-hard=$work/unet5/models/final unrolled-standalone=$work/sunnybrook_standalone/models/final \
    unrolled-pretrained=$work/pretrain/models/final unrolled-transfer=$work/sunnybrook/models/final work/sunnybrook_store
draw "$out" "$sunnybrook" initial temporal-tv unet-5-hard unrolled-transfer
cine=()
if [ -f "$out/examples.npz" ]; then
    cine=(--cine "$CSMRI_DATA/sunnybrook/SCD0000301" --outlines "$CSMRI_DATA/sunnybrook/SC-HF-I-4")
fi
csmri figures "$out" --only area --caption "$sunnybrook" "${cine[@]}"

# Every method on what a scanner gives: a phase at rest, one that moves, eight coils with noise. With the networks that csmri ships.
csmri sweep configs/sweeps/acquisitions.toml --out $here/acquisitions --work work/acquisitions
