"""MuJoCo as the engine of the built-in world."""

from collections.abc import Sequence
from typing import Self

import mujoco
import numpy as np


class MujocoEngine:
    """Steps model and data themselves; see `Engine`."""

    look = None

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._wrench = np.zeros(6)

    def load(self) -> None:
        """Nothing to do: model and data are the episode."""

    def step(self) -> None:
        """See `Engine.step`."""
        mujoco.mj_step(self._model, self._data)

    def contacts(self) -> Sequence[Sequence[int]]:
        """See `Engine.contacts`."""
        return self._data.contact.geom.tolist()

    def force(self, contact: int) -> float:
        """See `Engine.force`."""
        mujoco.mj_contactForce(self._model, self._data, contact, self._wrench)
        return float(np.linalg.norm(self._wrench[:3]))

    def follow(self, other: Self) -> None:
        """See `Engine.follow`."""
        mujoco.mj_copyData(self._data, self._model, other._data)

    def close(self) -> None:
        """Nothing to give back."""
