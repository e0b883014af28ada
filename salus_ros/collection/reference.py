"""Fitting what `latent_ood` measures against, from recorded episodes of a policy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.episodes.reader import StoreReader
from salus_ros.policies.reference import LatentReference
from salus_ros.policies.smolvla.loading import load_policy


@dataclass(frozen=True, slots=True)
class FittedReference:
    """What a reference was fitted to.

    Attributes:
        episodes: Successful episodes with embeddings.
        replans: Embeddings of them that were computed at their step.
        unknown: Episodes of unknown outcome, which were left out.
    """

    episodes: int
    replans: int
    unknown: int


def fit_reference(policy: str | Path, store: str | Path) -> FittedReference:
    """Fit a reference to the successful episodes of a store and save it in the policy's folder.

    Args:
        policy: Folder of the policy.
        store: Episodes that this policy ran.

    Raises:
        ConfigError: if an episode was run by another policy, or there are too few to fit to.
        StoreError: if the store cannot be read.
    """
    policy_id = load_policy(Path(policy)).policy_id
    reader = StoreReader(store)
    embeddings, unknown = [], 0
    for index, meta in enumerate(reader.episodes()):
        unknown += meta.outcome is Outcome.UNKNOWN
        if meta.outcome is not Outcome.SUCCESS:
            continue
        if meta.policy_id != policy_id:
            raise ConfigError(
                f"episode '{meta.id}' of '{store}' was run by '{meta.policy_id}', "
                f"the policy given is '{policy_id}'; give episodes of this policy"
            )
        episode = reader.episode(index, images=False)
        if episode.embedding is not None:
            embeddings.append(episode.embedding[episode.signals_fresh])
    hidden = np.concatenate(embeddings) if embeddings else np.empty((0, 1))
    LatentReference.fit(hidden).save(Path(policy))
    return FittedReference(len(embeddings), len(hidden), unknown)
