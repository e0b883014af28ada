"""Signals of a policy over recorded images and joints, as it would have given them live."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from salus_ros.bags.mapping import SIGNALS
from salus_ros.core.errors import ConfigError
from salus_ros.episodes import Episode, StoreSpec
from salus_ros.policies.chunk_statistics import CHUNK_STATISTICS
from salus_ros.policies.runner import PolicyStep, SmolVLARunner, match_cameras


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Which policy to run, and how.

    Attributes:
        path: Folder of a SmolVLA checkpoint.
        num_samples: Action chunks at each replan, at least 1.
        replan_every: Steps between replans.
        seed: Of its noise, in episodes that have none of their own.
        device: Torch device.
        threads: Threads of torch; 0 leaves that to torch.
    """

    path: Path
    num_samples: int = 4
    replan_every: int = 3
    seed: int = 0
    device: str = "cpu"
    threads: int = 0


class PolicySignals:
    """Runs a policy over episodes; the same code as the vla node's.

    Attributes:
        policy_id: Which policy that is.
    """

    def __init__(self, options: PolicyOptions, cameras: Sequence[str]) -> None:
        """Load it.

        Raises:
            PolicyError: if it cannot be loaded, or takes other cameras than there are.
            ConfigError: if an option is not allowed.
        """
        if options.threads:
            import torch

            torch.set_num_threads(options.threads)
        self._runner = SmolVLARunner(
            options.path, options.device, options.num_samples, options.replan_every
        )
        self._seed = options.seed
        self._camera_of = match_cameras(self._runner.cameras, cameras)
        self.policy_id = self._runner.policy_id

    def fill(
        self, episode: Episode, spec: StoreSpec, steps: Sequence[int], *, statistics: bool
    ) -> tuple[Episode, StoreSpec]:
        """Give an episode the signals of the policy, and its name, in place of those it has.

        A step that lacks an image or the state has none: live it would not have been answered.

        Args:
            episode: Of T steps, with ages.
            spec: Sizes of a store for it; has the stream of the signals.
            steps: Number of each step; empty for 0 to T - 1.
            statistics: Whether to give it the chunk statistics too.

        Returns:
            The episode, and the sizes of a store for it.

        Raises:
            ConfigError: if the state has not as many values as the policy takes.
        """
        runner = self._runner
        if episode.state.shape[1] != runner.state_dim:
            raise ConfigError(
                f"the policy takes a state of {runner.state_dim} values, the mapping gives "
                f"{episode.state.shape[1]}; name as many joints or fields in its state"
            )
        assert episode.age_ms is not None
        needed = [spec.streams.index(name) for name in (*self._camera_of.values(), "state")]
        whole = ~np.isnan(episode.age_ms[:, needed]).any(axis=1)
        seed = episode.meta.seed
        runner.reset(seed if seed >= 0 else self._seed)
        said: dict[int, PolicyStep] = {}
        for t in np.flatnonzero(whole).tolist():
            images = {ours: episode.images[name][t] for ours, name in self._camera_of.items()}
            number = steps[t] if steps else t
            said[t] = runner.step(images, episode.state[t], episode.meta.task, number)
        named = replace(episode, meta=replace(episode.meta, policy_id=self.policy_id))
        return _filled(named, spec, said, runner.embedding_dim, statistics=statistics)


def _filled(
    episode: Episode,
    spec: StoreSpec,
    said: dict[int, PolicyStep],
    embedding_dim: int,
    *,
    statistics: bool,
) -> tuple[Episode, StoreSpec]:
    length = len(episode)
    assert episode.age_ms is not None
    age_ms = episode.age_ms.copy()
    age_ms[:, spec.streams.index(SIGNALS)] = [0 if t in said else np.nan for t in range(length)]
    signals = np.full_like(episode.signals, np.nan)
    valid = np.zeros(signals.shape, np.bool_)
    fresh = np.zeros(length, np.bool_)
    embedding = np.full((length, embedding_dim), np.nan, np.float16)
    names = CHUNK_STATISTICS if statistics else ()
    chunk_statistics = np.full((length, len(names)), np.nan, np.float32)
    for t, step in said.items():
        signals[t], valid[t], fresh[t] = step.signals, step.valid, step.fresh
        embedding[t] = step.embedding
        if statistics:
            chunk_statistics[t] = step.chunk_statistics
    filled = replace(
        episode,
        age_ms=age_ms,
        signals=signals,
        signals_valid=valid,
        signals_fresh=fresh,
        embedding=embedding,
        chunk_statistics=chunk_statistics if statistics else None,
    )
    return filled, replace(spec, embedding_dim=embedding_dim, chunk_statistics=names)
