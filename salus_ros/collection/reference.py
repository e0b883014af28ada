"""A policy's reference for `latent_ood`, from recordings of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salus_ros.core.errors import ConfigError, PolicyError
from salus_ros.core.failures import Outcome
from salus_ros.episodes.reader import StoreReader
from salus_ros.policies.checkpoint import policy_id
from salus_ros.policies.reference import LatentReference


@dataclass(slots=True)
class FittedReference:
    """What a reference was fitted to.

    Attributes:
        episodes: Successful ones, whose hidden states it describes.
        replans: Their hidden states.
        unknown: Episodes of unknown outcome, which were left out.
    """

    episodes: int = 0
    replans: int = 0
    unknown: int = 0


def fit_reference(policy: Path, stores: Sequence[Path | str]) -> FittedReference:
    """Fit a reference to the successful episodes of a policy and write it beside its weights.

    Args:
        policy: Folder of a checkpoint whose tap reads a hidden state.
        stores: Episodes of it: collected, recorded live or converted from bags.

    Raises:
        ConfigError: if an episode was run by other weights.
        PolicyError: if there is no such policy, or too little to fit to.
    """
    given, fitted = policy_id(policy), FittedReference()
    rows = []
    for store in stores:
        reader = StoreReader(store)
        for index, meta in enumerate(reader.episodes()):
            fitted.unknown += meta.outcome is Outcome.UNKNOWN
            if meta.outcome is not Outcome.SUCCESS:
                continue
            if _weights(meta.policy_id) != _weights(given):
                raise ConfigError(
                    f"episode '{meta.id}' of '{store}' was run by '{meta.policy_id}', the policy "
                    f"given is '{given}'; give episodes of this policy"
                )
            episode = reader.episode(index, images=False)
            if episode.embedding is None:
                raise PolicyError(
                    f"'{store}' has no hidden states of the policy; record or convert it with "
                    "the signals of the policy"
                )
            rows.append(episode.embedding[episode.signals_fresh])
    hidden = np.concatenate(rows) if rows else np.empty((0, 1))
    LatentReference.fit(hidden).save(policy)
    fitted.episodes, fitted.replans = len(rows), len(hidden)
    return fitted


def _weights(identity: str) -> str:
    """The hash in a policy's identity: a folder may have been renamed since."""
    return identity.rpartition("-")[2]
