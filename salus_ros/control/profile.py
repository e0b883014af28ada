"""The profile of a robot: its joints, cameras, limits and rates, and how it is commanded."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from salus_ros.core.errors import ConfigError, ObservationError

Array = npt.NDArray[np.float64]

_CONFIG = ConfigDict(extra="forbid")
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Name = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Joint:
    """A joint, as the policy's state and action name it.

    Attributes:
        name: Its name in `joint_states`.
        lower: Smallest position in rad, or m of one that slides.
        upper: Largest position.
        velocity: Largest speed in rad/s.
        acceleration: Largest acceleration in rad/s^2, with which it is braked too.
        home: Where `~/home` moves it to.
        unit: Of the policy's action: rad, deg, or percent of the way from lower to upper.
        grips: Whether it is a gripper's, which stays behind its command when it holds something.
    """

    name: _Name
    lower: _Number
    upper: _Number
    velocity: _Positive
    acceleration: _Positive
    home: _Number
    unit: Literal["rad", "deg", "percent"] = "rad"
    grips: bool = False

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise ConfigError(
                f"joint {self.name} goes from {self.lower:g} to {self.upper:g}; lower must be "
                "below upper"
            )
        if not self.lower <= self.home <= self.upper:
            raise ConfigError(
                f"home of joint {self.name} is {self.home:g}, outside {self.lower:g} to "
                f"{self.upper:g}"
            )

    def position(self, action: float) -> float:
        """The position in rad that a value of the action stands for."""
        if self.unit == "deg":
            return math.radians(action)
        if self.unit == "percent":
            return self.lower + action / 100 * (self.upper - self.lower)
        return action


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Twist:
    """Of a robot that is commanded by the velocity of its hand.

    The first six values of an action, in [-1, 1], are shares of `linear` (x, y, z) and of
    `angular` (rotation vector).

    Attributes:
        frame: Frame of the velocity.
        linear: Speed in m/s of an action of 1.
        angular: Speed of rotation in rad/s of an action of 1.
        linear_limit: Largest speed in m/s, whatever the direction.
        angular_limit: Largest speed of rotation in rad/s.
        linear_acceleration: Largest change of the speed in m/s^2.
        angular_acceleration: The same of the rotation in rad/s^2.
    """

    frame: _Name
    linear: _Positive
    angular: _Positive
    linear_limit: _Positive
    angular_limit: _Positive
    linear_acceleration: _Positive
    angular_acceleration: _Positive


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Gripper:
    """A gripper with a controller of its own; the action's last value drives it.

    Attributes:
        topic: Of its forward position controller (Float64MultiArray of one number).
        open: Command for open, in the controller's unit.
        closed: Command for closed.
        action_open: Value of the action that means open.
        action_closed: Value of the action that means closed; between the two it is in between.
        binary: Only open or closed, whichever is nearer.
    """

    topic: _Name
    open: _Number
    closed: _Number
    action_open: _Number = 1.0
    action_closed: _Number = -1.0
    binary: bool = False

    def __post_init__(self) -> None:
        if self.action_open == self.action_closed:
            raise ConfigError("gripper: action_open and action_closed are the same; give two")

    def command(self, action: float) -> float:
        """The command that a value of the action stands for."""
        share = (action - self.action_closed) / (self.action_open - self.action_closed)
        share = min(max(share, 0.0), 1.0)
        if self.binary:
            share = float(share > 0.5)
        return self.closed + share * (self.open - self.closed)


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Command:
    """How the arm's controller is commanded.

    Attributes:
        type: joint_trajectory (trajectory_msgs/JointTrajectory), forward_position
            (std_msgs/Float64MultiArray, in the order of the joints) or twist
            (geometry_msgs/TwistStamped).
        topic: Where it listens, relative to the namespace.
        rate_hz: Commands per second; actions in between are reached within the limits.
    """

    type: Literal["joint_trajectory", "forward_position", "twist"]
    topic: _Name
    rate_hz: Annotated[float, Field(ge=1, le=1000)]


@dataclass(frozen=True, slots=True, config=_CONFIG)
class RobotProfile:
    """A robot.

    Attributes:
        cameras: Its cameras, named as the policy names its own.
        rate_hz: Steps of the policy per second.
        joints: Its joints, in the order of the policy's state.
        command: How its controller is commanded.
        watchdog_s: Silence of the policy after which the arm holds.
        joint_timeout_s: Silence of `joint_states` after which it holds.
        tracking: How far a joint may stay behind its command in rad.
        tracking_s: How long it may be farther behind, before that is a fault.
        twist: Where the command is a twist.
        gripper: Where it has a controller of its own.
    """

    cameras: Annotated[tuple[_Name, ...], Field(min_length=1)]
    rate_hz: _Positive
    joints: Annotated[tuple[Joint, ...], Field(min_length=1)]
    command: Command
    watchdog_s: _Positive
    joint_timeout_s: _Positive
    tracking: _Positive
    tracking_s: _Positive
    twist: Twist | None = None
    gripper: Gripper | None = None

    def __post_init__(self) -> None:
        for what, names in (("cameras", self.cameras), ("joints", self.joint_names)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ConfigError(f"{what} has {', '.join(twice)} twice")
        if (self.command.type == "twist") != (self.twist is not None):
            raise ConfigError(
                f"command.type is {self.command.type} and twist is "
                f"{'given' if self.twist else 'not given'}; they go together"
            )
        if self.watchdog_s <= 1 / self.rate_hz:
            raise ConfigError(
                f"watchdog_s is {self.watchdog_s:g}, no longer than a step of the policy "
                f"({1 / self.rate_hz:.3g} s): it would fire at every action; give several steps"
            )

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, in order."""
        return tuple(joint.name for joint in self.joints)

    @property
    def action_size(self) -> int:
        """How many values an action has."""
        arm = 6 if self.twist else len(self.joints)
        return arm + (self.gripper is not None)

    def split(self, action: npt.ArrayLike) -> tuple[Array, float | None]:
        """Read an action.

        Args:
            action: (`action_size`,) in the policy's units.

        Returns:
            Positions of the joints in rad (J,), or a twist (6,) in m/s and rad/s; and the
            gripper's command, None where it has none of its own.

        Raises:
            ObservationError: if it has another size, or a value that is not finite.
        """
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (self.action_size,):
            raise ObservationError(
                f"an action has {values.size} values; the robot takes {self.action_size}",
                "an action of another size than the robot's",
            )
        if not np.isfinite(values).all():
            raise ObservationError(
                f"an action is not finite: {values.tolist()}", "an action that is not finite"
            )
        gripper = None if self.gripper is None else self.gripper.command(float(values[-1]))
        if self.twist is None:
            pairs = zip(self.joints, values.tolist(), strict=False)
            return np.array([joint.position(value) for joint, value in pairs]), gripper
        speeds = np.repeat([self.twist.linear, self.twist.angular], 3)
        return np.clip(values[:6], -1.0, 1.0) * speeds, gripper

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file.

        Raises:
            ConfigError: if it cannot be read, or holds what is not allowed.
        """
        try:
            given: Any = yaml.safe_load(path.read_text())
            if not isinstance(given, dict):
                raise ConfigError(f"it is {given!r}; give {', '.join(KEYS)}")
            return cls(**given)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot read the robot profile '{path}': {error}") from error
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"robot profile '{path}': {error}") from error
        except ValidationError as error:
            said = "; ".join(_said(one) for one in error.errors(include_url=False))
            raise ConfigError(f"robot profile '{path}': {said}") from error


KEYS = tuple(item.name for item in fields(RobotProfile))


def _said(error: Any) -> str:
    """What is wrong with a profile, in its own keys."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "unexpected_keyword_argument":
        return f"there is no key {key}"
    if error["type"].startswith("missing"):
        return f"it has no {key}"
    return f"{key} is {error['input']!r}; {error['msg'].replace('Input should', 'it should')}"
