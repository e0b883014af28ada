"""How a behaviour moves the tool: towards a place, slower the nearer it is."""

import numpy as np
from scipy.spatial.transform import Rotation

from salus_ros.recovery.sight import GRIPPER, Action, Array, Sight
from salus_ros.worlds.panda import ACTION_DIM
from salus_ros.worlds.workcell import Workcell

GAIN = 0.25
"""Share of the way in one step."""

TURN_GAIN = 0.1
"""Share of the turn in one step; at larger ones the arm began to swing."""


def towards(
    sight: Sight, cell: Workcell, place: Array, *, opens: bool, speed: float = 1.0
) -> Action:
    """An action that brings the tool nearer to a place, and upright as at home.

    Args:
        sight: Where it is.
        cell: The arm.
        place: (3,) in m.
        opens: What the gripper is told.
        speed: Largest value of the translation.
    """
    step = GAIN * (place - sight.position) / cell.step_m
    turn = Rotation.from_matrix(cell.home[:3, :3] @ sight.tool[:3, :3].T).as_rotvec()
    action = np.zeros(ACTION_DIM, np.float32)
    action[:3] = step * min(1.0, speed / max(1e-9, float(np.abs(step).max())))
    action[3:6] = np.clip(TURN_GAIN * turn / cell.step_rad, -speed, speed)
    action[GRIPPER] = 1.0 if opens else -1.0
    return action


def still(*, opens: bool) -> Action:
    """No motion."""
    action = np.zeros(ACTION_DIM, np.float32)
    action[GRIPPER] = 1.0 if opens else -1.0
    return action
