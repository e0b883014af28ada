#!/bin/sh
# Makes the predictor that ships anew: episodes of seeds that no shipped one has, training,
# calibration, and what it is worth on the shipped episodes. Two hours of two cores; started again,
# it goes on where it stopped.
# Usage: scripts/make_predictor.sh FOLDER [EPISODES]
set -eu
case ${1:--} in -*) sed -n '2,/^[^#]/s/^# //p' "$0" && exit 2 ;; esac
out=$1
episodes=${2:-2932}
salus collect --out "$out/episodes.zarr" --seed 11000 --episodes "$episodes" --lookahead
# An interrupted training leaves both: its results and the state to go on from.
if [ ! -f "$out/predictor/training_results.json" ] || [ -f "$out/predictor/training_state.pt" ]; then
    salus train "$out/episodes.zarr" --out "$out/predictor"
fi
salus calibrate "$out/predictor" "$out/episodes.zarr"
python "$(dirname "$0")/../benchmark/shipped_predictor.py" "$out/predictor"
