"""An arm: actions in, commands within limits out, and every reason for which it holds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from salus_ros.control.gate import Decision, Gate, GateState
from salus_ros.control.limits import JointLimiter, TwistLimiter
from salus_ros.control.profile import RobotProfile
from salus_ros.core.errors import ObservationError

Array = npt.NDArray[np.float64]

LONGEST_STEP = 2.0
"""Periods that one command may make up for; what is later is lost, not leapt."""

HOME_REACHED = 1e-3
"""Distance to home in rad at which the arm is there."""

NAMES_REMEMBERED = 50


@dataclass(frozen=True, slots=True)
class Order:
    """What the controllers are told.

    Attributes:
        values: Positions of the joints in rad (J,), or a twist (6,) in m/s and rad/s.
        gripper: Command of the gripper's own controller; None for none.
    """

    values: Array
    gripper: float | None


class Arm:
    """Follows the newest action within the robot's limits, or holds.

    It holds, braking as fast as the limits allow, whenever the gate says so, no episode is
    running, the policy or the joints are silent, or an action makes no sense; and it commands
    nothing while a person has taken over, nobody listens or no joint was ever heard. Times are of
    a clock that never jumps.

    Attributes:
        decision: What the gate decided at the last tick.
        holding: Why the arm holds or is not commanded, in words; empty: it follows the policy.
        clipped: Actions beyond a limit of position, which was commanded instead.
        fast: Actions that ask for more speed than is allowed.
        watchdogs: How often the policy fell silent in an episode.
    """

    def __init__(self, profile: RobotProfile, gate: Gate) -> None:
        """Nothing is heard yet."""
        self.profile, self.gate = profile, gate
        self.decision = Decision(GateState.PASS, GateState.PASS, 1.0, "", False)
        self.holding = "no joint_states yet"
        self.clipped = self.fast = self.watchdogs = 0
        self._period_s = 1 / profile.command.rate_hz
        self._measured = np.full(len(profile.joints), np.nan)
        self._heard_s = np.full(len(profile.joints), -math.inf)
        self._names: dict[str, None] = {}
        self._index = {name: i for i, name in enumerate(profile.joint_names)}
        self._limiter: JointLimiter | TwistLimiter = (
            TwistLimiter(profile.twist)
            if profile.twist
            else JointLimiter(profile.joints, self._measured, self._period_s)
        )
        self._home = np.array([joint.home for joint in profile.joints])
        self._grips = np.array([joint.grips for joint in profile.joints])
        self._synced, self._let_go_s = False, -math.inf
        self._episode_id = ""
        self._begun_s = 0.0
        self._target: Array | None = None
        self._acted_s = -math.inf
        self._silent = False
        self._refused = ""
        self._homing = False
        self._grip_wanted: float | None = None
        self._grip: float | None = None
        self._ticked_s = -math.inf
        self._behind_s = math.nan  # since when a joint does not follow

    # What comes in

    @property
    def episode_id(self) -> str:
        """The episode that is running; empty: none is."""
        return self._episode_id

    @property
    def waiting(self) -> bool:
        """Whether the running episode has had no action yet, or none is running."""
        return self._target is None

    @property
    def at_rest(self) -> bool:
        """Whether the command does not move."""
        return not self._synced or self._limiter.at_rest

    def begin(self, episode_id: str, now_s: float) -> None:
        """An episode begins, or none is running any more (empty)."""
        self._episode_id, self._begun_s = episode_id, now_s
        self._target, self._acted_s = None, -math.inf
        self._silent, self._refused, self._homing = False, "", False
        self.gate.begin(episode_id, now_s)

    def joints(self, names: Sequence[str], positions: Sequence[float], now_s: float) -> None:
        """Take in joint states; several drivers may tell of some joints each.

        Raises:
            ObservationError: if names and positions do not go together, or a position of the
                robot's joints is not finite.
        """
        if len(names) != len(positions):
            raise ObservationError(
                f"{len(names)} names and {len(positions)} positions; give one for each",
                "names and positions of different number",
            )
        for name, position in zip(names, positions, strict=True):
            if len(self._names) < NAMES_REMEMBERED:
                self._names[name] = None
            index = self._index.get(name)
            if index is None:
                continue
            if not math.isfinite(position):
                raise ObservationError(f"the position of {name} is {position}; check its driver")
            self._measured[index], self._heard_s[index] = position, now_s

    def act(self, episode_id: str, action: npt.ArrayLike, now_s: float) -> None:
        """Take in an action of the policy.

        Raises:
            ObservationError: if it is of another episode than the one that is running, has
                another size than the robot's, or is not finite. After the last two the arm holds
                until an action is good again.
        """
        if not episode_id or episode_id != self._episode_id:
            running = f"'{self._episode_id}' is running" if self._episode_id else "none is running"
            raise ObservationError(
                f"an action of episode '{episode_id}', and {running}",
                "an action of an episode that is not running",
            )
        try:
            target, gripper = self.profile.split(action)
        except ObservationError as error:
            self._refused = str(error)
            raise
        self._refused = ""
        if isinstance(self._limiter, JointLimiter):
            inside = self._limiter.clipped(target)
            self.clipped += bool((inside != target).any())
            if self._target is not None:
                speed = np.abs(inside - self._target) * self.profile.rate_hz
                self.fast += bool((speed > [j.velocity for j in self.profile.joints]).any())
            target = inside
        self._target, self._acted_s, self._silent = target, now_s, False
        self._grip_wanted = gripper

    def go_home(self) -> tuple[bool, str]:
        """Move to the profile's home, where no episode is running, as a person asks for.

        Returns:
            Whether it will, and what a person should read.
        """
        if self.profile.twist is not None:
            return False, "a robot that is commanded by twists cannot be sent home from here"
        if self._episode_id:
            return False, f"'{self._episode_id}' is running; end it first"
        if self.decision.state >= GateState.HOLD:
            return False, f"the arm holds: {self.decision.reason}"
        self._homing = True
        return True, "moving home"

    # What goes out

    def tick(self, now_s: float, *, connected: bool) -> Order | None:
        """Decide on the next command.

        Args:
            now_s: The time in s.
            connected: Whether the controller listens.

        Returns:
            The command; None where there must be none.
        """
        dt_s = min(now_s - self._ticked_s, LONGEST_STEP * self._period_s)
        self._ticked_s = now_s
        self.decision = self.gate.decide(now_s)
        silent = self._silent_joints(now_s)
        if self.decision.state is GateState.TAKEOVER:
            self._let_go(self.decision.reason, now_s)
            return None
        if not connected:
            topic = self.profile.command.topic
            self._let_go(f"nobody listens to {topic}: is the controller active?", now_s)
            return None
        if silent and (not self._synced or self._limiter.at_rest):
            self._let_go(silent, now_s)
            return None
        if not self._synced:
            if self._heard_s.min() <= self._let_go_s:  # the arm may have moved since
                self.holding = "waiting for the next joint_states"
                return None
            self._limiter.sync(self._measured)
            self._synced = True
        if not silent:
            self._check_tracking(now_s)
        self.holding = silent or self._reason(now_s)
        target = self._home if self._homing else self._target
        if self.holding:
            target = None
        elif not self._homing:
            self._grip = self._grip_wanted  # an arm that holds keeps what it has
        values = self._limiter.step(target, self.decision.scale or 1.0, dt_s)
        if self._homing and np.abs(values - self._home).max() < HOME_REACHED:
            self._homing = False
        return Order(values, self._grip)

    def _let_go(self, why: str, now_s: float) -> None:
        """Command nothing; what comes next starts where the arm is then."""
        self._synced, self._homing, self.holding, self._let_go_s = False, False, why, now_s
        self._behind_s = math.nan

    def _silent_joints(self, now_s: float) -> str:
        """Which joints are not heard, in words; empty: all are."""
        late = now_s - self._heard_s > self.profile.joint_timeout_s
        if not late.any():
            return ""
        never = [n for n, heard in zip(self._index, self._heard_s, strict=True) if heard < 0]
        if never and self._names:
            return (
                f"joint_states has no {', '.join(never)}; it has {', '.join(self._names)}: "
                "correct the profile"
            )
        if never:
            return "no joint_states yet"
        names = ", ".join(n for n, one in zip(self._index, late, strict=True) if one)
        return f"no joint_states of {names} for {now_s - self._heard_s.min():.1f} s"

    def _reason(self, now_s: float) -> str:
        """Why the arm must hold, apart from what it is not heard; empty: it need not."""
        if self.decision.scale == 0:
            return self.decision.reason
        if self._homing:
            return ""
        if not self._episode_id:
            return "no episode is running"
        if self._refused:
            return self._refused
        if self._target is None:
            return f"no action for {now_s - self._begun_s:.1f} s, since the episode began"
        since_s = now_s - self._acted_s
        if since_s > self.profile.watchdog_s:
            self.watchdogs += not self._silent
            self._silent = True
            return f"watchdog: no action for {since_s:.1f} s; is the policy running?"
        return ""

    def _check_tracking(self, now_s: float) -> None:
        """Hold where the arm is, if it does not go where it is told to."""
        if isinstance(self._limiter, TwistLimiter):
            return
        behind = np.where(self._grips, 0.0, np.abs(self._limiter.positions - self._measured))
        if (behind <= self.profile.tracking).all():
            self._behind_s = math.nan
            return
        if math.isnan(self._behind_s):
            self._behind_s = now_s
        if now_s - self._behind_s < self.profile.tracking_s:
            return
        joint = self.profile.joint_names[int(behind.argmax())]
        self.gate.fail(f"{joint} does not follow: it is {behind.max():.2f} rad behind its command")
        # What a gripper holds is not let go of.
        self._limiter.sync(np.where(self._grips, self._limiter.positions, self._measured))
        self._behind_s = math.nan
        self.decision = self.gate.decide(now_s)
