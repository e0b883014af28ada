"""What the arm can be asked to do; tasks differ in the instruction alone, never in the scene."""

from dataclasses import dataclass

from salus_ros.worlds.conditions import CUBES


@dataclass(frozen=True, slots=True)
class Task:
    """One instruction.

    Attributes:
        instruction: What the policy is told.
        target: The cube to move.
        goal: Body where it shall rest: "bin", "plate", or the other cube to stack it on.
    """

    instruction: str
    target: str
    goal: str

    @property
    def other(self) -> str:
        """The cube that is not to be moved."""
        return next(name for name in CUBES if name != self.target)


ALL_TASKS: tuple[Task, ...] = (
    Task("put the red cube in the bin", "red_cube", "bin"),
    Task("put the red cube on the plate", "red_cube", "plate"),
    Task("stack the red cube on the blue cube", "red_cube", "blue_cube"),
)

TASKS: tuple[str, ...] = tuple(task.instruction for task in ALL_TASKS)
"""Instructions that the world knows how to judge."""
