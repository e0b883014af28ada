"""Tables of `salus demo`: what the graph did, and what its prediction is worth."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rich.console import RenderableType

from salus_ros.core.failures import Outcome
from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.episodes.reader import StoreReader
from salus_ros.reports.numbers.missing import PREDICTION
from salus_ros.reports.sentences import alarm_rule
from salus_ros.reports.tables.layout import listed, new_table

if TYPE_CHECKING:
    from salus_ros.prediction.predictor import Predictor


class Heard(Protocol):
    """What was heard of the running graph."""

    recorder: dict[str, Any]
    inference_ms: list[float]
    prediction_ms: list[float]


def demo_tables(
    reader: StoreReader,
    live: int,
    predictor: "Predictor",
    unseen: Mapping[str, Any],
    heard: Heard,
    parts: Mapping[str, float],
    seconds: float,
) -> Iterator[RenderableType]:
    """The graph, the alarm on episodes that the predictor has never seen, and the live one.

    Args:
        reader: The recorded episodes.
        live: Index of the live one; one behind it is the same with recovery.
        predictor: The calibrated predictor.
        unseen: The `episode_level` of its evaluation on episodes that it has not seen.
        heard: What the graph said.
        parts: Duration of each part in s.
        seconds: Duration of it all in s.
    """
    graph = new_table("the graph", "", "")
    counts = Counter(meta.ending for meta in reader.episodes())
    rest = {"the rest": seconds - sum(parts.values())}
    spent = ", ".join(f"{name} {part:.0f}" for name, part in {**parts, **rest}.items())
    for name, value in (
        ("episodes recorded", f"{len(reader)}: {listed(dict(sorted(counts.items())))}"),
        ("steps recorded", str(reader.steps)),
        ("steps without an input", str(_steps_with_gaps(reader))),
        ("messages dropped", str(heard.recorder.get("dropped", "unknown"))),
        ("policy and signals, ms", _milliseconds(heard.inference_ms)),
        ("signals to prediction, ms", _milliseconds(heard.prediction_ms)),
        ("seconds, set-up not counted", f"{seconds:.0f}: {spent}"),
    ):
        graph.add_row(name, value)
    yield graph

    alarm = new_table("the alarm", "", "")
    alarm.add_row("rule", alarm_rule(predictor))
    alarm.add_row("on episodes it has never seen", on_unseen_episodes(unseen))
    alarm.add_row("in the live episode", live_result(reader.episode(live, images=False)))
    if live + 1 < len(reader):
        alarm.add_row("the same with recovery", recovered_result(reader.meta(live + 1)))
    yield alarm


def on_unseen_episodes(unseen: Mapping[str, Any]) -> str:
    """Say how many failures an alarm preceded, how long before, and how many alarms were false."""
    failures = unseen["failures"]
    successes = unseen["episodes"] - failures
    alarm = unseen["alarm"]
    if alarm is None:
        return f"{unseen['episodes']} episodes, {failures} failed; no alarm is possible"
    share, false, lead = alarm["detection_rate"], alarm["false_alarm_share"], alarm["lead_s"]
    told = "-" if share is None else f"{share:.0%}"
    ahead = "" if lead["median"] is None else f", {lead['median']:.1f} s before them (median)"
    wrong = "-" if false is None else f"{false:.0%}"
    return (
        f"{told} of {failures} failures were announced{ahead}; {wrong} of {successes} successes "
        "had a false alarm"
    )


def live_result(live: Episode) -> str:
    """Say how the live episode ended, and whether the alarm was right."""
    alarms = np.flatnonzero(np.zeros(0) if live.alarm is None else live.alarm == 1)
    meta = live.meta
    ending = f"{meta.ending} (fault: {meta.fault})"
    if meta.outcome == Outcome.UNKNOWN:
        return f"{ending}; {len(alarms)} steps with an alarm"
    if meta.outcome == Outcome.SUCCESS:
        return f"{ending}; " + (
            f"{len(alarms)} steps with an alarm: a false one" if alarms.size else "no alarm: right"
        )
    if not alarms.size:
        return f"{ending}; no alarm: the failure was missed"
    if meta.failure_step < 0:
        return f"{ending} at an unknown moment; first alarm at step {alarms[0]}"
    ahead_s = (meta.failure_step - int(alarms[0])) / meta.rate_hz
    if ahead_s <= 0:
        return f"{ending}; the first alarm came only with the failure: missed"
    return f"{ending}; first alarm {ahead_s:.1f} s before the failure: right"


def recovered_result(again: EpisodeMeta) -> str:
    """Say what took the arm in the live episode that was run again, and how it ended."""
    if not again.interventions:
        return f"{again.ending}; nothing took the arm"
    end = "saved" if again.outcome == Outcome.SUCCESS else "not saved"
    return f"{again.ending}; steps {again.interventions}: {end}"


def _steps_with_gaps(reader: StoreReader) -> int:
    """Steps of the policy that lack an image, the state, the action or the signals."""
    ages = reader.to_numpy(["age_ms"])["age_ms"]  # (N, streams), NaN where there is no sample
    inputs = [i for i, name in enumerate(reader.spec.streams) if name != PREDICTION]
    acts = np.concatenate([reader.intervention(index) for index in range(len(reader))])
    return int((np.isnan(ages[:, inputs]).any(axis=1) & (acts == 0)).sum())


def _milliseconds(values: Sequence[float]) -> str:
    if not values:
        return "none"
    p50, p99 = np.percentile(values, [50, 99])
    return f"median {p50:.1f}, p99 {p99:.1f} (n = {len(values)})"
