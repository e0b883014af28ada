"""Stand in for an SO-101: cameras, joints and a controller as topics, and the person beside it.

python examples/own_arm.py --make-policy runs/so101/policy   # a policy of its form, untrained
python examples/own_arm.py                                   # the arm alone, until Ctrl-C
python examples/own_arm.py --episodes 60                     # and a person who runs and judges 60
python examples/own_arm.py --episodes 60 --slowly 10         # all of it slower, on a slow machine

A robot of yours takes its place: whatever publishes these topics. The arm follows what the action
bridge commands. It holds a cube, which in some episodes begins to slip: the fingers close, and
then it drops. docs/tutorial.md goes through all of it.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import rclpy
import yaml
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from salus_msgs.msg import PolicyAction
from salus_msgs.srv import LabelEpisode, StartEpisode
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.nodes.convert import array_to_image, header, joint_state

PROFILE = Path(__file__).parent.parent / "config" / "robots" / "so101.yaml"
TASK = "pick up the red cube"
SIZE = 64
CONTROL_HZ, CAMERA_HZ = 100, 10
LAG_S = 0.05
"""Time constant with which a joint follows its command."""

CUBE, SLIP_S = 0.6, 1.2
"""Opening in rad at which the fingers hold the cube, and how long it takes to slip away."""

EPISODE_S, SLIPPING = 4.0, 0.4
"""How long an episode lasts, and in which share of them the cube slips."""


class StandIn(Node):
    """Publishes what the drivers of an SO-101 would, and moves as its controller is told."""

    def __init__(self, slowly: float = 1.0, **options) -> None:
        super().__init__("so101", **options)
        self._slowly = slowly
        profile = yaml.safe_load(PROFILE.read_text())
        self._names = [joint["name"] for joint in profile["joints"]]
        self._goal = np.array([joint["home"] for joint in profile["joints"]], float)
        self._at = self._goal.copy()
        self._slips_at = np.inf
        self._joints = self.create_publisher(JointState, "joint_states", 10)
        self._images = {
            name: self.create_publisher(Image, f"camera/{name}/image_raw", 10)
            for name in profile["cameras"]
        }
        topic = profile["command"]["topic"]
        self.create_subscription(Float64MultiArray, topic, self._on_command, 10)
        self.create_timer(1 / CONTROL_HZ, self._move)
        self.create_timer(slowly / CAMERA_HZ, self._show)

    @property
    def now_s(self) -> float:
        """The time in s, at its own speed."""
        return self.get_clock().now().nanoseconds / 1e9 / self._slowly

    @property
    def _cube(self) -> float:
        """Opening in rad at which it holds the fingers; 0 when it has dropped."""
        return CUBE * min(max(1 - (self.now_s - self._slips_at) / SLIP_S, 0.0), 1.0)

    @property
    def dropped(self) -> bool:
        """Whether the cube has slipped away."""
        return self._cube == 0.0

    def begin(self, seed: int) -> None:
        """Put the cube between the fingers; the seed says whether and when it will slip."""
        chance = np.random.default_rng(seed)
        self._slips_at = np.inf
        if chance.random() < SLIPPING:
            self._slips_at = self.now_s + chance.uniform(0.1, 0.6) * EPISODE_S

    def _on_command(self, message: Float64MultiArray) -> None:
        self._goal = np.array(message.data)

    def _move(self) -> None:
        self._at += (self._goal - self._at) / (1 + LAG_S * CONTROL_HZ)
        self._at[-1] = self._cube  # it keeps the fingers apart
        self._joints.publish(joint_state(self._names, self._at, self._header()))

    def _show(self) -> None:
        """Draw the arm as bars, one a joint, and the cube where the fingers are."""
        for publisher in self._images.values():
            pixels = np.full((SIZE, SIZE, 3), 200, np.uint8)
            for i, angle in enumerate(self._at):
                height = int(np.clip(SIZE / 2 + 12 * angle, 2, SIZE - 2))
                pixels[SIZE - height :, 10 * i + 2 : 10 * i + 8] = (40, 60, 30 * i)
            size = int(16 * self._cube / CUBE)
            pixels[4 : 4 + size, 24 : 24 + size] = (200, 20, 20)
            publisher.publish(array_to_image(pixels, self._header()))

    def _header(self):
        return header(self.get_clock().now().nanoseconds)


class Person:
    """Begins an episode, ends it after a while or when the cube has dropped, and judges it.

    The moment of the failure is told as a step of the policy, which may be slower than its rate.
    """

    def __init__(self, arm: StandIn, spin) -> None:
        self._arm, self._spin = arm, spin
        self._step: dict[str, int] = {}  # the policy's last one in each episode
        arm.create_subscription(PolicyAction, "action", self._on_action, 10)
        self._ask_start = arm.create_client(StartEpisode, "episode/start")
        self._ask_stop = arm.create_client(Trigger, "episode/stop")
        self._ask_label = arm.create_client(LabelEpisode, "episode/label")

    def run(self, seed: int) -> str:
        """Run an episode; says how it went."""
        started = self._call(self._ask_start, StartEpisode.Request(task=TASK))
        while started.episode_id not in self._step:
            self._spin()  # until the policy acts
        self._arm.begin(seed)
        begun_s = self._arm.now_s
        while self._arm.now_s - begun_s < EPISODE_S and not self._arm.dropped:
            self._spin()
        self._call(self._ask_stop, Trigger.Request())
        label = LabelEpisode.Request(
            episode_id=started.episode_id, outcome=Outcome.SUCCESS, failure_step=-1
        )
        if self._arm.dropped:
            label.outcome, label.failure_type = Outcome.FAILURE, FailureType.DROP
            label.failure_step = self._step.get(started.episode_id, -1)
        return self._call(self._ask_label, label).message

    def _on_action(self, message: PolicyAction) -> None:
        self._step[message.episode_id] = message.step

    def _call(self, client, request):
        while not client.service_is_ready():
            self._spin()
        asked = client.call_async(request)
        while not asked.done():
            self._spin()
        if not asked.result().success:
            raise SystemExit(asked.result().message)
        return asked.result()


def make_policy(folder: Path) -> None:
    """Write a tiny SmolVLA for two cameras and six joints, with random weights.

    Yours is a fine-tuned checkpoint: this one has the form alone.
    """
    from dataclasses import replace

    import torch

    from salus_ros.policies.tiny.build import TINY, build_policy, save_policy

    cameras = tuple(yaml.safe_load(PROFILE.read_text())["cameras"])
    torch.manual_seed(0)
    form = replace(TINY, cameras=cameras, camera_px=SIZE, state_dim=6, action_dim=6)
    unit = {"mean": np.zeros(6, np.float32), "std": np.full(6, 0.3, np.float32)}
    stats = {"observation.state": unit, "action": unit}
    save_policy(build_policy(folder, form), folder, stats)
    print(f"wrote {folder}: an untrained policy")


def main(episodes: int, slowly: float = 1.0, policy: Path | None = None) -> None:
    """Be the arm; with episodes, be the person too."""
    if policy is not None:
        make_policy(policy)
        return
    rclpy.init()
    arm = StandIn(slowly)
    person = Person(arm, lambda: rclpy.spin_once(arm, timeout_sec=0.1))
    try:
        for seed in range(episodes):
            print(person.run(seed), flush=True)
        for _ in itertools.repeat(None, 0 if episodes else 2**62):
            rclpy.spin_once(arm)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        arm.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Stand in for an SO-101.")
    parser.add_argument("--episodes", type=int, default=0)
    parser.add_argument("--make-policy", type=Path, default=None, metavar="FOLDER")
    parser.add_argument("--slowly", type=float, default=1.0, metavar="FACTOR")
    given = parser.parse_args()
    main(given.episodes, given.slowly, given.make_policy)
