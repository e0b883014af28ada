"""The recovery node: another behaviour in the policy's place when a failure is foreseen.

It stands between the policy and who acts: `policy_action` in, `action` out. Each step of the
episode is decided by `recovery.supervisor`, as in `salus recover trial`. While something else acts
the policy is not run; it waits for `recovery_status`.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from salus_msgs.msg import (
    EpisodeStatus,
    FailureHorizons,
    PolicyAction,
    RecoveryPlan,
    RecoveryStatus,
)
from salus_ros.collection.trials.config import PACES
from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.core.failures import FailureType
from salus_ros.messages.stamps import header_stamp_ns, to_ns
from salus_ros.nodes import convert
from salus_ros.nodes.base import SalusNode, resolve_device, run
from salus_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Problem, Report
from salus_ros.nodes.parameters import RecoveryParameters
from salus_ros.nodes.qos import OVERRIDES, sensor_qos, status_qos, stream_qos
from salus_ros.nodes.recovery_input import RecoveryInput
from salus_ros.nodes.recovery_steps import RecoverySteps
from salus_ros.policies.tiny import shipped_recovery
from salus_ros.prediction.calibration import Calibration
from salus_ros.recording.progress import check_step
from salus_ros.recording.status import check_id
from salus_ros.recovery.arms import StuckRule, make_rules
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.behaviours.person import Person
from salus_ros.recovery.catalogue import BehaviourSettings, live_arm, make_behaviour
from salus_ros.recovery.guards import Guards
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.recovery.sight import Action
from salus_ros.recovery.supervisor import HELD, POLICY, Supervisor, episode_draws
from salus_ros.recovery.watch import AlarmRate, Overheard
from salus_ros.worlds.mujoco import CELLS, PHYSICS
from salus_ros.worlds.mujoco.workcell import nominal_workcell
from salus_ros.worlds.panda import ACTION_DIM, CAMERAS

CHECK_S = 0.05
"""How often it is looked whether something has been waited for too long; more often in real
time."""

WAIT_WARNING_S = 2.0

TOLD = {"state", "action"}
"""What a manifold may look a step up by."""

ACTORS = {POLICY: RecoveryStatus.ACTOR_POLICY, HELD: RecoveryStatus.ACTOR_HELD}
"""Of those that are no behaviours."""


class RecoveryNode(SalusNode[RecoveryParameters]):
    """Decides each step of the episode who acts, and hands that action on."""

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        Raises:
            ConfigError: if one is not allowed.
        """
        super().__init__(RecoveryParameters, **options)

    def configure(self) -> None:
        """Make the behaviours.

        Raises:
            SalusError: if the arm is none, or a behaviour or the rate of its alarm cannot be made.
        """
        given = self.parameters
        self._arm = live_arm(given.arm)
        if given.env_id not in CELLS:
            raise ConfigError(
                f"env_id is '{given.env_id}'; the behaviours know the cell of {', '.join(CELLS)}"
            )
        same = CELLS[given.env_id]
        pace = PACES[same]
        self._stuck = StuckRule(given.stuck_m, given.stuck_steps or pace.stuck_steps)
        settings = BehaviourSettings(
            hold_steps=given.hold_steps,
            person_timeout_s=given.person_timeout_s,
            policy=Path(given.policy_path) if given.policy_path else shipped_recovery(same),
            policy_steps=given.policy_steps,
            manifold=_manifold(given.manifold_path),
            replan_every=given.replan_every,
            regrasp_steps=pace.regrasp_steps,
            retry_steps=pace.retry_steps,
            device=resolve_device(given.device),
        )
        cell = nominal_workcell(PHYSICS[same])
        self._limits = Guards(cell.step_m, cell.leash_m, most=given.most)
        self._behaviours: dict[str, Behaviour] = {
            name: make_behaviour(name, cell, settings)
            for name in sorted({choice.behaviour for choice in self._arm.choices})
        }
        looks = any(one.looks for one in self._behaviours.values()) and not self._arm.shadow
        self._cameras = CAMERAS if looks else ()
        rate = None
        if given.alpha >= 0:
            rate = AlarmRate(Calibration.load(_folder(given.model_path)), given.alpha)
        self._input = RecoveryInput(cell, self._cameras, Overheard(rate))
        self._latched = ""  # why the arm is held in later episodes too
        self._problem = Problem(self)
        self._running = False
        self._early: PolicyAction | None = None  # of an episode that is not told yet
        self._begin(EpisodeStatus())

        self._actions: Publisher | None = None
        if not self._arm.shadow:
            self._actions = self.create_publisher(PolicyAction, "action", stream_qos())
            self.needs_listeners(self._actions)
        self._statuses = self.create_publisher(RecoveryStatus, "recovery_status", status_qos())
        self._plans = self.create_publisher(RecoveryPlan, "recovery_plan", status_qos())
        self._diagnostics = Diagnostics(self, self._report)

    def activate(self) -> None:
        """Decide from the next step on."""
        given = self.parameters
        sensors = sensor_qos(reliable=given.reliable_sensors)
        for camera in self._cameras:
            callback = self._guarded(camera, partial(self._on_image, camera))
            topic = f"camera/{camera}/image_raw"
            self.create_subscription(
                Image, topic, callback, sensors, raw=True, qos_overriding_options=OVERRIDES
            )
        callback = self._guarded("joint_states", self._on_joints)
        self.create_subscription(
            JointState, "joint_states", callback, sensors, qos_overriding_options=OVERRIDES
        )
        for kind, topic, take in (
            (PolicyAction, "policy_action", self._on_action),
            (PolicyAction, "person_action", self._on_person),
            (FailureHorizons, "failure_horizons", self._on_horizons),
        ):
            self.create_subscription(kind, topic, self._guarded(topic, take), stream_qos())
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(Trigger, "~/hand_back", self._on_hand_back)
        patience_s = 1.0 if given.mode == "lockstep" else given.prediction_wait_ms / 1e3
        self.create_steady_timer(min(CHECK_S, max(patience_s / 2, 1e-3)), self._advance)
        callback = self._guarded("episode", self._on_episode)
        self.create_subscription(EpisodeStatus, "episode", callback, status_qos())
        self._tell()
        self.get_logger().info(f"recovery: {self._arm.name}")

    def deactivate(self) -> None:
        """Decide nothing any more: without an action the arm is held by who moves it."""
        self._running = False

    # What comes in

    def _guarded(self, name: str, take: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback that refuses what cannot be read, counts it, and goes on."""

        def callback(message: Any) -> None:
            try:
                take(message)
            except ObservationError as error:
                if self._problem.set(f"{name}: {error}", f"{name}: {error.cause}"):
                    self._diagnostics.publish()
            else:
                self._problem.clear(f"{name}: ")
            self._advance()

        return callback

    def _on_image(self, camera: str, raw: bytes) -> None:
        self._input.image(camera, header_stamp_ns(raw), raw)

    def _on_joints(self, message: JointState) -> None:
        self._input.joints(message, to_ns(message.header.stamp))

    def _on_horizons(self, message: FailureHorizons) -> None:
        check_id(message.episode_id)
        check_step(message.step)
        if self._input.horizons(message):
            self._steps.heard()

    def _on_action(self, message: PolicyAction) -> None:
        check_id(message.episode_id)
        check_step(message.step)
        convert.action_array(message.action, ACTION_DIM)  # what cannot be done is not handed on
        if message.episode_id != self._steps.episode_id:
            self._early = message  # its episode may be told next
        self._steps.offer(message)

    def _on_person(self, message: PolicyAction) -> None:
        action = convert.action_array(message.action, ACTION_DIM)
        if (person := self._person) is not None:
            person.command(action)

    def _on_episode(self, status: EpisodeStatus) -> None:
        check_id(status.episode_id)
        check_step(status.step)
        if status.phase == EpisodeStatus.PHASE_RUNNING:
            self._running = True
            steps = self._steps
            if status.episode_id != steps.episode_id or steps.is_over(status):
                # What the hand holds is not let go by a hold that goes on.
                self._begin(status, steps.last if self._latched else None)
                self._tell()
            elif steps.announce(status) and self._actions is not None:
                self._actions.publish(steps.done)  # it may have been lost on a reader
        elif status.phase in (EpisodeStatus.PHASE_IDLE, EpisodeStatus.PHASE_FINISHED) or (
            status.episode_id == self._steps.episode_id  # an earlier one may be judged anew
        ):
            self._running = False

    def _begin(self, status: EpisodeStatus, last: Action | None = None) -> None:
        """Nothing of an earlier episode remains, but for a hold that outlasts it."""
        rules = make_rules(self._arm, self._behaviours, self._stuck, -1)
        seed = episode_draws(self.parameters.seed, status.seed)
        shadow = self._arm.shadow
        supervisor = Supervisor(rules, self._limits, seed, shadow, reason=self._latched)
        self._steps = RecoverySteps(status, supervisor, self._input, self.parameters, last)
        if self._early is not None:
            self._steps.offer(self._early)
        self._early = None
        self._told: dict[str, Any] | None = None

    # Deciding

    def _advance(self) -> None:
        """Decide the steps that can be."""
        while self._running:
            supervisor = self._steps.supervisor
            before = len(supervisor.interventions)
            action = self._steps.next()
            self._tell()  # first: the policy is not to answer the next observation
            if action is not None and self._actions is not None:
                self._actions.publish(action)
            if len(supervisor.interventions) > before:
                self._propose()
            if supervisor.reason and not self._latched and self.parameters.hold_over_episodes:
                self._latched = supervisor.reason
            if action is None:
                return

    def _propose(self) -> None:
        """Publish the plan of the behaviour that was just triggered, if it has one."""
        sight = self._steps.sight
        assert sight is not None
        behaviour = self._behaviours[self._steps.supervisor.interventions[-1].behaviour]
        try:
            plan = behaviour.propose(sight)
        except Exception as error:  # noqa: BLE001 - a behaviour may raise anything
            self.get_logger().error(f"{behaviour.name} proposes nothing: {error!r}")
            return
        if plan is None:
            return
        message = RecoveryPlan(
            header=self._steps.header,
            episode_id=self._steps.episode_id,
            step=sight.step,
            mechanism=plan.mechanism,
            actions=convert.float_array(plan.actions),
            action_dim=plan.actions.shape[1],
            confidence=float(plan.confidence),
            distance=float(plan.distance),
            why=plan.why,
        )
        self._plans.publish(message)

    # What a person asks for

    @property
    def _person(self) -> Person | None:
        """The person's behaviour, while it has the arm."""
        behaviour = self._behaviours.get(Person.name)
        acts = self._steps.supervisor.actor == Person.name
        return behaviour if acts and isinstance(behaviour, Person) else None

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        was = self._steps.release() or self._latched
        self._latched = ""
        response.success, response.message = True, f"reset: {was}" if was else "nothing was held"
        self.get_logger().info(response.message)
        self._tell()
        return response

    def _on_hand_back(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if (person := self._person) is not None:
            person.hand_back()
        response.success = person is not None
        response.message = "the policy goes on" if person else "no person has the arm"
        return response

    # State

    def _tell(self) -> None:
        """Publish who acts, where that is new."""
        steps, supervisor = self._steps, self._steps.supervisor
        last = supervisor.interventions[-1] if supervisor.interventions else None
        told = {
            "episode_id": steps.episode_id,
            "actor": ACTORS.get(supervisor.actor, RecoveryStatus.ACTOR_BEHAVIOUR),
            "behaviour": last.behaviour if last else "",
            "trigger": last.cause if last else "",
            "kind": int(FailureType.from_label(last.kind)) if last else 0,
            "interventions": len(supervisor.interventions),
            "shadow": self._arm.shadow,
            "asking": (person := self._person) is not None and person.asking,
            "hand_backs": steps.hand_backs,
            "seed": steps.seed,
            "reason": supervisor.reason,
            "refusal": supervisor.refusals[-1] if supervisor.refusals else "",
        }
        if told == self._told:
            return
        held = supervisor.reason and (self._told is None or self._told["reason"] != told["reason"])
        self._told = told
        step = max(0, steps.sight.step if steps.sight else 0)
        self._statuses.publish(RecoveryStatus(header=self._steps.header, step=step, **told))
        if held:
            self.get_logger().error(f"the arm is held: {supervisor.reason}")
        self._diagnostics.publish()

    def _report(self) -> Report:
        steps, supervisor = self._steps, self._steps.supervisor
        last = supervisor.interventions[-1] if supervisor.interventions else None
        forecast = self._input.forecast(steps.episode_id)
        values: dict[str, object] = {
            "arm": self._arm.name,
            "acts": supervisor.actor,
            "episode": steps.episode_id,
            "step": steps.decided,
            "trigger": last.foreseen if last else "",
            "interventions": len(supervisor.interventions),
            "hand-backs": steps.hand_backs,
            "alarm": forecast.alarm,
            "probability of failure": forecast.probability,
            "waits for": steps.waiting,
            "held": supervisor.reason,
            **self._problem.values(),
        }
        for number, refusal in enumerate(supervisor.refusals):
            values[f"not started {number}"] = refusal
        if supervisor.reason:
            until = "; reset with ~/reset" if self._latched else ", until the episode ends"
            return Report(ERROR, f"the arm is held: {supervisor.reason}{until}", values)
        if self._problem.text:
            return Report(ERROR, self._problem.text, values)
        if not self._running:
            return Report(OK, "no episode is running", values)
        if steps.waiting and steps.waited_s > WAIT_WARNING_S:
            text = f"step {steps.decided + 1} waits for {steps.waiting}"
            return Report(WARN, f"{text} for {steps.waited_s:.0f} s", values)
        if (person := self._person) is not None and person.asking:
            text = "a person is asked to take the arm: send to person_action"
            return Report(WARN, text, values)
        if supervisor.actor != POLICY:
            return Report(WARN, f"{supervisor.actor} acts: {last and last.foreseen}", values)
        if self._arm.shadow and last:
            text = f"shadow: {last.behaviour} would have acted at step {last.start}"
            return Report(WARN, f"{text}: {last.foreseen}", values)
        return Report(OK, "the policy acts", values)


def _manifold(path: str) -> Path | None:
    """The file, whose key is of what this node is told of a step.

    Raises:
        ConfigError: if it has something else in its key.
        CheckpointError: if it cannot be loaded.
    """
    if not path:
        return None
    if unknown := sorted({*Manifold.load(Path(path)).settings.inputs} - TOLD):
        raise ConfigError(
            f"manifold_path: '{path}' looks steps up by {', '.join(unknown)} too, which is not "
            f"told here; train one by {', '.join(sorted(TOLD))} alone"
        )
    return Path(path)


def _folder(model: str) -> Path:
    """Folder of a predictor.

    Raises:
        ConfigError: if none is given.
    """
    if not model:
        raise ConfigError("alpha needs model_path, the predictor that is calibrated for it")
    path = Path(model)
    return path if path.is_dir() else path.parent


def main() -> int:
    """Run the node."""
    return run(RecoveryNode)


if __name__ == "__main__":
    sys.exit(main())
