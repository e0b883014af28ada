"""Faults: they do what they say, when they say, and nothing remains of them."""

from collections import Counter

import numpy as np
import pytest

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.expert import Expert
from salus_ros.worlds.faults import (
    FAULTS,
    NOISE_SCALE,
    NOISE_STEPS,
    draw_fault,
)
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.panda import CAMERAS
from salus_ros.worlds.physics import RIGID

STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
RANGES = {"force": RIGID.push_n, "noise": NOISE_SCALE, "slip": RIGID.slip_friction}
FORCE_STEPS = RIGID.push_substeps // RIGID.substeps


@pytest.fixture(scope="module")
def env():
    return PickPlaceEnv(render_images=False)


def run(env, seed, fault):
    """Let the expert act; returns the last info and the steps at which a force acted."""
    expert = Expert(env)
    _, info = env.reset(seed=seed, options={"fault": fault})
    forced = []
    done = False
    while not done:
        _, _, terminated, truncated, info = env.step(expert.act())
        if env.data.xfrc_applied.any():
            forced.append(env._steps)
        done = terminated or truncated
    return info, forced


def test_a_slipping_gripper_drops_the_cube_after_the_fault_began(env):
    drops = 0
    for seed in range(12):
        info, _ = run(env, seed, "slip")
        assert info["fault"] == "slip"
        if info["failure_type"] is FailureType.DROP:
            drops += 1
            assert info["failure_step"] >= info["fault_step"]
    assert drops >= 2


def test_a_force_lasts_as_long_as_it_says_and_pushes_the_tasks_object(env):
    info, forced = run(env, 0, "force")
    start = info["fault_step"]
    assert forced == list(range(start, start + FORCE_STEPS))
    env.reset(seed=0, options={"fault": "force"})
    for _ in range(start):
        env.step(STILL)
    force = env.data.xfrc_applied[env.model.body(env._task.target).id, :3]
    assert np.linalg.norm(force) == pytest.approx(info["fault_strength"])
    assert np.linalg.norm(env.data.xfrc_applied) == pytest.approx(info["fault_strength"])


def test_noise_is_in_the_sensors_alone_and_only_while_it_lasts():
    clean, noisy = PickPlaceEnv(), PickPlaceEnv()
    clean.reset(seed=1)
    _, info = noisy.reset(seed=1, options={"fault": "noise"})
    start = info["fault_step"]
    for step in range(1, start + NOISE_STEPS + 2):
        a, _, _, _, said = clean.step(STILL)
        b, _, _, _, told = noisy.step(STILL)
        np.testing.assert_array_equal(clean.data.qpos, noisy.data.qpos)
        acting = start <= step < start + NOISE_STEPS
        assert np.array_equal(a["agent_pos"], b["agent_pos"]) != acting
        assert np.array_equal(said["joint_positions"], told["joint_positions"]) != acting
        np.testing.assert_allclose(told["joint_positions"][:7], b["agent_pos"], rtol=1e-6)
        for name in CAMERAS:
            assert np.array_equal(a["pixels"][name], b["pixels"][name]) != acting
    clean.close()
    noisy.close()


def test_the_same_seed_gives_the_same_noise():
    seen = []
    for _ in range(2):
        env = PickPlaceEnv()
        _, info = env.reset(seed=2, options={"fault": "noise"})
        for _ in range(info["fault_step"] + 1):
            observation = env.step(STILL)[0]
        seen.append(observation)
        env.close()
    np.testing.assert_array_equal(seen[0]["pixels"]["wrist"], seen[1]["pixels"]["wrist"])
    np.testing.assert_array_equal(seen[0]["agent_pos"], seen[1]["agent_pos"])


@pytest.mark.parametrize("fault", FAULTS[1:])
def test_the_truth_says_when_and_how_strong(env, fault):
    low, high = RANGES[fault]
    infos = [env.reset(seed=s, options={"fault": fault})[1] for s in range(20)]
    assert all(low <= info["fault_strength"] <= high for info in infos)
    assert len({info["fault_step"] for info in infos}) > 5
    stronger = [
        env.reset(seed=s, options={"fault": fault, "condition": "shifted"})[1]["fault_strength"]
        for s in range(20)
    ]
    usual = [info["fault_strength"] for info in infos]
    weaker_is_stronger = fault == "slip"  # less friction
    assert (np.mean(stronger) < np.mean(usual)) == weaker_is_stronger


def test_nothing_remains_in_the_next_episode(env):
    friction = env.model.geom_friction.copy()
    run(env, 0, "slip")
    run(env, 0, "force")
    info, forced = run(env, 0, "none")
    np.testing.assert_array_equal(env.model.geom_friction, friction)
    assert forced == []
    assert info["outcome"] is Outcome.SUCCESS
    assert info["fault_step"] == -1
    assert "fault_strength" not in info


def test_each_fault_is_drawn_as_often_as_asked():
    counts = Counter(draw_fault(seed, 0.1) for seed in range(4000))
    for fault in FAULTS[1:]:
        assert 330 < counts[fault] < 470  # 400 expected, standard deviation 19
    assert draw_fault(7, 0.1) == draw_fault(7, 0.1)
    assert {draw_fault(seed, 0.0) for seed in range(50)} == {"none"}
    assert "none" not in {draw_fault(seed, 1 / 3) for seed in range(50)}


@pytest.mark.parametrize("rate", [-0.1, 0.4])
def test_a_rate_that_leaves_no_probability_is_refused(rate):
    with pytest.raises(ValueError, match=r"allowed is 0 to 0\.333"):
        draw_fault(0, rate)
