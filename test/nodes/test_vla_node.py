import math

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from salus_msgs.msg import EpisodeStatus, PolicyAction, VlaSignals
from salus_ros.core.errors import ConfigError, PolicyError
from salus_ros.nodes import convert
from salus_ros.nodes.parameters import PANDA_JOINTS
from salus_ros.nodes.qos import stream_qos
from salus_ros.nodes.vla import VlaNode, match_cameras
from salus_ros.policies.runner import SmolVLARunner

CAMERAS = ("front", "side", "wrist")
SIZE = 256
TASK = "put the red cube in the bin"
PERIOD_NS = 33_333_333


def picture(camera: int, step: int) -> np.ndarray:
    rng = np.random.default_rng((camera, step))
    small = rng.integers(0, 256, (8, 8, 3), np.uint8)
    return np.kron(small, np.ones((SIZE // 8, SIZE // 8, 1), np.uint8))


def positions(step: int) -> np.ndarray:
    return np.linspace(-1, 1, 9) + 0.01 * step


class Robot:
    """A vla node, what it says, and a robot under the test's control."""

    def __init__(self, graph, policy_path, **parameters):
        self.graph = graph
        self.actions = graph.listen(PolicyAction, "action")
        self.signals = graph.listen(VlaSignals, "signals")
        self.diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
        given = {"policy_path": str(policy_path), "device": "cpu", "num_samples": 2}
        given["reliable_sensors"] = True
        self.node = graph.add(VlaNode, **(given | parameters))
        wait = "wait_for" not in parameters
        self.images = {c: graph.talk(Image, f"camera/{c}/image_raw", wait=wait) for c in CAMERAS}
        self.joints = graph.talk(JointState, "joint_states", wait=wait)
        self.episode = graph.talk(EpisodeStatus, "episode", status=True, wait=wait)

    def observe(self, step, *, episode="a", skip=(), images=None, joints=None, **status):
        head = convert.header((step + 1) * PERIOD_NS, "camera")
        fields = {"phase": EpisodeStatus.PHASE_RUNNING, "task": TASK, "seed": 5} | status
        if "episode" not in skip:
            message = EpisodeStatus(header=head, episode_id=episode, step=step, **fields)
            self.episode.publish(message)
        if "joint_states" not in skip:
            names, values = joints or ((*PANDA_JOINTS, "f1", "f2"), positions(step))
            self.joints.publish(convert.joint_state(names, np.asarray(values), head))
        for i, camera in enumerate(CAMERAS):
            if camera not in skip:
                message = convert.array_to_image(picture(i, step), head)
                for name, value in (images or {}).get(camera, {}).items():
                    setattr(message, name, value)
                self.images[camera].publish(message)

    def matched(self):
        """Wait until the node listens to everything."""
        for publisher in (*self.images.values(), self.joints, self.episode):
            self.graph.until(lambda one=publisher: one.get_subscription_count() == 1)

    def answered(self, count):
        self.graph.until(lambda: len(self.actions) >= count and len(self.signals) >= count)
        return self.actions[-1], self.signals[-1]

    def reported(self, level, said):
        name = f"{self.graph.namespace[1:]}/vla"
        self.graph.until(
            lambda: any(
                s.level == level and said in s.message
                for array in self.diagnostics
                for s in array.status
                if s.name == name
            ),
            said,
        )


def offline(policy_path, steps, seed=5, num_samples=2, task=TASK):
    """What the policy does on the same observations without ROS."""
    runner = SmolVLARunner(policy_path, device="cpu", num_samples=num_samples, replan_every=3)
    runner.reset(seed)
    return [
        runner.step(
            {camera: picture(i, step) for i, camera in enumerate(CAMERAS)},
            positions(step)[:7].astype(np.float32),
            task,
            step,
        )
        for step in steps
    ]


def test_every_observation_is_answered_as_without_ros(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    for step in range(4):
        robot.observe(step)
        action, signals = robot.answered(step + 1)
        expected = offline(tiny_policy, range(step + 1))[-1]
        np.testing.assert_array_equal(action.action, expected.action)
        values, valid = convert.signals_array(signals)
        np.testing.assert_array_equal(valid, expected.valid)
        np.testing.assert_array_equal(values[valid], expected.signals[expected.valid])
        np.testing.assert_array_equal(signals.embedding, np.float32(expected.embedding))
        assert signals.fresh == expected.fresh == (step % 3 == 0)
        for answer in (action, signals):
            assert (answer.episode_id, answer.step) == ("a", step)
            assert convert.to_ns(answer.header.stamp) == (step + 1) * PERIOD_NS
            assert answer.header.frame_id == "camera"
            assert answer.policy_id == robot.node._runner.policy_id != ""
        assert signals.num_samples == 2
        assert signals.inference_ms > 0 if signals.fresh else math.isnan(signals.inference_ms)


def test_a_repeated_observation_gets_the_same_answer(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    robot.observe(0)
    first, _ = robot.answered(1)
    robot.observe(0)
    second, _ = robot.answered(2)
    assert second == first
    robot.observe(1)
    third, _ = robot.answered(3)
    np.testing.assert_array_equal(third.action, offline(tiny_policy, range(2))[1].action)


def test_a_node_that_starts_in_the_middle_goes_on(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    robot.observe(57)
    action, signals = robot.answered(1)
    assert (action.step, signals.fresh) == (57, True)
    np.testing.assert_array_equal(action.action, offline(tiny_policy, [57])[0].action)


def test_nothing_of_an_episode_reaches_the_next(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    for step in range(2):
        robot.observe(step)
        robot.answered(step + 1)
    robot.observe(2, episode="b", seed=9)
    action, signals = robot.answered(3)
    expected = offline(tiny_policy, [2], seed=9)[0]
    np.testing.assert_array_equal(action.action, expected.action)
    np.testing.assert_array_equal(convert.signals_array(signals)[1], expected.valid)
    assert signals.fresh


def test_the_same_episode_run_again_starts_over(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    for count, step in enumerate((0, 1, 0)):
        robot.observe(step, task=TASK if count < 2 else "lift the red cube")
        robot.answered(count + 1)
    again = offline(tiny_policy, [0], task="lift the red cube")[0]
    np.testing.assert_array_equal(robot.actions[-1].action, again.action)


def test_joints_are_taken_by_name(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    names = ("f1", *reversed(PANDA_JOINTS))
    robot.observe(0, joints=(names, [9.0, *reversed(positions(0)[:7])]))
    action, _ = robot.answered(1)
    np.testing.assert_array_equal(action.action, offline(tiny_policy, [0])[0].action)


def test_the_task_may_be_given_to_the_node(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, task="stack the blue cube")
    robot.observe(0)
    action, _ = robot.answered(1)
    expected = offline(tiny_policy, [0], task="stack the blue cube")[0].action
    np.testing.assert_array_equal(action.action, expected)


def test_the_embedding_may_stay_at_home(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, publish_embedding=False)
    robot.observe(0)
    assert len(robot.answered(1)[1].embedding) == 0


BAD = {
    "encoding": (
        {"images": {"wrist": {"encoding": "16UC1"}}},
        "camera 'wrist' sends encoding '16UC1'; accepted are rgb8",
    ),
    "bytes": (
        {"images": {"side": {"data": b"123"}}},
        "camera 'side' sends 3 bytes for 256x256 pixels",
    ),
    "nan joint": (
        {"joints": (PANDA_JOINTS, [0.0] * 6 + [math.nan])},
        "joint_states has panda_joint7 = nan",
    ),
    "other joints": (
        {"joints": (["shoulder", "elbow"], [0.0, 0.0])},
        "it has shoulder, elbow; set the parameter state_joints",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_no_answer_but_a_report_and_good_input_goes_on(graph, tiny_policy, case):
    robot = Robot(graph, tiny_policy)
    bad, said = BAD[case]
    robot.observe(0, **bad)
    robot.reported(DiagnosticStatus.ERROR, said)
    assert robot.actions == []
    assert robot.signals == []
    robot.observe(1)
    action, _ = robot.answered(1)
    assert action.step == 1
    robot.reported(DiagnosticStatus.OK, "running")


@pytest.mark.parametrize("missing", ["wrist", "joint_states"])
def test_an_input_that_never_comes_is_named(graph, tiny_policy, missing):
    robot = Robot(graph, tiny_policy, input_timeout_s=0.1)
    robot.observe(0, skip=(missing,))
    topic = f"camera/{missing}/image_raw" if missing in CAMERAS else missing
    robot.reported(
        DiagnosticStatus.ERROR, f"'{missing}' has never arrived on {graph.namespace}/{topic}"
    )
    assert robot.actions == []
    robot.observe(0)
    robot.answered(1)


def test_an_input_that_falls_silent_is_named(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, input_timeout_s=0.1)
    robot.observe(0)
    robot.answered(1)
    robot.reported(DiagnosticStatus.ERROR, "'front' has not arrived on")
    robot.observe(1, phase=EpisodeStatus.PHASE_FINISHED)
    robot.reported(DiagnosticStatus.OK, "running")


def test_no_input_at_all_is_said(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, input_timeout_s=0.1)
    robot.reported(DiagnosticStatus.WARN, "no input has arrived yet")


@pytest.mark.parametrize(
    "phase", [EpisodeStatus.PHASE_IDLE, EpisodeStatus.PHASE_ENDED, EpisodeStatus.PHASE_FINISHED]
)
def test_there_is_no_action_without_a_running_episode(graph, tiny_policy, phase):
    robot = Robot(graph, tiny_policy)
    robot.observe(0, phase=phase)
    robot.observe(1)
    action, _ = robot.answered(1)
    assert action.step == 1


def test_a_real_robots_stamps_may_differ(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, sync_slop_ms=20.0)
    start = convert.header(1_000)
    robot.episode.publish(
        EpisodeStatus(header=start, episode_id="a", phase=EpisodeStatus.PHASE_RUNNING, task=TASK)
    )
    for tick in range(3):
        stamp_ns = 10**9 + tick * PERIOD_NS
        joints = convert.joint_state(PANDA_JOINTS, positions(0)[:7], convert.header(stamp_ns - 5))
        for delay, (i, camera) in enumerate(zip(range(3), CAMERAS, strict=True)):
            head = convert.header(stamp_ns + delay * 3_000_000)
            robot.images[camera].publish(convert.array_to_image(picture(i, 0), head))
        robot.joints.publish(joints)
        action, _ = robot.answered(tick + 1)
        assert action.step == tick
        assert convert.to_ns(action.header.stamp) == stamp_ns


def test_a_policy_that_is_none_is_one_clear_error(graph, tmp_path):
    with pytest.raises(PolicyError, match=str(tmp_path)):
        graph.add(VlaNode, policy_path=str(tmp_path))


def test_a_policy_of_another_state_is_one_clear_error(graph, tiny_policy):
    said = "takes a state of 7 values, state_joints names 2"
    with pytest.raises(PolicyError, match=said):
        graph.add(VlaNode, policy_path=str(tiny_policy), state_joints=["a", "b"], device="cpu")


def test_a_policy_of_other_cameras_is_one_clear_error(graph, tiny_policy):
    with pytest.raises(PolicyError, match=r"the policy takes 3 cameras .* names 1 .top."):
        graph.add(VlaNode, policy_path=str(tiny_policy), cameras=["top"], device="cpu")


def test_a_parameter_out_of_range_is_one_clear_error(graph):
    with pytest.raises(ConfigError, match="'num_samples' is 0; allowed is a whole number from 1"):
        graph.add(VlaNode, num_samples=0)


def test_cameras_of_the_same_names_are_the_same():
    robot = ("top", "wrist", "front", "side")
    assert match_cameras(CAMERAS, robot) == {"front": "front", "side": "side", "wrist": "wrist"}


def test_cameras_of_other_names_go_by_their_order():
    assert match_cameras(("camera1", "camera2"), ("front", "wrist")) == {
        "camera1": "front",
        "camera2": "wrist",
    }


def test_it_takes_part_when_its_listeners_are_there(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, wait_for="recorder")
    for _ in range(10):  # the test itself listens, as an rqt would: it is not the recorder
        graph.executor.spin_once(timeout_sec=0.03)
    assert robot.node.missing_listeners() == [f"'recorder' to listen to {graph.namespace}/signals"]
    assert robot.episode.get_subscription_count() == 0
    listener = Listener("recorder", graph)
    robot.matched()
    robot.observe(0)
    robot.answered(1)
    listener.destroy_node()


def test_it_goes_on_when_a_listener_stays_away(graph, tiny_policy, monkeypatch, capfd):
    monkeypatch.setattr("salus_ros.nodes.base.LISTENERS_TIMEOUT_S", 0.2)
    listener = Listener("recorder", graph)
    robot = Robot(graph, tiny_policy, wait_for="recorder")
    robot.matched()
    listener.destroy_node()
    graph.until(robot.node.missing_listeners)
    robot.observe(0)
    robot.answered(1)
    assert "waited for 'recorder' to listen to" in capfd.readouterr().err
    robot.observe(1, episode="b")
    robot.answered(2)
    assert "going on without" not in capfd.readouterr().err


class Listener(Node):
    """A node of that name that listens to the signals."""

    def __init__(self, name, graph):
        super().__init__(name, namespace=graph.namespace)
        self.create_subscription(VlaSignals, "signals", lambda _: None, stream_qos())
