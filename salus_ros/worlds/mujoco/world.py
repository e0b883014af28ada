"""Pick-and-place with ground truth: what happened, when, and of which kind.

The observation follows LeRobot's Gymnasium convention (`pixels`, `agent_pos`); what a policy
must not see (outcome, failure type and step) is in `info`.
"""

import copy
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.schema import RATE_HZ
from salus_ros.worlds.conditions import CONDITIONS, Arrangement
from salus_ros.worlds.engine import Engine, Images
from salus_ros.worlds.faults import FAULTS, Fault
from salus_ros.worlds.mujoco.arm import AT_HOME, HOME, JOINT_NAMES, Arm
from salus_ros.worlds.mujoco.engine import MujocoEngine
from salus_ros.worlds.mujoco.referee import Referee
from salus_ros.worlds.mujoco.scene import load_scene
from salus_ros.worlds.mujoco.truth import Truth
from salus_ros.worlds.mujoco.workcell import camera_matrix, camera_pose
from salus_ros.worlds.options import known
from salus_ros.worlds.panda import ACTION_DIM, CAMERAS, IMAGE_SIZE, STATE_DIM
from salus_ros.worlds.physics import RIGID, Physics
from salus_ros.worlds.rendering import make_renderer
from salus_ros.worlds.sensors import Sensors
from salus_ros.worlds.tasks import ALL_TASKS, TASKS, Task

MUJOCO, PHYSX, NEWTON, ISAAC = ENGINES = ("mujoco", "physx", "physx-newton", "isaac")

Observation = dict[str, Any]
Info = dict[str, Any]


