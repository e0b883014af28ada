import numpy as np
import pytest
from robots import Bench, hand, joint, profile

from salus_ros.control.gate import GateState, Response
from salus_ros.core.errors import ObservationError


@pytest.fixture
def bench():
    """An arm in an episode, with actions that let it move to 0.5 rad."""
    made = Bench().begin()
    made.run(0.05, 0.5, 0.5)
    return made


def speed(orders):
    ways = np.array([order.values[0] for order in orders])
    return np.diff(ways) / 0.01


def test_it_follows_the_policy(bench):
    bench.run(1.0, 0.5, -0.5)
    np.testing.assert_allclose(bench.order.values, [0.5, -0.5], atol=1e-6)
    assert bench.arm.holding == ""


def test_nothing_is_commanded_before_the_joints_are_known():
    bench = Bench().begin()
    bench.hears = False
    bench.act(0.5, 0.5)
    assert bench.run(0.1) == [None] * 10
    assert bench.arm.holding == "no joint_states yet"


def test_it_begins_where_the_arm_is():
    bench = Bench()
    bench.positions = [0.3, -0.2]
    np.testing.assert_array_equal(bench.run(0.01)[0].values, [0.3, -0.2])
    assert bench.arm.holding == "no episode is running"


def test_joints_of_the_profile_that_are_not_there_are_named():
    bench = Bench().begin()
    bench.hears = False
    bench.arm.joints(["a", "elbow"], [0.0, 0.1], bench.now_s)
    assert bench.run(0.01) == [None]
    assert bench.arm.holding == ("joint_states has no b; it has a, elbow: correct the profile")


def test_joints_may_come_from_several_drivers():
    bench = Bench().begin()
    bench.hears = False
    bench.arm.joints(["a", "x"], [0.1, 9.0], bench.now_s)
    bench.arm.joints(["b"], [0.2], bench.now_s)
    np.testing.assert_array_equal(bench.run(0.01)[0].values, [0.1, 0.2])


def test_a_position_that_is_not_finite_is_refused_and_another_joints_is_not_asked():
    bench = Bench()
    bench.arm.joints(["x"], [np.nan], 0.0)
    with pytest.raises(ObservationError, match="the position of b is nan"):
        bench.arm.joints(["a", "b"], [0.0, np.nan], 0.0)
    with pytest.raises(ObservationError, match="2 names and 1 positions"):
        bench.arm.joints(["a", "b"], [0.0], 0.0)


def test_the_watchdog_holds_and_lets_go_when_actions_come_again(bench):
    bench.run(0.2, 0.9, 0.9)
    orders = bench.run(0.29)
    assert speed(orders)[-1] > 0.9
    orders = bench.run(0.3)
    assert bench.arm.at_rest
    assert "watchdog: no action for 0.6 s" in bench.arm.holding
    assert bench.arm.watchdogs == 1
    bench.run(0.5)
    assert bench.arm.watchdogs == 1
    bench.run(0.2, -0.9, -0.9)
    assert bench.arm.holding == ""
    assert not bench.arm.at_rest


def test_a_policy_that_never_acts_is_told_and_is_no_watchdog():
    bench = Bench().begin()
    bench.run(1.0)
    assert bench.arm.holding == "no action for 1.0 s, since the episode began"
    assert bench.arm.watchdogs == 0


@pytest.mark.parametrize("action", [(np.nan, 0.9), (0.9,), (0.9, 0.9, 0.9), (np.inf, 0.0)])
def test_an_action_that_makes_no_sense_holds_until_a_good_one(bench, action):
    bench.run(0.3, 0.9, 0.9)
    with pytest.raises(ObservationError):
        bench.act(*action)
    orders = bench.run(0.2)
    assert bench.arm.at_rest
    assert bench.arm.holding.startswith("an action ")
    assert np.isfinite([order.values for order in orders]).all()
    bench.run(0.05, 0.9, 0.9)
    assert bench.arm.holding == ""


@pytest.mark.parametrize("episode", ["e0", ""])
def test_an_action_of_another_episode_is_not_followed(bench, episode):
    with pytest.raises(ObservationError, match="'e1' is running"):
        bench.act(-0.9, -0.9, episode=episode)
    bench.run(0.2)
    assert bench.arm.holding == ""
    assert bench.positions[0] > 0


