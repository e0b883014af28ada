"""How often a policy succeeds in recorded episodes, by task, fault and condition.

    python benchmark/policy_success.py [STORE ...] > benchmark/results/policy.json

Without stores, in those that ship. Their seeds are not among those of its demonstrations.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import FAILURE_TYPES, Outcome
from salus_ros.episodes.reader import StoreReader
from salus_ros.evaluation.statistics import wilson_interval

TRAINING = (
    "salus policy demonstrate --episodes 600 --workers 2 (seed 100000, 11 minutes); "
    "salus policy train --iterations 6000, batch 32, one thread of 2 CPU cores, 58 minutes, "
    "running loss 0.19; salus policy reference on 120 episodes without faults (seed 2000000)"
)


def describe(table: dict[str, NDArray[Any]], chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Endings of some of the episodes; each share with its Wilson interval at 95 %."""
    total = int(chosen.sum())
    endings = {"success": (table["outcome"] == Outcome.SUCCESS) & chosen}
    endings |= {kind.label: (table["failure_type"] == kind) & chosen for kind in FAILURE_TYPES}
    described: dict[str, Any] = {"episodes": total}
    for name, hits in endings.items():
        count = int(hits.sum())
        interval = [round(end, 3) for end in wilson_interval(count, total)]
        described[name] = {
            "count": count, "share": round(count / total, 3), "interval_95": interval
        }  # fmt: skip
    return described


def main() -> None:
    """Print one JSON object."""
    stores = sys.argv[1:] or ["shipped:standard", "shipped:shifted"]
    result: dict[str, Any] = {
        "command": " ".join(["python benchmark/policy_success.py", *sys.argv[1:]]),
        "hardware": "collected on 2 CPU cores (AMD EPYC)",
    }
    if not sys.argv[1:]:
        result["training"] = TRAINING
    for store in stores:
        name = Path(store.removeprefix("shipped:")).stem
        table = StoreReader(store).table()
        result["policy"] = str(table["policy_id"][0])
        failed = table["outcome"] == Outcome.FAILURE
        begun = (table["fault_step"] >= 0) & (table["fault_step"] <= table["failure_step"])
        clean = table["fault"] == "none"
        result[name] = {
            "failures_before_any_fault": round(float(1 - begun[failed].mean()), 3),
            "without_fault": describe(table, clean),
            "without_fault_by_task": {
                str(task): describe(table, clean & (table["task"] == task))
                for task in np.unique(table["task"])
            },
            "with_faults_at_the_default_rates": describe(table, np.ones(len(clean), np.bool_)),
            "by_fault": {
                str(fault): describe(table, table["fault"] == fault)
                for fault in np.unique(table["fault"])
            },
        }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
