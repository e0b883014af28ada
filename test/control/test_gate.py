import math

import pytest
from robots import gate

from salus_ros.control.gate import GateState, Response


@pytest.fixture
def enforced():
    made = gate()
    made.begin("e1", 0.0)
    return made


def judged(one, *, alarm=False, risk=0.1, now_s=0.1, episode="e1"):
    one.judge(episode, alarm=alarm, risk=risk, now_s=now_s)
    return one.decide(now_s)


def test_a_known_risk_without_an_alarm_passes(enforced):
    decision = judged(enforced)
    assert (decision.state, decision.would) == (GateState.PASS, GateState.PASS)
    assert (decision.scale, decision.reason, decision.latched) == (1.0, "", False)


@pytest.mark.parametrize(
    ("response", "state", "scale"),
    [
        (Response.SLOW, GateState.SLOW, 0.5),
        (Response.HOLD, GateState.HOLD, 0.0),
        (Response.STOP, GateState.STOP, 0.0),
    ],
)
def test_an_alarm_acts_and_latches(response, state, scale):
    one = gate(response=response)
    one.begin("e1", 0.0)
    judged(one, alarm=True, risk=0.8)
    decision = judged(one, risk=0.0)
    assert (decision.state, decision.scale, decision.latched) == (state, scale, True)
    assert decision.reason == "alarm in 'e1', risk 0.80"


def test_an_alarm_that_flickers_latches_once_and_is_counted(enforced):
    states = [judged(enforced, alarm=i % 2 == 1, now_s=i / 10).state for i in range(8)]
    assert states == [GateState.PASS] + [GateState.HOLD] * 7
    assert enforced.alarms == 4
    assert enforced.reset(0.8)[0] is False  # it stands at this moment
    assert judged(enforced, now_s=0.8).state == GateState.HOLD
    assert enforced.reset(0.9) == (True, "reset: alarm in 'e1', risk 0.10")
    assert enforced.decide(0.9).state == GateState.PASS


def test_a_reset_is_refused_while_the_alarm_stands(enforced):
    judged(enforced, alarm=True)
    done, said = enforced.reset(0.1)
    assert not done
    assert "the alarm still stands" in said
    assert enforced.decide(0.1).state == GateState.HOLD


def test_a_reset_without_a_latch_changes_nothing(enforced):
    assert enforced.reset(0.1) == (True, "nothing was latched")


@pytest.mark.parametrize("risk", [math.nan, math.inf, -math.inf, -0.1, 1.1])
def test_a_risk_that_is_none_is_never_no_alarm(enforced, risk):
    decision = judged(enforced, risk=risk)
    assert decision.state == GateState.HOLD
    assert "it is not known" in decision.reason
    assert not decision.latched
    assert judged(enforced, now_s=0.2).state == GateState.PASS


def test_an_unknown_risk_with_an_alarm_latches(enforced):
    judged(enforced, alarm=True, risk=math.nan)
    decision = judged(enforced, risk=0.0)
    assert decision.latched
    assert decision.reason == "alarm in 'e1', risk not known"
    judged(enforced, risk=math.nan)
    assert enforced.reset(0.1)[0] is False


def test_an_unknown_risk_slows_where_alarms_slow():
    one = gate(response=Response.SLOW)
    one.begin("e1", 0.0)
    assert judged(one, risk=math.nan).state == GateState.SLOW


def test_no_prediction_is_an_unknown_risk(enforced):
    assert enforced.decide(0.1).reason == "no prediction of this episode yet"
    assert judged(enforced, now_s=0.2).state == GateState.PASS
    assert enforced.decide(1.2).state == GateState.PASS
    late = enforced.decide(1.3)
    assert late.state == GateState.HOLD
    assert "no prediction for 1.1 s" in late.reason


def test_a_prediction_of_another_episode_is_not_heard(enforced):
    assert not enforced.judge("e0", alarm=True, risk=0.9, now_s=0.1)
    assert not enforced.judge("", alarm=True, risk=0.9, now_s=0.1)
    assert enforced.alarms == 0
    assert judged(enforced).state == GateState.PASS


def test_a_latch_outlives_its_episode(enforced):
    judged(enforced, alarm=True)
    enforced.begin("", 1.0)
    assert enforced.decide(1.0).state == GateState.HOLD
    enforced.begin("e2", 2.0)
    assert judged(enforced, episode="e2", now_s=2.1).state == GateState.HOLD
    assert enforced.reset(2.1)[0]
    assert enforced.decide(2.1).state == GateState.PASS


def test_a_stopped_episode_is_not_resumed_and_the_next_is():
    one = gate(response=Response.STOP)
    one.begin("e1", 0.0)
    judged(one, alarm=True)
    judged(one)
    done, said = one.reset(0.1)
    assert done
    assert "'e1' is not resumed, begin another" in said
    assert judged(one, now_s=0.2).state == GateState.STOP
    one.begin("e2", 1.0)
    assert judged(one, episode="e2", now_s=1.1).state == GateState.PASS


def test_between_episodes_nothing_is_expected(enforced):
    enforced.begin("", 1.0)
    assert enforced.decide(100.0).state == GateState.PASS


def test_in_the_shadow_an_alarm_only_says_what_it_would_have_done():
    one = gate(shadow=True)
    one.begin("e1", 0.0)
    assert judged(one, risk=math.nan).would == GateState.HOLD
    judged(one, alarm=True, risk=0.8)
    decision = judged(one)
    assert (decision.state, decision.would) == (GateState.PASS, GateState.HOLD)
    assert (decision.scale, decision.latched) == (1.0, True)
    assert decision.reason == "alarm in 'e1', risk 0.80"
    one.begin("e2", 1.0)  # nobody has to reset what was never done
    assert judged(one, episode="e2", now_s=1.1).would == GateState.PASS


def test_a_persons_orders_come_first_in_the_shadow_too():
    for shadow in (True, False):
        one = gate(shadow=shadow)
        one.begin("e1", 0.0)
        judged(one)
        one.pause(True)
        assert one.decide(0.1).state == GateState.PAUSED
        assert not one.intervention
        one.take_over(True)
        assert one.decide(0.1).state == GateState.TAKEOVER
        assert one.intervention
        one.take_over(False)
        one.pause(False)
        assert one.decide(0.1).state == GateState.PASS


def test_a_fault_holds_even_in_the_shadow_until_a_reset():
    one = gate(shadow=True)
    one.begin("e1", 0.0)
    judged(one)
    one.fail("a does not follow")
    one.fail("something later")
    decision = one.decide(0.1)
    assert (decision.state, decision.reason) == (GateState.HOLD, "a does not follow")
    assert one.reset(0.1) == (True, "reset: a does not follow")
    assert one.decide(0.1).state == GateState.PASS
