"""The simulator node: a Gymnasium world as cameras, joints and episodes on ROS 2.

In lockstep the world waits for the action of every step, so an episode is the same at any
machine speed; in real time it goes on without one, and a late policy is late.
"""

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState

from salus_msgs.msg import EpisodeStatus, PolicyAction
from salus_msgs.srv import ResetEpisode
from salus_ros.core.errors import ObservationError, SalusError
from salus_ros.messages.stamps import NANO
from salus_ros.nodes import convert
from salus_ros.nodes.base import SalusNode, run
from salus_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Problem, Report
from salus_ros.nodes.frames import WORLD, camera_frame, frames_publisher, transforms
from salus_ros.nodes.parameters import SimulatorParameters
from salus_ros.nodes.qos import OVERRIDES, status_qos, stream_qos
from salus_ros.worlds.adapter import Observation, World, read_env_kwargs
from salus_ros.worlds.faults import fault_of

DDS_PROFILE = Path(__file__).parents[1] / "assets" / "fastdds.xml"
DDS_SETTINGS = (
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTDDS_BUILTIN_TRANSPORTS",
)
"""A user who has set one of these has chosen the transports."""

WAIT_WARNING_S = 2.0


class SimulatorNode(SalusNode[SimulatorParameters]):
    """Runs episodes of one world and steps it by the actions it receives."""

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        Raises:
            ConfigError: if one is not allowed.
        """
        super().__init__(SimulatorParameters, **options)

    def configure(self) -> None:
        """Build the world; the first episode starts when the node becomes active.

        Raises:
            SalusError: if the world cannot be built or takes another task or fault.
        """
        given = self.parameters
        self._lockstep = given.mode == "lockstep"
        self._world = World(given.env_id, given.joint_names, read_env_kwargs(given.env_kwargs))
        self._check_rate()
        self._index = given.first_episode - 1
        self._ended = 0  # episodes
        self._episode_id = ""
        self._seed = -1
        self._step = 0
        self._ticks = 0  # observations over the whole run
        self._stamp_ns = 0
        self._phase = EpisodeStatus.PHASE_IDLE
        self._observation: Observation | None = None
        self._messages: list[tuple[object, object]] = []
        self._shown_at = time.monotonic()
        self._action: NDArray[np.float32] | None = None
        self._last_action: NDArray[np.float32] | None = None
        self._answered = -1  # newest step that got an action
        self._unmatched = 0
        self._held_steps = 0
        self._problem = Problem(self)

        self._clock_pub = self.create_publisher(Clock, "clock", 10)
        self._images = {
            name: self._sensor_publisher(Image, f"camera/{name}/image_raw")
            for name in self._world.image_sizes
        }
        self._infos = {
            name: self._sensor_publisher(CameraInfo, f"camera/{name}/camera_info")
            for name in self._world.image_sizes
        }
        self._joints = self._sensor_publisher(JointState, "joint_states")
        self._frames = frames_publisher(self)
        self._status = self.create_publisher(EpisodeStatus, "episode", status_qos())
        self.needs_listeners(self._status)
        self._diagnostics = Diagnostics(self, self._report)
        # An impossible task or fault is found here, not in the first episode.
        self._reset_world(given.seed + given.first_episode, given.task, given.fault, "")
        self._publish_status()

    def _sensor_publisher(self, kind: type, topic: str) -> Publisher:
        return self.create_publisher(kind, topic, stream_qos(), qos_overriding_options=OVERRIDES)

    def activate(self) -> None:
        """Start the next episode."""
        given = self.parameters
        self.create_subscription(PolicyAction, "action", self._on_action, stream_qos())
        self.create_service(ResetEpisode, "~/reset", self._on_reset)
        if self._lockstep:
            self._timer = self.create_steady_timer(given.republish_s, self._repeat)
        else:
            self._timer = self.create_steady_timer(1.0 / given.rate_hz, self._tick)
        if self._phase != EpisodeStatus.PHASE_FINISHED:
            self._begin()

    def deactivate(self) -> None:
        """Give up the episode that is running; it is not to be kept."""
        if self._phase == EpisodeStatus.PHASE_RUNNING:
            self._phase = EpisodeStatus.PHASE_DISCARDED
            self._next_stamp()
            self._publish_status()

    def cleanup(self) -> None:
        """Release the world."""
        self._world.close()

    # Episodes

    def _begin(
        self, seed: int = -1, task: str = "", fault: str | None = None, condition: str = ""
    ) -> None:
        """Start the next episode; a negative seed stands for the one of its number."""
        given = self.parameters
        seed = given.seed + self._index + 1 if seed < 0 else seed
        fault = given.fault if fault is None else fault
        observation = self._reset_world(seed, task, fault, condition)
        self._index += 1
        self._seed = seed
        self._episode_id = f"{given.episode_prefix}_{self._index:06d}"
        self._step = 0
        self._phase = EpisodeStatus.PHASE_RUNNING
        self._action = self._last_action = None
        self._answered = -1
        self._show(observation)

    def _reset_world(self, seed: int, task: str, fault: str, condition: str) -> Observation:
        given = self.parameters
        rate = self._world.fault_rate if given.fault_rate < 0 else given.fault_rate
        fault = fault_of(fault, seed, rate)
        self._task = task or given.task
        return self._world.reset(seed, self._task, fault, condition or given.condition)

    def _advance(self, action: NDArray[np.float32]) -> None:
        observation = self._world.step(action)
        self._step += 1
        if not observation.ended:
            self._show(observation)
            return
        self._phase = EpisodeStatus.PHASE_ENDED
        self._observation = observation
        self._next_stamp()
        self._publish_status()
        self._ended += 1
        self.get_logger().info(
            f"{self._episode_id}: {observation.outcome.name.lower()} after {self._step} steps"
            f" ({observation.failure_type.label}, fault {observation.fault})"
        )
        if self.parameters.episodes and self._ended >= self.parameters.episodes:
            self._finish()
        elif self._lockstep:
            self._begin()

    def _finish(self) -> None:
        self._phase = EpisodeStatus.PHASE_FINISHED
        self._publish_status()
        self.get_logger().info(f"finished {self._ended} episodes")
        if self.parameters.exit_when_done:
            self._status.wait_for_all_acked(Duration(seconds=2))
            self.finished.set_result(None)

    # Output

    def _show(self, observation: Observation) -> None:
        """Publish the observation of a new step."""
        self._observation = observation
        self._next_stamp()
        self._messages = self._observation_messages(observation)
        self._publish_observation()

    def _publish_observation(self) -> None:
        self._publish_status()
        for publisher, message in self._messages:
            publisher.publish(message)  # type: ignore[attr-defined]
        if self._lockstep:
            self._timer.reset()

    def _observation_messages(self, observation: Observation) -> list[tuple[object, object]]:
        head = convert.header(self._stamp_ns, WORLD)
        joints = convert.joint_state(
            observation.joint_names,
            observation.joint_positions,
            head,
            observation.joint_velocities,
            observation.joint_efforts,
        )
        messages: list[tuple[object, object]] = [(self._joints, joints)]
        for camera, (height, width) in self._world.image_sizes.items():
            head = convert.header(self._stamp_ns, camera_frame(camera))
            matrix = self._world.camera_matrix(camera)
            info = convert.camera_info(height, width, head, matrix)
            messages.append((self._infos[camera], info))
            image = convert.array_to_image(observation.images[camera], head)
            messages.append((self._images[camera], image))
        poses = self._world.camera_poses()
        if self._frames is not None and poses:
            frames = transforms(poses, self._stamp_ns)
            kind: Any = self._frames.msg_type
            messages.append((self._frames, kind(transforms=frames)))
        return messages

    def _publish_status(self) -> None:
        given, seen = self.parameters, self._observation
        message = EpisodeStatus(
            header=convert.header(self._stamp_ns, WORLD),
            episode_id=self._episode_id,
            step=self._step,
            phase=self._phase,
            failure_step=-1,
            failure_time=math.nan,
            seed=self._seed,
            fault="none",
            fault_step=-1,
            fault_strength=math.nan,
            rate_hz=given.rate_hz,
            max_steps=self._world.max_steps,
        )
        if seen is not None:
            message.task, message.fault = seen.task or self._task, seen.fault
            message.fault_step, message.fault_strength = seen.fault_step, seen.fault_strength
            message.condition, message.world = seen.condition, seen.world
            if self._phase in (EpisodeStatus.PHASE_ENDED, EpisodeStatus.PHASE_FINISHED):
                message.outcome = int(seen.outcome)
                message.failure_type = int(seen.failure_type)
                message.failure_step = seen.failure_step
                message.failure_cause = seen.failure_cause
                if seen.failure_step >= 0:
                    message.failure_time = seen.failure_step / given.rate_hz
        if self._lockstep:
            self._clock_pub.publish(Clock(clock=message.header.stamp))
        self._status.publish(message)

    def _next_stamp(self) -> None:
        """Move on to the next stamp: later than every one before, also across episodes."""
        self._ticks += 1
        self._shown_at = time.monotonic()
        if self._lockstep:
            self._stamp_ns = round(self._ticks * NANO / self.parameters.rate_hz)
        else:
            self._stamp_ns = max(self._stamp_ns + 1, self.get_clock().now().nanoseconds)

    # Input

    def _on_action(self, message: PolicyAction) -> None:
        matches = self._phase == EpisodeStatus.PHASE_RUNNING and (
            message.episode_id == self._episode_id
        )
        if self._lockstep:
            matches = matches and message.step == self._step
        else:
            matches = matches and self._answered < message.step <= self._step
        if not matches:
            self._unmatched += 1
            return
        try:
            action = convert.action_array(message.action, self._world.action_dim)
        except ObservationError as error:
            if self._problem.set(f"action refused: {error}"):
                self._diagnostics.publish()
            return
        self._problem.clear()
        self._answered = message.step
        if self._lockstep:
            self._advance(action)
        else:
            self._action = action

    def _tick(self) -> None:
        """Do one step of real time."""
        if self._phase == EpisodeStatus.PHASE_ENDED:
            self._begin()
        elif self._phase == EpisodeStatus.PHASE_RUNNING:
            action, self._action = self._action, None
            if action is None:
                self._held_steps += 1
                action = self._world.hold(self._last_action)
            else:
                self._last_action = action
            self._advance(action)

    def _repeat(self) -> None:
        """Show an observation again that nobody has answered: its reader may be new."""
        if self._phase != EpisodeStatus.PHASE_RUNNING:
            return
        self._publish_observation()
        self.get_logger().warning(self._waiting(), throttle_duration_sec=5.0)

    def _on_reset(
        self, request: ResetEpisode.Request, response: ResetEpisode.Response
    ) -> ResetEpisode.Response:
        try:
            self._begin(request.seed, request.task, request.fault, request.condition)
        except SalusError as error:
            response.message = str(error)
            return response
        response.success = True
        response.episode_id = self._episode_id
        response.message = f"started {self._episode_id} with seed {self._seed}"
        return response

    # State

    def _check_rate(self) -> None:
        native = self._world.native_rate_hz
        if math.isfinite(native) and not math.isclose(native, self.parameters.rate_hz):
            self.get_logger().warning(
                f"rate_hz is {self.parameters.rate_hz:g}, but the world was made for {native:g} "
                "steps per second; its motion will not keep to the clock"
            )

    def _waiting(self) -> str:
        return (
            f"waiting for the action of {self._episode_id} step {self._step} for "
            f"{time.monotonic() - self._shown_at:.1f} s; is a vla node running and its input good?"
        )

    def _report(self) -> Report:
        values: dict[str, object] = {
            "mode": self.parameters.mode,
            "episode": self._episode_id,
            "step": self._step,
            "episodes ended": self._ended,
            "actions refused": self._problem.count,
            "actions that matched no step": self._unmatched,
            "steps without an action": self._held_steps,
        }
        if self._problem.text:
            return Report(ERROR, self._problem.text, values)
        if self._phase != EpisodeStatus.PHASE_RUNNING:
            return Report(OK, "no episode is running", values)
        if self._lockstep and time.monotonic() - self._shown_at > WAIT_WARNING_S:
            return Report(WARN, self._waiting(), values)
        return Report(OK, "running", values)


def choose_transport(profile: Path) -> None:
    """Set the DDS profile of this process and its children, unless the user has set one."""
    if not any(name in os.environ for name in DDS_SETTINGS):
        os.environ[DDS_SETTINGS[0]] = str(profile)


def main() -> int:
    """Run the node."""
    os.environ.setdefault("MUJOCO_GL", "egl")  # cameras need no screen; read at mujoco's import
    choose_transport(DDS_PROFILE)
    return run(SimulatorNode)


if __name__ == "__main__":
    sys.exit(main())
