"""Faults: they do what they say, when they say, and nothing remains of them."""

import numpy as np
import pytest

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.sim.expert import Expert
from salus_ros.sim.faults import PUSH_STEPS
from salus_ros.sim.world import PickPlaceEnv


@pytest.fixture(scope="module")
def env():
    return PickPlaceEnv(render_images=False)


def run(env, seed, fault):
    expert = Expert(env)
    _, info = env.reset(seed=seed, options={"fault": fault})
    pushed = []
    done = False
    while not done:
        _, _, terminated, truncated, info = env.step(expert.act())
        if env.data.xfrc_applied[env.model.body("cube").id].any():
            pushed.append(env._steps)
        done = terminated or truncated
    return info, pushed


def test_slipping_fingers_drop_the_cube_after_the_fault_began(env):
    drops = 0
    for seed in range(8):
        info, _ = run(env, seed, "slip")
        assert info["fault"] == "slip"
        if info["failure_type"] is FailureType.DROP:
            drops += 1
            assert info["failure_step"] >= info["fault_step"]
    assert drops >= 2


def test_a_push_lasts_as_long_as_it_says(env):
    info, pushed = run(env, 0, "push")
    start = info["fault_step"]
    assert pushed == list(range(start, start + PUSH_STEPS))


def test_nothing_remains_in_the_next_episode(env):
    friction = env.model.geom_friction.copy()
    run(env, 0, "slip")
    run(env, 0, "push")
    info, pushed = run(env, 0, "none")
    np.testing.assert_array_equal(env.model.geom_friction, friction)
    assert pushed == []
    assert info["outcome"] is Outcome.SUCCESS
    assert info["fault_step"] == -1
