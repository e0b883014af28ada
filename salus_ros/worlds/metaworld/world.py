"""MetaWorld's tasks in LeRobot's observation form, with ground truth of what happened and when."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from salus_ros.core.errors import ConfigError, ObservationError, SimulatorError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.metaworld import HAND, RATE_HZ
from salus_ros.worlds.metaworld.referee import Referee
from salus_ros.worlds.metaworld.scene import CAMERA, make_scene, start
from salus_ros.worlds.metaworld.tasks import ALL_TASKS, TASKS, Task
from salus_ros.worlds.options import known
from salus_ros.worlds.rendering import make_renderer

ARM_JOINTS: tuple[str, ...] = (*(f"right_j{number}" for number in range(7)), "r_close", "l_close")
"""The Sawyer's joints, which follow the hand, and its fingers."""

ACTION_DIM = 4
"""Displacement of the hand in cm, at most 1 each, and the gripper: 1 closes, -1 opens."""

MAX_STEPS = 500
"""MetaWorld's own time limit."""

FAULTS = ("none",)
CONDITIONS = ("standard",)

QUANTITIES: dict[str, tuple[str, ...]] = {
    "object_pose": ("x", "y", "z", "qw", "qx", "qy", "qz"),
    "goal_position": ("x", "y", "z"),
    "finger_forces_n": ("left", "right"),
    "fixture_force_n": (),
}
"""What the truth is made of, and what the values of each are called where there are several."""

DIVERGED = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)


