"""docs/results.md, from the files that scripts/make_results.sh has made."""

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from salus_ros.evaluation.detectors.catalogue import OURS, PUBLISHED, ablations
from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.training.conformal import least_count

Values = Mapping[str, Any]

RISK = f"{OURS}_horizons"
CLOCK = f"{OURS}_clock"
SIGNALS = f"{OURS}_signals"
ALPHAS = ("0.01", "0.05", "0.1", "0.2")
NOTES = Path(__file__).with_name("results_notes.md")


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def spread(values: Sequence[float | None] | None) -> str:
    """Mean and standard deviation."""
    if values is None or values[0] is None:
        return "-"
    return number(values[0]) if values[1] is None else f"{values[0]:.3f} ± {values[1]:.3f}"


def interval(ends: Sequence[float | None], digits: int = 3) -> str:
    """An interval."""
    return "-" if None in ends else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def targets(result: Values) -> str:
    """Every target with its figure."""
    found = result["detectors"]
    steps, clock = found[OURS]["steps"], found[CLOCK]["steps"]
    ours = found[OURS]["test"]
    rows = []

    def add(what: str, asked: str, value: str, reached: bool, other: str = "") -> None:
        rows.append([what, asked, value, other, "yes" if reached else "**no**"])

    for name, key, least in (
        ("micro F1 over the 16 outputs", "f1", 0.80),
        ("precision", "precision", 0.80),
        ("recall", "recall", 0.80),
        ("F1 without timeouts", "f1_without_timeout", 0.70),
    ):
        reached = (steps[key][0] or 0.0) >= least
        add(name, f">= {least:.2f}", spread(steps[key]), reached, spread(clock[key]))
    for cut in ("shortest", "quarter"):
        figures = ours[cut]
        add(
            f"episode AUROC within task, {cut}",
            ">= 0.90",
            f"{number(figures['auroc_within_task'])} "
            f"({interval(figures['auroc_within_task_interval'])})",
            figures["auroc_within_task"] >= 0.9,
            number(found[CLOCK]["test"][cut]["auroc_within_task"]),
        )
        best = max(
            (name for name in PUBLISHED if name in found),
            key=lambda name: found[name]["test"][cut]["auroc_within_task"],
        )
        gap = found[best]["test"][cut]
        add(
            f"the same above the best published detector ({best})",
            ">= 0.05",
            f"{number(gap['auroc_within_task_below_reference'])} "
            f"({interval(gap['auroc_within_task_below_reference_interval'])})",
            gap["auroc_within_task_below_reference"] >= 0.05,
        )
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
    lead = steps["alarm_lead_before_drop_or_collision_s"]
    add(
        "median lead before a drop or collision",
        ">= 0.4 s",
        f"{spread(lead)} s",
        (lead[0] or 0) >= 0.4,
        spread(clock["alarm_lead_before_drop_or_collision_s"]),
    )
    error = steps["calibration_error"]
    add("expected calibration error", "<= 0.02", spread(error), error[0] <= 0.02,
        spread(clock["calibration_error"]))  # fmt: skip
    return table(["what", "target", "default model", "with a clock as input", "reached"], rows)


def step_table(found: Values) -> str:
    """Figures of single steps, of SALUS's own models."""
    names = ("f1", "precision", "recall", "f1_without_timeout", "macro_f1", "average_precision",
             "calibration_error")  # fmt: skip
    rows = [
        [name, *(spread(one["steps"][key]) for key in names)]
        for name, one in found.items()
        if one["steps"] and name not in (RISK, *ablations())
    ]
    head = ["model", "F1", "precision", "recall", "F1 without timeout", "macro F1", "AP", "ECE"]
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
    """Promised and realised false alarms of either score."""
    rows = []
    for name, what in ((OURS, "fails at all"), (RISK, "risk within 0.5 s")):
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
                spread(found[name]["steps"]["f1_without_timeout"]),
                spread(found[name]["steps"]["average_precision"]),
            ])  # fmt: skip
    head = ["model", "quarter", "latest at the quarter", "the same, shifted", "F1",
            "F1 without timeout", "AP"]  # fmt: skip
    return table(head, rows)


def actprobe_table(seen: Values, unseen: Values) -> str:
    """Early AUROC on ActProbe's rollouts, by its own protocol and within tasks."""
    published = {
        "actprobe": ("80.1", "71.4"), "stac_single": ("65.3", "65.2"),
        "safe_lstm": ("78.2", "59.2"), "knn": ("68.9", "57.2"),
    }  # fmt: skip
    rows = []
    for name in seen["detectors"]:
        cells = [name]
        for place, results in enumerate((seen, unseen)):
            here = results["detectors"][name]["test"]
            cells += [
                f"{number(here['quarter']['auroc_pooled'])} "
                f"({interval(here['quarter']['auroc_pooled_interval'], 2)})",
                published.get(name, ("", ""))[place],
                number(here["quarter"]["auroc_within_task"]),
                number(here["latest"]["quarter"]["auroc_within_task"]),
            ]
        rows.append(cells)
    head = ["detector", "seen: pooled (95 %)", "published", "in task", "latest in task",
            "unseen: pooled (95 %)", "published", "in task", "latest in task"]  # fmt: skip
    return table(head, rows)


