import math

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fast_world import CAMERAS, FAULT_STEP, FAULT_STRENGTH, LENGTH, SIZE
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState

from salus_msgs.msg import EpisodeStatus, PolicyAction
from salus_msgs.srv import ResetEpisode
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.messages.images import image_to_array
from salus_ros.messages.stamps import to_ns
from salus_ros.nodes.qos import status_qos
from salus_ros.nodes.simulator import SimulatorNode
from salus_ros.worlds.faults import draw_fault
from salus_ros.worlds.tasks import TASKS

FAST = "fast_world:salus_test/Fast-v0"
BARE = "fast_world:salus_test/Bare-v0"


class Player:
    """Listens to a simulator and answers it."""

    def __init__(self, graph, **parameters):
        self.graph = graph
        self.statuses = graph.listen(EpisodeStatus, "episode", status=True)
        self.images = {n: graph.listen(Image, f"camera/{n}/image_raw") for n in CAMERAS}
        self.infos = graph.listen(CameraInfo, "camera/front/camera_info")
        self.joints = graph.listen(JointState, "joint_states")
        self.clock = graph.listen(Clock, "clock")
        given = {"env_id": FAST, "wait_for": "probe"} | parameters
        self.node = graph.add(SimulatorNode, **given)
        self.actions = graph.talk(PolicyAction, "action")

    def act(self, status, values=None):
        values = [0.1] * 7 if values is None else values
        message = PolicyAction(episode_id=status.episode_id, step=status.step, action=values)
        message.header.stamp = status.header.stamp
        self.actions.publish(message)

    def running(self):
        return [s for s in self.statuses if s.phase == EpisodeStatus.PHASE_RUNNING]

    def ended(self):
        return [s for s in self.statuses if s.phase == EpisodeStatus.PHASE_ENDED]

    def play(self, episodes, values=None):
        """Answer every observation until so many episodes have ended."""
        answered = set()
        while len(self.ended()) < episodes:
            self.graph.until(lambda: self.pending(answered) or len(self.ended()) >= episodes)
            for status in self.pending(answered):
                answered.add((status.episode_id, status.step))
                self.act(status, values)

    def pending(self, answered):
        return [s for s in self.running() if (s.episode_id, s.step) not in answered]


def stamps(messages):
    return [to_ns(message.header.stamp) for message in messages]


def test_lockstep_waits_for_the_action_of_each_step(graph):
    player = Player(graph, republish_s=60.0)
    graph.until(lambda: player.running() and player.images["wrist"])
    assert [(s.episode_id, s.step) for s in player.running()] == [("episode_000000", 0)]
    player.act(player.running()[0])
    graph.until(lambda: len(player.images["wrist"]) == len(player.running()) == 2)
    assert [s.step for s in player.running()] == [0, 1]


def test_everything_of_a_step_has_one_stamp_and_stamps_only_grow(graph):
    player = Player(graph, episodes=2, republish_s=60.0)
    player.play(2)
    steps = 2 * LENGTH
    graph.until(lambda: all(len(images) == steps for images in player.images.values()))
    graph.until(lambda: len(player.joints) == steps == len(player.infos))
    expected = stamps(player.running())
    assert len(expected) == steps
    for messages in (*player.images.values(), player.joints, player.infos):
        assert stamps(messages) == expected
    everything = stamps(s for s in player.statuses if s.phase != EpisodeStatus.PHASE_FINISHED)
    assert everything == sorted(set(everything))
    assert expected[0] == round(1e9 / 30)
    graph.until(lambda: to_ns(player.clock[-1].clock) == everything[-1])


def test_images_and_joints_are_those_of_the_world(graph):
    player = Player(graph)
    graph.until(lambda: player.images["side"] and player.joints and player.infos)
    image = image_to_array(player.images["side"][0], "side")
    np.testing.assert_array_equal(image, np.full((SIZE, SIZE, 3), 10, np.uint8))
    assert player.images["side"][0].header.frame_id == "camera_side_optical_frame"
    assert (player.infos[0].width, player.infos[0].height) == (SIZE, SIZE)
    assert player.joints[0].name[:2] == ["panda_joint1", "panda_joint2"]
    assert player.joints[0].name[-1] == "panda_finger_joint2"
    assert len(player.joints[0].position) == 9
    np.testing.assert_allclose(player.joints[0].velocity, np.arange(9) / 10)
    assert len(player.joints[0].effort) == 0  # the world says none


