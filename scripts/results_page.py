"""docs/results.md, from the files that scripts/make_results.sh has made."""

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from results_measured import actprobe, actprobe_target, learning_curve, shipped_predictor
from results_tables import interval, number, spread, table

from salus_ros.evaluation.detectors.catalogue import OURS, PUBLISHED, ablations
from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.reports.numbers.operator import (
    RULES,
    Sheet,
    benchmark_sheets,
    evaluation_sheets,
    with_interval,
)
from salus_ros.training.conformal import least_count

Values = Mapping[str, Any]

RISK = f"{OURS}_horizons"
CLOCK = f"{OURS}_clock"
SIGNALS = f"{OURS}_signals"
EVENTUAL = f"{OURS}_eventual"
ALPHAS = ("0.01", "0.05", "0.1", "0.2")
NOTES = Path(__file__).with_name("results_notes.md")


def sheets(several: Sequence[Sheet]) -> list[str]:
    """Tables in Markdown, with what their columns mean below."""
    return [
        part
        for sheet in several
        for part in (f"**{sheet.title}**", table(sheet.head, sheet.rows), sheet.note)
        if part
    ]


def targets(result: Values) -> str:
    """Every target with its figure, and beside it that of the model with a clock as input."""
    found = result["detectors"]
    steps, clock = found[OURS]["steps"], found[CLOCK]["steps"]
    ours, timed = (found[name]["test"]["operator"] for name in (OURS, CLOCK))
    rows = []

    def add(what: str, asked: str, value: str, reached: bool | None, other: str = "") -> None:
        said = "-" if reached is None else "yes" if reached else "**no**"
        rows.append([what, asked, value, other, said])

    def least(what: str, limit: float, figure: float | None, told: str, other: str = "") -> None:
        add(what, f">= {limit:.2f}", told, None if figure is None else figure >= limit, other)

    chosen, other = (one["foreseen"]["at_share"] for one in (ours, timed))
    for name, what, limit in (
        ("all", "recall with 0.2 s of lead where 5 % of the successes alarm", 0.70),
        ("sudden", "the same, drops, misplaced releases and collisions alone", 0.45),
    ):
        told = with_interval(chosen["recall"][name], chosen["recall_interval"][name])
        least(what, limit, chosen["recall"][name], told, number(other["recall"][name], 2))
    quarter, other = (one["running"]["failure"]["25%"] for one in (ours, timed))
    auroc = quarter["auroc_within_task"]
    told = with_interval(auroc, quarter["auroc_within_task_interval"])
    what = "AUROC within task at a quarter, of those still running"
    least(what, 0.90, auroc, told, number(other["auroc_within_task"], 2))
    best, gap = best_published(found)
    below = gap["auroc_within_task_below_reference"]
    ends = gap["auroc_within_task_below_reference_interval"]
    what = f"AUROC of the latest score at a quarter, above the best published one ({best})"
    reached = None if None in ends else below >= 0.05 and ends[0] > 0
    add(what, ">= 0.05, interval above 0", with_interval(below, ends), reached)
    for kind in ("drop", "collision"):
        one = found[OURS]["outputs"]["0.5 s"][kind]
        skill = one.get("skill")
        timed_skill = found[CLOCK]["outputs"]["0.5 s"][kind].get("skill")
        least(f"AP / limit within 0.5 s, {kind}", 0.60, skill, number(skill, 2),
              number(timed_skill, 2))  # fmt: skip
    events = steps["f1_events"]
    least("F1 without timeouts, at their own threshold", 0.45, events[0], spread(events),
          spread(clock["f1_events"]))  # fmt: skip
    reached = clock["f1"][0] >= 0.75
    add("micro F1 with a clock as input", ">= 0.75", spread(steps["f1"]), reached,
        spread(clock["f1"]))  # fmt: skip
    share = steps["alarm_false"][0]
    successes = result["episodes"] - result["failures"]
    low, high = wilson_interval(round(share * successes), successes)
    add(
        "false alarms at alpha = 0.05",
        "0.05 in the interval",
        f"{number(share)} ({interval((low, high))})",
        low <= 0.05 <= high,
        number(clock["alarm_false"][0]),
    )
    error = steps["calibration_error"]
    add("expected calibration error", "<= 0.02", spread(error), error[0] <= 0.02,
        spread(clock["calibration_error"]))  # fmt: skip
    for which, limit in (("seen", 0.81), ("unseen", 0.75)):
        name, figure, told = actprobe_target(which)
        least(f"ActProbe's rollouts, tasks {which}: AUROC in the first quarter (`{name}`)", limit,
              figure, told)  # fmt: skip
    return table(["what", "target", "default model", "with a clock as input", "reached"], rows)


