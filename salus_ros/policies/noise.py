"""Noise of an episode's plans, repeatable from its seed."""

import math
import zlib

import numpy as np
import numpy.typing as npt


def noise_seed(seed: int, episode_id: str) -> int:
    """Seed of an episode's noise, the same live and offline.

    Args:
        seed: Of its world; below 0 where it has none, as on a real robot.
        episode_id: Gives the seed then, so that no two episodes draw the same.
    """
    return seed if seed >= 0 else zlib.crc32(episode_id.encode())


class NoiseProcess:
    """Standard normal noise of each step, a stationary AR(1) process; `reset` begins an episode.

    Args:
        shape: Of the noise of a step.
        memory: Time constant in steps with which noise is forgotten: 0 draws each step's anew,
            infinite keeps that of step 0.
    """

    def __init__(self, shape: tuple[int, ...], memory: float) -> None:
        self._shape = shape
        self._kept = math.exp(-1.0 / memory) if memory > 0.0 else 0.0  # a step
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin an episode; nothing of the last one remains."""
        self._seed = seed
        self._last: tuple[int, npt.NDArray[np.float32]] | None = None

    def branch(self, seed: int, step: int) -> None:
        """Draw from another seed after `step`; what is remembered is kept."""
        self(step)
        self._seed = seed

    def __call__(self, step: int) -> npt.NDArray[np.float32]:
        """Noise of a step, float32 of the shape; steps may be asked for in any order."""
        if self._kept == 0.0:
            return self._draw(step)
        if self._last is None or self._last[0] > step:
            self._last = 0, self._draw(0)
        done, noise = self._last
        for s in range(done + 1, step + 1):
            noise = self._kept * noise + math.sqrt(1.0 - self._kept**2) * self._draw(s)
        self._last = step, noise
        return noise

    def _draw(self, step: int) -> npt.NDArray[np.float32]:
        rng = np.random.default_rng([self._seed, step])
        return rng.standard_normal(self._shape, dtype=np.float32)
