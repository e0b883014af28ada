"""A real arm, as far as the nodes can tell: drivers with clocks of their own, and no world."""

import time

import numpy as np
import pytest
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from salus_msgs.msg import EpisodeStatus, RecorderStatus
from salus_msgs.srv import LabelEpisode, StartEpisode
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import StoreReader
from salus_ros.nodes import convert
from salus_ros.nodes.episode import EpisodeNode
from salus_ros.nodes.parameters import PANDA_JOINTS
from salus_ros.nodes.recorder import RecorderNode
from salus_ros.nodes.vla import VlaNode

SLOP_MS = 20.0
DELAYS_MS = {"front": 0.0, "side": 4.0, "wrist": 8.0, "state": 2.0}
"""How much older a stream's newest sample is than the reference image."""


class Drivers:
    """Publish what a camera or an arm would, each stream with stamps of its own."""

    def __init__(self, graph, node):
        self.node = node
        self.images = {
            c: graph.talk(Image, f"camera/{c}/image_raw") for c in ("front", "side", "wrist")
        }
        self.joints = graph.talk(JointState, "joint_states")

    def observe(self, step):
        now_ns = self.node.get_clock().now().nanoseconds
        joints = convert.joint_state(
            PANDA_JOINTS, np.full(7, step / 10), self.header(now_ns, "state")
        )
        self.joints.publish(joints)
        for camera in ("wrist", "side", "front"):  # the reference comes last
            pixels = np.full((64, 64, 3), 10 * step, np.uint8)
            image = convert.array_to_image(pixels, self.header(now_ns, camera))
            self.images[camera].publish(image)

    def header(self, now_ns, stream):
        return convert.header(now_ns - round(DELAYS_MS[stream] * 1e6))


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
def test_an_arm_is_run_recorded_and_labelled_by_a_person(graph, tmp_path, tiny_policy, outcome):
    path = tmp_path / "arm.zarr"
    status = graph.listen(RecorderStatus, "recorder_status", status=True)
    recorder = graph.add(
        RecorderNode,
        store_path=str(path),
        settle_s=0.2,
        max_age_ms=50.0,
        min_free_mb=0,
    )
    graph.add(EpisodeNode, task="put the red cube in the bin", rate_hz=10.0)
    policy = {"policy_path": str(tiny_policy), "device": "cpu", "num_samples": 2}
    vla = graph.add(VlaNode, sync_slop_ms=SLOP_MS, **policy)
    drivers = Drivers(graph, recorder)
    drivers.observe(0)  # nobody has begun an episode: the policy does not act
    time.sleep(2 * SLOP_MS / 1e3)
    begun = graph.call(StartEpisode, "episode/start", StartEpisode.Request())
    assert begun.success
    running = EpisodeStatus.PHASE_RUNNING
    graph.until(lambda: vla._phase == running)  # else a first image may overtake the status
    assembler = recorder._recorder._assembler
    for step in range(5):
        time.sleep(SLOP_MS / 1e3)  # longer than any delay
        drivers.observe(step)
        graph.until(lambda step=step: assembler.steps(begun.episode_id) == step + 1)
    assert graph.call(Trigger, "episode/stop", Trigger.Request()).success
    failed = outcome == Outcome.FAILURE
    request = LabelEpisode.Request(
        outcome=outcome,
        failure_type=FailureType.DROP if failed else FailureType.NONE,
        failure_step=3 if failed else -1,
    )
    assert graph.call(LabelEpisode, "episode/label", request).success
    graph.until(lambda: status and status[-1].episodes_committed == 1)

    episode = StoreReader(path).episode(0)
    assert len(episode) == 5
    assert (episode.meta.task, episode.meta.rate_hz) == ("put the red cube in the bin", 10.0)
    assert (episode.meta.outcome, episode.meta.seed) == (outcome, -1)
    streams = StoreReader(path).spec.streams
    for stream, delay_ms in DELAYS_MS.items():
        ages = episode.age_ms[:, streams.index(stream)]
        np.testing.assert_allclose(ages, delay_ms, atol=1e-3)
    np.testing.assert_array_equal(episode.images["wrist"][:, 0, 0, 0], 10 * np.arange(5))
    np.testing.assert_allclose(episode.state[:, 0], np.arange(5) / 10)
    assert np.isfinite(episode.action).all()
    assert episode.signals_valid[1:].any(axis=1).all()
