"""What the arm will meet if it does as the policy plans, on a model of its cell.

The model is the cell as its builder knows it: the arm with its controller, table, bin and plate
in their nominal places. Nothing is in it that only a world can know; where a cube lies is unknown,
so there is one only while the fingers hold something of its size. Model predictive safety filters
look ahead in this way (Wabersich & Zeilinger 2021); here what is seen is not acted on, it is read
by a predictor.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.worlds.conditions import CUBE_HALF_M, CUBES
from salus_ros.worlds.mujoco.arm import JOINT_NAMES, Arm
from salus_ros.worlds.mujoco.engine import MujocoEngine
from salus_ros.worlds.mujoco.scene import fixed_geoms, load_scene
from salus_ros.worlds.mujoco.truth import PADS
from salus_ros.worlds.physics import Physics
from salus_ros.worlds.pressing import Pressing

Array = npt.NDArray[np.float64]

STEPS = 15
"""Control steps that are looked ahead: the longest horizon of a prediction, 0.5 s."""

WINDOWS = (3, 6, 9, 12, STEPS)
"""Steps ahead until which forces are looked at."""

MARKS = (5, 10, STEPS)
"""Steps ahead at which the tool is looked at."""

NEVER = 30.0
"""Steps to a collision that does not come: twice as far as is looked."""

GRASP_SLACK_M = 0.004
"""By which half the opening of closed fingers may differ from half a cube that they hold."""

COLUMNS: tuple[str, ...] = (
    "steps_to_collision",
    "force_now",
    *(f"force_until_{steps}" for steps in WINDOWS),
    *(f"tool_{axis}_at_{steps}" for steps in MARKS for axis in "xyz"),
    *(f"lag_{axis}_at_{steps}" for steps in MARKS for axis in "xyz"),
    *(f"opening_at_{steps}" for steps in MARKS),
    "lowest_tool_z",
)
"""What is told of a step: steps until the robot will have pressed on something for as long as
counts as a collision, `NEVER` if it does not; log(1 + F / N) of the force F at the beginning of
what was rolled out last, which shows what the model lacks (an arm that presses on a cube), and of
the largest until so many steps ahead; where the tool will be, in m; by how much it will lag behind
where it is sent, in m; the fingers' opening, in m; the lowest height of the tool, in m."""