def shares(result: Values) -> str:
    """Parts of a split, in per cent of the episodes."""
    names = {"train": "to train", "validation": "to validate", "calibration": "to calibrate",
             "test": "to test"}  # fmt: skip
    sizes = {part: sum(fold[part] for fold in result["folds"]) for part in names}
    total = sum(sizes.values())
    return ", ".join(f"{100 * sizes[part] / total:.0f} % {what}" for part, what in names.items())


def some(numbers: Sequence[int], of: int = 1) -> str:
    """The numbers of the splits, each divided by `of`, as a range."""
    low, high = min(numbers) // of, max(numbers) // of
    return f"{low}" if low == high else f"{low} to {high}"


def unpromised(successes: int) -> str:
    """Which alphas so many successes cannot promise."""
    beyond = [alpha for alpha in ALPHAS if least_count(float(alpha)) > successes]
    return f" That is too few for alpha = {' and '.join(beyond)}, where nothing alarms." * bool(
        beyond
    )


def whole_episode_table(outputs: dict[str, Any]) -> str:
    """What is told of the episode as a whole, at the moments of `evaluate_episode_output`."""
    rows = [
        (
            name.replace("_", " "),
            share,
            f"{part['positives']} of {part['running']}",
            number(part["auroc_within_task"]),
            interval(part["auroc_within_task_interval"]),
            number(part["average_precision"]),
            number(part["calibration_error"]),
        )
        for name, found in outputs.items()
        for share, part in found["at"].items()
    ]
    head = ("", "at", "ended so", "AUROC within task", "95 %", "AP", "calibration error")
    return table(head, rows)


def page(folder: Path) -> str:
    """The whole page."""
    result = json.loads((folder / "benchmark" / "benchmark.json").read_text())
    training = json.loads((folder / "tcn" / "training_results.json").read_text())
    evaluation = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    calibration = json.loads((folder / "tcn" / "calibration.json").read_text())
    found = result["detectors"]
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
        "chosen on the validation part; of the calibration part one half fits the probabilities "
        "and the other sets the alarm's threshold. Figures are means over the splits, ± one "
        "standard deviation; intervals in parentheses are at 95 %, Wilson's or a bootstrap that "
        "draws the episodes once for all splits and detectors.",
        "## Targets",
        "Held-out episodes of the built-in simulator. A clock as an input is a declared option, "
        "off by default.",
        targets(result),
        NOTES.read_text().strip(),
        "## Steps",
        "All 16 outputs after calibration, at the threshold with the best F1 on its episodes.",
        step_table(found),
        "## Alarm",
        "The alarm sounds when the probability that the episode fails at all, which is never "
        "below the risk (any failure within the longest horizon), is above its threshold, "
        f"conformal at alpha = 0.05 on the {some(successes, 2)} successes of its half of the "
        "calibration part.",
        alarm_table(found),
        "The same at other alphas, and what the risk would do in its place, both of raw scores: "
        f"no probabilities are fitted, so all {some(successes)} successes of the calibration part "
        f"set the threshold.{unpromised(min(successes))} The promise is for episodes like those "
        "of the calibration; the shifted ones are not.",
        promise_table(found),
        "## Detectors",
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
        "The default model with parts of its inputs; `without_*` and `*_alone` are of the twelve "
        "signals without the embedding. `state_and_action` reads the joints and the action in "
        "place of anything of the policy; `half_of_training` learns from half of the episodes.",
        ablation_table(found),
        "## One model, as the commands make it",
        f"`salus train shipped:standard`: {training['splits']['train']['episodes']} episodes to "
        f"train, {training['epochs_run']} epochs, {training['seconds']:.0f} s. `salus calibrate` "
        f"on {training['splits']['calibration']['episodes']} others, {calibration['successes']} "
        "successes of which set the threshold, and `salus evaluate` on the "
        f"{evaluation['episodes']} it never saw, shifted ones included: F1 {number(test['f1'])} "
        f"({interval(test['f1_interval'])}), without "
        f"timeouts {number(test['without_timeout']['f1'])}, calibration error "
        f"{number(evaluation['calibration_error'], 4)}.",
        "What it says of the episode as a whole, that it will fail at all and that it will end in "
        "no progress, by its time limit: the latest probability of the episodes that are still "
        "running at a share of the time limit, where a clock says the same of all.",
        whole_episode_table(evaluation["episode_outputs"]),
    ]
    logs = [folder / f"actprobe_{name}" / "benchmark.json" for name in ("seen", "unseen")]
    if all(file.exists() for file in logs):
        seen, unseen = (json.loads(file.read_text()) for file in logs)
        parts += [
            "## Rollouts of pi0 on LIBERO-10",
            f"{seen['episodes']} rollouts recorded by ActProbe's authors, {seen['failures']} "
            f"failures, all at the time limit; their protocol (70/15/15 of every task, or three "
            "tasks unseen; half of their validation part is for calibration here) with "
            f"{len(seen['folds'])} seeds of ours. Early AUROC is that of the largest score "
            "over the first quarter of the time limit. The logs have no hidden "
            "states, so detectors that read them cannot run.",
            actprobe_table(seen, unseen),
        ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1])))
