"""Any policy of LeRobot's through `predict_action_chunk` alone."""

import numpy as np
import pytest
import torch
from other_policies import lerobot_chunk, observations, play, save_act, save_vqbet

from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies.lerobot_chunk.tap import load
from salus_ros.policies.runner import PolicyRunner, step_together
from salus_ros.policies.tap import Observation

OF_CHUNKS = {"sample_variance", "sample_spread_growth", "chunk_inconsistency"}


@pytest.fixture(scope="module")
def vqbet(tmp_path_factory):
    return save_vqbet(tmp_path_factory.mktemp("vqbet") / "vqbet")


def test_a_policy_that_samples_has_the_signals_of_its_chunks(vqbet):
    given = observations(("top",))
    runner = PolicyRunner(vqbet, num_samples=6, replan_every=2)
    assert (runner.num_samples, runner.plan_length) == (6, 4)
    assert set(runner.unavailable) == set(SIGNAL_NAMES) - OF_CHUNKS
    last = play(runner, given)[-1]
    assert {n for n, v in zip(SIGNAL_NAMES, last.valid, strict=True) if v} == OF_CHUNKS
    assert last.embedding.shape == (0,)
    assert last.visual_embedding.size == last.expert_embedding.size == 0


def test_what_is_executed_is_lerobots_own_chunk_from_the_seed(vqbet):
    given = observations(("top",))
    runner = PolicyRunner(vqbet, num_samples=3, replan_every=2)
    steps = play(runner, given, seed=3)
    for t, past in ((0, given[:1]), (4, given[2:5])):
        own = lerobot_chunk(vqbet, past, seed=runner._drawn(t))
        np.testing.assert_allclose(steps[t].plans[0], own, atol=1e-4)


def test_an_episode_repeats_and_does_not_depend_on_those_beside_it(vqbet):
    given = observations(("top",))
    runner = PolicyRunner(vqbet, num_samples=3, replan_every=2)
    alone, beside = play(runner, given[:4], seed=1), [runner.sibling(), runner.sibling()]
    torch.manual_seed(99)
    before = torch.get_rng_state()
    beside[1].reset(1)
    for t in range(4):
        pair = [Observation(*given[5 - t], "tidy", t), Observation(*given[t], "tidy", t)]
        together = step_together(beside, pair)[1]
        np.testing.assert_array_equal(together.plans, alone[t].plans)
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's numbers are drawn


def test_a_policy_of_one_answer_has_no_spread(tmp_path):
    """ACT by its chunks alone: what its own tap adds is not there, and not made up."""
    folder = save_act(tmp_path / "act")
    tap = load(folder, "cpu")
    assert not tap.spec.stochastic
    assert (tap.spec.plan_length, tap.spec.executed) == (10, 4)
    observation = Observation(*observations(("top", "gripper"))[0], "tidy", 0)
    sample = tap.sample([[observation]], None, [0], 1)[0]
    own = lerobot_chunk(folder, observations(("top", "gripper"))[:1])
    np.testing.assert_allclose(tap.actions(sample.chunks)[0], own, atol=1e-5)
    assert sample.hidden is sample.attention is sample.curvature is None
