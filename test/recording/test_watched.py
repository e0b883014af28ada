"""A user's own loop recorded into a store by three lines."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from other_policies import observations, save_act

import salus_ros
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import StoreReader
from salus_ros.policies.watching import Watch

CAMERAS = ("top", "gripper")
GIVEN = observations(CAMERAS)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = save_act(tmp_path_factory.mktemp("act") / "act")
    config = PreTrainedConfig.from_pretrained(folder)
    policy = get_policy_class("act").from_pretrained(folder, config=config)
    before, after = make_pre_post_processors(config, pretrained_path=str(folder))
    return folder, policy, before, after


def select(parts, number):
    """A call of the policy, whose action is still normalised."""
    _, policy, before, _ = parts
    images, state = GIVEN[number]
    batch = {"observation.state": torch.from_numpy(state), "task": "tidy"}
    for name, image in images.items():
        pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        batch[f"observation.images.{name}"] = pixels
    return policy.select_action(before(batch))


def act(parts, number):
    return parts[3](select(parts, number))[0].numpy()


def play(parts, *numbers):
    parts[1].reset()
    return [act(parts, number) for number in numbers]


def test_each_episode_is_recorded_with_its_signals(parts, tmp_path):
    folder, policy, before, after = parts
    store, seen = tmp_path / "mine.zarr", []
    hooks = (list(before.before_step_hooks), list(after.after_step_hooks))
    with salus_ros.watch(
        policy, before, after, store=store, images=True, folder=folder, on_step=seen.append
    ) as w:
        actions = play(parts, *range(6))
        w.end(Outcome.FAILURE, FailureType.DROP, 4)
        actions += play(parts, *range(5))
        policy.reset()
    assert (w.recorded, w.problems) == (2, {})
    assert (before.before_step_hooks, after.after_step_hooks) == hooks
    reader = StoreReader(store)
    assert reader.spec.cameras == CAMERAS
    first, second = reader.episode(0), reader.episode(1)
    assert [len(first), len(second)] == [6, 5]
    assert (first.meta.task, first.meta.id) == ("tidy", "episode_000000")
    assert (first.meta.outcome, first.meta.failure_step) == (Outcome.FAILURE, 4)
    assert first.meta.policy_id.startswith("act-")
    assert second.meta.outcome is Outcome.UNKNOWN
    np.testing.assert_array_equal(np.concatenate([first.action, second.action]), actions)
    for t in range(6):
        np.testing.assert_array_equal(first.images["top"][t], GIVEN[t][0]["top"])
        np.testing.assert_allclose(first.state[t], GIVEN[t][1], rtol=1e-6)
    said = [one.said for one in seen]
    np.testing.assert_array_equal(first.signals, [one.signals for one in said[:6]])
    np.testing.assert_array_equal(first.signals_fresh, [one.fresh for one in said[:6]])
    plan = np.take_along_axis(
        first.plan.astype(np.float32), first.plan_step.astype(int)[:, None, None], axis=1
    )
    np.testing.assert_allclose(plan[:, 0], first.action, atol=2e-3)
    with salus_ros.watch(policy, before, after, store=store, images=True) as w:  # it goes on
        play(parts, 0, 1, 2)
    assert StoreReader(store).meta(2).id == "episode_000002"


def test_an_episode_that_lost_a_step_is_not_recorded_and_that_is_said(parts, tmp_path, caplog):
    _, policy, before, after = parts

    def loop():
        with salus_ros.watch(policy, before, after, store=tmp_path / "a.zarr") as w:
            play(parts, 0)
            select(parts, 1)  # and its action is thrown away
            act(parts, 2)
            play(parts, 0, 1)
        return w

    w = loop()
    assert "'episode_000000' is not recorded: an action of it" in caplog.text
    assert (w.recorded, sum(w.problems.values())) == (1, 1)
    assert StoreReader(tmp_path / "a.zarr").meta(0).id == "episode_000001"


def test_another_form_of_store_stops_the_recording_and_not_the_loop(parts, tmp_path, caplog):
    _, policy, before, after = parts

    def loop(images):
        with salus_ros.watch(policy, before, after, store=tmp_path / "a.zarr", images=images) as w:
            return w, play(parts, 0, 1, 2)

    loop(True)
    w, got = loop(False)
    assert "holds episodes of another form" in caplog.text
    assert (len(got), w.recorded) == (3, 0)
    assert len(StoreReader(tmp_path / "a.zarr")) == 1


def test_what_cannot_be_recorded_is_refused_at_once(parts, tmp_path):
    _, policy, before, after = parts
    with pytest.raises(ConfigError, match="the policy's pipelines are not given"):
        salus_ros.watch(policy, store=tmp_path / "a.zarr")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(StoreError):
        salus_ros.watch(policy, before, after, store=tmp_path / "other")
    with pytest.raises(ConfigError, match="a function is no pipeline with steps"):
        salus_ros.watch(policy, lambda seen: seen, after, store=tmp_path / "a.zarr")
    with pytest.raises(ConfigError, match="rate_hz is 0"):
        salus_ros.watch(policy, before, after, store=tmp_path / "a.zarr", rate_hz=0)
    with salus_ros.watch(policy, before, after, store=tmp_path / "a.zarr") as w:
        play(parts, 0, 1)
        with pytest.raises(StoreError, match="a failure has a type"):
            w.end(Outcome.FAILURE)
        w.end(Outcome.SUCCESS)
    assert w.recorded == 1
    assert type(salus_ros.watch(policy)) is Watch


def test_the_package_stays_light():
    loaded = (
        "import sys, salus_ros; print(*sorted({'torch', 'lerobot', 'zarr'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True)
    assert (said.returncode, said.stdout.strip()) == (0, "")
    heavy = loaded.replace("; print", "; import zarr; print")
    said = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True)
    assert said.stdout.split() == ["zarr"]  # so the check can fail