def test_an_action_after_the_end_is_not_followed(bench):
    bench.arm.begin("", bench.now_s)
    with pytest.raises(ObservationError, match="none is running"):
        bench.act(0.9, 0.9)
    bench.run(0.3)
    assert (bench.arm.holding, bench.arm.at_rest) == ("no episode is running", True)


def test_a_new_episode_does_not_follow_the_last_ones_action(bench):
    bench.run(0.2, 0.9, 0.9)
    bench.begin("e2")
    bench.run(0.3)
    assert bench.arm.at_rest
    assert "since the episode began" in bench.arm.holding


def test_actions_beyond_the_limits_are_counted_and_never_commanded(bench):
    bench.run(2.5, 1.5, 0.0)
    assert bench.order.values[0] == pytest.approx(1.0)
    assert bench.arm.clipped == 250
    fast = bench.arm.fast
    bench.act(1.5, 0.0)
    assert bench.arm.fast == fast
    bench.act(-0.9, 0.0)
    assert bench.arm.fast == fast + 1


def test_an_alarm_brakes_at_the_next_command_as_hard_as_allowed(bench):
    before = bench.run(0.3, 0.9, 0.9)[-1].values[0]
    bench.alarm = True
    orders = bench.run(0.3, 0.9, 0.9)
    ways = [before, *(order.values[0] for order in orders)]
    np.testing.assert_allclose(np.diff(ways)[:2] / 0.01, [0.9, 0.8])
    assert bench.arm.at_rest
    assert bench.arm.decision.state == GateState.HOLD
    bench.alarm = False
    bench.run(0.3, 0.9, 0.9)
    assert bench.arm.at_rest
    assert bench.arm.gate.reset(bench.now_s)[0]
    bench.run(1.0, 0.9, 0.9)
    assert bench.positions[0] == pytest.approx(0.9, abs=1e-6)


def test_an_alarm_that_slows_leaves_a_share_of_the_speed():
    bench = Bench(response=Response.SLOW).begin()
    bench.alarm = True
    orders = bench.run(0.5, 0.9, 0.9)
    assert speed(orders).max() == pytest.approx(0.5)


def test_the_shadow_lets_an_alarm_pass(bench):
    bench.arm.gate.shadow = True
    bench.alarm = True
    bench.run(1.0, 0.9, 0.9)
    assert bench.positions[0] == pytest.approx(0.9, abs=1e-6)
    assert bench.arm.decision.would == GateState.HOLD


def test_without_predictions_it_holds(bench):
    bench.predicts = False
    bench.run(1.5, 0.9, 0.9)
    assert bench.arm.at_rest
    assert "no prediction for" in bench.arm.holding


def test_a_controller_that_is_gone_and_comes_back_is_met_where_the_arm_is(bench):
    bench.run(0.2, 0.9, 0.9)
    bench.connected = False
    assert set(bench.run(0.2, 0.9, 0.9)) == {None}
    assert "nobody listens to commands" in bench.arm.holding
    bench.positions = [-0.4, -0.4]  # it fell
    bench.connected = True
    assert bench.run(0.01, 0.9, 0.9)[0].values[0] == pytest.approx(-0.4, abs=0.01)


def test_where_the_arm_is_has_to_be_heard_anew_before_it_is_met(bench):
    bench.connected = False
    bench.run(0.05, 0.9, 0.9)
    bench.connected, bench.hears = True, False
    assert set(bench.run(0.05, 0.9, 0.9)) == {None}
    assert bench.arm.holding == "waiting for the next joint_states"
    bench.hears = True
    assert None not in bench.run(0.05, 0.9, 0.9)


def test_silent_joints_brake_and_are_met_where_they_are(bench):
    bench.run(0.2, 0.9, 0.9)
    bench.hears = False
    orders = bench.run(0.6, 0.9, 0.9)
    assert orders[15] is not None
    assert orders[-1] is None
    assert "no joint_states of a, b for 0.6 s" in bench.arm.holding
    bench.hears, bench.positions = True, [0.0, 0.0]
    assert bench.run(0.01, 0.9, 0.9)[0].values[0] == pytest.approx(0.0, abs=0.01)


