"""What a manifold's distance tells of a step: that the arm is stuck, or about to fail suddenly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.labels import before_failure
from salus_ros.evaluation.statistics import auroc_interval, count_wins
from salus_ros.evaluation.step_evaluation import defined
from salus_ros.recovery.manifold.key import Values
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.recovery.manifold.neighbours import Neighbours
from salus_ros.recovery.manifold.settings import CARD
from salus_ros.recovery.manifold.training import inputs_of, parts_of
from salus_ros.training.dataset import Samples, load_samples

SUDDEN_STEPS = 30
"""Steps before a failure that is no timeout which count as before it."""

CONTRASTS: Mapping[str, tuple[str, str]] = {
    "stuck against successes": ("stuck", "success"),
    "stuck against successes as late": ("stuck", "late success"),
    "before sudden failures against successes": ("sudden", "success"),
    "stuck against before sudden failures": ("stuck", "sudden"),
}
"""Positive and negative steps of each AUROC."""

CLOCK, UNLEARNT = "step of the episode", "state and action, not learnt"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Steps that no manifold was made with, and how far they are from successes.

    Attributes:
        samples: The episodes.
        groups: Rows (N,) of each kind of step.
        embeddings: Float32 (N, D) of each manifold.
        figures: JSON values, see `measure`.
    """

    samples: Samples
    groups: Mapping[str, Mask]
    embeddings: Sequence[NDArray[np.float32]]
    figures: dict[str, Any]


def measure(manifolds: Mapping[str, Manifold], stores: Sequence[str | Path]) -> Measured:
    """Measure the distance of some manifolds on the episodes that none of them has seen.

    Beside them stand the step of the episode, which knows nothing of the arm, and the distance
    in the standardised state and action themselves.

    Args:
        manifolds: By a name.
        stores: Episode stores.

    Returns:
        The episodes with their embeddings, and figures: `episodes`, `left_out`, `groups` (episodes
        and steps of each kind), `contrasts` and `scores`: for each score its AUROC of each
        contrast with an interval over episodes, and the steps `without_a_key`.

    Raises:
        StoreError: if a store cannot be read.
        ConfigError: if it lacks what a manifold reads, or no episode is left.
        ObservationError: if it is of another robot or policy.
    """
    names = {name for one in manifolds.values() for name in one.settings.inputs}
    samples, seen = _unseen(load_samples(stores, inputs=names), manifolds)
    groups = step_groups(samples)
    scores: dict[str, NDArray[np.floating]] = {CLOCK: samples.step.astype(np.float64)}
    card = next((one for one in manifolds.values() if set(CARD) <= set(one.settings.inputs)), None)
    if card is not None:
        scores[UNLEARNT] = _unlearnt(card, inputs_of(samples, CARD))
    embeddings = []
    for name, manifold in manifolds.items():
        manifold.key.check(parts_of(samples))
        embeddings.append(manifold.embed(inputs_of(samples, manifold.settings.inputs)))
        scores[name] = manifold.distance(embeddings[-1])
    figures = {
        "episodes": len(samples.records),
        "left_out": seen,
        "unlabelled": samples.unlabelled,
        "intervened": samples.intervened,
        "sudden_steps": SUDDEN_STEPS,
        "groups": {
            name: {"episodes": len(np.unique(samples.episode[rows])), "steps": int(rows.sum())}
            for name, rows in groups.items()
        },
        "contrasts": list(CONTRASTS),
        "manifolds": {
            name: {"id": one.manifold_id, "inputs": list(one.settings.inputs)}
            for name, one in manifolds.items()
        },
        "scores": {name: _aurocs(score, groups, samples) for name, score in scores.items()},
    }
    return Measured(samples, groups, embeddings, figures)


def step_groups(samples: Samples) -> dict[str, Mask]:
    """Rows (N,) of each kind of step, before the failure.

    - success: of successes; late success: those of the second half of the time limit;
    - stuck: the second half of the time limit, where the time ran out;
    - sudden: the last `SUDDEN_STEPS` before any other failure.
    """
    owner = samples.episode
    outcome = np.array([one.meta.outcome is Outcome.SUCCESS for one in samples.records])
    timeout = np.array(
        [FailureType.TIMEOUT in one.meta.finest_type.lineage for one in samples.records]
    )
    failure = np.array([one.meta.failure_step for one in samples.records])
    before = np.concatenate(
        [before_failure(one.length, one.meta.failure_step) for one in samples.records]
    )
    late = samples.step >= samples.time_limits[owner] / 2
    close = samples.step >= failure[owner] - SUDDEN_STEPS
    succeeds, ran_out = outcome[owner], timeout[owner]
    return {
        "success": succeeds,
        "late success": succeeds & late,
        "stuck": ran_out & late & before,
        "sudden": ~succeeds & ~ran_out & close & before,
    }


def _unseen(samples: Samples, manifolds: Mapping[str, Manifold]) -> tuple[Samples, int]:
    """The episodes that no manifold was learnt from or chosen by, and how many others."""
    seen = {
        key
        for one in manifolds.values()
        for part in ("train", "validation")
        for key in one.split.get(part, ())
    }
    kept = [n for n, record in enumerate(samples.records) if record.key not in seen]
    if not kept:
        raise ConfigError(
            f"all {len(samples.records)} labelled episodes were used to learn a manifold, so "
            "figures on them would mean little; give another store"
        )
    return samples.subset(kept), len(samples.records) - len(kept)


def _unlearnt(manifold: Manifold, values: Values) -> NDArray[np.float32]:
    """Distance (N,) to the nearest step of the library in what the key's card part says."""
    library = manifold.library
    known, there = _card(manifold, {"state": library.state, "action": library.action})
    given, rows = _card(manifold, values)
    found = np.full(len(given), np.nan, np.float32)
    found[rows] = Neighbours(known[there]).nearest(given[rows])[0]
    return found


def _card(manifold: Manifold, values: Values) -> tuple[NDArray[np.float32], Mask]:
    parts, there = [], np.ones(len(values["state"]), np.bool_)
    for name in CARD:
        finite = np.asarray(np.isfinite(values[name]).all(axis=1))
        given = np.asarray(values[name], np.float32)
        parts.append(manifold.key.statistics[name].apply(given, finite[:, None]))
        there &= finite
    return np.concatenate(parts, axis=1), there


def _aurocs(
    score: NDArray[np.floating], groups: Mapping[str, Mask], samples: Samples
) -> dict[str, Any]:
    there = np.isfinite(score)
    found: dict[str, Any] = {"without_a_key": int((~there).sum())}
    for name, (positive, negative) in CONTRASTS.items():
        value, low, high = _auroc(
            score, groups[positive] & there, groups[negative] & there, samples
        )
        found[name] = {"auroc": defined(value), "interval_95": [defined(low), defined(high)]}
    return found


def _auroc(
    score: NDArray[np.floating], positive: Mask, negative: Mask, samples: Samples
) -> tuple[float, float, float]:
    bad, good = samples.episode[positive], samples.episode[negative]
    (_, bad_place, bad_count), (_, good_place, good_count) = (
        np.unique(of, return_inverse=True, return_counts=True) for of in (bad, good)
    )
    wins = count_wins(
        score[negative],
        good_place,
        score[positive],
        bad_place,
        (len(good_count), len(bad_count)),
    )
    return auroc_interval(wins, good_count, bad_count)
