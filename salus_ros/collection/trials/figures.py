"""What the courses of a trial say, as JSON values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.collection.trials.course import Course, Recorded
from salus_ros.core.failures import Outcome
from salus_ros.evaluation.paired import exact_mcnemar, paired_difference
from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.evaluation.step_evaluation import defined
from salus_ros.recovery.arms import NONE, SHADOW

REFERENCES = ("requery", "random")
"""Beside `none`, an arm is compared with `requery` at its own trigger, and with its own behaviour
at the random trigger."""

Mask = NDArray[np.bool_]


def trial_figures(
    recorded: Sequence[Recorded], courses: Mapping[str, Sequence[Course]]
) -> dict[str, Any]:
    """Figures of all arms over the same episodes.

    Args:
        recorded: The episodes without intervention.
        courses: Those of each arm, in the same order.

    Returns:
        `none` and `arms` by name. Each has `successes`, `success_rate` with its 95 % Wilson
        interval, `endings` and `mean_steps`; an arm also `taken` (how many episodes it took the
        arm in, and how many of these fail and succeed without it), `saved` of the failures,
        `spoilt` of the successes, `saved_of_taken`, `by_kind` of failure without intervention,
        `interventions`, `median_start`, `held` and `refused` by reason, and `against`: the
        difference to `none` and to the arms that it is to be judged by, with bootstrap interval
        and exact McNemar test.
    """
    metas = [one.meta for one in recorded]
    none = _mask(meta.outcome is Outcome.SUCCESS for meta in metas)
    kinds = np.array([meta.ending for meta in metas])
    success = {
        name: _mask(course.outcome is Outcome.SUCCESS for course in some)
        for name, some in courses.items()
    }
    return {
        NONE: {
            **_rate(none),
            "endings": dict(Counter(kinds.tolist()).most_common()),
            "mean_steps": float(np.mean([len(one.actions) for one in recorded])),
        },
        "arms": {
            name: {
                **_arm(some, success[name], none, kinds),
                "against": {
                    other: _compared(success[name], none if other == NONE else success[other])
                    for other in (NONE, *_references(name, courses))
                },
            }
            for name, some in courses.items()
        },
    }


def _arm(some: Sequence[Course], success: Mask, none: Mask, kinds: NDArray[Any]) -> dict[str, Any]:
    taken = _mask(bool(course.interventions) for course in some)
    saved, spoilt = success & ~none, none & ~success
    starts = [course.interventions[0]["start"] for course in some if course.interventions]
    ended = Counter(
        course.outcome.name.lower()
        if course.outcome is not Outcome.FAILURE
        else course.failure_type.label
        for course in some
    )
    of_failures = int((taken & ~none).sum())
    return {
        **_rate(success),
        "endings": dict(ended.most_common()),
        "mean_steps": float(np.mean([course.steps for course in some])),
        "taken": {
            "episodes": int(taken.sum()),
            "failing": of_failures,
            "succeeding": int((taken & none).sum()),
        },
        "saved": int(saved.sum()),
        "spoilt": int(spoilt.sum()),
        "saved_of_taken": int(saved.sum()) / of_failures if of_failures else None,
        "spoilt_rate": float(spoilt.sum() / none.sum()) if none.any() else None,
        "by_kind": {
            str(kind): {
                "episodes": int((kinds == kind).sum()),
                "taken": int((taken & (kinds == kind)).sum()),
                "saved": int((saved & (kinds == kind)).sum()),
            }
            for kind in np.unique(kinds[~none])
        },
        "interventions": sum(len(course.interventions) for course in some),
        "median_start": float(np.median(starts)) if starts else None,
        "held": dict(Counter(course.held for course in some if course.held).most_common()),
        "refused": dict(Counter(r for course in some for r in course.refusals).most_common()),
    }


def _references(name: str, courses: Mapping[str, Any]) -> list[str]:
    """Arms of the trial that this one is to be judged by; of arms with one rule."""
    behaviour, _, trigger = name.partition("@")
    if behaviour.split(":")[0] == SHADOW:
        return []
    others = (f"{REFERENCES[0]}@{trigger or 'alarm'}", f"{behaviour}@{REFERENCES[1]}")
    spelt = {_full(other): other for other in courses}
    return [spelt[other] for other in others if other in spelt and spelt[other] != name]


def _full(name: str) -> str:
    return name if "@" in name else f"{name}@alarm"


def _compared(first: Mask, second: Mask) -> dict[str, Any]:
    gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
    difference, low, high = paired_difference(first, second)
    return {
        "difference": difference,
        "interval_95": [defined(low), defined(high)],
        "gained": gained,
        "lost": lost,
        "mcnemar_p": exact_mcnemar(gained, lost),
    }


def _rate(success: Mask) -> dict[str, Any]:
    hits, total = int(success.sum()), len(success)
    return {
        "successes": hits,
        "success_rate": hits / total,
        "success_interval_95": list(wilson_interval(hits, total)),
    }


def _mask(values: Any) -> Mask:
    return np.fromiter(values, np.bool_)
