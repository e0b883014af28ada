"""Environments of other people, as they come."""

from dataclasses import fields

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import register, registry

from salus_ros.core.errors import ConfigError, SimulatorError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.adapter import World, read_env_kwargs
from salus_ros.worlds.mujoco import PHYSICS
from salus_ros.worlds.mujoco.truth import Truth

JOINTS = ("x", "y")
CAMERAS = ("overhead", "hand")


def image_space(height=4, width=6):
    return spaces.Box(0, 255, (height, width, 3), np.uint8)


class Plain(gymnasium.Env):
    """Two cameras of different sizes; it says nothing that Gymnasium does not ask for."""

    def __init__(self, render_mode=None):
        self.observation_space = spaces.Dict(
            {
                "pixels": spaces.Dict({"overhead": image_space(), "hand": image_space(8, 8)}),
                "agent_pos": spaces.Box(-1, 1, (2,)),
            }
        )
        self.action_space = spaces.Box(-1, 1, (2,))
        self.asked = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.asked = options
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


class OneCamera(Plain):
    """LeRobot's form of one camera: its image alone."""

    def __init__(self, obs_type="state", camera_name=None):
        super().__init__()
        if camera_name is not None:
            self.camera_name = camera_name
        if obs_type == "pixels_agent_pos":
            self.observation_space["pixels"] = image_space()
        else:
            self.observation_space = spaces.Box(-1, 1, (5,))


class Described(Plain):
    """Says its task as LeRobot's environments do."""

    task_description = "sort the cups"


class Naming(Plain):
    """Has a word of its own for a task, at the start of an episode and not after."""

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed, options=options)
        return observation, {"task": "its own words"}


class Measuring(Plain):
    """Says how fast its joints are; of two joints by default."""

    def __init__(self, count=2):
        super().__init__()
        self.count = count

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed, options=options)
        return observation, {"joint_velocities": np.arange(self.count) / 10}


class Needy(Plain):
    def __init__(self, env_name):
        super().__init__()


class Asserting(Plain):
    def __init__(self):
        raise AssertionError("simulation library 3.0 is too new")


class Unrenderable(Plain):
    def __init__(self):
        raise SimulatorError("no EGL")


class Grey(Plain):
    def __init__(self):
        super().__init__()
        self.observation_space["pixels"] = spaces.Box(0, 255, (4, 6), np.uint8)


class NoImage(Plain):
    def __init__(self):
        super().__init__()
        self.observation_space["pixels"] = spaces.Dict({})


class AssertingAtReset(Plain):
    def reset(self, *, seed=None, options=None):
        raise AssertionError("object fell off the table")


KINDS = (
    Plain,
    OneCamera,
    Described,
    Naming,
    Measuring,
    Needy,
    Asserting,
    Unrenderable,
    Grey,
    NoImage,
)


@pytest.fixture(scope="module", autouse=True)
def registered():
    ids = [f"salus_test/{kind.__name__}-v0" for kind in (*KINDS, AssertingAtReset)]
    for env_id, kind in zip(ids, (*KINDS, AssertingAtReset), strict=True):
        register(id=env_id, entry_point=kind)
    yield
    for env_id in ids:
        del registry[env_id]


def world(kind, **env_kwargs):
    return World(f"salus_test/{kind.__name__}-v0", JOINTS, env_kwargs)


def test_cameras_have_their_own_sizes():
    made = world(Plain)
    assert made.image_sizes == {"overhead": (4, 6), "hand": (8, 8)}
    assert set(made.reset(seed=0).images) == set(CAMERAS)


@pytest.mark.parametrize(
    ("given", "name"), [(None, "front"), ("", "front"), ("top", "top"), (["a", "b"], "front")]
)
def test_one_image_alone_is_a_camera(given, name):
    made = world(OneCamera, obs_type="pixels_agent_pos", camera_name=given)
    assert made.image_sizes == {name: (4, 6)}
    for seen in (made.reset(seed=0), made.step(np.zeros(2, np.float32))):
        assert {camera: image.shape for camera, image in seen.images.items()} == {name: (4, 6, 3)}


@pytest.mark.parametrize("kind", [OneCamera, Grey, NoImage])
def test_another_form_is_refused_with_the_one_allowed(kind):
    with pytest.raises(ConfigError, match=r"has observations .*allowed are .*env_kwargs"):
        world(kind)


def test_what_a_constructor_needs_is_handed_to_it():
    with pytest.raises(ConfigError, match=r"env_kwargs \{\} \(TypeError: .*'env_name'.*; set"):
        world(Needy)
    with pytest.raises(ConfigError, match=r"env_kwargs \{'envname': 1\} \(TypeError"):
        world(Needy, envname=1)
    assert world(Needy, env_name="reach-v3").action_dim == 2