def test_the_end_says_how_it_was(graph):
    player = Player(graph, episodes=2, seed=4, task="push", fault="slip", condition="shifted")
    player.play(2)
    graph.until(lambda: player.statuses[-1].phase == EpisodeStatus.PHASE_FINISHED)
    success, failure = player.ended()
    assert (success.outcome, success.failure_type, success.failure_step) == (1, 0, -1)
    assert math.isnan(success.failure_time)
    assert failure.outcome == Outcome.FAILURE
    assert failure.failure_type == FailureType.DROP
    assert failure.failure_step == LENGTH - 1
    assert (failure.failure_cause, success.failure_cause) == ("made up", "")
    assert failure.failure_time == pytest.approx((LENGTH - 1) / 30)
    assert [s.seed for s in (success, failure)] == [4, 5]
    assert [s.step for s in (success, failure)] == [LENGTH, LENGTH]
    assert (failure.task, failure.fault, failure.rate_hz) == ("push", "slip", 30.0)
    running = player.running()[-1]
    for status in (running, failure, player.statuses[-1]):
        assert (status.condition, status.fault_step) == ("shifted", FAULT_STEP)
        assert status.world == "salus_test/Fast-v0"
        assert status.fault_strength == np.float32(FAULT_STRENGTH)
    assert (running.outcome, running.failure_type) == (Outcome.UNKNOWN, FailureType.NONE)
    assert running.failure_cause == ""


def test_a_random_fault_is_drawn_by_the_seed_alone(graph):
    player = Player(graph, episodes=6, seed=10, fault="random", fault_rate=0.3)
    player.play(6)
    faults = [status.fault for status in player.ended()]
    assert faults == [draw_fault(seed, 0.3) for seed in range(10, 16)]
    assert len(set(faults)) > 1
    for status in player.ended():
        assert math.isnan(status.fault_strength) == (status.fault == "none")
        assert (status.fault_step == -1) == (status.fault == "none")


def test_the_same_seed_gives_the_same_episode(graph):
    first = Player(graph, episodes=1, seed=7)
    first.play(1)
    graph.until(lambda: len(first.joints) == LENGTH)
    joints, old = [list(m.position) for m in first.joints], stamps(first.joints)
    graph.remove(first.node)
    second = Player(graph, episodes=1, seed=7)
    second.play(1)
    graph.until(lambda: len(second.joints) == LENGTH)
    assert [list(m.position) for m in second.joints] == joints
    assert stamps(second.joints) == old


def test_actions_are_what_moves_the_world(graph):
    player = Player(graph, episodes=1, republish_s=60.0)
    player.play(1, [0.5, -2.0, 0, 0, 0, 0, 1.0])  # -2 is clipped to -1
    graph.until(lambda: len(player.joints) == LENGTH)
    moved = np.subtract(player.joints[-1].position, player.joints[0].position)[:7]
    np.testing.assert_allclose(moved, (LENGTH - 1) * np.array([0.5, -1, 0, 0, 0, 0, 1]), atol=1e-5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.0] * 6, "the action has 6 values; this world takes 7"),
        ([], "the action has 0 values"),
        ([0.0] * 6 + [math.nan], "must be finite"),
        ([math.inf] + [0.0] * 6, "must be finite"),
    ],
)
def test_a_bad_action_is_never_stepped(graph, values, said):
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    player = Player(graph, republish_s=60.0)
    graph.until(player.running)
    player.act(player.running()[0], values)
    name = f"{graph.namespace[1:]}/simulator"

    def reported():
        return [
            s
            for array in diagnostics
            for s in array.status
            if s.name == name and s.level == b"\x02" and said in s.message
        ]

    graph.until(reported)
    assert [s.step for s in player.running()] == [0]
    player.act(player.running()[0])
    graph.until(lambda: len(player.running()) == 2)
    assert player.running()[1].step == 1


@pytest.mark.parametrize(("episode", "step"), [("episode_000000", 1), ("other", 0), ("", 0)])
def test_an_action_of_another_step_is_ignored(graph, episode, step):
    player = Player(graph, republish_s=60.0)
    graph.until(player.running)
    player.act(EpisodeStatus(episode_id=episode, step=step))
    graph.until(lambda: player.node._unmatched == 1)
    assert len(player.running()) == 1


def test_an_unanswered_observation_is_repeated_as_it_was(graph):
    player = Player(graph, republish_s=0.05)
    graph.until(lambda: len(player.images["front"]) >= 3)
    assert len(set(stamps(player.images["front"]))) == 1
    assert {s.step for s in player.running()} == {0}
    assert len({bytes(m.data) for m in player.images["front"]}) == 1


