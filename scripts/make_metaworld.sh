#!/bin/sh
# Makes everything that there is of MetaWorld from nothing: demonstrations of its experts, a tiny
# SmolVLA, its episodes and success by task, a predictor, the benchmark, and what a predictor of the
# built-in world is worth there. Whatever is whole is left alone, training and collecting go on where
# they were stopped. On two cores some five hours.
# Usage: scripts/make_metaworld.sh FOLDER
# Sizes: FIRST and SECOND round of teaching (demonstrations and iterations, "240 6000" and
# "400 5000"), EPISODES (1000).
set -eu
case ${1:--} in -*) sed -n '2,/^[^#]/s/^# //p' "$0" && exit 2 ;; esac
out=$1
world=salus/MetaWorldSmall-v3
policy=$out/second/tiny_smolvla
store=$out/episodes.zarr
here=$(dirname "$0")
begin=$here/../salus_ros/assets/policy/tiny_smolvla # it has learnt to see
teach() { # FOLDER, the policy to begin with, demonstrations, iterations
    mkdir -p "$1"
    [ -f "$1/demonstrations.npz" ] ||
        salus policy demonstrate --env-id $world --episodes "$3" --out "$1/demonstrations.npz"
    salus policy train "$1/demonstrations.npz" --init "$2" --iterations "$4" \
        --save-every 50 --noise-memory 250 --out "$1/tiny_smolvla"
}
# shellcheck disable=SC2086
teach "$out/first" "$begin" ${FIRST:-240 6000}
# shellcheck disable=SC2086
teach "$out/second" "$out/first/tiny_smolvla" ${SECOND:-400 5000}
if [ ! -f "$policy/latent_reference.safetensors" ]; then
    salus collect --policy "$policy" --env-id $world --fault none --envs 4 \
        --seed 2000000 --episodes 40 --out "$out/reference.zarr"
    salus policy reference "$policy" "$out/reference.zarr"
fi
salus collect --policy "$policy" --env-id $world --fault none --envs 4 \
    --episodes "${EPISODES:-1000}" --out "$store"
python "$here/../benchmark/policy_success.py" "$store" >"$out/success.json"
salus benchmark "$store" --out "$out/benchmark"
[ -d "$out/model" ] || salus train "$store" --out "$out/model"
salus evaluate "$out/model" "$store"
home=$out/from_home # a predictor of the built-in world, taken here
[ -d "$home" ] || salus train shipped:standard --inputs signals,validity --out "$home"
[ -f "$home/calibration.json" ] || salus calibrate "$home" shipped:standard
python "$here/../benchmark/transfer.py" "$home" "$store" >"$out/transfer.json"