def test_whatever_a_constructor_raises_is_said_in_one_line():
    with pytest.raises(ConfigError, match=r"AssertionError: simulation library 3.0 is too new"):
        world(Asserting)
    with pytest.raises(SimulatorError, match="no EGL"):  # an error of ours says what to do
        world(Unrenderable)
    with pytest.raises(ConfigError, match="give a registered Gymnasium id"):
        World("salus_test/Nothing-v0", JOINTS)


def test_a_start_that_fails_is_said_with_the_seed():
    with pytest.raises(ConfigError, match=r"seed 3.*AssertionError: object fell off"):
        world(AssertingAtReset).reset(seed=3)


def test_the_task_asked_for_is_not_lost():
    made = world(Plain)
    assert made.reset(seed=0, task="push the T").task == "push the T"
    assert made._env.unwrapped.asked == {"task": "push the T"}
    assert made.step(np.zeros(2, np.float32)).task == "push the T"
    assert made.reset(seed=1).task == ""  # nothing was asked for, nothing is known


def test_the_words_of_the_environment_count_at_every_step():
    made = world(Naming)
    assert made.reset(seed=0, task="key").task == "its own words"
    assert made.step(np.zeros(2, np.float32)).task == "its own words"
    made = world(Described)
    assert made.reset(seed=0).task == "sort the cups"
    assert made.reset(seed=0, task="sort the plates").task == "sort the plates"


def test_joints_without_names_are_refused():
    made = World("salus_test/Plain-v0", ("x", "y", "z"))
    with pytest.raises(ConfigError, match=r"2 joint positions and 3 joint names; set .*names"):
        made.reset(seed=0)


def test_each_world_has_its_own_rate_of_faults_and_length():
    rates = {env_id: World(env_id, JOINTS, {"render_images": False}) for env_id in PHYSICS}
    assert [(w.fault_rate, w.max_steps) for w in rates.values()] == [(0.1, 200), (0.03, 400)]
    assert world(Plain).fault_rate == 0.1


class Secret:
    """Cannot be looked at in any way."""

    def _refuse(self, *_):
        raise AssertionError("the world's truth was looked at")

    __getitem__ = __iter__ = __len__ = __array__ = __float__ = __str__ = _refuse


def test_the_worlds_truth_goes_nowhere(monkeypatch):
    monkeypatch.setattr(Truth, "now", lambda _: Secret())
    for env_id in PHYSICS:
        made = World(env_id, JOINTS, {"render_images": False})
        for seen in (made.reset(seed=0), made.step(np.zeros(7, np.float32))):
            assert not {"truth", "losses"} & {f.name for f in fields(seen)}
            assert not any(isinstance(getattr(seen, f.name), Secret) for f in fields(seen))
    with pytest.raises(AssertionError, match="was looked at"):
        np.asarray(Secret(), dtype=np.float64)


def test_an_end_without_an_outcome_is_read_from_gymnasium():
    made = world(Plain)
    made.reset(seed=0)
    assert made.step(np.zeros(2, np.float32)).outcome is Outcome.UNKNOWN
    env = made._env.unwrapped
    for success, truncated, kind in (
        (True, False, "NONE"),
        (False, True, "TIMEOUT"),
        (False, False, "OTHER"),
    ):
        ending = not truncated, truncated, {"is_success": success}
        env.step = lambda _, ending=ending: (env.observation_space.sample(), 0.0, *ending)
        ended = made.step(np.zeros(2, np.float32))
        assert ended.ended
        assert ended.outcome is (Outcome.SUCCESS if success else Outcome.FAILURE)
        assert ended.failure_type is FailureType[kind]


def test_how_joints_move_is_what_the_world_says_or_nothing():
    np.testing.assert_array_equal(world(Measuring).reset(seed=0).joint_velocities, [0, 0.1])
    assert world(Measuring).reset(seed=0).joint_efforts is None
    assert world(Plain).reset(seed=0).joint_velocities is None
    with pytest.raises(ConfigError, match=r"2 joint names and joint_velocities \(3,\)"):
        world(Measuring, count=3).reset(seed=0)


def test_what_a_constructor_is_given_is_a_json_object():
    assert read_env_kwargs("") == read_env_kwargs(" {} ") == {}
    assert read_env_kwargs('{"obs_type": "pixels", "size": [1, 2]}') == {
        "obs_type": "pixels",
        "size": [1, 2],
    }
    for text in ("obs_type=pixels", "[1]", "3", "null", '{"a": NaN'):
        with pytest.raises(ConfigError, match="allowed is a JSON object"):
            read_env_kwargs(text)
