#!/bin/sh
# Makes what docs/metaworld.md says of the shipped MetaWorld policy: its episodes and success by
# task, the benchmark, and what a predictor of the built-in world is worth there. Whatever is whole
# is left alone, and the rest goes on where it was stopped. On two cores some 80 minutes.
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
detectors=$(python "$here/quick_detectors.py")
# shellcheck disable=SC2086
salus benchmark "$store" $detectors --out "$out/benchmark"
home=$out/from_home # a predictor of the built-in world, taken here
[ -d "$home" ] || salus train shipped:standard --inputs signals,validity --out "$home"
[ -f "$home/calibration.json" ] || salus calibrate "$home" shipped:standard
python "$here/../benchmark/transfer.py" "$home" "$store" >"$out/transfer.json"
