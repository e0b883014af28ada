#!/bin/sh
# Makes the policy of a world anew: demonstrations, training in one round or two, reference.
# Demonstrations are made at once (60 minutes of a core in PickPlace-v1, 25 in MetaWorld), the rest
# goes on where it was stopped (75 minutes, 100). Its last line names the policy's folder.
# Usage: scripts/make_policy.sh FOLDER [WORLD]
# WORLD: salus/PickPlace-v1 (default) or salus/MetaWorldSmall-v3.
set -eu
case ${1:--} in -*) sed -n '2,/^[^#]/s/^# //p' "$0" && exit 2 ;; esac
out=$1
world=${2:-salus/PickPlace-v1}
case $world in
salus/PickPlace-v1) name=tiny_smolvla_v1 demonstrations=600 rounds=4500 seen=120 ;;
salus/MetaWorldSmall-v3) name=tiny_smolvla_metaworld demonstrations=480 rounds="8000 4000" seen=40 ;;
*) echo "no policy to make for '$world': salus/PickPlace-v1, salus/MetaWorldSmall-v3" >&2 && exit 2 ;;
esac
[ -f "$out/demonstrations.npz" ] ||
    salus policy demonstrate --env-id "$world" --episodes $demonstrations --out "$out/demonstrations.npz"
policy=$(dirname "$0")/../salus_ros/assets/policy/tiny_smolvla # it has learnt to see and to read
for iterations in $rounds; do # the learning rate rises and falls in each
    begin=$policy
    policy=$out/$iterations/$name
    salus policy train "$out/demonstrations.npz" --init "$begin" --iterations "$iterations" \
        --noise-memory 250 --out "$policy"
done
salus collect --policy "$policy" --env-id "$world" --fault none \
    --seed 2000000 --episodes $seen --out "$out/reference.zarr"
salus policy reference "$policy" "$out/reference.zarr"