class MetaWorldEnv(gym.Env[dict[str, Any], npt.NDArray[np.float32]]):
    """A Sawyer at MetaWorld's eight tasks of `tasks.py`, one drawn for each episode.

    Observation and action are those of `lerobot.envs.metaworld`: `pixels` = {camera: uint8
    (S, S, 3) RGB}, `agent_pos` = float64 (4,), by `HAND`; action float32 (4,) in [-1, 1]. One
    step is 1/80 s of the world's time; an episode has at most `MAX_STEPS`. The same task, seed
    and actions give the same episode, and the scene that LeRobot's environment draws of them.

    An episode ends with `terminated` on success or on a drop, collision or other failure, and
    with `truncated` when the time is up; `info` says which (see `Referee`).

    Args:
        render_mode: None or "rgb_array" (the first camera).
        cameras: Names of MetaWorld's cameras.
        image_size: Height and width of their images.
        plain: Whether to leave out shadows, reflections and smooth edges.
        render_every: Steps between renderings, from step 0 on; `pixels` is empty in between. 0:
            only `look` renders.

    Raises:
        ConfigError: if `render_every` is below 0.
        SimulatorError: if MetaWorld is not installed, or there is no headless OpenGL.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(RATE_HZ)}  # noqa: RUF012
    open_gripper = -1.0

    def __init__(
        self,
        render_mode: str | None = None,
        *,
        cameras: Sequence[str] = (CAMERA,),
        image_size: int = 480,
        plain: bool = False,
        render_every: int = 1,
    ) -> None:
        if render_every < 0:
            raise ConfigError(f"render_every is {render_every}; give 1 step or more, 0 for never")
        self.render_mode, self._render_every = render_mode, render_every
        self._cameras, self._size, self._plain = tuple(cameras), image_size, plain
        self.max_episode_steps, self.fault_rate = MAX_STEPS, 0.0
        self._scenes: dict[str, tuple[Any, Referee]] = {}
        self._renderer: mujoco.Renderer | None = None
        self._rendered = ""
        self._take(ALL_TASKS[0])
        image = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.observation_space = spaces.Dict(
            {
                "pixels": spaces.Dict({name: image for name in self._cameras}),
                "agent_pos": spaces.Box(-1000.0, 1000.0, (len(HAND),), np.float64),
            }
        )
        self.action_space = spaces.Box(-1.0, 1.0, (ACTION_DIM,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Decides all that is drawn.
            options: `task`: one of `TASKS`, by default drawn; `fault` and `condition`: there are
                none but "none" and "standard".

        Raises:
            ConfigError: if the task, the fault or the condition is not known.
        """
        super().reset(seed=seed)
        options = options or {}
        task = known(options.get("task"), TASKS, "task")
        known(options.get("fault"), FAULTS, "fault")
        known(options.get("condition"), CONDITIONS, "condition")
        drawn = TASKS[int(self.np_random.integers(len(TASKS)))]
        self._take(ALL_TASKS[TASKS.index(task or drawn)])
        if seed is None:
            seed = int(self.np_random.integers(2**31))
        self.expert_observation = start(self._scene, seed)
        self.referee.reset()
        self._steps = 0
        return self._observe(), self._info()

    def step(
        self, action: npt.NDArray[np.floating[Any]]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Advance one control step; the reward is 1.0 on success and 0.0 otherwise.

        Raises:
            ObservationError: if the action has another shape or is not finite.
            SimulatorError: if MuJoCo's state has become senseless.
        """
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (ACTION_DIM,) or not np.isfinite(action).all():
            raise ObservationError(
                f"action of shape {action.shape} with values {action}: "
                f"the world takes ({ACTION_DIM},) finite numbers in [-1, 1]"
            )
        self.expert_observation, _, _, _, theirs = self._scene.step(action)
        if any(self._scene.data.warning[kind].number for kind in DIVERGED):
            raise SimulatorError(
                f"MuJoCo's state is not finite any more at step {self._steps + 1} of "
                f"'{self.task.instruction}'; leave out this seed"
            )
        self._steps += 1
        truncated = self._steps >= self.max_episode_steps
        self.referee.judge(
            self._steps,
            success=bool(theirs["success"]),
            opening=bool(action[-1] < 0),
            time_is_up=truncated,
        )
        outcome, kind = self.referee.outcome, self.referee.failure_type
        terminated = outcome is not Outcome.UNKNOWN and kind is not FailureType.TIMEOUT
        reward = float(outcome is Outcome.SUCCESS)
        return self._observe(), reward, terminated, truncated and not terminated, self._info()

    def look(self) -> dict[str, Any]:
        """The observation of this step with its images, whatever `render_every` is."""
        return self._observe(images=True)

    def render(self) -> npt.NDArray[np.uint8] | None:
        """The first camera's image (S, S, 3), or None without a render mode."""
        return self._image(self._cameras[0]) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Free the scenes and the OpenGL context."""
        for scene, _ in self._scenes.values():
            scene.close()
        self._scenes.clear()
        self._close_renderer()

    def _take(self, task: Task) -> None:
        if task.name not in self._scenes:
            scene = make_scene(task.name)
            self._scenes[task.name] = scene, Referee(scene)
        self.task = task
        self._scene, self.referee = self._scenes[task.name]

    def _image(self, camera: str) -> npt.NDArray[np.uint8]:
        if self._renderer is None or self._rendered != self.task.name:
            self._close_renderer()  # one at a time: each takes 200 MB
            self._renderer = make_renderer(self._scene.model, self._size, plain=self._plain)
            self._rendered = self.task.name
        self._renderer.update_scene(self._scene.data, camera=camera)
        image = np.asarray(self._renderer.render(), dtype=np.uint8)
        return (image[::-1, ::-1] if camera == CAMERA else image).copy()

    def _close_renderer(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _observe(self, *, images: bool = False) -> dict[str, Any]:
        due = images or (self._render_every and self._steps % self._render_every == 0)
        pixels = {name: self._image(name) for name in self._cameras} if due else {}
        return {"pixels": pixels, "agent_pos": self.expert_observation[: len(HAND)].copy()}

    def _info(self) -> dict[str, Any]:
        referee = self.referee
        data: mujoco.MjData = self._scene.data
        joints = [float(data.joint(name).qpos[0]) for name in ARM_JOINTS]
        return {
            "task": self.task.instruction,
            "condition": CONDITIONS[0],
            "fault": FAULTS[0],
            "fault_step": -1,
            "joint_names": (*HAND, *ARM_JOINTS),
            "joint_positions": np.array([*self.expert_observation[: len(HAND)], *joints]),
            "outcome": referee.outcome,
            "failure_type": referee.failure_type,
            "failure_cause": referee.cause,
            "failure_step": referee.failure_step,
            "losses": referee.losses,
            "is_success": referee.outcome is Outcome.SUCCESS,
            "truth": self._truth(),
        }

    def _truth(self) -> Mapping[str, Any]:
        """What only the world can know of a step, by `QUANTITIES`."""
        turned = self._scene.data.xquat[self.referee.object_body]
        return {
            "object_pose": np.concatenate([self.referee.object_position, turned]),
            "goal_position": np.array(self._scene._target_pos, np.float64),
            "finger_forces_n": self.referee.finger_forces_n,
            "fixture_force_n": self.referee.fixture_force_n,
        }
