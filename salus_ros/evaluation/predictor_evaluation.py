"""The figures of a predictor on labelled steps and on whole stores."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.schema import EPISODE_OUTPUTS
from salus_ros.evaluation.beside_rules import beside_rules, own_alarm, own_readout
from salus_ros.evaluation.episode_evaluation import evaluate_episodes
from salus_ros.evaluation.held import STEPS, Held
from salus_ros.evaluation.knowable_file import Limits
from salus_ros.evaluation.metrics import auroc, average_precision
from salus_ros.evaluation.operator_evaluation import evaluate_as_operator
from salus_ros.evaluation.rules import TaskPrior
from salus_ros.evaluation.step_evaluation import (
    DECISIONS,
    decisions,
    defined,
    evaluate_events,
    evaluate_steps,
    figures,
    probability_scores,
    undefined,
)
from salus_ros.prediction.predictor import Prediction, Predictor
from salus_ros.training.dataset import EpisodeRecord, Samples, samples_for

DECISION_THRESHOLD = 0.5
"""Probability above which an output counts as predicted, as in the proof of concept."""


def evaluate(predictor: Predictor, samples: Samples, rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Compute the step-level figures of a predictor on some steps.

    A figure that the steps cannot define (recall without a failure, say) is None, and
    `undefined` says why.

    Args:
        predictor: The predictor.
        samples: Labelled steps.
        rows: Mask (N,) of usable steps.

    Returns:
        JSON values: `loss`; the figures of `evaluate_steps` at probability 0.5, and below
        `at_threshold` those of its decisions at the predictor's output threshold; `events`, see
        `evaluate_events`, at its threshold for them; `auroc` over
        all outputs; `any_failure`, of any type, by horizon; `risk` with the figures of the alarm
        against "a failure within the longest horizon"; `steps`, `episodes`, `positives` and
        `undefined`.

    Raises:
        ConfigError: if the samples have other signals, horizons or failure types.
    """
    return _evaluate(predictor, samples, rows, *_outputs(predictor, samples))


def _outputs(predictor: Predictor, samples: Samples) -> tuple[NDArray[np.float32], Prediction]:
    """Logits (N, H, K) and the prediction of all steps, from one run of the network."""
    predictor.check_inputs(samples.signal_names, samples.parts)
    given = (samples.horizons_s, samples.failure_types)
    taken = (predictor.horizons_s, predictor.failure_types)
    if given != taken:
        raise ConfigError(
            f"the labels are of horizons {list(given[0])} s and types "
            f"{[kind.label for kind in given[1]]}, the predictor has {list(taken[0])} s and "
            f"{[kind.label for kind in taken[1]]}; load the episodes with those of the predictor"
        )
    logits, episode = predictor.outputs(*samples.inputs)
    return logits, predictor.decide(logits, episode, np.any(samples.valid, axis=1))


def _evaluate(
    predictor: Predictor,
    samples: Samples,
    rows: NDArray[np.bool_],
    logits: NDArray[np.float32],
    prediction: Prediction,
) -> dict[str, Any]:
    labels, owner = samples.labels[rows], samples.episode[rows]  # (N, H, K), (N,)
    result: dict[str, Any] = {
        "steps": int(rows.sum()),
        "episodes": len(np.unique(owner)),
        "positives": int(labels.sum()),
    }
    if not len(labels):
        reason = "no usable step: no episode, or none with a valid signal before its failure"
        reasons = dict.fromkeys(("loss", *DECISIONS), reason)
        nothing = {"loss": None, "events": None, "undefined": reasons}
        return result | nothing | decisions(labels, labels)
    prediction = prediction.rows(rows)
    probability = prediction.probability
    about = (probability, labels, owner, predictor.horizons_s, predictor.failure_types)
    any_label = np.asarray(labels.any(axis=2), np.bool_)  # (N, H)
    result |= {
        "loss": weighted_loss(logits[rows], labels, predictor.checkpoint.config.pos_weight),
        **evaluate_steps(*about, DECISION_THRESHOLD),
        "auroc": defined(auroc(probability, labels)),
        "any_failure": {
            f"{horizon:g} s": figures(
                prediction.any_failure[:, h], any_label[:, h], DECISION_THRESHOLD
            )
            for h, horizon in enumerate(predictor.horizons_s)
        },
    }
    result["undefined"] = undefined(result)
    soon = any_label[:, -1]
    result["risk"] = {
        "threshold": defined(predictor.threshold) if predictor.threshold < math.inf else None,
        "average_precision": defined(average_precision(prediction.risk, soon)),
        "auroc": defined(auroc(prediction.risk, soon)),
        "positives": int(soon.sum()),
    }
    if predictor.threshold < math.inf:
        result["risk"] |= decisions(prediction.risk > predictor.threshold, soon)
    limit = predictor.output_threshold
    if math.isnan(limit):
        reason = "no threshold: there was no failure to choose it by"
        result["undefined"]["at_threshold"] = reason
    else:
        result["at_threshold"] = {
            "threshold": defined(limit),
            **evaluate_steps(*about, limit, ranked=False),
        }
    result["events"] = evaluate_events(
        probability, labels, owner, predictor.failure_types, predictor.event_threshold
    )
    return result


