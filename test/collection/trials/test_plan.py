"""When planned triggers fire."""

from collections import Counter

from salus_ros.collection.trials.plan import NEVER, first_alarms, planned_steps
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeMeta
from salus_ros.recovery.watch import NOTHING, Forecast


def meta(kind=FailureType.NONE, step=-1):
    outcome = Outcome.SUCCESS if kind is FailureType.NONE else Outcome.FAILURE
    return EpisodeMeta("0", "task", outcome, kind, step)


def planned(trigger, lengths, alarms, metas=None, seed=0):
    metas = metas or [meta()] * len(lengths)
    return planned_steps(trigger, metas, lengths, alarms, 400, seed)


def test_the_first_alarm_counts():
    loud = Forecast(True, 0.9, FailureType.DROP)
    assert first_alarms([[NOTHING, loud, NOTHING, loud], [NOTHING] * 3]) == [1, NEVER]


def test_random_gives_the_alarms_own_steps_to_episodes_that_still_run():
    lengths = [60, 200, 90, 400, 150, 70]
    alarms = [50, NEVER, 80, 350, NEVER, NEVER]
    plans = [planned("random", lengths, alarms, seed=seed) for seed in range(20)]
    for plan in plans:
        assert Counter(plan)[NEVER] == 3
        assert sorted(plan)[3:] == [50, 80, 350]
        assert all(step < length for step, length in zip(plan, lengths, strict=True))
        assert plan[3] == 350  # no other is as long
    assert len({tuple(plan) for plan in plans}) > 5
    assert planned("random", lengths, alarms) == plans[0]


def test_the_clock_takes_the_arm_as_often_as_the_alarm_does():
    lengths = [60, 200, 90, 400, 150, 70]
    assert planned("clock", lengths, [50, NEVER, 80, NEVER, NEVER, NEVER]) == [150] * 6
    assert planned("clock", lengths, [NEVER] * 6) == [NEVER] * 6


def test_the_oracle_knows_the_failure():
    metas = [
        meta(),
        meta(FailureType.DROP, 100),
        meta(FailureType.COLLISION, 12),
        meta(FailureType.TIMEOUT, 400),
    ]
    assert planned("oracle", [400] * 4, [NEVER] * 4, metas) == [NEVER, 70, 0, 200]