def test_a_joint_that_does_not_follow_is_a_fault_and_is_not_pushed(bench):
    bench.arm.gate.shadow = True
    bench.follows = False
    at = bench.positions[0]
    bench.run(1.0, 0.9, 0.9)
    assert bench.order.values[0] == pytest.approx(at, abs=1e-6)
    assert bench.arm.holding.startswith("a does not follow: it is 0.")
    assert bench.arm.decision.latched
    bench.follows = True
    assert bench.arm.gate.reset(bench.now_s)[0]
    bench.run(1.5, 0.9, 0.9)
    assert bench.positions[0] == pytest.approx(0.9, abs=1e-6)


def test_a_gripper_that_holds_something_may_stay_behind():
    bench = Bench(profile(joints=(joint("a"), joint("finger", grips=True)))).begin()
    bench.follows = False
    bench.run(1.0, 0.0, 0.9)
    assert bench.arm.holding == ""
    bench.run(1.0, 0.9, 0.9)  # and stays closed where another joint has a fault
    assert "a does not follow" in bench.arm.holding
    assert bench.order.values[1] == pytest.approx(0.9, abs=1e-6)


def test_a_person_who_takes_over_is_not_commanded_against(bench):
    bench.run(0.2, 0.9, 0.9)
    bench.arm.gate.take_over(True)
    assert set(bench.run(0.1, 0.9, 0.9)) == {None}
    assert bench.arm.gate.intervention
    bench.positions = [-0.5, -0.5]  # moved by hand
    bench.arm.gate.take_over(False)
    orders = bench.run(0.1, 0.9, 0.9)
    assert orders[0].values[0] == pytest.approx(-0.5, abs=0.01)
    assert np.abs(speed(orders)).max() <= 1.0 + 1e-9


def test_pause_holds_and_goes_on(bench):
    bench.arm.gate.pause(True)
    bench.run(0.3, 0.9, 0.9)
    assert (bench.arm.at_rest, bench.arm.holding) == (True, "paused by a person")
    bench.arm.gate.pause(False)
    bench.run(0.1, 0.9, 0.9)
    assert not bench.arm.at_rest


def test_a_stall_is_lost_and_not_leapt_over(bench):
    before = bench.run(0.3, 0.9, 0.9)[-1].values[0]
    bench.now_s += 5.0
    after = bench.run(0.01, 0.9, 0.9)[0].values[0]
    assert after - before <= 2 * 0.01 * 1.0 + 1e-9


def test_home_is_reached_where_no_episode_runs(bench):
    done, said = bench.arm.go_home()
    assert (done, said) == (False, "'e1' is running; end it first")
    bench.run(0.5, 0.5, 0.5)
    bench.arm.begin("", bench.now_s)
    assert bench.arm.go_home()[0]
    bench.run(1.5)
    np.testing.assert_allclose(bench.positions, [0.0, 0.0], atol=1e-3)
    assert bench.arm.holding == "no episode is running"


def test_home_is_refused_while_the_gate_holds(bench):
    bench.alarm = True
    bench.run(0.1, 0.5, 0.5)
    bench.arm.begin("", bench.now_s)
    bench.run(0.1)
    done, said = bench.arm.go_home()
    assert not done
    assert "the arm holds: alarm in 'e1'" in said


def test_a_hand_moves_by_its_twist_and_its_gripper_keeps_what_it_holds():
    bench = Bench(hand(), shadow=False).begin()
    bench.run(0.02)
    bench.run(0.5, 1.0, 0, 0, 0, 0, 0, -1.0)
    np.testing.assert_allclose(bench.order.values, [0.25, 0, 0, 0, 0, 0])
    assert bench.order.gripper == 0.0
    bench.alarm = True
    bench.run(0.5, 1.0, 0, 0, 0, 0, 0, 1.0)
    np.testing.assert_array_equal(bench.order.values, np.zeros(6))
    assert bench.order.gripper == 0.0  # an arm that holds drops nothing
    assert bench.arm.go_home()[0] is False