def test_waiting_is_said(graph, capfd):
    Player(graph, republish_s=0.05)
    said = []
    graph.until(
        lambda: said.append(capfd.readouterr().err) or "waiting for the action" in said[-1]
    )
    assert "episode_000000 step 0" in "".join(said)


def test_reset_starts_another_episode(graph):
    player = Player(graph, republish_s=60.0)
    graph.until(player.running)
    player.act(player.running()[0])
    graph.until(lambda: len(player.running()) == 2)
    request = ResetEpisode.Request(seed=42, task="stack", fault="slip", condition="shifted")
    response = graph.call(ResetEpisode, "simulator/reset", request)
    assert response.success
    graph.until(lambda: player.running()[-1].episode_id == response.episode_id)
    last = player.running()[-1]
    assert (last.step, last.seed, last.task, last.fault) == (0, 42, "stack", "slip")
    assert last.condition == "shifted"
    assert player.ended() == []
    response = graph.call(ResetEpisode, "simulator/reset", ResetEpisode.Request(seed=-1))
    graph.until(lambda: player.running()[-1].episode_id == response.episode_id)
    last = player.running()[-1]
    assert (last.seed, last.task, last.fault) == (2, "lift the cube", "none")
    assert (last.condition, last.fault_step) == ("standard", -1)
    seed = next(seed for seed in range(100) if draw_fault(seed) != "none")
    request = ResetEpisode.Request(seed=seed, fault="random")
    response = graph.call(ResetEpisode, "simulator/reset", request)
    graph.until(lambda: player.running()[-1].episode_id == response.episode_id)
    assert player.running()[-1].fault == draw_fault(seed)


def test_a_reset_that_is_refused_changes_nothing(graph):
    player = Player(graph, republish_s=60.0)
    graph.until(player.running)
    request = ResetEpisode.Request(seed=1, fault="earthquake")
    response = graph.call(ResetEpisode, "simulator/reset", request)
    assert not response.success
    assert response.message == "unknown fault 'earthquake'; known are none, force, noise, slip"
    player.act(player.running()[0])
    graph.until(lambda: len(player.running()) == 2)
    assert player.running()[1].episode_id == "episode_000000"


def test_a_late_joiner_hears_the_status(graph):
    player = Player(graph, episodes=1)
    player.play(1)
    late = graph.listen(EpisodeStatus, "episode", status=True)
    graph.until(lambda: late and late[-1].phase == EpisodeStatus.PHASE_FINISHED)
    assert late[-1].outcome == Outcome.SUCCESS


def test_it_waits_for_its_listeners(graph):
    statuses = graph.listen(EpisodeStatus, "episode", status=True)
    waiting = graph.add(SimulatorNode, env_id=FAST, wait_for="vla, probe")
    graph.until(lambda: statuses)
    assert statuses[0].phase == EpisodeStatus.PHASE_IDLE
    for _ in range(10):
        graph.executor.spin_once(timeout_sec=0.03)
    assert {s.phase for s in statuses} == {EpisodeStatus.PHASE_IDLE}
    assert waiting.missing_listeners() == [f"'vla' to listen to {graph.namespace}/episode"]
    vla = Node("vla", namespace=graph.namespace)
    vla.create_subscription(EpisodeStatus, "episode", lambda _: None, status_qos())
    graph.until(lambda: statuses[-1].phase == EpisodeStatus.PHASE_RUNNING)
    vla.destroy_node()


def test_it_ends_when_it_is_done(graph):
    player = Player(graph, episodes=1, exit_when_done=True, first_episode=3, episode_prefix="x")
    player.play(1)
    graph.until(player.node.finished.done)
    assert player.ended()[0].episode_id == "x_000003"
    assert player.ended()[0].seed == 3


def test_real_time_goes_on_without_actions(graph):
    player = Player(graph, mode="realtime", rate_hz=200.0, episodes=1)
    graph.until(player.ended)
    assert [s.step for s in player.running()] == list(range(LENGTH))
    taken = stamps(player.running())
    assert taken == sorted(set(taken))
    assert taken[0] > 1e18  # the wall clock
    assert player.node._held_steps == LENGTH
    graph.until(lambda: len(player.joints) == LENGTH)
    assert len({tuple(m.position[:6]) for m in player.joints}) == 1  # nothing moved
    assert (
        player.joints[-1].position[6] > player.joints[0].position[6]
    )  # the gripper is told: open
    assert player.clock == []