_UPRIGHT: Array = np.array([1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True, slots=True, eq=False)
class _Rollout:
    """What was seen ahead, one row a control step.

    first: the force at its beginning in N; forces: (n,) in N; tools, lags: (n, 3); openings: (n,);
    collision: step, -1 for none.
    """

    first: float
    forces: Array
    tools: Array
    lags: Array
    openings: Array
    collision: int


class PlanLookahead:
    """Looks ahead at each step of an episode in a built-in world, see `cells.Lookahead`.

    The controller's set point is not measured, so it is followed from the episode's first step
    on: the steps are given in order, each once.

    Attributes:
        joint_names: The arm's and the fingers'.
        columns: `COLUMNS`.

    Args:
        physics: Numbers of the world.
    """

    joint_names = JOINT_NAMES
    columns = COLUMNS

    def __init__(self, physics: Physics) -> None:
        self._physics = physics
        self._model = load_scene(physics)
        self._data = mujoco.MjData(self._model)
        self._arm = Arm(self._model, self._data, physics, quick=True)
        model = self._model
        self._qpos = np.array([model.joint(name).qposadr[0] for name in JOINT_NAMES])
        self._qvel = np.array([model.joint(name).dofadr[0] for name in JOINT_NAMES])
        self._cubes = [int(model.joint(name).qposadr[0]) for name in CUBES]
        self._site = model.site("tcp").id
        self._pads = [model.geom(name).id for name in PADS]
        cubes = {model.geom(name).id for name in CUBES}
        fixed = set(fixed_geoms(model))
        is_fixed = np.isin(np.arange(model.ngeom), list(fixed))
        is_robot = ~np.isin(np.arange(model.ngeom), list(fixed | cubes))
        self._counts = np.outer(is_robot, is_fixed) | np.outer(is_fixed, is_robot)
        held = model.geom(CUBES[0])
        self._held, self._touches = held, (int(held.contype[0]), int(held.conaffinity[0]))
        for name in ("obstacle", *CUBES):  # who knows where
            model.geom(name).contype = model.geom(name).conaffinity = 0
        self._engine = MujocoEngine(model, self._data)
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self._begun = False
        self._grip: tuple[Array, Array] | None = None  # of the cube in the hand
        self._seen: _Rollout | None = None
        self._age = 0

    def step(
        self,
        positions: npt.NDArray[np.floating],
        velocities: npt.NDArray[np.floating],
        plan: npt.NDArray[np.floating],
        plan_step: int,
    ) -> npt.NDArray[np.float16]:
        """Look ahead from a step, whose action the plan then does.

        A plan is rolled out when it is new; at the steps after that what was seen is read on.

        Args:
            positions: Measured, of `JOINT_NAMES`, (9,) in rad and m.
            velocities: Of the same, (9,) in rad/s and m/s.
            plan: The policy's chunk of actions (T, 7).
            plan_step: Which of them is done at this step.

        Returns:
            Float16, by `COLUMNS`; NaN where joints or plan are not finite, and then it begins
            anew at the next step.
        """
        known = np.isfinite(positions).all() and np.isfinite(velocities).all()
        if not (known and np.isfinite(plan).all() and 0 <= plan_step < len(plan)):
            self.reset()
            return np.full(len(COLUMNS), np.nan, np.float16)
        place = np.asarray(positions, np.float64), np.asarray(velocities, np.float64)
        if not self._begun:
            self._put(*place)
            self._arm.reset(place[0][:7])
            self._begun = True
        if plan_step == 0 or self._seen is None:
            self._put(*place)
            memory = self._arm.remember()
            self._seen, self._age = self._roll(np.asarray(plan, np.float64)[plan_step:]), 0
            self._arm.recall(memory)
        else:
            self._age += 1
        self._put(*place)
        self._arm.command(plan[plan_step])
        return _told(self._seen, self._age)

    def _put(self, positions: Array, velocities: Array) -> None:
        """Bring the model to what was measured.

        A command goes by where the tool was a physics step ago, in the world as here: poses are
        those from which the last step was made.
        """
        model, data = self._model, self._data
        mujoco.mj_resetData(model, data)
        data.qpos[self._qpos] = positions
        data.qvel[self._qvel] = velocities
        half = float(np.mean(positions[7:]))
        if not self._arm.opening and abs(half - CUBE_HALF_M) < GRASP_SLACK_M:
            self._hold()
        else:
            self._grip = None
            self._held.contype = self._held.conaffinity = 0
        now = data.qpos.copy()
        mujoco.mj_integratePos(model, data.qpos, data.qvel, -self._physics.timestep_s)
        mujoco.mj_kinematics(model, data)
        data.qpos[:] = now

    def _hold(self) -> None:
        """Put a cube between the fingers, in the hand as it was at the last step.

        When they close around it, it is at the tool centre. It stands upright on the table where
        it would be in it else, and is always midway between the pads.
        """
        model, data = self._model, self._data
        mujoco.mj_kinematics(model, data)
        tool, turn = data.site_xpos[self._site], np.zeros(4)
        mujoco.mju_mat2Quat(turn, data.site_xmat[self._site])
        left, right = data.geom_xpos[self._pads]
        axis = (left - right) / np.linalg.norm(left - right)
        cube, cube_turn = np.zeros(3), np.zeros(4)
        mujoco.mju_mulPose(cube, cube_turn, tool, turn, *(self._grip or (np.zeros(3), _UPRIGHT)))
        cube += axis * (axis @ ((left + right) / 2 - cube))
        if self._grip is None or cube[2] < CUBE_HALF_M:
            cube[2] = max(cube[2], CUBE_HALF_M)
            yaw = np.arctan2(axis[1], axis[0])
            cube_turn[:] = np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)
        there, back, grip = np.zeros(3), np.zeros(4), (np.zeros(3), np.zeros(4))
        mujoco.mju_negPose(there, back, tool, turn)
        mujoco.mju_mulPose(*grip, there, back, cube, cube_turn)
        self._grip = grip
        place = self._cubes[0]
        data.qpos[place : place + 3], data.qpos[place + 3 : place + 7] = cube, cube_turn
        self._held.contype, self._held.conaffinity = self._touches

    def _roll(self, plan: Array) -> _Rollout:
        physics = self._physics
        pressing = Pressing(physics.surface_force_n, physics.collision_time_s, physics.timestep_s)
        rows, collision = [], -1
        forces: list[float] = []
        for ahead, action in enumerate(plan[:STEPS]):
            self._arm.command(action)
            largest = 0.0
            for substep in range(physics.substeps):
                self._arm.drive(substep)
                self._engine.step()
                force = self._force()
                forces.append(force)
                largest = max(largest, force)
                if pressing.update(force) and collision < 0:
                    collision = ahead
            tool = self._arm.tool_position
            opening = 2.0 * float(np.mean(self._data.qpos[self._qpos[7:]]))
            rows.append((largest, *tool, *(self._arm.target_position - tool), opening))
        seen = np.array(rows)
        return _Rollout(forces[0], seen[:, 0], seen[:, 1:4], seen[:, 4:7], seen[:, 7], collision)

    def _force(self) -> float:
        """Force of the robot on what stands still, in N."""
        if not self._data.ncon:
            return 0.0
        first, second = self._data.contact.geom.T  # (contacts,) each
        touching = np.flatnonzero(self._counts[first, second])
        return sum(self._engine.force(int(contact)) for contact in touching)


def _told(seen: _Rollout, age: int) -> npt.NDArray[np.float16]:
    """The columns `age` steps after a rollout, behind whose end its last row goes on."""
    last = len(seen.forces) - 1
    at = [min(age + steps - 1, last) for steps in MARKS]
    until = [np.log1p(seen.forces[min(age, last) : age + steps].max()) for steps in WINDOWS]
    left = seen.collision - age if seen.collision >= age else NEVER
    values = [
        left,
        np.log1p(seen.first),
        *until,
        *seen.tools[at].ravel(),
        *seen.lags[at].ravel(),
        *seen.openings[at],
        seen.tools[min(age, last) :, 2].min(),
    ]
    return np.array(values, np.float16)
