"""Setpoints that obey the limits of position, speed and acceleration."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from salus_ros.control.profile import Joint, Twist

Array = npt.NDArray[np.float64]

SHORTEST_S = 1e-6
"""No step is taken to be shorter than that."""


class JointLimiter:
    """Moves the setpoint of each joint towards a target, as fast as its limits allow.

    A setpoint never leaves the limits of position, is never faster than `velocity` and brakes in
    time. Where the arm itself is outside its limits, it may only come back.

    Attributes:
        positions: The setpoints in rad, (J,).
        velocities: Their speeds in rad/s, (J,).
    """

    def __init__(self, joints: Sequence[Joint], positions: Array, period_s: float) -> None:
        """Start at rest at `positions` (J,), with a step of nominally `period_s`."""
        self._lower = np.array([joint.lower for joint in joints])
        self._upper = np.array([joint.upper for joint in joints])
        self._speed = np.array([joint.velocity for joint in joints])
        self._brake = np.array([joint.acceleration for joint in joints])
        self._period_s = period_s
        self.sync(positions)

    def sync(self, positions: Array) -> None:
        """Be at rest where the arm is, (J,)."""
        self.positions = np.array(positions, dtype=np.float64)
        self.velocities = np.zeros_like(self.positions)

    def clipped(self, target: Array) -> Array:
        """The target inside the limits of position, (J,)."""
        return np.clip(target, self._lower, self._upper)

    def step(self, target: Array | None, scale: float, dt_s: float) -> Array:
        """Move on.

        The speed from which a joint can brake within the distance d, at a deceleration a and a
        period h, is v = sqrt((a h / 2)^2 + 2 a d) - a h / 2.

        Args:
            target: Where to, (J,); None brakes and stays.
            scale: Share of the speed that is allowed, in (0, 1].
            dt_s: Time since the last step.

        Returns:
            The new setpoints, (J,).
        """
        if target is None:
            wanted = np.zeros_like(self.positions)
        else:
            way = self.clipped(target) - self.positions
            half = self._brake * self._period_s / 2
            speed = np.sqrt(half**2 + 2 * self._brake * np.abs(way)) - half
            speed = np.minimum(speed, self._speed * scale)
            speed = np.minimum(speed, np.abs(way) / max(dt_s, SHORTEST_S))
            wanted = np.sign(way) * speed
        change = self._brake * dt_s
        moving = self.velocities + np.clip(wanted - self.velocities, -change, change)
        there = self.positions + moving * dt_s
        low = np.minimum(self._lower, self.positions)
        high = np.maximum(self._upper, self.positions)
        inside = np.clip(there, low, high)
        self.velocities = np.where(inside == there, moving, 0.0)
        self.positions = inside
        return inside.copy()

    @property
    def at_rest(self) -> bool:
        """Whether no setpoint moves."""
        return not self.velocities.any()


class TwistLimiter:
    """Changes the velocity of the hand towards a target, as fast as its limits allow.

    Attributes:
        velocity: The setpoint, (6,) in m/s and rad/s.
    """

    def __init__(self, twist: Twist) -> None:
        """Start at rest."""
        self._limits = (twist.linear_limit, twist.angular_limit)
        self._changes = (twist.linear_acceleration, twist.angular_acceleration)
        self.velocity: Array = np.zeros(6)

    def sync(self, positions: Array) -> None:
        """Be at rest, wherever the arm is."""
        self.velocity = np.zeros(6)

    def step(self, target: Array | None, scale: float, dt_s: float) -> Array:
        """Move on.

        Args:
            target: Velocity to reach, (6,); None brakes.
            scale: Share of the speed that is allowed, in (0, 1].
            dt_s: Time since the last step.

        Returns:
            The new setpoint, (6,).
        """
        wanted = np.zeros(6) if target is None else target
        new = self.velocity.copy()
        for part, limit, change in zip(
            (slice(0, 3), slice(3, 6)), self._limits, self._changes, strict=True
        ):
            goal = _shortened(wanted[part] * scale, limit * scale)
            new[part] += _shortened(goal - new[part], change * dt_s)
        self.velocity = new
        return new.copy()

    @property
    def at_rest(self) -> bool:
        """Whether the hand is told to rest."""
        return not self.velocity.any()


def _shortened(vector: Array, length: float) -> Array:
    """A vector no longer than `length`, in its own direction."""
    size = float(np.linalg.norm(vector))
    return vector if size <= length else vector * (length / size)
