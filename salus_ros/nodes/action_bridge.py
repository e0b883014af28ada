"""The action bridge: the policy's actions to the arm's controller, through limits and a gate."""

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from geometry_msgs.msg import TwistStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from salus_msgs.msg import EpisodeStatus, FailureHorizons, GateStatus, PolicyAction
from salus_ros.control.arm import Arm, Order
from salus_ros.control.gate import Decision, Gate, GateState, Response
from salus_ros.control.profile import RobotProfile
from salus_ros.core.errors import ConfigError, ObservationError, SalusError
from salus_ros.messages.stamps import to_ns
from salus_ros.nodes.base import SalusNode, run
from salus_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Problem, Report
from salus_ros.nodes.parameters import ActionBridgeParameters
from salus_ros.nodes.qos import OVERRIDES, sensor_qos, state_qos, status_qos, stream_qos
from salus_ros.recording.progress import Progress, check_step
from salus_ros.recording.status import check_id
from salus_ros.recording.time import Order as TimeOrder

BRAKE_S = 2.0
"""How long a node that ends waits for its arm to come to rest."""

STRAY_S = 2.0
"""How long an action of an episode that is not running is told."""

MESSAGES = {
    "joint_trajectory": JointTrajectory,
    "forward_position": Float64MultiArray,
    "twist": TwistStamped,
}


def profile_path(robot: str) -> Path:
    """File of a robot's profile: one that ships, by its name, or a file.

    Raises:
        ConfigError: if there is none of that name.
    """
    if "/" in robot or robot.endswith(".yaml"):
        return Path(robot)
    folder = Path(get_package_share_directory("salus_ros")) / "config" / "robots"
    path = folder / f"{robot}.yaml"
    if not path.exists():
        names = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise ConfigError(
            f"there is no robot '{robot}'; those that ship are {names}; or give a file of yours"
        )
    return path


