"""MetaWorld's own scripted experts."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from salus_ros.worlds.metaworld.world import MetaWorldEnv


class MetaWorldExpert:
    """The scripted policy of whichever task the world is at; it reads true positions."""

    def __init__(self, env: MetaWorldEnv) -> None:
        self._env = env
        self._policy: Any = None
        self._task = ""

    def act(self) -> npt.NDArray[np.float32]:
        """The action for the current state, (4,) in [-1, 1]."""
        from metaworld import policies

        if self._task != self._env.task.name:
            self._task = self._env.task.name
            self._policy = getattr(policies, self._env.task.expert)()
        with warnings.catch_warnings():  # theirs go beyond the limits, and say so
            warnings.filterwarnings("ignore", "Constant", UserWarning)
            action = self._policy.get_action(self._env.expert_observation)
        return np.clip(action, -1.0, 1.0).astype(np.float32)
