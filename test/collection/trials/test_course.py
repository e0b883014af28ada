"""One episode under an arm: the recorded one to the last bit until the arm is taken."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from recordings import CONFIG

from salus_ros.collection.trials.config import TrialConfig
from salus_ros.collection.trials.course import Courses, Recorded
from salus_ros.core.errors import SalusError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.recovery.arms import Arm
from salus_ros.recovery.catalogue import BehaviourSettings
from salus_ros.recovery.watch import NOTHING, Watch

ARMS = ("requery@clock", "hold@clock", "scripted@clock", "person@clock", "shadow:hold@clock")
ARMS += ("policy@clock",)


@pytest.fixture(scope="module")
def courses(model):
    torch.set_num_threads(1)
    settings = BehaviourSettings(policy=CONFIG.policy, policy_steps=30)
    made = Courses(TrialConfig(CONFIG, model, ARMS, settings=settings, most=1))
    yield made
    made.close()


def of(episode):
    quiet = [replace(NOTHING, probability=0.1)] * len(episode)
    return Recorded(episode.meta, episode.action, episode.state, quiet)


def by_kind(reference, kind):
    return next(e for e in reference.values() if e.meta.failure_type is kind)


def test_with_the_episodes_own_noise_an_arm_that_does_nothing_is_the_episode(
    courses, reference, monkeypatch
):
    episode = min(reference.values(), key=len)
    monkeypatch.setattr(courses, "_clear", lambda: courses._runner.reset(episode.meta.seed))
    course = courses.run(of(episode), Arm.parse("requery@clock"), at=30)
    assert course.diverged == 30
    np.testing.assert_array_equal(course.actions, episode.action[30:])
    meta = episode.meta
    assert (course.outcome, course.failure_type) == (meta.outcome, meta.failure_type)
    assert (course.steps, course.cause) == (len(episode), meta.failure_cause)


def test_where_the_trigger_never_fires_and_in_a_shadow_it_ends_as_recorded(courses, reference):
    episode = min(reference.values(), key=len)
    for name, at, said in (("hold@clock", -1, 0), ("shadow:hold@clock", 20, 1)):
        course = courses.run(of(episode), Arm.parse(name), at)
        assert (course.outcome, course.steps) == (episode.meta.outcome, len(episode))
        assert (course.diverged, len(course.actions)) == (-1, 0)
        assert len(course.interventions) == said


def test_a_hand_back_clears_plan_signals_and_what_was_foreseen(courses, reference, monkeypatch):
    episode = by_kind(reference, FailureType.TIMEOUT)
    answers, resets = [], []
    update, reset = Watch.update, Watch.reset

    def watching(self, said, step, joints):
        assert "effort panda_finger_joint1" in joints
        answers.append((step, said))
        return update(self, said, step, joints)

    monkeypatch.setattr(Watch, "update", watching)
    monkeypatch.setattr(Watch, "reset", lambda self: resets.append(1) or reset(self))
    course = courses.run(of(episode), Arm.parse("hold@clock"), at=40)
    (one,) = course.interventions
    assert (one["start"], one["end"], one["ended"]) == (40, 70, "done")
    assert not course.actions[:30, :6].any()
    step, first = answers[0]
    assert step == 70
    assert first.fresh
    assert first.plan_step == 0
    assert not first.valid[SIGNAL_NAMES.index("chunk_inconsistency")]
    assert len(resets) == 1
    assert not np.array_equal(course.actions[30:33], episode.action[70:73])


def test_the_same_course_twice_is_the_same(courses, reference):
    episode = by_kind(reference, FailureType.TIMEOUT)
    once, again = (courses.run(of(episode), Arm.parse("requery@clock"), 150) for _ in range(2))
    np.testing.assert_array_equal(once.actions, again.actions)
    assert once.steps == again.steps


def test_the_scripted_behaviour_saves_an_episode_that_got_nowhere(courses, reference):
    episode = by_kind(reference, FailureType.TIMEOUT)
    course = courses.run(of(episode), Arm.parse("scripted@clock"), at=60)
    assert course.outcome is Outcome.SUCCESS
    assert not course.held
    assert np.abs(course.actions[:, :6]).max() <= np.float32(0.6)


def test_a_second_policy_has_the_arm_for_its_time(courses, reference):
    episode = by_kind(reference, FailureType.TIMEOUT)
    course = courses.run(of(episode), Arm.parse("policy@clock"), at=60)
    (one,) = course.interventions
    assert (one["behaviour"], one["start"], one["end"]) == ("policy", 60, 90)
    assert course.diverged == 60
    assert np.abs(course.actions[:30, :6]).max() <= np.float32(0.6)
    assert not np.array_equal(course.actions[:30], episode.action[60:90])


def test_nobody_answers_offline_so_the_arm_is_held(courses, reference):
    episode = by_kind(reference, FailureType.TIMEOUT)
    course = courses.run(of(episode), Arm.parse("person@clock"), at=30)
    assert course.held == "person: nobody answered within 3 s"
    assert course.outcome is Outcome.FAILURE
    assert not course.actions[:, :6].any()


def test_an_episode_that_does_not_repeat_is_refused(courses, reference):
    episode = min(reference.values(), key=len)
    moved = replace(of(episode), state=episode.state + np.float32(1e-4))
    with pytest.raises(SalusError, match="does not repeat: at step 0"):
        courses.run(moved, Arm.parse("hold@clock"), 10)
