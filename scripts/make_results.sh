#!/bin/sh
# Makes docs/results.md anew from the shipped episodes; started again, it goes on where it stopped.
# Usage: scripts/make_results.sh FOLDER [ACTPROBE_LOGS] [WORKERS]
set -e
out=${1:?give a folder for models and scores}
logs=${2:-}
workers=${3:-2}
here=$(dirname "$0")
mkdir -p "$out"
[ -f "$out/tcn/training_results.json" ] || salus train shipped:standard --out "$out/tcn"
salus calibrate "$out/tcn" shipped:standard
salus evaluate "$out/tcn" shipped:standard shipped:shifted --out "$out/evaluation" >/dev/null
salus benchmark shipped:standard --held-out shipped:shifted --ablation --workers "$workers" \
    --out "$out/benchmark" >/dev/null
if [ -n "$logs" ]; then
    for protocol in seen unseen; do
        salus benchmark "$logs" --protocol "$protocol" --workers "$workers" \
            --out "$out/actprobe_$protocol" >/dev/null
    done
fi
python "$here/results_page.py" "$out" >"$here/../docs/results.md.part"
mv "$here/../docs/results.md.part" "$here/../docs/results.md"
