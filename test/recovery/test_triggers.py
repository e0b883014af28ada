"""When triggers fire."""

from dataclasses import replace

from sights import ALARM, QUIET, sight

from salus_ros.core.failures import FailureType
from salus_ros.recovery.triggers import AlarmTrigger, EitherTrigger, StepTrigger, StuckTrigger


def test_an_alarm_may_be_of_some_kinds_alone():
    drop = replace(ALARM, kind=FailureType.DROP)
    for_drops = AlarmTrigger([FailureType.DROP, FailureType.COLLISION])
    assert [for_drops.update(sight(), one) for one in (QUIET, ALARM, drop)] == [False, False, True]
    assert [AlarmTrigger().update(sight(), one) for one in (QUIET, ALARM)] == [False, True]


def places(trigger, xs, start=0):
    return [trigger.update(sight(start + n, (x, 0, 0.2)), QUIET) for n, x in enumerate(xs)].count(
        True
    )


def test_stuck_is_a_tool_that_stays_within_its_cube_for_so_many_steps():
    assert places(StuckTrigger(0.06, 30), [0.5] * 30) == 0
    assert places(StuckTrigger(0.06, 30), [0.5] * 31) == 1
    assert places(StuckTrigger(0.06, 30), [0.5 + 0.0019 * n for n in range(31)]) == 1
    assert places(StuckTrigger(0.06, 30), [0.5 + 0.0021 * n for n in range(60)]) == 0
    handed_back = StuckTrigger(0.06, 30)
    places(handed_back, [0.5] * 30)
    handed_back.reset()
    assert places(handed_back, [0.5] * 30) == 0


def test_either_is_one_of_both_and_both_see_every_step():
    either = EitherTrigger([AlarmTrigger(), StuckTrigger(0.06, 3)])
    fired = [either.update(sight(n), ALARM if n == 1 else QUIET) for n in range(5)]
    assert fired == [False, True, False, True, True]


def test_a_step_fires_until_the_arm_was_taken():
    trigger = StepTrigger(5)
    assert [trigger.update(sight(n), QUIET) for n in (4, 5, 6)] == [False, True, True]
    trigger.reset()
    assert not trigger.update(sight(7), QUIET)
    assert not StepTrigger(-1).update(sight(0), QUIET)
