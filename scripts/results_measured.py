"""Sections of docs/results.md about what was measured apart, from files of benchmark/results."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results_tables import interval, number, spread, table

from salus_ros.reports.numbers.operator import with_interval

Values = Mapping[str, Any]

MEASURED = Path(__file__).parent.parent / "benchmark" / "results"


def learning_curve() -> list[str]:
    """What more episodes to learn from are worth, where it was measured."""
    curve = json.loads((MEASURED / "learning_curve.json").read_text())
    first, last = curve["more_seeds"]
    return [
        "## More episodes to learn from",
        "The same splits, tested on the same episodes; to what each learns from come others, made "
        f"by `salus collect --lookahead --seed {first}` (seeds up to {last}; data "
        f"{curve['data_hash']}, those of `{curve['store']}` included). `collisions / drops`: "
        "failures to learn from, misplaced releases among the drops; AP of single outputs within "
        "0.5 s.",
        curve_table(curve),
    ]


def curve_table(curve: Values) -> str:
    """Figures by detector and number of episodes to learn from."""
    rows = []
    for name in curve["points"][0]["detectors"]:
        for point in curve["points"]:
            one, kinds = point["detectors"][name], point["failures_to_learn_from"]
            recall, outputs = one["recall_at_5_percent"], one["average_precision_by_output"]
            lost = kinds.get("drop", 0.0) + kinds.get("misplaced_release", 0.0)
            both = (recall["recall"], recall["recall_interval"])
            rows.append([
                name, f"{point['episodes_to_learn_from']:,.0f}",
                f"{kinds.get('collision', 0.0):.0f} / {lost:.0f}",
                *(with_interval(*(which[kind] for which in both)) for kind in ("all", "sudden")),
                *(number(one["sudden_by_false_alarms_an_hour"][rate], 2) for rate in ("10", "30")),
                with_interval(one["at_a_quarter"]["auroc_within_task"],
                              one["at_a_quarter"]["auroc_within_task_interval"]),
                *(number(outputs["0.5 s"][kind]["average_precision"], 2)
                  for kind in ("collision", "drop")),
                *(spread(one[key]) for key in ("f1", "f1_events", "average_precision")),
            ])  # fmt: skip
    head = ["model", "episodes", "collisions / drops", "recall (95 %)", "sudden", "10/h",
            "30/h", "quarter (95 %)", "AP collision", "AP drop", "F1", "F1 without timeouts",
            "AP"]  # fmt: skip
    return table(head, rows)


def shipped_predictor() -> list[str]:
    """What the predictor that ships is worth on the episodes that ship."""
    found = json.loads((MEASURED / "shipped_predictor.json").read_text())
    learnt = found["episodes"]
    return [
        "## The predictor that ships",
        f"`model:=shipped` has learnt from {learnt['train']:,} episodes of other seeds, "
        f"{learnt['validation']:,} more chose its epoch, and {learnt['calibration']:,}, "
        f"{found['successes_of_the_threshold']} of them successes, set its alarm at 5 % "
        "(`scripts/make_predictor.sh`). The shipped episodes are all new to it "
        "(`benchmark/shipped_predictor.py`); those of the shifted conditions void its promise. "
        "`foreseen`: failures with the alarm 0.2 s before them or earlier; `sudden`: of drops, "
        "misplaced releases and collisions; `30/h`, `quarter`: as above; AP of single outputs "
        "within 0.5 s.",
        shipped_table(found["stores"]),
    ]


def shipped_table(stores: Values) -> str:
    """Figures by store."""
    rows = []
    for name, one in stores.items():
        recall, alarm = one["recall_of_the_alarm"], one["alarm"]
        quarter, types = one["at_a_quarter"]["predictor"], one["average_precision_within_0.5_s"]
        both = (recall["recall"], recall["recall_interval"])
        events = one["f1_without_timeouts"]
        rows.append([
            f"`{name}`", f"{one['episodes']:,}",
            *(with_interval(*(which[kind] for which in both)) for kind in ("all", "sudden")),
            f"{number(recall['lead_median_s'], 1)} s",
            f"{number(alarm['false_alarm_share'])} ({interval(alarm['false_alarm_interval'])})",
            number(one["sudden_by_false_alarms_an_hour"]["30"], 2),
            with_interval(*quarter.values()),
            *(number(types[kind], 2) for kind in ("collision", "drop")),
            with_interval(events[0], events[1:]), number(one["average_precision"]),
        ])  # fmt: skip
    head = ["episodes of", "number", "foreseen (95 %)", "sudden", "lead", "successes that alarm",
            "30/h", "quarter (95 %)", "AP collision", "AP drop", "F1 without timeouts",
            "AP"]  # fmt: skip
    return table(head, rows)


def actprobe_target(which: str) -> tuple[str, float, str]:
    """The default on ActProbe's rollouts: its name, its early AUROC, and that in words."""
    found = json.loads((MEASURED / "actprobe.json").read_text())["protocols"][which]
    one = found["detectors"][found["reference"]]
    ends = one["auroc_pooled_interval"]
    return found["reference"], one["auroc_pooled"], f"{one['auroc_pooled']:.3f} ({interval(ends)})"


