#!/bin/sh
# Makes the policy of a world anew: demonstrations, training, reference. Demonstrations are made at
# once (some 60 minutes of a core), the rest goes on where it was stopped (75 minutes).
# Usage: scripts/make_policy.sh FOLDER
set -e
case ${1:--} in -*) sed -n '2,/^[^#]/s/^# //p' "$0" && exit 2 ;; esac
out=$1
world=salus/PickPlace-v1
policy=$out/tiny_smolvla_v1
begin=$(dirname "$0")/../salus_ros/assets/policy/tiny_smolvla # it has learnt to see and to read
[ -f "$out/demonstrations.npz" ] ||
    salus policy demonstrate --env-id $world --episodes 600 --out "$out/demonstrations.npz"
salus policy train "$out/demonstrations.npz" --init "$begin" --iterations 4500 --noise-memory 250 \
    --out "$policy"
salus collect --policy "$policy" --env-id $world --fault none \
    --seed 2000000 --episodes 120 --out "$out/reference.zarr"
salus policy reference "$policy" "$out/reference.zarr"