def best_published(found: Values) -> tuple[str, Values]:
    """The published detector that ranks best by its score at a quarter, and its figures."""
    figures = {
        name: found[name]["test"]["latest"]["quarter"] for name in PUBLISHED if name in found
    }
    best = max(figures, key=lambda name: figures[name]["auroc_within_task"] or 0.0)
    return best, figures[best]


def step_table(found: Values) -> str:
    """Figures of single steps, of SALUS's own models."""
    names = ("f1", "precision", "recall", "f1_events", "macro_f1", "average_precision",
             "calibration_error")  # fmt: skip
    rows = [
        [name, *(spread(one["steps"][key]) for key in names)]
        for name, one in found.items()
        if one["steps"] and name not in (RISK, EVENTUAL, *ablations())
    ]
    head = ["model", "F1", "precision", "recall", "F1 without timeouts", "macro F1", "AP", "ECE"]
    return table(head, rows)


def detector_rows(found: Values, part: str, cut: str = "quarter") -> Iterator[list[str]]:
    """Episode figures of every detector."""
    for name, one in found.items():
        if name in ablations() or part not in one:
            continue
        here = one[part]
        alarm = here["alarms"]["0.05"]
        yield [
            f"**{name}**" if name == OURS else name,
            number(here["shortest"]["auroc_within_task"]),
            f"{number(here[cut]['auroc_within_task'])} "
            f"({interval(here[cut]['auroc_within_task_interval'], 2)})",
            number(here[cut]["auroc_pooled"]),
            number(here[cut]["average_precision"]),
            number(here["band"][cut]["auroc_within_task"]),
            f"{number(here['latest'][cut]['auroc_within_task'])}",
            number(alarm["detection_rate"], 2),
            number(alarm["false_alarm_share"], 2),
            number(alarm["lead_median_s"], 2),
            number(one["step_us"], 0),
        ]


DETECTOR_HEAD = ("detector", "shortest", "quarter (95 %)", "pooled", "AP", "with band", "latest",
                 "detected", "false", "lead s", "us a step")  # fmt: skip


def alarm_table(found: Values) -> str:
    """The alarm at alpha = 0.05."""
    rows = []
    for name in (OURS, CLOCK, f"{OURS.rsplit('_', 1)[0]}_gru", SIGNALS):
        steps = found[name]["steps"]
        keys = ("alarm_false", "alarm_false_per_hour", "alarm_detected", "alarm_lead_s",
                "alarm_lead_p10_s", "alarm_lead_before_drop_or_collision_s")  # fmt: skip
        if all(steps[key][0] is not None for key in keys):
            rows.append([name, *(spread(steps[key]) for key in keys)])
    head = ["alarm of", "false alarms", "an hour", "detected", "lead s, median", "p10",
            "median before a drop or collision"]  # fmt: skip
    return table(head, rows)


def promise_table(found: Values) -> str:
    """Promised and realised false alarms of the alarm's score, and of its two parts."""
    rows = []
    names = {OURS: "the alarm", EVENTUAL: "fails at all", RISK: "risk within 0.5 s"}
    for name, what in names.items():
        for alpha in ALPHAS:
            one = found[name]["test"]["alarms"][alpha]
            other = found[name]["held_out"]["alarms"][alpha]
            rows.append([
                what, alpha,
                f"{number(one['false_alarm_share'])} ({interval(one['false_alarm_interval'])})",
                number(one["detection_rate"], 2), number(one["lead_median_s"], 2),
                f"{number(other['false_alarm_share'])} "
                f"({interval(other['false_alarm_interval'])})",
                number(other["detection_rate"], 2),
            ])  # fmt: skip
    head = ["score", "alpha", "false alarms", "detected", "lead s", "false alarms, shifted",
            "detected, shifted"]  # fmt: skip
    return table(head, rows)


def ablation_table(found: Values) -> str:
    """What each part of the inputs is worth."""
    rows = []
    for name in (OURS, SIGNALS, *ablations()):
        if name in found:
            quarter = found[name]["test"]["quarter"]
            latest = found[name]["test"]["latest"]["quarter"]
            rows.append([
                name, number(quarter["auroc_within_task"]), number(latest["auroc_within_task"]),
                number(found[name]["held_out"]["latest"]["quarter"]["auroc_within_task"]),
                spread(found[name]["steps"]["f1"]),
                spread(found[name]["steps"]["f1_events"]),
                spread(found[name]["steps"]["average_precision"]),
            ])  # fmt: skip
    head = ["model", "quarter", "latest at the quarter", "the same, shifted", "F1",
            "F1 without timeouts", "AP"]  # fmt: skip
    return table(head, rows)


def shares(result: Values) -> str:
    """Parts of a split, in per cent of the episodes."""
    names = {"train": "to train", "validation": "to validate", "calibration": "to calibrate",
             "test": "to test"}  # fmt: skip
    sizes = {part: sum(fold[part] for fold in result["folds"]) for part in names}
    total = sum(sizes.values())
    return ", ".join(f"{100 * sizes[part] / total:.0f} % {what}" for part, what in names.items())


