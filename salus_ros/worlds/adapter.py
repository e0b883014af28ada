"""Any Gymnasium environment of the observation form, as the simulator node sees it.

The form is LeRobot's: observations {"pixels": {camera: uint8 (H, W, 3)}, "agent_pos": (D,)}
and actions in a Box (A,). An environment with one camera may give its image alone as "pixels".
"""

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError, SalusError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.faults import FAULT_RATE

STANDARD = "standard"
"""The condition of a world that is asked for none."""

JOINT_INFO = {
    "position": "joint_positions",
    "velocity": "joint_velocities",
    "effort": "joint_efforts",
}
"""What a world's info calls the quantities of its `joint_names`."""

ONLY_CAMERA = "front"
"""Name of the camera whose image alone is `pixels`, where the environment has no `camera_name`."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the world shows at one step, and how the episode ended if it has.

    Attributes:
        images: Uint8 (H, W, 3) per camera.
        joint_names: Names of the J joints.
        joint_positions: Float64 (J,) in rad (fingers in m).
        task: Instruction in words: the environment's own, or else the one asked for.
        fault: Injected fault, "none" without one.
        fault_step: Step at which it starts; -1 without one, or if the world does not say.
        fault_strength: Its strength in its own unit; NaN likewise.
        condition: Condition the episode was drawn under; empty if the world does not say.
        world: Gymnasium id of the world.
        ended: Whether the episode is over.
        outcome: How it ended; `UNKNOWN` before.
        failure_type: Kind of failure, `NONE` without one.
        failure_step: Step of the failure, -1 without one.
        failure_cause: Why it failed in the world's own words; empty where it has none.
        joint_velocities: Float64 (J,) in rad/s (m/s); None where the world says none.
        joint_efforts: Float64 (J,) in Nm (N); None where the world says none.
    """

    images: Mapping[str, NDArray[np.uint8]]
    joint_names: tuple[str, ...]
    joint_positions: NDArray[np.float64]
    task: str
    fault: str
    fault_step: int = -1
    fault_strength: float = math.nan
    condition: str = ""
    world: str = ""
    ended: bool = False
    outcome: Outcome = Outcome.UNKNOWN
    failure_type: FailureType = FailureType.NONE
    failure_step: int = -1
    failure_cause: str = ""
    joint_velocities: NDArray[np.float64] | None = None
    joint_efforts: NDArray[np.float64] | None = None


def read_env_kwargs(text: str) -> dict[str, Any]:
    """What a world's constructor is given, of a JSON object; nothing of an empty text.

    Raises:
        ConfigError: if it is none.
    """
    try:
        given = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise ConfigError(
            f"env_kwargs is '{text}'; allowed is a JSON object, as "
            '{"obs_type": "pixels_agent_pos"}'
        )
    return given


