"""A policy and its failure predictor in an engine that neither has seen.

    python benchmark/sim_to_sim.py MODEL STORE STORE ... > benchmark/results/sim_to_sim.json

MODEL: folder of a calibrated predictor, of episodes under one engine; the first STORE has more of
that engine, each other one the same seeds under another. Only seeds that all of them have count.
Printed for each: how the episodes end, what the predictor foresees, and its alarm as it was
calibrated. For the others also the policy's success against the first store, and the alarm when it
is calibrated on one half of their episodes and tried on the other, both ways.
"""

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from policy_success import describe

from salus_ros.core.alarm import HYSTERESIS
from salus_ros.core.failures import Outcome
from salus_ros.episodes.reader import StoreReader
from salus_ros.evaluation.episode_evaluation import episodes_of
from salus_ros.evaluation.episode_metrics import raise_alarms
from salus_ros.evaluation.paired import exact_mcnemar, paired_difference
from salus_ros.evaluation.predictor_evaluation import evaluate_held_out, held_out
from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.calibrate import calibrate
from salus_ros.training.dataset import Samples

Table = dict[str, NDArray[Any]]


def endings(table: Table, seeds: Sequence[int]) -> dict[str, Any]:
    """How the episodes of some seeds end, all of them and those without an injected fault."""
    counts = np.isin(table["seed"], seeds)
    return {
        "world": str(table["world"][0]),
        "with_faults": describe(table, counts),
        "without_fault": describe(table, counts & (table["fault"] == "none")),
    }


def against(first: Table, table: Table, seeds: Sequence[int]) -> dict[str, Any]:
    """Success in a store less that in the first one, on the seeds that both have."""
    here, there = (
        np.array([won[seed] for seed in seeds], np.bool_)
        for won in (
            dict(zip(t["seed"].tolist(), t["outcome"] == Outcome.SUCCESS, strict=True))
            for t in (table, first)
        )
    )
    gain, low, high = paired_difference(here, there)
    gained, lost = int((here & ~there).sum()), int((~here & there).sum())
    return {
        "pairs": len(seeds),
        "success": [float(here.mean()), float(there.mean())],
        "difference": gain,
        "interval_95": [low, high],
        "only_here": gained,
        "only_there": lost,
        "mcnemar_p": exact_mcnemar(gained, lost),
    }


def foreseen(predictor: Predictor, samples: Samples) -> dict[str, Any]:
    """What the predictor is worth on some episodes, and its alarm as it is calibrated."""
    found = evaluate_held_out(predictor, samples)
    operator = found["operator"]["detectors"]
    chosen = operator["predictor"]["foreseen"]
    alarm = found["episode_level"]["alarm"]
    names = ("recall", "recall_interval")
    rules = ("predictor", "clock", "stuck")
    return {
        "episodes": found["episodes"],
        "recall_at_5_percent": {name: chosen["at_share"][name] for name in names},
        "recall_of_the_alarm": {
            name: chosen["conformal"][name] for name in (*names, "lead_median_s")
        },
        "sudden_by_false_alarms_an_hour": {
            rate: at["recall"]["sudden"]
            for rate, at in operator["predictor"]["events"]["by_rate"].items()
        },
        "at_a_quarter": {
            rule: {
                name: operator[rule]["running"]["failure"]["25%"][name]
                for name in ("auroc_within_task", "auroc_within_task_interval")
            }
            for rule in rules
        },
        "average_precision": found["average_precision"],
        "average_precision_by_type": {
            kind: about["average_precision"] for kind, about in found["by_type"].items()
        },
        "average_precision_within_0.5_s": {
            kind: about["average_precision"]
            for kind, about in operator["predictor"]["outputs"]["0.5 s"].items()
        },
        "f1_without_timeouts": [found["events"]["f1"], *found["events"]["f1_interval"]],
        "calibration_error": found["calibration_error"],
        "alarm": {
            name: alarm[name]
            for name in (
                "alpha",
                "detection_rate",
                "lead_s",
                "false_alarm_share",
                "false_alarm_interval",
            )
        },
    }


def alarmed(predictor: Predictor, calibration: Calibration, samples: Samples) -> NDArray[np.bool_]:
    """In which episodes the predictor alarms with a calibration, (E,)."""
    anew = Predictor(predictor.checkpoint, "cpu", calibration)
    level = anew.alarm_level(anew.predict_episodes(*samples.inputs))
    found: NDArray[np.bool_] = (
        raise_alarms(level, episodes_of(samples), 0.0, HYSTERESIS).first >= 0
    )
    return found


def calibrated_anew(predictor: Predictor, samples: Samples) -> dict[str, Any]:
    """The alarm calibrated on every other episode and tried on the rest, both ways."""
    places = np.arange(len(samples.records))
    halves = [places[first::2].tolist() for first in (0, 1)]
    hits = np.zeros(len(places), np.bool_)
    for learnt, tried in (halves, halves[::-1]):
        fitted = calibrate(predictor, samples.subset(learnt))
        hits[tried] = alarmed(predictor, fitted, samples.subset(tried))
    failed = episodes_of(samples).failed
    false, quiet = int((hits & ~failed).sum()), int((~failed).sum())
    return {
        "calibrated_on": [len(half) for half in halves],
        "detection_rate": float(hits[failed].mean()),
        "false_alarm_share": false / quiet,
        "false_alarm_interval": list(wilson_interval(false, quiet)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("stores", nargs="+")
    given = parser.parse_args()
    predictor = Predictor.load(given.model)
    if predictor.calibration is None:
        raise SystemExit(f"'{given.model}' is not calibrated; run salus calibrate first")
    tables = [StoreReader(store).table() for store in given.stores]
    seeds = sorted(set.intersection(*(set(table["seed"].tolist()) for table in tables)))
    found = {}
    for store, table in zip(given.stores, tables, strict=True):
        samples, _, _ = held_out(predictor, [store])
        kept = [n for n, record in enumerate(samples.records) if record.meta.seed in set(seeds)]
        samples = samples.subset(kept)
        found[Path(store).stem] = about = endings(table, seeds) | {
            "predictor": foreseen(predictor, samples)
        }
        if table is not tables[0]:
            about["against_the_first"] = against(tables[0], table, seeds)
            about["calibrated_here"] = calibrated_anew(predictor, samples)
        sys.stderr.write(f"{store}\n")
    result = {
        "benchmark": "sim_to_sim",
        "command": shlex.join(["python", *sys.argv]),
        "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "model": predictor.model_id,
        "stores": found,
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
