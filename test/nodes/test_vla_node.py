import math
import time

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState

from salus_msgs.msg import EpisodeStatus, PolicyAction, RecoveryStatus, VlaSignals
from salus_ros.core.errors import ConfigError, PolicyError
from salus_ros.messages.signals import read_signals, signals_array
from salus_ros.messages.stamps import to_ns
from salus_ros.nodes import convert
from salus_ros.nodes.parameters import PANDA_JOINTS
from salus_ros.nodes.qos import stream_qos
from salus_ros.nodes.vla import VlaNode
from salus_ros.policies.runner import PolicyRunner

CAMERAS = ("front", "side", "wrist")
SIZE = 256
TASK = "put the red cube in the bin"
PERIOD_NS = 33_333_333
COMPRESSED = "camera/{}/image_raw/compressed"


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
        raw = wait and parameters.get("image_transport") != "compressed"
        self.images = {c: graph.talk(Image, f"camera/{c}/image_raw", wait=raw) for c in CAMERAS}
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

    def statuses(self):
        """What it has reported."""
        name = f"{self.graph.namespace[1:]}/vla"
        return [s for array in self.diagnostics for s in array.status if s.name == name]

    def reported(self, level, said):
        """Wait for a report, which is not one of before."""
        self.diagnostics.clear()
        self.graph.until(
            lambda: any(s.level == level and said in s.message for s in self.statuses()), said
        )


def offline(policy_path, steps, seed=5, num_samples=2, task=TASK):
    """What the policy does on the same observations without ROS."""
    runner = PolicyRunner(policy_path, device="cpu", num_samples=num_samples, replan_every=3)
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
        values, valid = signals_array(signals)
        np.testing.assert_array_equal(valid, expected.valid)
        np.testing.assert_array_equal(values[valid], expected.signals[expected.valid])
        np.testing.assert_array_equal(signals.embedding, np.float32(expected.embedding))
        row = read_signals(signals)
        np.testing.assert_array_equal(row.plan, expected.plans[0].astype(np.float16))
        np.testing.assert_array_equal(row.visual_embedding, expected.visual_embedding)
        np.testing.assert_array_equal(row.expert_embedding, expected.expert_embedding)
        assert (row.plan_step, row.visual_cameras) == (step % 3, CAMERAS)
        assert row.plan_samples is None
        assert signals.fresh == expected.fresh == (step % 3 == 0)
        for answer in (action, signals):
            assert (answer.episode_id, answer.step) == ("a", step)
            assert to_ns(answer.header.stamp) == (step + 1) * PERIOD_NS
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
    np.testing.assert_array_equal(signals_array(signals)[1], expected.valid)
    assert signals.fresh


