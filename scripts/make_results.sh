#!/bin/sh
# Makes docs/results.md anew from the shipped episodes; started again, it goes on where it stopped.
# Usage: scripts/make_results.sh FOLDER [ACTPROBE_LOGS] [WORKERS]
set -e
case ${1:--} in -*) sed -n '2,/^[^#]/s/^# //p' "$0" && exit 2 ;; esac
out=$1
logs=${2:-}
workers=${3:-2}
here=$(dirname "$0")
mkdir -p "$out"
# An interrupted training leaves both: its results and the state to go on from.
if [ ! -f "$out/tcn/training_results.json" ] || [ -f "$out/tcn/training_state.pt" ]; then
    salus train shipped:standard --out "$out/tcn"
fi
salus calibrate "$out/tcn" shipped:standard
salus evaluate "$out/tcn" shipped:standard shipped:shifted --out "$out/evaluation" \
    --limits "$here/../benchmark/results/knowable.json" >/dev/null
# An hour of two cores.
detectors=$(python "$here/quick_detectors.py" without_lookahead without_joints half_of_training)
# shellcheck disable=SC2086
salus benchmark shipped:standard --held-out shipped:shifted $detectors --workers "$workers" \
    --limits "$here/../benchmark/results/knowable.json" --out "$out/benchmark" >/dev/null
if [ -n "$logs" ]; then
    for protocol in seen unseen; do
        salus benchmark "$logs" --protocol "$protocol" --workers "$workers" \
            --out "$out/actprobe_$protocol" >/dev/null
    done
    figures=$here/../benchmark/results/actprobe.json
    python "$here/../benchmark/actprobe.py" "$out/actprobe_seen" "$out/actprobe_unseen" \
        >"$figures.part"
    mv "$figures.part" "$figures"
fi
python "$here/results_page.py" "$out" >"$here/../docs/results.md.part"
mv "$here/../docs/results.md.part" "$here/../docs/results.md"
