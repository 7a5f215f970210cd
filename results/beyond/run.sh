#!/usr/bin/env bash
# Everything in this folder but the tuning of the classical methods, which are sweeps of configs/sweeps/baselines*.toml.
# Needs CSMRI_DATA (folders acdc/ and sunnybrook/). A training or a sweep that was stopped goes on where it was; what is finished is not done
# again. `pretrain` went on from the weights that csmri shipped at revision 6d9fa10 (variables.data 0bdec07b), not from those of today.
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

# The networks: unrolled on patients (Y), the paper's U-net and one of five frames on volunteers (K).
csmri train $configs/pretrain.toml --store work/beyond_store --out $work/pretrain --init pretrained-unrolled
csmri train $configs/unet1.toml --store work/beyond_store --out $work/unet1 --init pretrained
csmri train $configs/unet5_pretrain.toml --store work/beyond_store --out $work/unet5_pretrain
csmri train $configs/unet5.toml --store work/beyond_store --out $work/unet5 --init $work/unet5_pretrain/models/final
runs=()
for run in pretrain unet1 unet5_pretrain unet5; do
    runs+=(--run $work/$run)
done
csmri figures $here "${runs[@]}" --only fig3 --caption "$acdc"

# Transfer, with true images and without.
csmri sweep configs/sweeps/transfer.toml --out $here/transfer --work work/transfer
mkdir -p $here/transfer_curves
csmri figures $here/transfer_curves --run work/transfer/standalone-long --run "work/transfer/transfer_train_subjects=2_seed=0" --only fig3 \
    --caption "$acdc"
csmri sweep configs/sweeps/transfer_ways.toml --out $here/transfer_ways --work work/transfer_ways

# All methods on whole test subjects, magnitude images, same masks for all. Figures 1 and 2, of the paper's network and method, are drawn in
# results/acdc. Without the images, which are not committed, figure 4 shows what its panels hold.
# `draw FOLDER CAPTION METHOD ...`, no figure 4 where no method is named.
draw() {
    local out=$1 caption=$2 method show=()
    shift 2
    if [ -f "$out/examples.npz" ]; then
        for method; do show+=(--show "$method"); done
    fi
    [ $# -eq 0 ] || csmri figures "$out" --only fig4 --caption "$caption" "${show[@]}"
    csmri figures "$out" --only table2 --only methods --caption "$caption"
}
for law in gaussian schlemper; do
    out=$here/acdc_$law
    csmri evaluate --method all --mask-law $law --out "$out" unet=$work/unet1/models/final "unet-hard=$work/unet1/models/final@hard" \
        unet-5-hard=$work/unet5/models/final unrolled=pretrained-unrolled unrolled-patients=$work/pretrain/models/final work/beyond_store
done
draw $here/acdc_gaussian "$acdc" initial spatiotemporal-tv unrolled-patients
draw $here/acdc_schlemper "$acdc"
# The Sunnybrook patient that the shipped weights have not seen, and its blood-pool area over the cycle.
# `area OUT CAPTION`: without the images, it draws what area.csv.xz holds.
area() {
    local cine=()
    if [ -f "$1/examples.npz" ]; then
        cine=(--cine "$CSMRI_DATA/sunnybrook/SCD0000301" --outlines "$CSMRI_DATA/sunnybrook/SC-HF-I-4")
    fi
    csmri figures "$1" --only area --caption "$2" "${cine[@]}"
}
out=$here/sunnybrook
csmri evaluate --method all --mask-law gaussian --example-slices 8 --out "$out" unet-5-hard=$work/unet5/models/final \
    unrolled=pretrained-unrolled work/sunnybrook_store
draw "$out" "$sunnybrook" initial spatiotemporal-tv phase-constrained-tv unrolled
area "$out" "$sunnybrook"
# And with a phase that moves, eight coils and noise.
out=$here/sunnybrook_coils
csmri evaluate --method temporal-tv --method spatiotemporal-tv --mask-law gaussian --phase moving --coils 8 --snr 25 --acceleration 8 \
    --example-slices 8 --out "$out" unrolled=pretrained-unrolled work/sunnybrook_store
area "$out" "$sunnybrook"

# Every method on what a scanner gives: a phase at rest, one that moves, eight coils with noise.
csmri sweep configs/sweeps/acquisitions.toml --out $here/acquisitions --work work/acquisitions

# Designs of the network under an equal budget, on patients alone.
csmri sweep configs/sweeps/unrolled_designs.toml --out $here/designs --work work/designs
