#!/bin/sh
# Makes everything that there is of MetaWorld from nothing: demonstrations of its experts, a tiny
# SmolVLA, its success by task, episodes, a predictor, the benchmark, and what a predictor of the
# built-in world is worth there. Whatever is whole is left
# alone, training and collecting go on where they were stopped. On two idle cores some two hours.
# Usage: scripts/make_metaworld.sh FOLDER
# Sizes: DEMONSTRATIONS (400), ITERATIONS (6000), EPISODES (200), TRIES a task (5).
set -eu
case ${1:--} in -*) sed -n '2,/^[^#]/s/^# //p' "$0" && exit 2 ;; esac
out=$1
world=salus/MetaWorldSmall-v3
policy=$out/tiny_smolvla
store=$out/episodes.zarr
here=$(dirname "$0")
begin=$here/../salus_ros/assets/policy/tiny_smolvla # it has learnt to see
mkdir -p "$out/success"
[ -f "$out/demonstrations.npz" ] ||
    salus policy demonstrate --env-id $world --episodes "${DEMONSTRATIONS:-400}" \
        --out "$out/demonstrations.npz"
salus policy train "$out/demonstrations.npz" --init "$begin" --iterations "${ITERATIONS:-6000}" \
    --save-every 50 --noise-memory 250 --out "$policy"
python -c 'from salus_ros.worlds.metaworld.tasks import ALL_TASKS
for task in ALL_TASKS: print(f"{task.name}\t{task.instruction}")' |
    while IFS="$(printf '\t')" read -r name task; do
        [ -f "$out/success/$name.json" ] && continue
        salus policy evaluate "$policy" --env-id $world --task "$task" --json </dev/null \
            --episodes "${TRIES:-5}" >"$out/success/part"
        mv "$out/success/part" "$out/success/$name.json"
    done
salus collect --policy "$policy" --env-id $world --fault none --envs 2 \
    --episodes "${EPISODES:-200}" --out "$store"
salus policy reference "$policy" "$store" || echo "no reference of latent states" >&2
salus benchmark "$store" --out "$out/benchmark"
[ -d "$out/model" ] || salus train "$store" --out "$out/model"
salus evaluate "$out/model" "$store"
home=$out/from_home # a predictor of the built-in world, taken here
[ -d "$home" ] || salus train shipped:standard --inputs signals,validity --out "$home"
[ -f "$home/calibration.json" ] || salus calibrate "$home" shipped:standard
python "$here/../benchmark/transfer.py" "$home" "$store" >"$out/transfer.json"
