"""Tables of `salus info`: what a store holds."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from salus_ros.reports.numbers.missing import PREDICTION
from salus_ros.reports.sentences import unlabelled_line
from salus_ros.reports.tables.layout import listed, new_table, number


def store_tables(summary: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of `store_summary`."""
    spec = summary["spec"]
    overview = new_table(str(summary["path"]), "", "")
    overview.add_row("episodes", str(summary["episodes"]))
    overview.add_row("steps", f"{summary['steps']} ({summary['seconds']:.1f} s of episode time)")
    overview.add_row("size", f"{summary['megabytes']:.1f} MB")
    height, width = spec["image_size"]
    cameras = ", ".join(spec["cameras"])
    overview.add_row("cameras", f"{cameras} ({width} x {height})" if cameras else "none")
    overview.add_row(
        "embedding", f"{spec['embedding_dim']} values" if spec["embedding_dim"] else "none"
    )
    for title, size in _columns(spec):
        overview.add_row(title, size)
    if spec["kept_bits"]:
        overview.add_row("rounded", f"those columns, to {spec['kept_bits']} bits of the mantissa")
    rows = {
        "task": "tasks",
        "fault": "faults",
        "condition": "conditions",
        "world": "worlds",
        "policy": "policies",
    }
    for title, key in rows.items():
        overview.add_row(title, listed(summary[key]))
    overview.add_row(
        "predicted live",
        f"{summary['steps_predicted_live']} steps {listed(summary['models'])}"
        if summary["predicted_episodes"]
        else "no predictor ran",
    )
    yield overview

    outcomes = new_table("how the episodes ended", "ending", "episodes")
    outcomes.add_row("success", str(summary["outcomes"]["success"]))
    for kind, count in summary["failure_types"].items():
        outcomes.add_row(f"failure: {kind}", str(count))
    for cause, count in summary["failure_causes"].items():
        outcomes.add_row(f"  cause: {cause}", str(count))
    outcomes.add_row("unknown", str(summary["outcomes"]["unknown"]))
    yield outcomes
    if summary["unlabelled"]:
        yield Text(unlabelled_line(summary["unlabelled"], str(summary["path"])))

    signals = new_table("signals", "signal", "valid steps")
    for name, share in summary["signals_valid"].items():
        signals.add_row(name, number(share, "{:.1%}"))
    yield signals

    if summary["age_ms"]:
        ages = new_table(
            "age of the samples used",
            "stream",
            "median ms",
            "p95 ms",
            "max ms",
            "gaps",
            "of steps",
        )
        for name, values in summary["age_ms"].items():
            numbers = (number(values[key], "{:.1f}") for key in ("p50", "p95", "max"))
            ages.add_row(
                name, *numbers, _count(name, values["gaps"]), number(values["gap_share"], "{:.1%}")
            )
        yield ages
        without = summary["episodes"] - summary["predicted_episodes"]
        if PREDICTION in summary["age_ms"] and summary["predicted_episodes"] and without:
            yield (
                f"no predictor ran in {without} of {summary['episodes']} episodes; the row "
                f"'{PREDICTION}' is about the others"
            )


def _columns(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a store has of plans, of what the policy sees, of joints and truth: name and size."""
    if spec["plan_length"]:
        size = f"{spec['plan_length']} actions of {spec['action_dim']} values"
        samples = spec["plan_samples"]
        yield "plan", size + (f", {samples} samples of it" if samples else "")
    if spec["visual_dim"]:
        cameras = ", ".join(spec["visual_cameras"])
        yield "visual embedding", f"{spec['visual_dim']} values for each of {cameras}"
    if spec["expert_dim"]:
        yield "expert embedding", f"{spec['expert_dim']} values"
    if spec["further_signals"]:
        yield "signals beyond the twelve", ", ".join(spec["further_signals"])
    if spec["joint_names"]:
        quantities = ", ".join(spec["joint_quantities"])
        yield "joints", f"{quantities} of {', '.join(spec['joint_names'])}"
    if spec["lookahead_names"]:
        yield "lookahead", f"{len(spec['lookahead_names'])} values in {spec['lookahead_cell']}"
    if spec["episode_outputs"]:
        yield "predicted of the episode", ", ".join(spec["episode_outputs"])
    if spec["truth_names"]:
        names = dict.fromkeys(name.partition(".")[0] for name in spec["truth_names"])
        yield "the world's truth", ", ".join(names)


def _count(stream: str, gaps: int | None) -> str:
    if gaps is not None:
        return str(gaps)
    return "no predictor ran" if stream == PREDICTION else "not noted"
