"""From what a success did next to what this arm could do: pulled to its path, blended, checked."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from salus_ros.core.errors import ConfigError, RecoveryError
from salus_ros.recovery.sight import GRIPPER, Array, Sight
from salus_ros.worlds.panda import ACTION_DIM
from salus_ros.worlds.workcell import Workcell

Actions = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """How a trajectory is made of another one.

    Attributes:
        steps: Its length.
        pull: Share of the way to the other's path in one step.
        turn_pull: Share of the turn to it in one step.
        blend_steps: In which it goes over from the last action to that of the other.
        speed: Share of the largest command; `Guards.speed`, so that what is offered is what may
            be done.
    """

    steps: int = 24
    pull: float = 0.3
    turn_pull: float = 0.1
    blend_steps: int = 4
    speed: float = 0.6

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("pull", "turn_pull", "speed")}
        wrong = [f"{name} is {value}" for name, value in shares.items() if not 0 < value <= 1]
        if wrong or self.steps < 1 or self.blend_steps < 0:
            raise ConfigError(
                f"{'; '.join(wrong) or f'{self.steps} steps, {self.blend_steps} to blend'}; "
                "allowed are shares above 0, up to 1, and at least one step"
            )


def synthesise(
    sight: Sight, states: Array, actions: Actions, cell: Workcell, how: Synthesis
) -> Actions:
    """Follow another trajectory from here.

    Each action is the other's, and a difference vector: a share of the way, and of the turn, from
    where the tool will be to where the other's was. The first ones go over from the last action
    that was done. Where the tool will be follows from the actions alone, as if it were always
    where it is sent. What may be held stays held: letting go is left to whoever knows the place.

    Args:
        sight: Where the arm is.
        states: (T, 7) joints of the other at each step, in rad, T at least `how.steps`.
        actions: Float32 (T, 7) what it did there.
        cell: The arm and its surroundings.
        how: Length, pull and speed.

    Returns:
        Float32 (`how.steps`, 7), each within the speed.

    Raises:
        RecoveryError: if the tool would leave the workspace, or come where it must not be; or if
            the workspace is not known.
    """
    pose = sight.tool.copy()
    last = np.zeros(ACTION_DIM, np.float32) if sight.last is None else sight.last
    found, places = np.empty((how.steps, ACTION_DIM), np.float32), [pose[:3, 3].copy()]
    for step in range(how.steps):
        other = cell.tool(states[step])
        action = actions[step].astype(np.float64)
        action[:3] += how.pull * (other[:3, 3] - pose[:3, 3]) / cell.step_m
        turn = Rotation.from_matrix(other[:3, :3] @ pose[:3, :3].T).as_rotvec()
        action[3:GRIPPER] += how.turn_pull * turn / cell.step_rad
        share = min(1.0, (step + 1) / (how.blend_steps + 1))
        action[:GRIPPER] = (1.0 - share) * last[:GRIPPER] + share * action[:GRIPPER]
        largest = float(np.abs(action[:GRIPPER]).max())
        action[:GRIPPER] *= min(1.0, how.speed / max(1e-9, largest))
        action[GRIPPER] = 1.0 if action[GRIPPER] > 0 and not sight.holds else -1.0
        found[step] = action
        pose[:3, 3] += cell.step_m * action[:3]
        pose[:3, :3] = (
            Rotation.from_rotvec(cell.step_rad * action[3:GRIPPER]).as_matrix() @ (pose[:3, :3])
        )
        places.append(pose[:3, 3].copy())
    if why := blocked(np.array(places), cell):
        raise RecoveryError(why)
    return found


def blocked(places: Array, cell: Workcell) -> str:
    """Why the tool must not go through some places (N, 3) in m; empty where it may."""
    if cell.workspace is None:
        return "where the tool may be is not known of this cell"
    outside = np.flatnonzero(~cell.workspace.holds(places))
    if outside.size:
        place = places[outside[0]].round(2).tolist()
        return f"the tool would leave the workspace at {place} m, at step {outside[0]}"
    for name, box in cell.keep_out.items():
        inside = np.flatnonzero(box.holds(places))
        if inside.size:
            place = places[inside[0]].round(2).tolist()
            return (
                f"the tool would come to where the {name} may be, {place} m, at step {inside[0]}"
            )
    return ""
