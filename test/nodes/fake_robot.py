"""A robot under the test's control: publishes all that a recorder listens to."""

import io
import math
from pathlib import Path

import numpy as np
import PIL.Image
from sensor_msgs.msg import CompressedImage, Image, JointState

from salus_msgs.msg import (
    EpisodeStatus,
    FailureHorizons,
    PolicyAction,
    RecorderStatus,
    VlaSignals,
)
from salus_ros.core import schema
from salus_ros.nodes import convert
from salus_ros.nodes.parameters import PANDA_JOINTS
from salus_ros.nodes.recorder import RecorderNode

CAMERAS = ("front", "side", "wrist")
SIZE = (24, 32)
PERIOD_NS = 33_333_333


class Robot:
    """Everything that a recorder listens to, under the test's control."""

    def __init__(self, graph, path: Path, *, compression: str = "", alone=False, **parameters):
        self.compression = compression
        if compression:
            parameters["image_transport"] = "compressed"
        self.graph = graph
        self.path = path
        self.heard = graph.listen(RecorderStatus, "recorder_status", status=True)
        given = {"store_path": str(path), "settle_s": 0.2, "min_free_mb": 0, "status_hz": 20.0}
        given["reliable_sensors"] = True
        self.node = None if alone else graph.add(RecorderNode, **(given | parameters))
        kind, topic = (CompressedImage, "/compressed") if compression else (Image, "")
        self.images = {c: graph.talk(kind, f"camera/{c}/image_raw{topic}") for c in CAMERAS}
        self.joints = graph.talk(JointState, "joint_states")
        self.episode = graph.talk(EpisodeStatus, "episode", status=True)
        self.action = graph.talk(PolicyAction, "action")
        self.signals = graph.talk(VlaSignals, "signals")
        self.horizons = graph.talk(FailureHorizons, "failure_horizons")
        self.tick = 0

    @property
    def header(self):
        return convert.header(int(self.tick * PERIOD_NS))

    def observe(
        self, episode, step, *, skip=(), size=SIZE, encoding="rgb8", joint=None, sent=None
    ):
        """Publish what the world shows; pixels are 10 * camera + step."""
        status = EpisodeStatus(
            header=self.header,
            episode_id=episode,
            step=step,
            phase=EpisodeStatus.PHASE_RUNNING,
            task="lift",
            rate_hz=30.0,
        )
        self.episode.publish(status)
        for i, camera in enumerate(CAMERAS):
            if camera not in skip:
                pixels = np.full((*size, 3), (10 * i + step) % 256, np.uint8)
                self.images[camera].publish(self.image(pixels, encoding))
        if "state" not in skip:
            positions = np.arange(9) / 10 + step
            if joint is not None:
                positions[3] = joint
            names = (*PANDA_JOINTS, "finger1", "finger2")
            message = convert.joint_state(names, positions, self.header)
            for quantity, values in (sent or {}).items():
                setattr(message, quantity, values.tolist())
            self.joints.publish(message)

    def image(self, pixels, encoding):
        if self.compression:
            data = io.BytesIO()
            PIL.Image.fromarray(pixels).save(data, self.compression)
            return CompressedImage(
                header=self.header, format=f"rgb8; {self.compression}", data=data.getvalue()
            )
        message = convert.array_to_image(pixels, self.header)
        message.encoding = encoding
        if encoding == "16UC1":
            depth_mm = np.full(pixels.shape[:2], 500, "<u2")
            message.step = 2 * message.width
            message.data = convert.byte_array(depth_mm.view(np.uint8))
        return message

    def answer(self, episode, step, *, skip=(), said=None, acts=""):
        """Publish what the policy and the predictor make of it."""
        common = {"header": self.header, "episode_id": episode, "step": step}
        if "action" not in skip:
            action = np.full(7, step / 10, np.float32)
            given = {"action": action, "policy_id": "tiny", "intervention": acts}
            self.action.publish(PolicyAction(**common, **given))
        if "signals" not in skip:
            signals = VlaSignals(**common, fresh=step % 3 == 0, num_samples=4)
            values = np.arange(12, dtype=np.float32) + step
            valid = np.ones(12, bool)
            valid[11] = False
            convert.fill_signals(signals, values, valid)
            signals.embedding = np.full(5, step, np.float32)
            for name, value in (said or {}).items():
                setattr(signals, name, value)
            self.signals.publish(signals)
        if "prediction" not in skip:
            self.horizons.publish(
                FailureHorizons(
                    **common,
                    horizons=np.float32(schema.HORIZONS_S),
                    failure_types=[1, 2, 3, 4],
                    probability=np.full(16, step % 100 / 100, np.float32),
                    risk=step % 50 / 50,
                    alarm=step > 2,
                    episode_failure=0.5,
                    no_progress=0.25 if step % 2 else math.nan,
                    model_id="m1",
                )
            )

    def step(self, episode, step, *, skip=(), said=None, acts="", **observed):
        self.tick += 1
        self.observe(episode, step, skip=skip, **observed)
        self.answer(episode, step, skip=skip, said=said, acts=acts)

    def end(self, episode, steps, outcome=1, failure_type=0, failure_step=-1, **fields):
        fault = {"fault": "slip", "fault_step": 9, "fault_strength": 0.1}
        world = {"seed": 3, "task": "lift", "condition": "shifted", "rate_hz": 30.0}
        world |= {"world": "a/B-v1"}
        known = world if "fault" in fields else world | fault
        self.tick += 1
        self.episode.publish(
            EpisodeStatus(
                header=self.header,
                episode_id=episode,
                step=steps,
                phase=EpisodeStatus.PHASE_ENDED,
                outcome=outcome,
                failure_type=failure_type,
                failure_step=failure_step,
                **known | fields,
            )
        )

    def run(self, episode, steps=4, **options):
        for step in range(steps):
            self.step(episode, step, **options)
        self.end(episode, steps)

    def committed(self, episodes):
        self.graph.until(lambda: self.heard and self.heard[-1].episodes_committed == episodes)
        return self.heard[-1]

    def failed(self, said):
        self.graph.until(lambda: self.heard and said in self.heard[-1].last_error, said)
        return self.heard[-1]

    def dropped(self, said):
        """Wait until an episode was dropped for this reason, and nothing was written."""
        status = self.failed(said)
        assert status.episodes_committed == 0
        assert status.messages_dropped > 0
        return status

    def close(self):
        self.graph.remove(self.node)