def evaluate_stores(
    predictor: Predictor,
    stores: Sequence[str | Path],
    *,
    include_seen: bool = False,
    limits: Limits | None = None,
    steps: Sequence[int] = STEPS,
) -> dict[str, Any]:
    """Compute all figures of a predictor on some stores, without the episodes it has seen.

    Args:
        predictor: The predictor.
        stores: Episode stores.
        include_seen: Count the seen episodes too.
        limits: What is knowable of them, to stand beside.
        steps: At which the episodes that are still running are ranked.

    Returns:
        As `evaluate_held_out`, and `left_out` as `held_out` returns it.

    Raises:
        StoreError: if a store cannot be read.
        ConfigError: if one has other signals, no episode is left, or the limits are of another
            world.
    """
    samples, left_out, learnt = held_out(predictor, stores, include_seen=include_seen)
    found = evaluate_held_out(predictor, samples, learnt, limits, steps)
    return found | {"left_out": left_out}


def evaluate_alarm(predictor: Predictor, stores: Sequence[str | Path]) -> dict[str, Any]:
    """The alarm of a predictor on the episodes of some stores that it has not seen.

    Args:
        predictor: The predictor.
        stores: Episode stores.

    Returns:
        As `evaluate_episodes`.

    Raises:
        StoreError: if a store cannot be read.
        ConfigError: if one has other signals, or no episode is left.
    """
    samples, _, _ = held_out(predictor, stores)
    found: dict[str, Any] = _alarm(predictor, _outputs(predictor, samples)[1], samples)
    return dict(found["episode_level"])


def evaluate_held_out(
    predictor: Predictor,
    samples: Samples,
    learnt: Sequence[EpisodeRecord] = (),
    limits: Limits | None = None,
    steps: Sequence[int] = STEPS,
) -> dict[str, Any]:
    """Compute all figures of a predictor on some episodes.

    Args:
        predictor: The predictor.
        samples: The episodes.
        learnt: Episodes that it was trained on, for the prior of a task.
        limits: What is knowable, to stand beside.
        steps: At which the episodes that are still running are ranked.

    Returns:
        As `evaluate`, with `operator`, the primary figures, see `beside_rules`; `episode_level`
        (see `evaluate_episodes`); `episode_outputs`, of those of `EPISODE_OUTPUTS` that the model
        has, how many `episodes` ended so and `SCORES` over all usable `steps`; `by_task` and
        `by_condition`, where there are several, with the `operator` figures of the predictor,
        `episode_level` and the figures of the `steps` at the chosen threshold; `model_id` and
        `calibrated`.

    Raises:
        ConfigError: as `evaluate`, or if the limits are of another world.
    """
    logits, prediction = _outputs(predictor, samples)
    usable = samples.usable
    result = _evaluate(predictor, samples, usable, logits, prediction) | {
        "operator": beside_rules(
            predictor, prediction, Held([samples], steps), TaskPrior(learnt), limits
        ),
        **_alarm(predictor, prediction, samples),
        "episode_outputs": {
            name: {
                "episodes": int(ended.sum()),
                "steps": probability_scores(
                    getattr(prediction, name)[usable], ended[samples.episode[usable]]
                ),
            }
            for name, ended in zip(EPISODE_OUTPUTS, samples.endings.T, strict=True)
            if name in predictor.checkpoint.episode_outputs
        },
        "model_id": predictor.model_id,
        "calibrated": predictor.calibrated,
    }
    if result["events"] is None:
        reason = "no threshold of their own: not calibrated, or on no failure but timeouts"
        result["undefined"]["events"] = reason
    for name in ("task", "condition"):
        values = np.array([str(getattr(record.meta, name)) for record in samples.records])
        groups: list[str] = np.unique(values).tolist()
        if len(groups) > 1:
            result[f"by_{name}"] = {
                value: _evaluate_group(predictor, samples, prediction, values == value, steps)
                for value in groups
            }
    return result