def some(numbers: Sequence[int]) -> str:
    """The numbers of the splits as a range."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def unpromised(successes: int) -> str:
    """Which alphas so many successes cannot promise."""
    beyond = [alpha for alpha in ALPHAS if least_count(float(alpha)) > successes]
    return f" That is too few for alpha = {' and '.join(beyond)}, where nothing alarms." * bool(
        beyond
    )


def page(folder: Path) -> str:
    """The whole page."""
    result = json.loads((folder / "benchmark" / "benchmark.json").read_text())
    training = json.loads((folder / "tcn" / "training_results.json").read_text())
    evaluation = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    calibration = json.loads((folder / "tcn" / "calibration.json").read_text())
    found = result["detectors"]
    compared = {name: one for name, one in found.items() if name not in ablations()}
    other = result["held_out"]
    successes = [fold["calibration_successes"] for fold in result["folds"]]
    test = evaluation["at_threshold"]
    parts = [
        "# Results",
        "Made by `scripts/make_results.sh FOLDER ACTPROBE_LOGS`, version "
        f"{result['salus_version']}, on {os.cpu_count()} CPU cores ({platform.machine()}). "
        f"`shipped:standard` has {result['episodes']} episodes, {result['failures']} of them "
        f"failures; `shipped:shifted` {other['episodes']}, {other['failures']} failures, of "
        f"conditions never trained on. {len(result['folds'])} splits by episode, each with a seed "
        f"of its own: {shares(result)}; every episode is tested once. Epochs and settings are "
        "chosen on the validation part, which fits the probabilities too; the calibration part "
        "sets the alarm's threshold. Figures are means over the splits, ± one standard deviation; "
        "intervals in parentheses are at 95 %, Wilson's or a bootstrap that draws the episodes "
        "once for all splits and detectors.",
        "## Targets",
        "Held-out episodes of the built-in simulator. A clock as an input is a declared option, "
        "off by default.",
        targets(result),
        NOTES.read_text().strip(),
        "## What an operator feels",
        RULES,
        *sheets(benchmark_sheets(result | {"detectors": compared})),
        "The same models on the shifted conditions:",
        *sheets(benchmark_sheets(result | {"detectors": compared}, "held_out")),
        "## Steps",
        "All 16 outputs after calibration, at the threshold with the best F1 on its episodes; "
        "those without timeouts at one of their own.",
        step_table(found),
        "## Alarm",
        "The alarm sounds when the risk (any failure within the longest horizon) or the "
        "probability that the episode fails at all is above its threshold; both move together, "
        f"conformal at alpha = 0.05 on the {some(successes)} successes of the calibration part.",
        alarm_table(found),
        "The same at other alphas, and what either of the two would do alone, of raw scores: "
        f"no probabilities are fitted.{unpromised(min(successes))} The promise is for episodes "
        "like those of the calibration; the shifted ones are not.",
        promise_table(found),
        "## Early ranking, as published",
        "AUROC within tasks of the largest score up to the shortest episode of the task and up "
        "to a quarter of the time limit; pooled and average precision at the quarter. `with "
        "band`: of scores relative to a functional band of successes. `latest`: of the score at "
        "the cut instead of the largest before it. Detection, false alarms and lead at a "
        "conformal threshold for alpha = 0.05. The last column is the time to score a step "
        "offline on one thread, without what the policy spends on its inputs.",
        table(DETECTOR_HEAD, list(detector_rows(found, "test"))),
        "The same models on the shifted conditions:",
        table(DETECTOR_HEAD, list(detector_rows(found, "held_out"))),
        "## Ablation",
        "The default model without the look-ahead (`without_lookahead`), without the joints "
        "(`without_joints`), with half of the episodes to "
        "learn from (`half_of_training`), and with the twelve signals alone. `salus benchmark "
        "--ablation` has more.",
        ablation_table(found),
        *learning_curve(),
        *shipped_predictor(),
        "## One model, as the commands make it",
        f"`salus train shipped:standard`: {training['splits']['train']['episodes']} episodes to "
        f"train, {training['epochs_run']} epochs, {training['seconds']:.0f} s. `salus calibrate` "
        f"on {training['splits']['calibration']['episodes']} others, {calibration['successes']} "
        "successes of which set the threshold, and `salus evaluate` on the "
        f"{evaluation['episodes']} it never saw, shifted ones included: F1 {number(test['f1'])} "
        f"({interval(test['f1_interval'])}), without "
        f"timeouts {number((evaluation['events'] or {}).get('f1'))}, calibration error "
        f"{number(evaluation['calibration_error'], 4)}.",
        *sheets(evaluation_sheets(evaluation["operator"])),
        *actprobe(),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1])))