def actprobe() -> list[str]:
    """Rollouts of others, that have no hidden states."""
    protocols = json.loads((MEASURED / "actprobe.json").read_text())["protocols"]
    seen = protocols["seen"]
    return [
        "## Rollouts of pi0 on LIBERO-10",
        f"{seen['episodes']} rollouts recorded by ActProbe's authors, {seen['failures']} "
        f"failures, {seen['failures_by_type'].get('timeout', 0)} of them at the time limit; "
        "their protocol (70/15/15 of every task, or three tasks unseen; half of their "
        f"validation part is for calibration here) with {seen['splits']} seeds of ours "
        "(`benchmark/actprobe.py`). Early AUROC is that of the largest score over the first "
        "quarter of the time limit; intervals draw the episodes once for all seeds; alarms at a "
        "conformal threshold for 5 %. The logs have no hidden states, so detectors that read them "
        "cannot run. The default for such logs, chosen without their test episodes, is "
        f"`{seen['reference']}`.",
        *(part for which in protocols for part in (
            f"Tasks that were {which}:", actprobe_table(protocols[which], which))),
    ]  # fmt: skip


PUBLISHED = {
    "actprobe": ("80.1", "71.4"),
    "stac_single": ("65.3", "65.2"),
    "safe_lstm": ("78.2", "59.2"),
    "knn": ("68.9", "57.2"),
    "safe_mlp": ("77.3", "58.9"),
    "logpzo": ("73.1", "58.3"),
}
"""Early AUROC that ActProbe's authors give, in %, of seen and of unseen tasks."""


def actprobe_table(found: Values, which: str) -> str:
    """Early AUROC as published and within tasks, and the alarm."""
    below = "auroc_pooled_below_reference"
    rows = [
        [
            f"**{name}**" if name == found["reference"] else name,
            f"{number(one['auroc_pooled'])} ({interval(one['auroc_pooled_interval'], 2)})",
            PUBLISHED.get(name, ("", ""))[which == "unseen"],
            "" if one[below] is None
            else f"{number(one[below])} ({interval(one[f'{below}_interval'])})",
            number(one["auroc_within_task"]),
            number(one["latest_auroc_within_task"]),
            *(number(one[key], 2) for key in ("detection_rate", "false_alarm_share")),
            number(one["lead_median_s"], 1),
        ]
        for name, one in found["detectors"].items()
    ]  # fmt: skip
    head = ["detector", "pooled (95 %)", "published", "below the default (95 %)", "in task",
            "latest in task", "detected", "false", "lead s"]  # fmt: skip
    return table(head, rows)
