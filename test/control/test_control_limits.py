import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robots import hand, joint

from salus_ros.control.limits import JointLimiter, TwistLimiter

H = 0.01


def limiter(at=0.0, **given):
    return JointLimiter([joint("a", **given)], np.array([at]), H)


def path(one, target, steps, scale=1.0):
    goal = None if target is None else np.array([target])
    return np.array([one.step(goal, scale, H)[0] for _ in range(steps)])


def test_a_target_is_reached_within_speed_and_acceleration_without_overshoot():
    way = np.concatenate([[0.0], path(limiter(), 0.5, 120)])
    speed = np.diff(way) / H
    assert way[-1] == pytest.approx(0.5, abs=1e-6)
    assert way.max() <= 0.5 + 1e-9
    assert speed.max() == pytest.approx(1.0)
    assert np.abs(np.diff(speed) / H).max() <= 10.0 + 1e-6
    # 0.5 rad at 1 rad/s with ramps of 0.1 s takes 0.6 s
    assert np.flatnonzero(way > 0.499)[0] * H == pytest.approx(0.6, abs=0.03)


def test_holding_brakes_within_v_squared_over_2a():
    one = limiter()
    before = path(one, 1.0, 30)[-1]
    way = path(one, None, 30)
    assert one.at_rest
    assert way[-1] - before == pytest.approx(1.0 / 20, abs=H * 1.0)
    assert way[-1] == way[-15]


def test_slow_is_a_share_of_the_speed():
    speed = np.diff(path(limiter(), 1.0, 50, scale=0.25)) / H
    assert speed.max() == pytest.approx(0.25)


def test_slowing_down_while_moving_brakes_as_hard_as_allowed():
    one = limiter()
    path(one, 1.0, 30)
    speed = np.diff(path(one, 1.0, 30, scale=0.25)) / H
    assert np.abs(np.diff(speed) / H).max() <= 10.0 + 1e-6
    assert speed[10] == pytest.approx(0.25)


def test_a_target_beyond_a_limit_ends_at_the_limit():
    assert path(limiter(), 7.0, 300)[-1] == pytest.approx(1.0, abs=1e-6)


def test_outside_its_limits_it_may_only_come_back():
    one = limiter(at=1.3)
    way = path(one, 1.5, 200)
    assert way.max() <= 1.3
    assert way[-1] == pytest.approx(1.0, abs=1e-6)


def test_no_time_no_way():
    one = limiter()
    assert one.step(np.array([1.0]), 1.0, 0.0) == [0.0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(-3, 3), st.sampled_from([0.2, 1.0]), st.floats(0, 2 * H), st.booleans()
        ),
        max_size=80,
    )
)
def test_whatever_is_asked_for_position_and_speed_stay_inside(asked):
    one = limiter()
    before = 0.0
    for target, scale, dt_s, hold in asked:
        now = one.step(None if hold else np.array([target]), scale, dt_s)[0]
        assert -1.0 <= now <= 1.0
        assert abs(now - before) <= 1.0 * dt_s + 1e-9
        before = now


def test_a_twist_is_shortened_in_its_own_direction():
    one = TwistLimiter(hand().twist)
    target = np.array([0.3, 0.4, 0.0, 0.0, 0.0, 0.5])
    for _ in range(20):
        velocity = one.step(target, 1.0, H)
    np.testing.assert_allclose(velocity, [0.15, 0.2, 0.0, 0.0, 0.0, 0.5])
    for _ in range(20):
        velocity = one.step(target, 0.5, H)
    np.testing.assert_allclose(velocity, [0.075, 0.1, 0.0, 0.0, 0.0, 0.25])


def test_a_twist_begins_and_ends_no_faster_than_allowed():
    one = TwistLimiter(hand().twist)
    target = np.array([0.2, 0, 0, 0, 0, 0])
    ways = [one.step(target, 1.0, H)[0] for _ in range(5)]
    np.testing.assert_allclose(ways, [0.05, 0.1, 0.15, 0.2, 0.2])
    ways = [one.step(None, 1.0, H)[0] for _ in range(5)]
    np.testing.assert_allclose(ways, [0.15, 0.1, 0.05, 0.0, 0.0], atol=1e-12)
    assert one.at_rest
