"""Small worlds of the observation form, quick to step and to check by hand."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.nodes.parameters import PANDA_JOINTS

CAMERAS = ("front", "side", "wrist")
SIZE = 64
LENGTH = 6
FINGERS = ("panda_finger_joint1", "panda_finger_joint2")
FAULTS = ("none", "force", "noise", "slip")
CONDITIONS = ("standard", "shifted")
FAULT_STEP, FAULT_STRENGTH = 2, 0.1


class BareWorld(gymnasium.Env):
    """Images of one grey that is the step, joints that add up the actions; info of Gymnasium."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "render_fps": 30}

    def __init__(self, length: int = LENGTH, size: int = SIZE) -> None:
        self.size = size
        image = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.observation_space = spaces.Dict(
            {
                "pixels": spaces.Dict({name: image for name in CAMERAS}),
                "agent_pos": spaces.Box(-np.inf, np.inf, (7,), np.float32),
            }
        )
        self.action_space = spaces.Box(-1.0, 1.0, (7,), np.float32)
        self.length = length
        self.count = 0
        self.position = np.zeros(7, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.count = 0
        self.position = self.np_random.uniform(-1, 1, 7).astype(np.float32)
        return self._observation(), {}

    def step(self, action: np.ndarray):
        self.count += 1
        self.position = self.position + action
        ended = self.count >= self.length
        return self._observation(), 0.0, False, ended, {}

    def _observation(self) -> dict[str, Any]:
        pixels = {
            name: np.full((self.size, self.size, 3), 10 * i + self.count, np.uint8)
            for i, name in enumerate(CAMERAS)
        }
        return {"pixels": pixels, "agent_pos": self.position.copy()}


class FastWorld(BareWorld):
    """The same with everything in `info` that the built-in world says.

    Even seeds succeed, odd ones drop the object at their last step.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        options = options or {}
        fault = options.get("fault", "none")
        if fault not in FAULTS:
            raise ConfigError(f"unknown fault '{fault}'; known are {', '.join(FAULTS)}")
        observation, _ = super().reset(seed=seed)
        condition = options.get("condition", CONDITIONS[0])
        if condition not in CONDITIONS:
            raise ConfigError(
                f"unknown condition '{condition}'; known are {', '.join(CONDITIONS)}"
            )
        self.task = options.get("task", "lift the cube")
        self.fault, self.condition, self.seed = fault, condition, seed or 0
        return observation, self._info()

    def step(self, action: np.ndarray):
        observation, reward, _, ended, _ = super().step(action)
        return observation, reward, ended, False, self._info(ended=ended)

    def _info(self, *, ended: bool = False) -> dict[str, Any]:
        failed = ended and self.seed % 2 == 1
        outcome = Outcome.FAILURE if failed else Outcome.SUCCESS if ended else Outcome.UNKNOWN
        return {
            "task": self.task,
            "joint_names": (*PANDA_JOINTS, *FINGERS),
            "joint_positions": np.concatenate([self.position, [0.02, 0.02]]).astype(np.float64),
            "joint_velocities": np.arange(9) / 10 + self.count,
            "outcome": outcome,
            "failure_type": FailureType.DROP if failed else FailureType.NONE,
            "failure_step": self.length - 1 if failed else -1,
            "failure_cause": "made up" if failed else "none",
            "fault": self.fault,
            "fault_step": -1 if self.fault == "none" else FAULT_STEP,
            "fault_strength": np.nan if self.fault == "none" else FAULT_STRENGTH,
            "condition": self.condition,
        }


class BrokenWorld(BareWorld):
    """A world of another observation form: no cameras."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict({"agent_pos": spaces.Box(-1, 1, (7,), np.float32)})


class LongWorld(FastWorld):
    """The same, long enough to be disturbed, with images that are large for the transport."""

    def __init__(self) -> None:
        super().__init__(length=40, size=256)


for _class in (BareWorld, FastWorld, BrokenWorld, LongWorld):
    _id = f"salus_test/{_class.__name__.removesuffix('World')}-v0"
    if _id not in gymnasium.registry:
        gymnasium.register(_id, entry_point=_class)
