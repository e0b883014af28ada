"""Whose turn it is to act: the policy's, unless a recovery node says otherwise."""

from typing import NamedTuple

from salus_msgs.msg import EpisodeStatus, RecoveryStatus
from salus_ros.policies.noise import noise_seed


class Turn(NamedTuple):
    """Where an episode stands, for the policy.

    Attributes:
        waits: Something else acts, so that the policy is not run.
        hand_backs: How often it was given the arm back.
        seed: Of what it draws from the last of them on, or from the start.
    """

    waits: bool
    hand_backs: int
    seed: int


def turn_in(episode: EpisodeStatus, recovery: RecoveryStatus) -> Turn:
    """Whose turn it is in an episode, by the last status of the recovery node.

    Args:
        episode: The episode.
        recovery: What was said last; of another episode it says nothing.
    """
    seed = noise_seed(episode.seed, episode.episode_id)
    if recovery.episode_id != episode.episode_id:
        return Turn(False, 0, seed)
    waits = recovery.actor != RecoveryStatus.ACTOR_POLICY
    return Turn(waits, recovery.hand_backs, recovery.seed if recovery.hand_backs else seed)
