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
