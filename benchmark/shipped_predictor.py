"""The predictor that ships, on the episodes that ship: it has seen none of them.

    python benchmark/shipped_predictor.py [MODEL] > benchmark/results/shipped_predictor.json

MODEL: another one's folder. Printed: what it has learnt from, and of `shipped:standard` and
`shipped:shifted`, whose conditions it was not calibrated on, what it foresees beside a clock and a
rule for stuck arms, and its alarm.
"""

import json
import os
import platform
import shlex
import sys
from typing import Any

from sim_to_sim import foreseen

from salus_ros.evaluation.predictor_evaluation import held_out
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.shipped import SHIPPED

STORES = ("shipped:standard", "shipped:shifted")


def main() -> None:
    """Measure and print."""
    if "-h" in sys.argv or "--help" in sys.argv:
        sys.exit(__doc__.strip())
    predictor = Predictor.load(sys.argv[1] if len(sys.argv) > 1 else SHIPPED)
    found: dict[str, Any] = {}
    for store in STORES:
        samples, left_out, _ = held_out(predictor, [store])
        found[store] = foreseen(predictor, samples) | {"left_out": left_out}
    learnt, fitted = predictor.checkpoint, predictor.calibration
    result = {
        "benchmark": "shipped_predictor",
        "command": shlex.join(["python", *sys.argv]),
        "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "model": predictor.model_id,
        "episodes": {part: len(keys) for part, keys in learnt.split.items()},
        "data_hash": learnt.data_hash,
        "successes_of_the_threshold": None if fitted is None else fitted.successes,
        "stores": found,
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
