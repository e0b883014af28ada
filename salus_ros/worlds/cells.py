"""Models of cells that a plan can be rolled out in, by name."""

from importlib.metadata import entry_points
from typing import Protocol

import numpy as np
import numpy.typing as npt

from salus_ros.core.errors import ConfigError

GROUP = "salus.cells"
"""Entry-point group of cells that other packages bring: a callable without arguments that makes a
`Lookahead`, by the cell's name."""


class Lookahead(Protocol):
    """What the arm of a cell will meet if it does as the policy plans.

    Attributes:
        joint_names: The J joints whose measured state it starts from.
        columns: Names of the W values that it tells of a step.
    """

    joint_names: tuple[str, ...]
    columns: tuple[str, ...]

    def reset(self) -> None:
        """Begin an episode."""

    def step(
        self,
        positions: npt.NDArray[np.floating],
        velocities: npt.NDArray[np.floating],
        plan: npt.NDArray[np.floating],
        plan_step: int,
    ) -> npt.NDArray[np.float16]:
        """Look ahead from a step; the steps of an episode come in order, each once.

        Args:
            positions: (J,) in rad or m.
            velocities: (J,) in rad/s or m/s.
            plan: The policy's plan (T, A); it is looked ahead along where it is new.
            plan_step: Which of its actions is done at this step.

        Returns:
            Float16 (W,), by `columns`; NaN where it cannot look ahead.
        """
        ...


def cell_name(cell: str) -> str:
    """What a cell is called: that of a built-in world is the same whatever engine moves it.

    Args:
        cell: As for `make_lookahead`, which takes either.
    """
    from salus_ros.worlds.mujoco import CELLS  # here: the engine is loaded by who needs it

    return CELLS.get(cell, cell)


def make_lookahead(cell: str) -> Lookahead:
    """The look-ahead of a cell.

    Args:
        cell: Gymnasium id of a built-in world, or the name that another package gives its own.

    Raises:
        ConfigError: if there is no such cell, or it cannot be made.
    """
    from salus_ros.worlds.mujoco import PHYSICS  # here: the engine is loaded by who needs it

    if (cell := cell_name(cell)) in PHYSICS:
        from salus_ros.worlds.mujoco.lookahead import PlanLookahead

        return PlanLookahead(PHYSICS[cell])
    others = entry_points(group=GROUP)
    for found in others.select(name=cell):
        try:
            made: Lookahead = found.load()()
        except Exception as error:
            raise ConfigError(
                f"the cell '{cell}' is made by {found.value}, which fails "
                f"({type(error).__name__}: {error}); mend or uninstall its package"
            ) from error
        return made
    known = ", ".join([*PHYSICS, *sorted(others.names)])
    raise ConfigError(
        f"there is no cell '{cell}' to look ahead in; known: {known}. A package makes another one "
        f"known by the entry point {GROUP}"
    )