def _alarm(predictor: Predictor, prediction: Prediction, samples: Samples) -> dict[str, Any]:
    alpha = None if predictor.calibration is None else predictor.calibration.alpha
    level = None if math.isnan(predictor.threshold) else predictor.alarm_level(prediction)
    return {"episode_level": evaluate_episodes(samples, level, alpha)}


def _evaluate_group(
    predictor: Predictor,
    samples: Samples,
    prediction: Prediction,
    chosen: NDArray[np.bool_],
    steps: Sequence[int],
) -> dict[str, Any]:
    """Figures of some of the episodes, a mask over `samples.records`."""
    rows = chosen[samples.episode]
    usable = rows & samples.usable
    part = samples.subset(np.flatnonzero(chosen).tolist())
    some = prediction.rows(rows)
    limit = predictor.output_threshold
    return {
        "steps": figures(prediction.probability[usable], samples.labels[usable], limit),
        "operator": evaluate_as_operator(
            [own_readout(predictor, some)], Held([part], steps), own_alarm(predictor, some)
        ),
        **_alarm(predictor, some, part),
    }


def held_out(
    predictor: Predictor, stores: Sequence[str | Path], *, include_seen: bool = False
) -> tuple[Samples, dict[str, Any], tuple[EpisodeRecord, ...]]:
    """Read the episodes of some stores that a predictor has not seen.

    Seen are the episodes it was trained on, those that chose its epoch and thresholds, and those
    it was calibrated on; they are known by their content. Those that its split keeps for a
    calibration count as used before it too, so that both figures are of the same episodes.

    Args:
        predictor: The predictor.
        stores: Episode stores.
        include_seen: Keep the seen episodes too.

    Returns:
        The episodes; what was left out: `seen_in_training`, `used_in_calibration`, `unlabelled`,
        `intervened` and a `note`; and the episodes that it was trained on, as far as the stores
        have them.

    Raises:
        StoreError: if a store cannot be read.
        ConfigError: if one has other signals, or no episode is left.
    """
    samples = samples_for(predictor, stores)
    split = predictor.checkpoint.split
    trained = {*split.get("train", ()), *split.get("validation", ())}
    calibrated = set(split.get("calibration", ()))
    if predictor.calibration is not None:
        calibrated |= set(predictor.calibration.keys)
    keys = [record.key for record in samples.records]
    seen = [n for n, key in enumerate(keys) if key in trained]
    used = [n for n, key in enumerate(keys) if key in calibrated - trained]
    gone = set() if include_seen else {*seen, *used}
    kept = [n for n in range(len(keys)) if n not in gone]
    if not kept:
        raise ConfigError(
            f"all {len(keys)} labelled episodes of {[str(path) for path in stores]} were used in "
            "training or calibration, so figures on them would mean little; give another store, "
            "or include them explicitly"
        )
    handled = "counted nevertheless" if include_seen else "left out"
    note = (
        f"{len(seen)} of {len(keys)} episodes were used in training and {len(used)} more in "
        f"calibration, or kept for it; they are {handled}; {samples.unlabelled} more have no "
        "known outcome, or failed at an unknown moment, and are left out; so are "
        f"{samples.intervened} with interventions"
    )
    doubts = predictor.doubts(samples.records[n].meta.policy_id for n in kept)
    note = ". ".join((note, *doubts))
    left_out = {
        "seen_in_training": 0 if include_seen else len(seen),
        "used_in_calibration": 0 if include_seen else len(used),
        "unlabelled": samples.unlabelled,
        "intervened": samples.intervened,
        "note": note,
    }
    return samples.subset(kept), left_out, tuple(samples.records[n] for n in seen)


def weighted_loss(
    logits: NDArray[np.float32], labels: NDArray[np.bool_], pos_weight: float
) -> float:
    """Mean binary cross-entropy, positives weighted: w y softplus(-x) + (1 - y) softplus(x)."""
    positive = np.logaddexp(0.0, -logits.astype(np.float64))
    negative = np.logaddexp(0.0, logits.astype(np.float64))
    return float(np.where(labels, pos_weight * positive, negative).mean())
