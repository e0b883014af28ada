"""The plan of the nearest success: when there is one, and that it is done to its end."""

from dataclasses import replace

import numpy as np
import pytest
from manifold_episodes import SMALL, make_runs, run
from sights import ALARM, LIMITS, Follower, sight, supervised, tool_at

from salus_ros.core.errors import ConfigError, RecoveryError
from salus_ros.core.failures import FailureType
from salus_ros.recovery.behaviours.manifold import FollowSuccess
from salus_ros.recovery.catalogue import BehaviourSettings, make_behaviour
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.recovery.manifold.training import train_manifold
from salus_ros.recovery.planner import ManifoldPlanner
from salus_ros.recovery.synthesis import Synthesis
from salus_ros.worlds.workcell import Box, Workcell

TABLE = Box(np.array([0.0, -0.5, 0.0]), np.array([1.0, 0.5, 0.6]))
HOME = tool_at(0.5, 0.0, 0.2)
CELL = Workcell(lambda joints: HOME, HOME, {}, {}, 0.02, 0.1, 0.02, TABLE)
TASK = "put the cube on the plate"
HOW = Synthesis(steps=12)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifold")
    train_manifold([make_runs(folder / "a.zarr")], folder / "m.safetensors", SMALL)
    return folder / "m.safetensors"


@pytest.fixture
def planner(file):
    return ManifoldPlanner(Manifold.load(file), CELL, HOW)


def stuck(**given):
    """Some way on with the policy's action, as successes are there."""
    state, action = run(FailureType.NONE, 50, 99)
    wanted = action[10].astype(np.float32)
    return sight(10, task=TASK, joints=state[10], **({"wanted": wanted} | given))


def test_a_plan_is_what_a_success_did_there(planner):
    plan = planner.propose(stuck())
    assert plan.mechanism == "manifold"
    assert plan.actions.shape == (12, 7)
    assert plan.confidence > 0.05
    assert "was nearest at its step" in plan.why
    np.testing.assert_array_equal(plan.actions, planner.propose(stuck()).actions)


def test_far_from_all_successes_it_is_less_sure(planner):
    state, _ = run(FailureType.TIMEOUT, 50, 99)
    away = replace(stuck(), joints=state[-1], wanted=np.zeros(7, np.float32))
    lost, known = planner.propose(away), planner.propose(stuck())
    assert lost.confidence < known.confidence
    assert lost.distance > known.distance >= 0
    assert f"{lost.distance:.2f} away" in lost.why


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"wanted": None}, "is not told"),
        ({"task": "dance"}, "no success of 'dance'"),
        ({"wanted": np.full(7, np.nan, np.float32)}, "cannot be looked up"),
        ({"place": (0.5, 0.0, 0.7)}, "leave the workspace"),
    ],
)
def test_where_nothing_can_be_proposed_it_says_why_and_does_not_start(planner, given, why):
    now = stuck() if "place" not in given else stuck(tool=tool_at(*given["place"]))
    now = replace(now, **{name: of for name, of in given.items() if name != "place"})
    with pytest.raises(RecoveryError, match=why):
        planner.propose(now)
    assert why in FollowSuccess(planner).refusal(now)


def test_a_supervised_arm_does_the_plan_and_hands_back(planner):
    behaviour = FollowSuccess(planner)
    supervisor = supervised(behaviour, LIMITS)
    commands = Follower(supervisor).go([ALARM] * 13, task=TASK, joints=stuck().joints)
    acted = [one for one in commands if one.actor == "manifold"]
    # The joints of this arm repeat, which a guard may not like; what it did was the plan.
    np.testing.assert_allclose(
        [one.action for one in acted], behaviour.plan.actions[: len(acted)], atol=1e-6
    )
    assert len(acted) >= 5


def test_it_is_done_after_the_last_action(planner):
    behaviour = FollowSuccess(planner)
    behaviour.begin(stuck(), 0)
    done = [behaviour.act(stuck()) for _ in range(13)]
    assert done[12] is None
    assert all(action is not None for action in done[:12])


def test_the_catalogue_makes_it_of_a_file_and_of_nothing_else(file, tmp_path):
    made = make_behaviour("manifold", CELL, BehaviourSettings(manifold=file))
    assert (made.name, made.least_steps) == ("manifold", 24)
    with pytest.raises(ConfigError, match="needs a file of `salus manifold train`"):
        make_behaviour("manifold", CELL, BehaviourSettings())


def test_a_manifold_of_another_robot_is_refused(file):
    manifold = Manifold.load(file)
    narrow = replace(manifold.library, action=manifold.library.action[:, :6])
    with pytest.raises(ConfigError, match="7 state values and 6 action values"):
        ManifoldPlanner(replace(manifold, library=narrow), CELL)