def test_real_time_holds_the_gripper_when_the_policy_is_late(graph):
    player = Player(graph, mode="realtime", rate_hz=20.0, episodes=1)
    graph.until(player.running)
    player.act(player.running()[-1], [0.5, 0, 0, 0, 0, 0, -1.0])
    graph.until(player.ended)
    graph.until(lambda: len(player.joints) == LENGTH)
    moves = np.diff([m.position for m in player.joints], axis=0)
    arms = moves[:, 0]
    first = int(np.flatnonzero(arms)[0])
    assert arms[first] == pytest.approx(0.5)
    assert not arms[first + 1 :].any()
    np.testing.assert_allclose(moves[first:, 6], -1.0, atol=1e-6)
    assert not moves[:first, :6].any()


def test_real_time_ignores_the_action_of_a_step_that_was_answered(graph):
    player = Player(graph, mode="realtime", rate_hz=20.0)
    graph.until(player.running)
    status = player.running()[-1]
    player.act(status)
    player.act(status)
    graph.until(lambda: player.node._unmatched == 1)
    assert player.node._answered == status.step


def test_a_worlds_constructor_is_given_what_it_needs(graph):
    node = graph.add(SimulatorNode, env_id=FAST, env_kwargs='{"size": 32}', autostart=False)
    node.start()
    assert set(node._world.image_sizes.values()) == {(32, 32)}


def test_a_world_that_says_only_what_gymnasium_says(graph):
    player = Player(graph, env_id=BARE, episodes=1)
    player.play(1)
    end = player.ended()[0]
    assert (end.outcome, end.failure_type) == (Outcome.FAILURE, FailureType.TIMEOUT)
    assert end.failure_step == LENGTH
    assert player.joints[0].name == [f"panda_joint{i}" for i in range(1, 8)]
    assert (end.fault, end.fault_step, end.condition) == ("none", -1, "")
    assert math.isnan(end.fault_strength)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"env_id": "salus_test/Nothing-v0"}, "env_id 'salus_test/Nothing-v0' cannot be made"),
        ({"env_id": "no_such_module:A-v0"}, "cannot be made .* registered Gymnasium id"),
        ({"env_id": "fast_world:salus_test/Broken-v0"}, "allowed are observations"),
        ({"env_id": BARE, "joint_names": ["a"]}, "7 joint positions and 1 joint names"),
        ({"env_id": FAST, "fault": "earthquake"}, "unknown fault 'earthquake'"),
        ({"env_id": FAST, "condition": "dark"}, "unknown condition 'dark'"),
        ({"env_id": BARE, "condition": "shifted"}, "a world that has no conditions; leave it"),
        ({"env_id": FAST, "fault_rate": 0.4}, "'fault_rate' is 0.4; allowed is a number from -1"),
        (
            {"env_id": FAST, "env_kwargs": "{size: 3}"},
            "env_kwargs is '{size: 3}'; allowed is a JSON",
        ),
        ({"env_id": FAST, "mode": "turbo"}, "one of lockstep, realtime"),
    ],
)
def test_a_world_that_cannot_be_is_one_clear_error(graph, parameters, said):
    with pytest.raises(ConfigError, match=said):
        graph.add(SimulatorNode, **parameters)


def test_another_rate_than_the_worlds_is_said(graph, capfd):
    graph.add(SimulatorNode, env_id=FAST, rate_hz=10.0)
    assert "the world was made for 30 steps per second" in capfd.readouterr().err


def test_the_built_in_world(graph):
    player = Player(graph, env_id="salus/PickPlace-v0", republish_s=60.0, seed=1)
    for step in range(3):
        graph.until(lambda: len(player.running()) == step + 1)  # noqa: B023
        player.act(player.running()[-1], [0, 0, -1, 0, 0, 0, 1])
    graph.until(lambda: all(len(images) == 4 for images in player.images.values()))
    status = player.running()[-1]
    assert (status.step, status.seed, status.rate_hz) == (3, 1, 30.0)
    assert status.task in TASKS
    assert (status.condition, status.fault, status.fault_step) == ("standard", "none", -1)
    for images in player.images.values():
        pixels = image_to_array(images[-1], "camera")
        assert pixels.shape == (256, 256, 3)
        assert pixels.std() > 5  # something is to be seen
    assert status.max_steps == 200
    graph.until(lambda: len(player.joints) == 4 and len(player.infos) == 4)
    focal_px = player.infos[0].k[0]
    assert 100 < focal_px < 1000
    np.testing.assert_allclose(
        player.infos[0].k, [focal_px, 0, 127.5, 0, focal_px, 127.5, 0, 0, 1]
    )
    assert len(player.joints[0].name) == 9
    assert player.joints[0].position != player.joints[3].position