def test_the_same_episode_run_again_starts_over(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    for count, step in enumerate((0, 1, 0)):
        robot.observe(step, task=TASK if count < 2 else "lift the red cube")
        robot.answered(count + 1)
    again = offline(tiny_policy, [0], task="lift the red cube")[0]
    np.testing.assert_array_equal(robot.actions[-1].action, again.action)


def test_while_something_else_acts_it_waits_and_then_plans_anew_at_that_step(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    recovery = graph.talk(RecoveryStatus, "recovery_status", status=True)
    robot.observe(0)
    robot.answered(1)
    acts = RecoveryStatus(episode_id="a", actor=RecoveryStatus.ACTOR_BEHAVIOUR)
    recovery.publish(acts)
    graph.until(lambda: robot.node._recovery == acts)
    for step in (1, 2):
        robot.observe(step)
        graph.until(lambda step=step: robot.node._seen.status.step == step)
    graph.until(lambda: robot.node._report().message == "waiting: recovery has the arm")
    assert len(robot.actions) == 1
    recovery.publish(RecoveryStatus(episode_id="a", hand_backs=1, seed=77))
    action, signals = robot.answered(2)
    assert (action.step, action.hand_backs, signals.hand_backs) == (2, 1, 1)
    expected = offline(tiny_policy, [2], seed=77)[0]
    np.testing.assert_array_equal(action.action, expected.action)
    np.testing.assert_array_equal(signals.valid, expected.valid)
    # Once more at the same step: asked back before it acted.
    recovery.publish(RecoveryStatus(episode_id="a", hand_backs=2, seed=78))
    action, _ = robot.answered(3)
    assert (action.step, action.hand_backs) == (2, 2)
    robot.observe(3, episode="b")
    assert robot.answered(4)[0].hand_backs == 0


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


def test_plan_and_embeddings_may_stay_at_home(graph, tiny_policy):
    names = ("plan", "visual_embedding", "expert_embedding")
    robot = Robot(graph, tiny_policy, **{f"publish_{name}": False for name in names})
    robot.observe(0)
    row = read_signals(robot.answered(1)[1])
    assert row.plan is row.visual_embedding is row.expert_embedding is None
    assert np.isfinite(row.embedding).all()


def test_all_sampled_plans_are_published_where_they_are_asked_for(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, publish_plan_samples=True)
    robot.observe(0)
    row = read_signals(robot.answered(1)[1])
    expected = offline(tiny_policy, range(1))[0].plans
    np.testing.assert_array_equal(row.plan_samples, expected.astype(np.float16))


def test_the_embedding_may_stay_at_home(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, publish_embedding=False)
    robot.observe(0)
    assert len(robot.answered(1)[1].embedding) == 0


BAD = {
    "encoding": (
        {"images": {"wrist": {"encoding": "16UC1"}}},
        "camera 'wrist' sends '16UC1', of more than 8 bits a pixel without a colour; a policy",
    ),
    "unknown encoding": (
        {"images": {"wrist": {"encoding": "pink"}}},
        "camera 'wrist' sends encoding 'pink'; accepted are mono8",
    ),
    "a size that no memory holds": (
        {"images": {"side": {"width": 4_000_000_000, "height": 4_000_000_000}}},
        "megapixels",
    ),
    "bytes": (
        {"images": {"side": {"data": b"123"}}},
        "camera 'side' sends 3 bytes for 256x256 pixels",
    ),
    "nan joint": (
        {"joints": (PANDA_JOINTS, [0.0] * 6 + [math.nan])},
        "joint_states: it has panda_joint7 = nan",
    ),
    "joints without positions": (
        {"joints": (PANDA_JOINTS, [])},
        "it has 7 names and 0 values of position",
    ),
    "other joints": (
        {"joints": (["shoulder", "elbow"], [0.0, 0.0])},
        "it has shoulder, elbow; set the parameter state_joints",
    ),
    "a long id": ({"episode": "x" * 1_000_000}, "an episode id of 1000000 characters"),
    "the last step there is": (
        {"step": 4_294_967_295},
        "it is at step 4294967295 with a task of 27 characters",
    ),
    "a long task": ({"task": "x" * 1_000_000}, "with a task of 1000000 characters"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_no_answer_but_a_report_and_good_input_goes_on(graph, tiny_policy, case):
    robot = Robot(graph, tiny_policy)
    bad, said = BAD[case]
    robot.observe(**({"step": 0} | bad))
    robot.reported(DiagnosticStatus.ERROR, said)
    assert robot.actions == []
    assert robot.signals == []
    robot.observe(1)
    action, _ = robot.answered(1)
    assert action.step == 1
    robot.reported(DiagnosticStatus.OK, "running")
    if case != "other joints":  # which may be those of a gripper
        assert sum(robot.node._refused.values()) == 1


def test_a_stamp_that_is_none_is_refused(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    message = JointState(name=list(PANDA_JOINTS), position=[0.0] * 7)
    message.header.stamp.nanosec = 4_294_967_295
    robot.joints.publish(message)
    robot.reported(DiagnosticStatus.ERROR, "joint_states: its stamp is 0 s and 4294967295 ns")
    robot.observe(0)
    robot.answered(1)


def odd_picture(height, width):
    data = convert.byte_array(np.zeros(3 * height * width, np.uint8))
    return {"height": height, "width": width, "step": 3 * width, "data": data}


def test_a_picture_of_any_size_ends_nothing(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    for step, size in enumerate([(1, 1), (1800, 2400)]):
        robot.observe(step, images={"side": odd_picture(*size)})
        assert np.isfinite(robot.answered(step + 1)[0].action).all()
    robot.observe(3, images={"side": odd_picture(1, 4000)})
    robot.reported(DiagnosticStatus.ERROR, "camera 'side' sends 4000x1 pixels")
    robot.observe(4)
    assert robot.answered(3)[0].step == 4


def test_compressed_images_are_taken(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, image_transport="compressed")
    robot.images = {c: graph.talk(CompressedImage, COMPRESSED.format(c)) for c in CAMERAS}
    robot.observe(0, skip=CAMERAS)
    head = convert.header(PERIOD_NS)
    for i, camera in enumerate(CAMERAS):
        _, data = cv2.imencode(".png", picture(i, 0)[..., ::-1])
        message = CompressedImage(header=head, format="png", data=data.tobytes())
        robot.images[camera].publish(message)
    action, _ = robot.answered(1)
    np.testing.assert_array_equal(action.action, offline(tiny_policy, [0])[0].action)
    robot.observe(1, skip=CAMERAS)
    message.header = convert.header(2 * PERIOD_NS)
    bad = CompressedImage(header=message.header, format="png", data=b"none")
    for camera in CAMERAS:
        robot.images[camera].publish(bad if camera == "side" else message)
    robot.reported(DiagnosticStatus.ERROR, "camera 'side' sends 4 bytes of format 'png'")


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
    robot.reported(DiagnosticStatus.OK, "waiting for an episode")


def test_no_input_at_all_is_said(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, input_timeout_s=0.1)
    robot.reported(DiagnosticStatus.WARN, "no input has arrived yet")


def test_before_any_episode_all_is_well(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, input_timeout_s=0.1, sync_slop_ms=15.0)
    robot.observe(0, skip=("episode",))
    time.sleep(0.2)
    robot.reported(DiagnosticStatus.OK, "waiting for an episode")
    assert not any(s.level == DiagnosticStatus.ERROR for s in robot.statuses())


def test_an_observation_that_lacks_something_is_said(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, sync_slop_ms=15.0)
    robot.observe(0)
    robot.answered(1)
    robot.reported(DiagnosticStatus.OK, "running")
    for step in range(1, 4):
        robot.observe(step, skip=("side",))
    said = "2 observations without an answer, the last for no 'side' within 15 ms of 'front'"
    robot.reported(DiagnosticStatus.WARN, said)
    robot.observe(4)
    robot.answered(2)
    robot.reported(DiagnosticStatus.OK, "running")
    assert robot.node._sync.given_up == {"side": 3}


@pytest.mark.parametrize(
    "phase", [EpisodeStatus.PHASE_IDLE, EpisodeStatus.PHASE_ENDED, EpisodeStatus.PHASE_FINISHED]
)
def test_there_is_no_action_without_a_running_episode(graph, tiny_policy, phase):
    robot = Robot(graph, tiny_policy)
    robot.observe(0, phase=phase)
    robot.observe(1)
    action, _ = robot.answered(1)
    assert action.step == 1


def arm(robot, tick, delays_ms=(0, 3, 6), late=()):
    """Publish what a robot's drivers do at a tick; its gripper has a driver of its own."""
    stamp_ns = 10**9 + tick * PERIOD_NS
    for part, names in ((0, PANDA_JOINTS[:6]), (1, PANDA_JOINTS[6:])):
        head = convert.header(stamp_ns - part * 1_000_000)
        robot.joints.publish(convert.joint_state(names, positions(0)[: len(names)], head))
    order = [(i, camera, delays_ms[i]) for i, camera in enumerate(CAMERAS)]
    for i, camera, delay_ms in (*order, *late):
        head = convert.header(stamp_ns + round(delay_ms * 1e6))
        robot.images[camera].publish(convert.array_to_image(picture(i, 0), head))
    return stamp_ns


def announce(robot):
    """Say once that an episode runs, as a person does."""
    status = EpisodeStatus(episode_id="a", phase=EpisodeStatus.PHASE_RUNNING, task=TASK)
    status.header = convert.header(1_000)
    robot.episode.publish(status)


@pytest.mark.parametrize("delays_ms", [(0, 1, 2), (0, -1, -2)])
def test_a_real_robots_stamps_may_differ(graph, tiny_policy, delays_ms):
    robot = Robot(graph, tiny_policy, sync_slop_ms=15.0)
    announce(robot)
    for tick in range(3):
        stamp_ns = arm(robot, tick, delays_ms)
        action, _ = robot.answered(tick + 1)
        assert action.step == tick
        assert to_ns(action.header.stamp) == stamp_ns
        used = [(one.stream, to_ns(one.stamp) - stamp_ns) for one in action.inputs]
        assert used == [
            *((c, d * 1_000_000) for c, d in zip(CAMERAS, delays_ms, strict=True)),
            ("state", -1_000_000),
            ("state", 0),
        ]


def test_late_and_double_messages_do_not_stop_the_policy(graph, tiny_policy):
    robot = Robot(graph, tiny_policy, sync_slop_ms=15.0)
    announce(robot)
    for tick in range(6):
        late = [(i, camera, -7) for i, camera in enumerate(CAMERAS)] + [(0, "front", 0)]
        arm(robot, tick, (0, 0, 0), late)
        robot.answered(tick + 1)
    assert [action.step for action in robot.actions] == list(range(6))
    robot.reported(DiagnosticStatus.OK, "running")


def test_a_world_is_answered_with_what_it_sent(graph, tiny_policy):
    robot = Robot(graph, tiny_policy)
    robot.observe(0)
    action, _ = robot.answered(1)
    used = [(one.stream, to_ns(one.stamp)) for one in action.inputs]
    assert used == [(stream, PERIOD_NS) for stream in (*CAMERAS, "state")]


def test_a_policy_that_is_none_is_one_clear_error(graph, tmp_path):
    with pytest.raises(PolicyError, match=str(tmp_path)):
        graph.add(VlaNode, policy_path=str(tmp_path))


def test_a_policy_of_another_state_is_one_clear_error(graph, tiny_policy):
    said = "takes a state of 7 values, state_joints names 2"
    with pytest.raises(PolicyError, match=said):
        graph.add(VlaNode, policy_path=str(tiny_policy), state_joints=["a", "b"], device="cpu")


def test_a_policy_of_other_cameras_is_one_clear_error(graph, tiny_policy):
    with pytest.raises(PolicyError, match=r"takes the cameras front, side, wrist, there are top"):
        graph.add(VlaNode, policy_path=str(tiny_policy), cameras=["top"], device="cpu")


def test_a_camera_that_the_robot_calls_otherwise_is_heard_where_it_is_said(graph, tiny_policy):
    given = ["wrist", "front=top", "side"]
    node = graph.add(VlaNode, policy_path=str(tiny_policy), cameras=given, device="cpu")
    heard = {one.topic_name for one in node.subscriptions if "/camera/" in one.topic_name}
    expected = {f"{graph.namespace}/camera/{name}/image_raw" for name in ("top", "side", "wrist")}
    assert heard == expected


def test_a_parameter_out_of_range_is_one_clear_error(graph):
    with pytest.raises(ConfigError, match="'num_samples' is 0; allowed is a whole number from 1"):
        graph.add(VlaNode, num_samples=0)


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
