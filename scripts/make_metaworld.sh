#!/bin/sh
# Makes what docs/metaworld.md says of the shipped MetaWorld policy: its episodes and success by
# task, a predictor, the benchmark, and what a predictor of the built-in world is worth there.
# Whatever is whole is left alone, collecting and training go on where they were stopped. On two
# cores some two hours.
# Usage: scripts/make_metaworld.sh FOLDER
# Size: EPISODES (1000).
set -eu
case ${1:--} in -*) sed -n '2,/^[^#]/s/^# //p' "$0" && exit 2 ;; esac
out=$1
store=$out/episodes.zarr
here=$(dirname "$0")
salus collect --env-id salus/MetaWorldSmall-v3 --fault none \
    --episodes "${EPISODES:-1000}" --out "$store"
python "$here/../benchmark/policy_success.py" "$store" >"$out/success.json"
salus benchmark "$store" --out "$out/benchmark"
[ -d "$out/model" ] || salus train "$store" --out "$out/model"
salus evaluate "$out/model" "$store"
home=$out/from_home # a predictor of the built-in world, taken here
[ -d "$home" ] || salus train shipped:standard --inputs signals,validity --out "$home"
[ -f "$home/calibration.json" ] || salus calibrate "$home" shipped:standard
python "$here/../benchmark/transfer.py" "$home" "$store" >"$out/transfer.json"
