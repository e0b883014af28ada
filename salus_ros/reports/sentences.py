"""Sentences that pages and terminal tables share."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it loads torch
    from salus_ros.prediction.predictor import Predictor


def unlabelled_line(number: int, stores: str = "STORE") -> str:
    """Say that episodes cannot be learnt from, and what to do about it."""
    return (
        f"{number} episodes have no known outcome, or failed at an unknown moment; nothing is "
        f"learnt from them: salus label {stores}"
    )


def left_out_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Say of which episodes nothing was learnt; of `Samples.left_out`."""
    if found["unlabelled_episodes"]:
        yield unlabelled_line(found["unlabelled_episodes"])
    if found.get("intervened_episodes"):  # results of before do not say
        yield (
            f"{found['intervened_episodes']} episodes had an intervention; nothing is learnt from "
            "them, as nobody knows what the policy alone would have come to"
        )


def alarm_rule(predictor: "Predictor") -> str:
    """Say when a predictor alarms: which score it takes, its threshold, and what that promises."""
    scores = {
        "the probability that the episode fails at all": predictor.episode_threshold,
        f"the risk of a failure within {predictor.horizons_s[-1]:g} s": predictor.threshold,
    }
    rules = [
        f"{score} exceeds {limit:.3f}" for score, limit in scores.items() if math.isfinite(limit)
    ]
    calibration = predictor.calibration
    if not rules:
        return "It never alarms: " + (
            "it has no threshold, since there was no failure to choose one by."
            if calibration is None
            else f"{calibration.successes} successful episodes are too few to promise that at "
            f"most {calibration.alpha:.0%} of them alarm."
        )
    worth = (
        "chosen for the best F1 and not calibrated: salus calibrate sets one with a promise"
        if calibration is None
        else f"promised: at most {calibration.alpha:.0%} of successful episodes alarm"
    )
    return f"It alarms when {' or '.join(rules)} ({worth})."
