import math

import pytest

from salus_ros.core.alarm import Alarm


def run(risks, threshold=0.5, hysteresis=0.1):
    alarm = Alarm()
    return [alarm.update(risk, threshold, hysteresis) for risk in risks]


def test_starts_above_and_ends_clearly_below():
    risks = [0.4, 0.5, 0.51, 0.45, 0.41, 0.39, 0.45, 0.6]
    assert run(risks) == [False, False, True, True, True, False, False, True]


def test_without_hysteresis_it_is_the_threshold():
    assert run([0.6, 0.5, 0.6], hysteresis=0.0) == [True, False, True]


def test_an_unknown_risk_changes_nothing():
    assert run([0.6, math.nan, 0.2, math.nan]) == [True, True, False, False]


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_no_threshold_no_alarm(threshold):
    assert run([1.0, 1.0], threshold=threshold) == [False, False]


def test_reset():
    alarm = Alarm()
    alarm.update(0.9, 0.5, 0.4)
    alarm.reset()
    assert not alarm.update(0.3, 0.5, 0.4)


@pytest.mark.parametrize("threshold", [0.5, math.nan, math.inf])
def test_what_cannot_be_judged_raises_it_whatever_the_threshold(threshold):
    alarm = Alarm()
    assert not alarm.update(0.1, threshold, 0.1)
    assert alarm.blind()
    assert alarm.active


def test_an_alarm_of_blindness_ends_as_any_other():
    alarm = Alarm()
    alarm.blind()
    assert alarm.update(math.nan, 0.5, 0.1)  # still nothing is known
    assert alarm.update(0.45, 0.5, 0.1)
    assert not alarm.update(0.4, 0.5, 0.1)
