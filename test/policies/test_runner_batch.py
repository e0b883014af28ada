"""Episodes side by side on one network: each is, to the last bit, as if it were alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

import salus_ros
from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.policies.runner import PolicyRunner, step_together
from salus_ros.policies.tap import Observation
from salus_ros.policies.tiny.build import TINY

SHIPPED = Path(salus_ros.__file__).parent / "assets" / "policy" / "tiny_smolvla"
TASKS = [
    "put the red cube in the bin",
    "stack the red cube on the blue cube",
    "put the blue cube in the bin",
    "lift",
]
EPISODES = 8


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def observations():
    rng = np.random.default_rng(0)
    return [
        Observation(
            {name: rng.integers(0, 256, (256, 256, 3), dtype=np.uint8) for name in TINY.cameras},
            rng.standard_normal(7).astype(np.float32),
            TASKS[episode % len(TASKS)],
            0,
        )
        for episode in range(EPISODES)
    ]


@pytest.fixture(scope="module")
def runner(policy_folder):
    return PolicyRunner(policy_folder, num_samples=2, replan_every=3)


def at(observation, step):
    """The observation `step` steps later, with pictures that differ."""
    images = {name: np.roll(image, step, axis=0) for name, image in observation.images.items()}
    return Observation(images, observation.state + 0.1 * step, observation.task, step)


def assert_same(a, b):
    np.testing.assert_array_equal(a.action, b.action)
    np.testing.assert_array_equal(a.signals, b.signals)
    np.testing.assert_array_equal(a.valid, b.valid)
    np.testing.assert_array_equal(a.embedding, b.embedding)
    np.testing.assert_array_equal(a.plans, b.plans)
    np.testing.assert_array_equal(a.visual_embedding, b.visual_embedding)
    np.testing.assert_array_equal(a.expert_embedding, b.expert_embedding)
    assert a.fresh == b.fresh


@pytest.mark.parametrize("samples", [1, 4])
def test_the_batch_and_the_place_in_it_do_not_show(observations, samples):
    base = PolicyRunner(SHIPPED, num_samples=samples, replan_every=1)
    siblings = [base.sibling() for _ in range(EPISODES)]

    def play(episodes):
        for episode in episodes:
            siblings[episode].reset(episode)
        answers = [
            step_together(
                [siblings[e] for e in episodes], [at(observations[e], t) for e in episodes]
            )
            for t in (0, 1)  # the second has all signals that need a previous replan
        ]
        return {e: [answer[i] for answer in answers] for i, e in enumerate(episodes)}

    alone = {episode: play([episode])[episode] for episode in range(EPISODES)}
    for episodes in ([3, 0], [1, 4, 2, 7, 5], [7, 6, 5, 4, 3, 2, 1, 0]):
        for episode, answers in play(episodes).items():
            for answer, expected in zip(answers, alone[episode], strict=True):
                assert_same(answer, expected)


def test_a_step_is_a_batch_of_one(runner, observations):
    one, other = runner.sibling(), runner.sibling()
    for t in range(4):
        given = at(observations[0], t)
        together = step_together([other], [given])[0]
        assert_same(one.step(given.images, given.state, given.task, t), together)


def test_only_those_that_are_due_are_planned_and_need_images(runner, observations):
    early, late = runner.sibling(), runner.sibling()
    early.step(*_fields(at(observations[0], 0)))
    assert not early.due(2)
    assert early.due(3)
    assert early.due(-1)  # an earlier step than the last: the episode was begun anew
    assert late.due(2)
    blind = Observation({}, observations[0].state, TASKS[0], 2)
    held, fresh = step_together([early, late], [blind, at(observations[1], 2)])
    assert (held.fresh, fresh.fresh) == (False, True)
    assert np.isnan(held.inference_ms)
    assert fresh.inference_ms > 0


def test_siblings_have_episodes_of_their_own(runner, observations):
    first, second = runner.sibling(), runner.sibling()
    first.reset(1)
    before = first.step(*_fields(observations[0]))
    second.reset(2)
    other = second.step(*_fields(observations[0]))
    assert not np.array_equal(before.action, other.action)
    np.testing.assert_array_equal(
        first.step({}, observations[0].state, TASKS[0], 1).signals, before.signals
    )


def test_nothing_is_stepped_when_one_observation_is_refused(runner, observations):
    runners = [runner.sibling(), runner.sibling()]
    broken = Observation({}, observations[1].state, TASKS[0], 0)
    with pytest.raises(ObservationError, match="no image of front, side, wrist"):
        step_together(runners, [observations[0], broken])
    assert runners[0].due(1)


def test_images_of_two_sizes_are_not_planned_together(runner, observations):
    small = {name: image[::2, ::2] for name, image in observations[0].images.items()}
    given = Observation(small, observations[0].state, TASKS[0], 0)
    with pytest.raises(ObservationError, match=r"'front'.*\(128, 128, 3\) and \(256, 256, 3\)"):
        step_together([runner.sibling(), runner.sibling()], [observations[1], given])


def test_no_runners_give_no_answers():
    assert step_together([], []) == []


def test_what_does_not_belong_together_is_refused(runner, policy_folder, observations):
    with pytest.raises(ConfigError, match="1 runners and 2 observations"):
        step_together([runner], observations[:2])
    with pytest.raises(ConfigError, match="a runner is given twice"):
        step_together([runner, runner], observations[:2])
    with pytest.raises(ConfigError, match="do not share one network"):
        step_together([runner, PolicyRunner(policy_folder)], observations[:2])


def _fields(given):
    return given.images, given.state, given.task, given.step
