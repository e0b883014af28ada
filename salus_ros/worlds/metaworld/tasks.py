"""The tasks of MetaWorld that there are here, with LeRobot's instruction for each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """One task; its scene is its own.

    Attributes:
        name: MetaWorld's name.
        instruction: What the policy is told: LeRobot's words, which its policies have learnt.
        expert: Name of its scripted policy in `metaworld.policies`.
    """

    name: str
    instruction: str
    expert: str


ALL_TASKS: tuple[Task, ...] = (
    Task("pick-place-v3", "Pick and place a puck to a goal", "SawyerPickPlaceV3Policy"),
    Task("peg-insert-side-v3", "Insert a peg sideways", "SawyerPegInsertionSideV3Policy"),
    Task("assembly-v3", "Pick up a nut and place it onto a peg", "SawyerAssemblyV3Policy"),
    Task("push-v3", "Push the puck to a goal", "SawyerPushV3Policy"),
    Task(
        "bin-picking-v3",
        "Grasp the puck from one bin and place it into another bin",
        "SawyerBinPickingV3Policy",
    ),
    Task("shelf-place-v3", "Pick and place a puck onto a shelf", "SawyerShelfPlaceV3Policy"),
    Task("hammer-v3", "Hammer a screw on the wall", "SawyerHammerV3Policy"),
    Task("box-close-v3", "Grasp the cover and close the box with it", "SawyerBoxCloseV3Policy"),
)

TASKS: tuple[str, ...] = tuple(task.instruction for task in ALL_TASKS)
"""Their instructions."""
