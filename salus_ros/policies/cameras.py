"""Which of a robot's cameras is which of a policy's."""

from collections.abc import Mapping, Sequence

from salus_ros.core.errors import PolicyError


def match_cameras(policy: Sequence[str], robot: Sequence[str]) -> dict[str, str]:
    """Say which of the robot's cameras each of the policy's cameras is.

    Cameras of the same name are the same, and so are those of which it is said: "front=top" is
    the robot's camera top, which the policy calls front. If that leaves one of each, they are the
    same too; nothing else is guessed.

    Args:
        policy: Names of the cameras that the policy takes.
        robot: Names of the cameras that there are, or "POLICY=ROBOT"; those that the policy does
            not take are left over.

    Returns:
        The robot's camera for each of the policy's, in the policy's order.

    Raises:
        PolicyError: if a camera of the policy is none of the robot's for certain.
    """
    pairs = [entry.partition("=") for entry in robot]
    named = {ours: theirs for ours, equals, theirs in pairs if equals}
    names = [theirs if equals else ours for ours, equals, theirs in pairs]
    if unknown := [f"{ours}={theirs}" for ours, theirs in named.items() if ours not in policy]:
        raise PolicyError(
            f"{', '.join(unknown)} names a camera that the policy does not take; it takes "
            f"{', '.join(policy)}"
        )
    if (
        "" in names
        or len(set(names)) < len(names)
        or len(named) < sum("=" in one for one in robot)
    ):
        raise PolicyError(
            f"the cameras are {', '.join(robot)}; each is there once, as NAME or POLICY=NAME"
        )
    free = [name for name in names if name not in named.values()]
    matching = named | {name: name for name in policy if name in free and name not in named}
    unmatched = [name for name in policy if name not in matching]
    spare = [name for name in free if name not in matching.values()]
    if unmatched and (len(unmatched), len(spare)) != (1, 1):
        raise PolicyError(
            f"the policy takes the cameras {', '.join(policy)}, there are {', '.join(names)}: "
            f"which of {', '.join(spare) or 'no others'} is {', '.join(unmatched)} cannot be "
            "told; name the cameras as the policy does (their topics can be any), or say it "
            f"in the vla node's cameras: {unmatched[0]}={(spare or ['NAME'])[0]}"
        )
    return {name: matching.get(name) or spare[0] for name in policy}


def in_words(matching: Mapping[str, str]) -> str:
    """The matching as a person reads it: "front is top, side, wrist"."""
    return ", ".join(
        ours if ours == theirs else f"{ours} is {theirs}" for ours, theirs in matching.items()
    )
