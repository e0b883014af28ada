"""Detectors on ActProbe's rollouts of pi0, by its own protocol: the figures of two benchmarks.

    salus benchmark LOGS --protocol seen --out runs/actprobe_seen      # and unseen
    python benchmark/actprobe.py runs/actprobe_seen runs/actprobe_unseen \
        > benchmark/results/actprobe.json

LOGS: benchmarks/pi0_libero/data/metrics_logs of github.com/air-embodied-brain/actprobe. Printed of
each protocol: how early each detector tells, pooled as published and within tasks, how far it is
below the default for such logs, and its alarm at 5 %.
"""

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KEPT = ("episodes", "failures", "failures_by_type", "data_hash", "reference", "alpha")


def figures(test: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a detector that the published ones stand beside."""
    quarter, alarm = test["quarter"], test["alarms"]["0.05"]
    below = "auroc_pooled_below_reference"
    return {
        "auroc_pooled": quarter["auroc_pooled"],
        "auroc_pooled_interval": quarter["auroc_pooled_interval"],
        "auroc_within_task": quarter["auroc_within_task"],
        "latest_auroc_within_task": test["latest"]["quarter"]["auroc_within_task"],
        below: quarter.get(below),
        f"{below}_interval": quarter.get(f"{below}_interval"),
        "detection_rate": alarm["detection_rate"],
        "false_alarm_share": alarm["false_alarm_share"],
        "lead_median_s": alarm["lead_median_s"],
    }


def main() -> None:
    """Read and print."""
    if len(sys.argv) < 3 or "-h" in sys.argv or "--help" in sys.argv:
        sys.exit(__doc__.strip())
    protocols: dict[str, Any] = {}
    for folder in sys.argv[1:]:
        found = json.loads((Path(folder) / "benchmark.json").read_text())
        protocols[found["protocol"]] = {name: found[name] for name in KEPT} | {
            "splits": len(found["folds"]),
            "detectors": {name: figures(one["test"]) for name, one in found["detectors"].items()},
            "missing": found["missing"],
        }
    if set(protocols) != {"seen", "unseen"}:
        sys.exit(f"the benchmarks are of {', '.join(protocols)}; give one of seen, one of unseen")
    result = {
        "benchmark": "actprobe",
        "command": shlex.join(["python", *sys.argv]),
        "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "protocols": protocols,
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
