"""A predictor's primary figures, with those of the rules that it has to add to beside them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.schema import EPISODE_OUTPUTS
from salus_ros.evaluation.held import Alarm, Held
from salus_ros.evaluation.knowable_file import Limits
from salus_ros.evaluation.operator_evaluation import TARGETS, evaluate_as_operator
from salus_ros.evaluation.readout import Readout
from salus_ros.evaluation.rules import STUCK, TaskPrior, clock, stuck, stuck_lacks
from salus_ros.evaluation.step_evaluation import precision_by_output
from salus_ros.prediction.predictor import Prediction, Predictor
from salus_ros.training.alarm_score import references_of
from salus_ros.training.dataset import Samples

PREDICTOR = "predictor"
"""What it is called among the rules."""


def beside_rules(
    predictor: Predictor,
    prediction: Prediction,
    held: Held,
    prior: TaskPrior,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Compute the primary figures of a predictor and of the rules, on the same episodes.

    Args:
        predictor: The predictor.
        prediction: What it says of the episodes.
        held: The episodes, of one split.
        prior: Of its training episodes.
        limits: What is knowable of such episodes.

    Returns:
        JSON values: `detectors`, by name what `evaluate_as_operator` returns, and `outputs` as
        `precision_by_output` does, with limits beside them where they are given; `missing`, why a
        rule is not there; `limits`, where they come from, only where they are given.

    Raises:
        ConfigError: if the limits are of another world.
    """
    (samples,) = held.samples
    if limits is not None:
        limits.check(samples)
    missing = {"stuck": stuck_lacks(samples)}
    rules: dict[str, NDArray[np.floating]] = {
        "clock": clock(samples),
        "task_prior": prior(samples),
    }
    if np.isnan(rules["task_prior"]).all():
        del rules["task_prior"]
        missing["task_prior"] = "no episode that it was trained on is in the stores"
    if not missing["stuck"]:
        rules["stuck"] = stuck(samples)
    told = predictor.checkpoint.episode_outputs
    probabilities = {
        target: [getattr(prediction, name)]
        for target, name in zip(TARGETS, EPISODE_OUTPUTS, strict=True)
        if name in told
    }
    found = {
        PREDICTOR: evaluate_as_operator(
            [own_readout(predictor, prediction)],
            held,
            own_alarm(predictor, prediction),
            probabilities,
        )
    }
    outputs = {PREDICTOR: prediction.probability, **rules}
    for name, score in rules.items():
        declared = {"declared": Alarm([score], [STUCK])} if name == "stuck" else {}
        found[name] = evaluate_as_operator([Readout.single(score)], held, declared)
    for name, score in outputs.items():
        precision = output_precision(score, samples)
        found[name]["outputs"] = precision if limits is None else limits.beside(precision)
    result = {"detectors": found, "missing": {k: v for k, v in missing.items() if v}}
    return result | ({} if limits is None else {"limits": limits.source})


def own_readout(predictor: Predictor, prediction: Prediction) -> Readout:
    """What a predictor says, ranked by what its alarm goes by."""
    fitted = predictor.calibration
    return Readout.of(prediction, None if fitted is None else references_of(fitted))


def own_alarm(predictor: Predictor, prediction: Prediction) -> Mapping[str, Alarm]:
    """The alarm of a calibrated predictor, which is conformal; of another one none."""
    if predictor.calibration is None or math.isnan(predictor.threshold):
        return {}
    return {"conformal": Alarm([predictor.alarm_level(prediction)], [0.0])}


def output_precision(
    score: NDArray[np.floating], samples: Samples
) -> dict[str, dict[str, dict[str, float | None]]]:
    """`precision_by_output` of the usable steps."""
    rows = samples.usable
    return precision_by_output(
        score[rows], samples.labels[rows], samples.horizons_s, samples.failure_types
    )
