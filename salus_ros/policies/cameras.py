"""Which of a robot's cameras is which of a policy's."""

from collections.abc import Mapping, Sequence

from salus_ros.core.errors import PolicyError


def match_cameras(policy: Sequence[str], robot: Sequence[str]) -> dict[str, str]:
    """Say which of the robot's cameras each of the policy's cameras is.

    Cameras of the same name are the same. If that leaves one of each, they are the same too;
    nothing else is guessed.

    Args:
        policy: Names of the cameras that the policy takes.
        robot: Names of the cameras that there are; those that the policy does not take are left
            over.

    Returns:
        The robot's camera for each of the policy's, in the policy's order.

    Raises:
        PolicyError: if a camera of the policy is none of the robot's for certain.
    """
    unmatched = [name for name in policy if name not in robot]
    spare = [name for name in robot if name not in policy]
    if unmatched and (len(unmatched), len(spare)) != (1, 1):
        raise PolicyError(
            f"the policy takes the cameras {', '.join(policy)}, there are {', '.join(robot)}: "
            f"which of {', '.join(spare) or 'no others'} is {', '.join(unmatched)} cannot be "
            "told; name the cameras as the policy does (their topics can be any)"
        )
    return {name: name if name in robot else spare[0] for name in policy}


def in_words(matching: Mapping[str, str]) -> str:
    """The matching as a person reads it: "front is top, side, wrist"."""
    return ", ".join(
        ours if ours == theirs else f"{ours} is {theirs}" for ours, theirs in matching.items()
    )