class PickPlaceEnv(gym.Env[Observation, npt.NDArray[np.float32]]):
    """A Panda that puts a 44 mm cube into a bin, onto a plate or onto another cube.

    Observation: `pixels` = {front, side, wrist: uint8 (256, 256, 3) RGB}, `agent_pos` =
    float32 (7,) measured arm joint positions in rad. Action: float32 (7,) in [-1, 1], see
    `Arm.command`. One step is 1/30 s; an episode has at most `physics.max_steps`.

    `info` has, beside the outcome, what a real arm measures (`joint_positions`,
    `joint_velocities`, `joint_efforts`, of the fingers too) and what only the world can know
    (`truth`, see `Truth`); none of the latter is in the observation.

    An episode ends with `terminated` on success or on a drop, collision or other failure, and
    with `truncated` when the time is up; `info` says which (see `Referee`). The same seed and
    the same actions give the same episode.

    Args:
        render_mode: None or "rgb_array" (the front camera).
        physics: Numbers of the world.
        engine: What moves it, one of `ENGINES`. The images are MuJoCo's with the first two, and
            Newton's, at PhysX's poses, with "physx-newton"; with "isaac" they are Isaac Sim's.
        render_images: False leaves the images black; only for work that does not look at them.
        render_every: Steps between renderings, from step 0 on; `pixels` is empty in between. 0:
            only `look` renders.

    Raises:
        ConfigError: if the engine is not known.
        SimulatorError: if the engine is not set up, or if no headless OpenGL context can be made;
            says what to install.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(RATE_HZ)}  # noqa: RUF012

    def __init__(
        self,
        render_mode: str | None = None,
        *,
        physics: Physics = RIGID,
        engine: str = MUJOCO,
        render_images: bool = True,
        render_every: int = 1,
    ) -> None:
        if render_every < 0:
            raise ConfigError(f"render_every is {render_every}; give 1 step or more, 0 for never")
        self.render_mode, self._render_every = render_mode, render_every
        self.physics = physics
        self.max_episode_steps, self.fault_rate = physics.max_steps, physics.fault_rate
        self.model = load_scene(physics)
        self.data = mujoco.MjData(self.model)
        self.arm = Arm(self.model, self.data, physics)
        self._engine = make_engine(engine, self.model, self.data)
        self.referee = Referee(self.model, self.data, self._engine, self.arm, physics)
        self._arrangement = Arrangement(self.model, self.data)
        self._task: Task = ALL_TASKS[0]
        self.condition = next(iter(CONDITIONS))
        self.fault = Fault(self.model, self.data, physics)
        self.sensors = Sensors(physics)
        self._truth = Truth(self.model, self.data, self._engine, self.referee)
        self._steps = 0
        self._render_images = render_images
        by_mujoco = render_images and self._engine.look is None
        self._renderer = make_renderer(self.model, IMAGE_SIZE) if by_mujoco else None
        image = spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        self.observation_space = spaces.Dict(
            {
                "pixels": spaces.Dict({name: image for name in CAMERAS}),
                "agent_pos": spaces.Box(-4.0, 4.0, (STATE_DIM,), np.float32),
            }
        )
        self.action_space = spaces.Box(-1.0, 1.0, (ACTION_DIM,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Start an episode.

        Args:
            seed: Decides all that is drawn.
            options: `task`: one of `TASKS`, by default drawn; `fault`: one of `FAULTS`, by
                default "none"; `condition`: one of `CONDITIONS`, by default "standard".

        Raises:
            ConfigError: if the task, the fault or the condition is not known.
        """
        super().reset(seed=seed)
        options = options or {}
        task = known(options.get("task"), TASKS, "task")
        fault = known(options.get("fault"), FAULTS, "fault") or FAULTS[0]
        conditions = tuple(CONDITIONS)
        self.condition = known(options.get("condition"), conditions, "condition") or conditions[0]
        condition = CONDITIONS[self.condition]
        rng = self.np_random
        drawn = TASKS[int(rng.integers(len(TASKS)))]
        self._task = ALL_TASKS[TASKS.index(task or drawn)]
        mujoco.mj_resetData(self.model, self.data)
        self._arrangement.draw(condition, self._task.target, rng)
        self.arm.reset(np.array(HOME) + rng.normal(0.0, condition.home_rad, len(HOME)))
        self.referee.reset(self._task)
        self.fault.reset(fault, self._task.target, condition.fault_scale, rng)
        self.sensors.reset(rng)
        self._engine.load()
        self._steps = 0
        return self._observe(), self._info()

    def step(
        self, action: npt.NDArray[np.floating[Any]]
    ) -> tuple[Observation, float, bool, bool, Info]:
        """Advance one control step; the reward is 1.0 on success and 0.0 otherwise.

        Raises:
            ObservationError: if the action has another shape or is not finite.
        """
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (ACTION_DIM,) or not np.isfinite(action).all():
            raise ObservationError(
                f"action of shape {action.shape} with values {action}: "
                f"the world takes ({ACTION_DIM},) finite numbers in [-1, 1]"
            )
        self.arm.command(action)
        self._steps += 1
        for substep in range(self.physics.substeps):
            self.arm.drive(substep)
            self.fault.apply(self._steps, substep)
            self._engine.step()
            self.referee.watch(self._steps)
        truncated = self._steps >= self.max_episode_steps
        self.referee.judge(self._steps, time_is_up=truncated)
        outcome, kind = self.referee.outcome, self.referee.failure_type
        terminated = outcome is not Outcome.UNKNOWN and kind is not FailureType.TIMEOUT
        reward = float(outcome is Outcome.SUCCESS)
        return self._observe(), reward, terminated, truncated and not terminated, self._info()

    def look(self) -> Observation:
        """The observation of this step with its images, whatever `render_every` is."""
        return self._observe(images=True)

    def follow(self, other: "PickPlaceEnv") -> None:
        """Take over the state of another world of the same physics, in the same episode.

        Both must have been reset alike; what was stepped there need not be stepped here.
        """
        self._engine.follow(other._engine)
        ours = {
            id(other.model): self.model,
            id(other.data): self.data,
            id(other._engine): self._engine,
        }
        parts = (other.arm, other.referee, other.fault, other.sensors)
        self.arm, self.referee, self.fault, self.sensors = copy.deepcopy(parts, ours)
        self._truth = Truth(self.model, self.data, self._engine, self.referee)
        self._steps = other._steps

    def branch(self, seed: int) -> None:
        """Leave the episode's future for another one, of which its state says all that is known.

        Bodies, forces and what has happened stay. What sensors and a fault that has begun draw
        comes from `seed`, from this step's observation on; a fault that has not begun never does.
        """
        rng = np.random.default_rng(seed)
        self.sensors.reset(rng)
        self.fault.branch(self._steps, rng)

    def render(self) -> npt.NDArray[np.uint8] | None:
        """The front camera's image (256, 256, 3), or None without a render mode."""
        return self._images(["front"])["front"] if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Free the engine and the OpenGL context."""
        self._engine.close()
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    @property
    def object_position(self) -> npt.NDArray[np.float64]:
        """Centre of the cube to move, (3,) in m; for the scripted expert, not for a policy."""
        return np.asarray(self.data.body(self._task.target).xpos, dtype=np.float64).copy()

    @property
    def goal_position(self) -> npt.NDArray[np.float64]:
        """Position of the body where the cube shall rest, (3,) in m; see `object_position`."""
        return np.asarray(self.data.body(self._task.goal).xpos, dtype=np.float64).copy()

    @property
    def task_goal(self) -> str:
        """The body where the cube shall rest, see `Task.goal`."""
        return self._task.goal

    def camera_matrix(self, camera: str) -> npt.NDArray[np.float64]:
        """Pinhole matrix (3, 3) of a camera, see `workcell.camera_matrix`."""
        return camera_matrix(self.model, camera)

    def camera_pose(self, camera: str) -> npt.NDArray[np.float64]:
        """Where a camera is now, (4, 4), see `workcell.camera_pose`."""
        return camera_pose(self.data, camera)

    def _images(self, cameras: Sequence[str] = CAMERAS) -> Images:
        """What cameras show; black where nothing is rendered."""
        if self._render_images and self._engine.look is not None:
            return self._engine.look()
        return {camera: self._image(camera) for camera in cameras}

    def _image(self, camera: str) -> npt.NDArray[np.uint8]:
        if self._renderer is None:
            return np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        self._renderer.update_scene(self.data, camera=camera)
        return np.asarray(self._renderer.render(), dtype=np.uint8).copy()

    def _observe(self, *, images: bool = False) -> Observation:
        step, every = self._steps, self._render_every
        pixels = {}
        if images or (every and step % every == 0):
            shown = self._images()
            for i, name in enumerate(CAMERAS):
                seen = shown[name]
                if self._render_images:  # black is no image, and has no noise
                    seen = self.fault.noisy_image(self.sensors.image(seen, i, step), i, step)
                pixels[name] = seen
        return {"pixels": pixels, "agent_pos": self._joints()[:STATE_DIM].astype(np.float32)}

    def _joints(self) -> npt.NDArray[np.float64]:
        measured = self.sensors.positions(self.arm.joint_positions, self._steps)
        return self.fault.noisy_joints(measured, self._steps)

    def _info(self) -> Info:
        step = self._steps
        info: Info = {
            "task": self._task.instruction,
            "condition": self.condition,
            "fault": self.fault.name,
            "fault_step": self.fault.start_step,
            "joint_names": JOINT_NAMES,
            "joint_positions": self._joints(),
            "joint_velocities": self.sensors.velocities(self.arm.joint_velocities, step),
            "joint_efforts": self.sensors.efforts(self.arm.joint_efforts, step),
            "outcome": self.referee.outcome,
            "failure_type": self.referee.failure_type,
            "failure_cause": self.referee.cause,
            "failure_step": self.referee.failure_step,
            "losses": self.referee.losses,
            "is_success": self.referee.outcome is Outcome.SUCCESS,
            "truth": self._truth.now(),
        }
        if self.fault.start_step >= 0:
            info["fault_strength"] = self.fault.strength
        return info


def make_engine(name: str, model: mujoco.MjModel, data: mujoco.MjData) -> Engine:
    """The engine that is meant by one of `ENGINES`.

    Raises:
        ConfigError: if there is none of that name.
        SimulatorError: if it is not set up here.
    """
    if name == MUJOCO:
        return MujocoEngine(model, data)
    if name in (PHYSX, NEWTON, ISAAC):
        from salus_ros.worlds.isaac.application import ISAAC as ISAAC_SIM
        from salus_ros.worlds.physx.application import PHYSX as OVPHYSX
        from salus_ros.worlds.physx.engine import PhysxEngine

        home = dict(zip(JOINT_NAMES, AT_HOME, strict=True))
        application = ISAAC_SIM if name == ISAAC else OVPHYSX
        return PhysxEngine(model, data, home, application, own_images=name != PHYSX)
    raise ConfigError(f"unknown engine {name!r}; known: {', '.join(map(repr, ENGINES))}")
