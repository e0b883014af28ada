"""The steps of an episode, decided one after the other as what they take comes in.

Where the policy acts, a step is due when its action is there; where something else does, when the
episode says that it is at it. In lockstep each step has the joints, images and prediction of its
own stamp; in real time it goes on without what is late.
"""

import time

import numpy as np
from std_msgs.msg import Header

from salus_msgs.msg import EpisodeStatus, PolicyAction
from salus_ros.messages.stamps import to_ns
from salus_ros.nodes import convert
from salus_ros.nodes.parameters import RecoveryParameters
from salus_ros.nodes.recovery_input import RecoveryInput
from salus_ros.recovery.sight import Action, Sight
from salus_ros.recovery.supervisor import HELD, POLICY, Command, Supervisor
from salus_ros.recovery.watch import NOTHING
from salus_ros.worlds.panda import ACTION_DIM


class RecoverySteps:
    """Decides the steps of one episode.

    Attributes:
        supervisor: Says who acts.
        episode_id: The episode.
        decided: Newest step that has its action; -1 for none.
        done: That action; None before.
        last: The same as an array (7,), float32, or what was done before the episode.
        hand_backs: How often the policy was given the arm back.
        seed: Of what it draws since; -1 before.
        sight: What was seen at the newest step that was decided; None before.
        waiting: What the next step waits for, as the topic; empty for nothing.

    Args:
        status: Where the episode is.
        supervisor: For this episode.
        there: What has come in.
        given: How long is waited.
        last: What was done before; None where the episode begins with an arm of its own.
    """

    def __init__(
        self,
        status: EpisodeStatus,
        supervisor: Supervisor,
        there: RecoveryInput,
        given: RecoveryParameters,
        last: Action | None,
    ) -> None:
        self.supervisor, self._there, self._given = supervisor, there, given
        self.episode_id, self._status = str(status.episode_id), status
        self.decided = -1
        self.done: PolicyAction | None = None
        self.hand_backs, self.seed = 0, -1
        self.sight: Sight | None = None
        self.waiting = ""
        self._waited_step, self._waits_s = -1, time.monotonic()
        self._heard_s = time.monotonic()  # a prediction, or that the policy begins
        self.last = last
        self._offered: PolicyAction | None = None
        self._policy_id = ""
        self._awaits_plan = False

    # What comes

    def is_over(self, status: EpisodeStatus) -> bool:
        """Whether a status begins the episode again: at an earlier step, with a later stamp."""
        if self.done is None or status.step > self.decided:
            return False
        return to_ns(status.header.stamp) > to_ns(self.done.header.stamp)

    def announce(self, status: EpisodeStatus) -> bool:
        """The episode is at a step; whether it was there before, and has its action already."""
        again = status.step == self._status.step
        self._status = status
        return again and self.decided == status.step

    def offer(self, action: PolicyAction) -> None:
        """What the policy would do."""
        self._offered, self._policy_id = action, action.policy_id

    def heard(self) -> None:
        """A prediction has come."""
        self._heard_s = time.monotonic()

    def release(self) -> str:
        """Give the policy the arm back that is held; says why it was, empty if it was not."""
        was = self.supervisor.release(self.decided)
        if was:
            self._hand_back()
        return was

    # What is done

    def next(self) -> PolicyAction | None:
        """The action of the next step, if that can be decided now."""
        said, supervisor = self._said(), self.supervisor
        if supervisor.actor == POLICY:
            if said is None:
                self._wait_for("policy_action", self.decided + 1)
                return None
            if self._awaits_plan:
                self._awaits_plan = False
                return self._do(said)
            step, stamp_ns = int(said.step), to_ns(said.header.stamp)
        else:
            step, stamp_ns = int(self._status.step), to_ns(self._status.header.stamp)
            if step <= self.decided:
                self._wait_for("episode", self.decided + 1)
                return None
        self._wait_for(self._lacking(step, stamp_ns), step)
        if self.waiting and not self._overdue():
            return None
        late_s = self.waited_s if self.waiting == "joint_states" else 0.0
        self.sight = self._there.sight(self._status, step, stamp_ns, self.last, late_s)
        command = self._ask(self.sight, said)
        if command.handed_back:
            self._hand_back()
            return None
        if command.actor == POLICY:
            assert said is not None
            return self._do(said)
        assert command.action is not None
        return self._do(
            PolicyAction(
                header=convert.header(stamp_ns),
                episode_id=self.episode_id,
                step=step,
                action=convert.float_array(command.action),
                policy_id=self._policy_id,
                intervention=supervisor.acts,
                hand_backs=self.hand_backs,
            )
        )

    @property
    def header(self) -> Header:
        """Of the observation that the episode is at."""
        return self._status.header

    @property
    def waited_s(self) -> float:
        """For how long the next step has been waited for."""
        return time.monotonic() - self._waits_s

    def _said(self) -> PolicyAction | None:
        """The policy's action of a step that is still to be decided."""
        said = self._offered
        place = (self.episode_id, self.hand_backs)
        if said is None or (said.episode_id, said.hand_backs) != place:
            return None
        return said if said.step > self.decided else None

    def _ask(self, sight: Sight, said: PolicyAction | None) -> Command:
        if self.supervisor.actor != POLICY:
            return self.supervisor.step(sight, NOTHING, None)
        assert said is not None
        action = convert.action_array(said.action, ACTION_DIM)
        forecast = self._there.forecast(self.episode_id)
        return self.supervisor.step(sight, forecast, action, self._doubt())

    def _doubt(self) -> str:
        """Why the policy must not go on: nobody foresees anything any more."""
        silent_s = time.monotonic() - self._heard_s
        limit_s = self._given.prediction_timeout_s
        if self._lockstep or not self.supervisor.heeds_alarm or silent_s <= limit_s:
            return ""
        return f"no prediction for {silent_s:.1f} s: is a predictor with a model running?"

    def _do(self, action: PolicyAction) -> PolicyAction:
        self.decided, self.done = int(action.step), action
        self.last = np.array(action.action, np.float32)
        return action

    def _hand_back(self) -> None:
        """Have the policy plan anew, from the newest observation."""
        self.hand_backs += 1
        self.seed = self.supervisor.seed + len(self.supervisor.interventions)
        self._awaits_plan, self._offered = True, None
        self._there.forget_predictions()
        self._heard_s = time.monotonic()

    # What is waited for

    @property
    def _lockstep(self) -> bool:
        return self._given.mode == "lockstep"

    def _wait_for(self, topic: str, step: int) -> None:
        self.waiting = topic
        if step != self._waited_step:
            self._waited_step, self._waits_s = step, time.monotonic()

    def _lacking(self, step: int, stamp_ns: int) -> str:
        """What a step still waits for."""
        actor, there = self.supervisor.actor, self._there
        if actor == HELD:
            return ""
        if not there.has_joints(stamp_ns):
            return "joint_states"
        if not there.has_images(stamp_ns):
            return "images"
        heeds = actor == POLICY and self.supervisor.heeds_alarm
        there_already = not heeds or there.has_forecast(self.episode_id, step)
        return "" if there_already else "failure_horizons"

    def _overdue(self) -> bool:
        """Whether a step does not wait any longer; a world in lockstep waits for the policy's."""
        given = self._given
        if self.supervisor.actor != POLICY:
            return self.waited_s > given.input_timeout_s
        return not self._lockstep and self.waited_s * 1e3 > given.prediction_wait_ms
