"""A failure predictor taken to a policy and a world that it was not trained in.

    python benchmark/transfer.py MODEL STORE [--calibrate 50] [--draws 10] \
        > benchmark/results/metaworld_transfer.json

MODEL: folder of a calibrated predictor, whose inputs the episodes of STORE have. Printed: what it
foresees there as it is, its ranking of episodes beside a clock's and that of being stuck; and its
alarm when it is calibrated on some episodes of STORE, drawn at random, and tried on all others.
"""

import argparse
import json
import math
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sim_to_sim import alarmed, foreseen

from salus_ros.evaluation.episode_evaluation import episodes_of
from salus_ros.evaluation.predictor_evaluation import held_out
from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.calibrate import calibrate
from salus_ros.training.dataset import Samples

ALPHAS = (0.05, 0.1, 0.2)


def calibrated_on(
    predictor: Predictor, samples: Samples, number: int, draws: int
) -> dict[str, Any]:
    """The alarm calibrated on a draw of the episodes and tried on the rest, by promised rate.

    Shares are of all draws together in which the rate could be promised; the interval of the false
    alarms takes each successful episode as tried once, however many draws it was tried in.
    """
    failed = episodes_of(samples).failed
    quiet = int((~failed).sum())
    found: dict[str, Any] = {"episodes": number, "draws": draws}
    for alpha in ALPHAS:
        raised, lost = [], []
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(failed)).tolist()
            few, rest = (samples.subset(sorted(part)) for part in np.split(order, [number]))
            fitted = calibrate(predictor, few, alpha)
            if not math.isfinite(fitted.threshold):
                continue
            raised.append(alarmed(predictor, fitted, rest))
            lost.append(episodes_of(rest).failed)
        about: dict[str, Any] = {"draws_that_could_promise_it": len(raised)}
        if raised:
            alarms, ends = np.concatenate(raised), np.concatenate(lost)
            false = float(alarms[~ends].mean())
            about |= {
                "detection_rate": float(alarms[ends].mean()),
                "false_alarm_share": false,
                "false_alarm_interval": list(wilson_interval(round(false * quiet), quiet)),
            }
        found[f"{alpha:.0%} promised"] = about
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("store")
    parser.add_argument("--calibrate", type=int, default=50, help="episodes to calibrate on")
    parser.add_argument("--draws", type=int, default=10)
    given = parser.parse_args()
    predictor = Predictor.load(given.model)
    samples, _, _ = held_out(predictor, [given.store])
    as_it_is = foreseen(predictor, samples)
    result = {
        "benchmark": "transfer",
        "command": shlex.join(["python", *sys.argv]),
        "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "model": predictor.model_id,
        "inputs": list(predictor.checkpoint.config.inputs),
        "world": samples.records[0].meta.world,
        "failures": int(episodes_of(samples).failed.sum()),
        "as_it_is": as_it_is,
        "calibrated": calibrated_on(predictor, samples, given.calibrate, given.draws),
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
