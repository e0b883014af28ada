"""What the built-in world asks of the physics under it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

Images = Mapping[str, npt.NDArray[np.uint8]]
"""What cameras show: uint8 (H, W, 3) RGB by name."""


class Engine(Protocol):
    """Moves the bodies of a scene.

    A MuJoCo model and its data are the world's account of the scene, whatever moves it: the world
    writes set points (`ctrl`), pushes (`xfrc_applied`) and frictions (`geom_friction`) there, and
    reads joints, poses, velocities and drive efforts of them.
    """

    def load(self) -> None:
        """Begin an episode with the scene as model and data have it now."""

    def step(self) -> None:
        """Advance model and data by one physics step.

        Raises:
            SimulatorError: if the engine fails, or gives what is not finite.
        """

    @property
    def look(self) -> Callable[[], Images] | None:
        """Draws what the cameras show now; None: the images are MuJoCo's, of model and data."""

    def contacts(self) -> Sequence[Sequence[int]]:
        """The two geoms of each contact of the last step."""

    def force(self, contact: int) -> float:
        """Size of the force in N, friction included, of a contact by its place in `contacts`."""

    def follow(self, other: Self) -> None:
        """Take over the state of another engine of the same kind and scene.

        Raises:
            ConfigError: if this kind of engine cannot.
        """

    def close(self) -> None:
        """Give back what the engine holds."""