class World:
    """A Gymnasium environment with its conventions resolved."""

    def __init__(
        self,
        env_id: str,
        joint_names: tuple[str, ...],
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the environment.

        Args:
            env_id: Its Gymnasium id.
            joint_names: Names of `agent_pos`, for an environment that gives none.
            env_kwargs: What its constructor is given.

        Raises:
            ConfigError: if there is no such environment, if it refuses its arguments, or if it
                has another form.
            SimulatorError: if it cannot be built here.
        """
        import salus_ros.worlds.metaworld
        import salus_ros.worlds.mujoco  # noqa: F401

        given = dict(env_kwargs or {})
        try:
            with warnings.catch_warnings():  # the version asked for is the one meant
                warnings.filterwarnings("ignore", ".*is out of date", DeprecationWarning)
                self._env = gymnasium.make(env_id, **{"disable_env_checker": True} | given)
        except SalusError:
            raise
        except (gymnasium.error.Error, ModuleNotFoundError) as error:
            raise ConfigError(
                f"env_id '{env_id}' cannot be made ({error}); give a registered Gymnasium id, "
                "or 'module:Id-v0' for one that a module registers"
            ) from error
        except Exception as error:  # of the environment's own code, which may raise anything
            raise ConfigError(
                f"env_id '{env_id}' cannot be made with env_kwargs {given} "
                f"({type(error).__name__}: {error}); set env_kwargs to what its constructor needs"
            ) from error
        self._joint_names = joint_names
        self._steps = 0
        self._task = ""
        observations, actions = self._env.observation_space, self._env.action_space
        parts = observations.spaces if isinstance(observations, spaces.Dict) else {}
        self._only_camera: str | None = None
        if isinstance(parts.get("pixels"), spaces.Box):
            own = getattr(self._env.unwrapped, "camera_name", None)
            self._only_camera = own if own and isinstance(own, str) else ONLY_CAMERA
        if not _is_of_form(parts, actions):
            raise ConfigError(
                f"'{env_id}' has observations {observations} and actions {actions}; allowed are "
                "observations {'pixels': {camera: uint8 (H, W, 3)}, 'agent_pos': Box (D,)}, where "
                "one camera's image alone may be 'pixels', and actions Box (A,); choose them by "
                "env_kwargs (often obs_type: pixels_agent_pos), or wrap the environment"
            )
        self.image_sizes: dict[str, tuple[int, int]] = {
            name: (image.shape[0], image.shape[1])
            for name, image in self._by_camera(parts["pixels"]).items()
        }
        """Height and width per camera."""
        assert isinstance(actions, spaces.Box)
        self.action_low: NDArray[np.float32] = actions.low.astype(np.float32)
        self.action_high: NDArray[np.float32] = actions.high.astype(np.float32)
        spec = self._env.spec
        own = getattr(self._env.unwrapped, "max_episode_steps", None)
        self.max_steps = int((spec.max_episode_steps if spec else None) or own or 0)
        """Time limit in steps; 0 for none."""
        self.env_id = spec.id if spec else env_id
        """Gymnasium id, without the module that registers it."""
        self.native_rate_hz = float(self._env.metadata.get("render_fps", math.nan))
        """Steps per second the environment was made for; NaN when it does not say."""
        self.fault_rate = float(getattr(self._env.unwrapped, "fault_rate", FAULT_RATE))
        """Share of the episodes that get each fault, where faults are drawn."""

    @property
    def action_dim(self) -> int:
        """Number of values of an action."""
        return int(self.action_low.shape[0])

    def reset(
        self, seed: int, task: str = "", fault: str = "", condition: str = ""
    ) -> Observation:
        """Start an episode.

        Args:
            seed: Seed of everything random in it.
            task: Instruction; empty for the environment's own, which it may draw by the seed.
            fault: Fault to inject; empty or "none" for none.
            condition: Condition to draw it under; empty or "standard" for the environment's own.

        Raises:
            SalusError: if the environment refuses one of them, or has no conditions and is asked
                for another one.
        """
        options = {"task": task} if task else {}
        if fault not in ("", "none"):
            options["fault"] = fault
        if condition not in ("", STANDARD):
            options["condition"] = condition
        try:
            observation, info = self._env.reset(seed=seed, options=options or None)
        except SalusError:
            raise
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise ConfigError(
                f"the world refuses seed {seed}, {options} ({type(error).__name__}: {error})"
            ) from error
        if "condition" in options and "condition" not in info:
            raise ConfigError(
                f"condition '{condition}' is asked of a world that has no conditions; leave it at "
                f"'{STANDARD}'"
            )
        self._steps = 0
        self._task = task or str(getattr(self._env.unwrapped, "task_description", "") or "")
        return self._observation(observation, info)

    def step(self, action: NDArray[np.float32]) -> Observation:
        """Do one action (A,), clipped to what the environment takes."""
        action = np.clip(action, self.action_low, self.action_high)
        observation, _, terminated, truncated, info = self._env.step(action)
        self._steps += 1
        ended = bool(terminated or truncated)
        return self._observation(observation, info, ended=ended, truncated=bool(truncated))

    def hold(self, last: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Action (A,) for a step in which the policy gave none.

        No motion, and the gripper (the last value) as it was last told; before the first
        action open, which is its upper limit or else the environment's `open_gripper`.
        """
        action = np.zeros_like(self.action_low)
        opened = getattr(self._env.unwrapped, "open_gripper", self.action_high[-1])
        action[-1] = opened if last is None else last[-1]
        return action

    def camera_matrix(self, camera: str) -> NDArray[np.float64] | None:
        """Pinhole matrix (3, 3) of a camera in pixels; None when the environment has none."""
        of_env = getattr(self._env.unwrapped, "camera_matrix", None)
        return None if of_env is None else np.asarray(of_env(camera), dtype=np.float64)

    def camera_poses(self) -> dict[str, NDArray[np.float64]]:
        """Pose (4, 4) of each camera's optical frame in the world, in m; empty: none is known."""
        of_env = getattr(self._env.unwrapped, "camera_pose", None)
        if of_env is None:
            return {}
        return {name: np.asarray(of_env(name), dtype=np.float64) for name in self.image_sizes}

    def close(self) -> None:
        """Release the environment."""
        self._env.close()

    def _by_camera(self, pixels: Any) -> Mapping[str, Any]:
        return pixels if self._only_camera is None else {self._only_camera: pixels}

    def _observation(
        self,
        observation: Mapping[str, Any],
        info: Mapping[str, Any],
        *,
        ended: bool = False,
        truncated: bool = False,
    ) -> Observation:
        names = tuple(info.get("joint_names", self._joint_names))
        velocities, efforts = (
            None if info.get(key) is None else np.asarray(info[key], np.float64)
            for key in (JOINT_INFO["velocity"], JOINT_INFO["effort"])
        )
        positions = np.asarray(info.get(JOINT_INFO["position"], observation["agent_pos"]), float)
        if len(names) != len(positions):
            raise ConfigError(
                f"the world has {len(positions)} joint positions and {len(names)} joint names; "
                "set the parameter joint_names to as many names as `agent_pos` has values"
            )
        for values, what in ((velocities, "velocity"), (efforts, "effort")):
            if values is not None and values.shape != (len(names),):
                raise ConfigError(
                    f"the world has {len(names)} joint names and {JOINT_INFO[what]} "
                    f"{values.shape}; its info gives one value for each of joint_names, or none"
                )
        outcome, kind, failure_step = _outcome(info, self._steps, ended, truncated)
        self._task = str(info.get("task") or self._task)
        return Observation(
            images=self._by_camera(observation["pixels"]),
            joint_names=names,
            joint_positions=positions,
            joint_velocities=velocities,
            joint_efforts=efforts,
            task=self._task,
            fault=str(info.get("fault", "none")) or "none",
            fault_step=int(info.get("fault_step", -1)),
            fault_strength=float(info.get("fault_strength", math.nan)),
            condition=str(info.get("condition", "")),
            world=self.env_id,
            ended=ended,
            outcome=outcome,
            failure_type=kind,
            failure_step=failure_step,
            failure_cause=cause_of(info),
        )


def cause_of(info: Mapping[str, Any]) -> str:
    """Why an episode failed, as the info of its world says it; empty where it does not."""
    cause = str(info.get("failure_cause", ""))
    return "" if cause == "none" else cause


def _is_of_form(parts: Mapping[str, Any], actions: spaces.Space[Any]) -> bool:
    """Whether the spaces of observations and actions are what SALUS takes."""
    pixels, position = parts.get("pixels"), parts.get("agent_pos")
    images = list(pixels.spaces.values()) if isinstance(pixels, spaces.Dict) else [pixels]
    return (
        bool(images)
        and all(_is_image(image) for image in images)
        and isinstance(position, spaces.Box)
        and len(position.shape) == 1
        and isinstance(actions, spaces.Box)
        and len(actions.shape) == 1
    )


def _is_image(space: spaces.Space[Any] | None) -> bool:
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return False
    return len(space.shape) == 3 and space.shape[2] == 3


def _outcome(
    info: Mapping[str, Any], steps: int, ended: bool, truncated: bool
) -> tuple[Outcome, FailureType, int]:
    """How the episode ended; from Gymnasium's own words when the world gives no more."""
    if "outcome" in info:
        kind = FailureType(info.get("failure_type", FailureType.NONE))
        return Outcome(info["outcome"]), kind, int(info.get("failure_step", -1))
    if not ended:
        return Outcome.UNKNOWN, FailureType.NONE, -1
    if info.get("is_success"):
        return Outcome.SUCCESS, FailureType.NONE, -1
    return Outcome.FAILURE, FailureType.TIMEOUT if truncated else FailureType.OTHER, steps