class ActionBridgeNode(SalusNode[ActionBridgeParameters]):
    """Commands the arm at the rate of its profile; an alarm acts at once, between two commands."""

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        Raises:
            ConfigError: if one is not allowed.
        """
        super().__init__(ActionBridgeParameters, **options)

    def configure(self) -> None:
        """Read the profile.

        Raises:
            ConfigError: if it is not there, or holds what is not allowed.
        """
        given = self.parameters
        self._profile = RobotProfile.load(profile_path(given.robot))
        self._gate = Gate(
            shadow=given.gate_mode == "shadow",
            response=Response(given.on_alarm),
            slow=given.slow_factor,
            prediction_timeout_s=given.prediction_timeout_s,
        )
        self._arm = Arm(self._profile, self._gate)
        self._progress = Progress()
        self._problem, self._joint_problem = Problem(self), Problem(self)
        self._others = self._strays = 0
        self._stray, self._stray_s = "", -math.inf
        self._said: Decision | None = None
        command = self._profile.command
        self._command = self.create_publisher(MESSAGES[command.type], command.topic, stream_qos())
        self._fill = {
            "joint_trajectory": self._trajectory,
            "forward_position": self._positions,
            "twist": self._twist,
        }[command.type]
        self._gripper: Publisher | None = None
        if gripper := self._profile.gripper:
            self._gripper = self.create_publisher(Float64MultiArray, gripper.topic, stream_qos())
        self._status = self.create_publisher(GateStatus, "gate_status", state_qos())
        self._intervention = self.create_publisher(Bool, "intervention", status_qos())
        self._diagnostics = Diagnostics(self, self._report)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)

    def activate(self) -> None:
        """Listen, and command from the first joint states on."""
        self._intervention.publish(Bool(data=self._gate.intervention))
        sensors = sensor_qos(reliable=False)
        self.create_subscription(
            JointState, "joint_states", self._on_joints, sensors, qos_overriding_options=OVERRIDES
        )
        self.create_subscription(PolicyAction, "action", self._on_action, stream_qos())
        self.create_subscription(
            FailureHorizons, "failure_horizons", self._on_horizons, stream_qos()
        )
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(Trigger, "~/home", self._on_home)
        self.create_service(SetBool, "~/pause", self._on_pause)
        self.create_service(SetBool, "~/takeover", self._on_takeover)
        period_s = 1 / self._profile.command.rate_hz
        self._timer = self.create_steady_timer(period_s, self._tick)
        self.create_subscription(EpisodeStatus, "episode", self._on_episode, status_qos())
        makes = "would make" if self._gate.shadow else "makes"
        self.get_logger().info(
            f"moving '{self.parameters.robot}' by {self._command.topic_name}; an alarm {makes} "
            f"it {self._gate.response}"
        )

    def deactivate(self) -> None:
        """Bring the arm to rest."""
        self._arm.begin("", time.monotonic())
        end_s = time.monotonic() + BRAKE_S
        while not self._arm.at_rest and time.monotonic() < end_s:
            self._tick()
            time.sleep(1 / self._profile.command.rate_hz)
        self._command.wait_for_all_acked(Duration(seconds=1.0))

    def cleanup(self) -> None:
        """Let go of the callbacks."""
        self.remove_on_set_parameters_callback(self._check_parameters)
        self.remove_post_set_parameters_callback(self._take_parameters)

    # What comes in

    def _on_joints(self, message: JointState) -> None:
        try:
            self._arm.joints(message.name, message.position, time.monotonic())
        except ObservationError as error:
            if self._joint_problem.set(f"joint_states: {error}", f"joint_states: {error.cause}"):
                self._diagnostics.publish()
        else:
            self._joint_problem.clear()

    def _on_action(self, message: PolicyAction) -> None:
        try:
            check_id(message.episode_id)
            check_step(message.step)
            stamp_ns = to_ns(message.header.stamp)
            if not message.episode_id or message.episode_id != self._arm.episode_id:
                self._stray, self._strays = message.episode_id, self._strays + 1
                self._stray_s = time.monotonic()  # at an end there may be one under way
                return
            order = self._progress.judge(message.episode_id, message.step, stamp_ns)
            if order not in (TimeOrder.NEXT, TimeOrder.JUMP):
                return  # an older one, or one whose stamp is suspect
            if order is TimeOrder.JUMP:
                self.get_logger().warning(f"{self._progress.last_jump} on action")
            self._arm.act(message.episode_id, message.action, time.monotonic())
        except ObservationError as error:
            if self._problem.set(f"action: {error}", f"action: {error.cause}"):
                self._diagnostics.publish()
        else:
            self._problem.clear()

    def _on_horizons(self, message: FailureHorizons) -> None:
        now_s = time.monotonic()
        before = self._gate.decide(now_s)
        heard = self._gate.judge(
            message.episode_id, alarm=message.alarm, risk=message.risk, now_s=now_s
        )
        self._others += not heard
        after = self._gate.decide(now_s)
        if after.scale < before.scale:
            self._tick()
            self._timer.reset()
        elif after != before:
            self._tell()

    def _on_episode(self, message: EpisodeStatus) -> None:
        running, phase = self._arm.episode_id, message.phase
        if phase == EpisodeStatus.PHASE_RUNNING:
            if message.episode_id != running:
                self._progress = Progress()
                self._arm.begin(message.episode_id, time.monotonic())
        elif phase in (EpisodeStatus.PHASE_IDLE, EpisodeStatus.PHASE_FINISHED) or (
            message.episode_id == running  # the end of an earlier one may be judged anew
        ):
            self._arm.begin("", time.monotonic())

    # What goes out

    def _tick(self) -> None:
        connected = self._command.get_subscription_count() > 0
        order = self._arm.tick(time.monotonic(), connected=connected)
        if order is not None:
            self._command.publish(self._fill(order))
            if self._gripper is not None and order.gripper is not None:
                self._gripper.publish(Float64MultiArray(data=[order.gripper]))
        self._tell()

    def _trajectory(self, order: Order) -> JointTrajectory:
        """One point, a command's period from now: a stamp of zero means at once."""
        period = Duration(seconds=1 / self._profile.command.rate_hz).to_msg()
        point = JointTrajectoryPoint(positions=order.values.tolist(), time_from_start=period)
        return JointTrajectory(joint_names=list(self._profile.joint_names), points=[point])

    def _positions(self, order: Order) -> Float64MultiArray:
        return Float64MultiArray(data=order.values.tolist())

    def _twist(self, order: Order) -> TwistStamped:
        message = TwistStamped()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self._profile.twist.frame if self._profile.twist else ""
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = order.values.tolist()
        return message

    def _tell(self) -> None:
        """Publish what the gate does, where that is new."""
        decision = self._gate.decide(time.monotonic())
        said, self._said = self._said, decision
        shown = (decision.state, decision.would, decision.latched)
        if said is not None and shown == (said.state, said.would, said.latched):
            return
        status = GateStatus(
            episode_id=self._arm.episode_id,
            state=decision.state,
            would=decision.would,
            scale=decision.scale,
            latched=decision.latched,
            shadow=self._gate.shadow,
            intervention=self._gate.intervention,
            alarms=self._gate.alarms,
            reason=decision.reason,
        )
        status.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(status)
        if said is not None:
            shadow = " would" if decision.state != decision.would else ""
            done = max(decision.state, decision.would).name.lower()
            self.get_logger().warning(f"gate{shadow}: {done}; {decision.reason or 'nothing'}")

    # What a person asks for

    def _answer(self, response: Any, done: bool, said: str) -> Any:
        response.success, response.message = done, said
        self.get_logger().info(said)
        self._tell()
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, *self._gate.reset(time.monotonic()))

    def _on_home(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, *self._arm.go_home())

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._gate.pause(request.data)
        return self._answer(response, True, "paused" if request.data else "not paused any more")

    def _on_takeover(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        self._gate.take_over(request.data)
        self._intervention.publish(Bool(data=request.data))
        topic = self._profile.command.topic
        yours = f"nothing is sent to {topic}: it is yours"
        return self._answer(response, True, yours if request.data else "the policy acts again")

    # Parameters and state

    def _check_parameters(self, changes: Sequence[Parameter]) -> SetParametersResult:
        try:
            self.parameters.updated(**_ours(changes))
        except SalusError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take_parameters(self, changes: Sequence[Parameter]) -> None:
        self.parameters = given = self.parameters.updated(**_ours(changes))
        gate = self._gate
        gate.shadow = given.gate_mode == "shadow"
        gate.response, gate.slow = Response(given.on_alarm), given.slow_factor
        gate.prediction_timeout_s = given.prediction_timeout_s

    def _report(self) -> Report:
        arm, decision = self._arm, self._gate.decide(time.monotonic())
        values: dict[str, object] = {
            "robot": self.parameters.robot,
            "command": f"{self._profile.command.type} on {self._command.topic_name}",
            "gate": decision.state.name.lower(),
            "gate would": decision.would.name.lower(),
            "gate mode": self.parameters.gate_mode,
            "latched": decision.latched,
            "intervention": self._gate.intervention,
            "alarms": self._gate.alarms,
            "episode": arm.episode_id,
            "actions beyond a limit": arm.clipped,
            "actions faster than allowed": arm.fast,
            "actions late or with a wrong stamp": self._progress.late + self._progress.refused,
            "watchdog fired": arm.watchdogs,
            "actions of other episodes": self._strays,
            "predictions of other episodes": self._others,
            **self._problem.values(),
        }
        if decision.latched and decision.scale < 1:
            return Report(ERROR, f"{decision.reason}; reset with ~/reset", values)
        if problem := self._problem.text or self._joint_problem.text:
            return Report(ERROR, problem, values)
        if decision.state in (GateState.PAUSED, GateState.TAKEOVER):
            return Report(WARN, decision.reason, values)
        if time.monotonic() - self._stray_s < STRAY_S:
            running = f"'{arm.episode_id}'" if arm.episode_id else "no episode"
            text = f"actions of '{self._stray}' come, and {running} is running: not followed"
            return Report(WARN, text, values)
        if arm.holding and arm.holding != "no episode is running":
            level = WARN if arm.waiting else ERROR
            return Report(level, f"the arm holds: {arm.holding}", values)
        if decision.would != decision.state:
            text = f"shadow: the gate would {decision.would.name.lower()}: {decision.reason}"
            return Report(WARN, text, values)
        if decision.scale < 1:
            return Report(WARN, f"slowed down: {decision.reason}", values)
        return Report(OK, arm.holding or "following the policy", values)


def _ours(changes: Sequence[Parameter]) -> dict[str, object]:
    return {c.name: c.value for c in changes if c.name in ActionBridgeParameters.specs()}


def main() -> int:
    """Run the node."""
    return run(ActionBridgeNode)


if __name__ == "__main__":
    sys.exit(main())
