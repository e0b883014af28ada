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
[ -f "$out/tcn/training_results.json" ] || salus train shipped:standard --out "$out/tcn"
salus calibrate "$out/tcn" shipped:standard
salus evaluate "$out/tcn" shipped:standard shipped:shifted --out "$out/evaluation" \
    --limits "$here/../benchmark/results/knowable.json" >/dev/null
# An hour of two cores: without those that take hours (tdqc, the perceptrons, salus_outcome) and
# those for episodes without hidden states (landmark, blend).
detectors=$(python - <<'PYTHON'
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.evaluation.detectors.catalogue import catalogue

left_out = {"tdqc", "salus_mlp", "salus_mlp_large", "salus_outcome", "landmark", "blend"}
names = [name for name in catalogue(SIGNAL_NAMES) if name not in left_out]
names += ["without_lookahead", "without_joints", "half_of_training"]
print(*(f"--detector {name}" for name in names))
PYTHON
)
# shellcheck disable=SC2086
salus benchmark shipped:standard --held-out shipped:shifted $detectors --workers "$workers" \
    --limits "$here/../benchmark/results/knowable.json" --out "$out/benchmark" >/dev/null
if [ -n "$logs" ]; then
    for protocol in seen unseen; do
        salus benchmark "$logs" --protocol "$protocol" --workers "$workers" \
            --out "$out/actprobe_$protocol" >/dev/null
    done
fi
python "$here/results_page.py" "$out" >"$here/../docs/results.md.part"
mv "$here/../docs/results.md.part" "$here/../docs/results.md"
