"""SmolVLA behind the contract: all twelve signals, K chunks on one prefix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from salus_ros.core.schema import SIGNALS, SignalKind
from salus_ros.policies.loading import LoadedPolicy
from salus_ros.policies.smolvla.loading import load_policy
from salus_ros.policies.smolvla.sampler import SmolVLASampler
from salus_ros.policies.tap import Observation, PolicySample, TapSpec


class SmolVLATap:
    """A SmolVLA checkpoint.

    Attributes:
        spec: See `TapSpec`.
    """

    def __init__(self, loaded: LoadedPolicy) -> None:
        config = loaded.config
        self._loaded = loaded
        self._sampler = SmolVLASampler(loaded.policy, config.n_action_steps)
        vlm = loaded.policy.model.vlm_with_expert
        missing: dict[str, str] = {}
        if not self._sampler.has_attention:
            reason = "the action expert has no cross-attention"
            missing |= {spec.name: reason for spec in SIGNALS if spec.kind is SignalKind.ATTENTION}
        if config.num_steps < 2:
            missing["flow_curvature"] = "there is one denoising step (num_steps)"
        self.spec = TapSpec(
            **loaded.sizes,
            plan_length=int(config.chunk_size),
            executed=int(config.n_action_steps),
            stochastic=True,
            noise_shape=(config.chunk_size, config.max_action_dim),
            embedding_dim=int(vlm.expert_hidden_size),
            visual_dim=int(vlm.config.text_config.hidden_size),
            expert_dim=int(vlm.expert_hidden_size),
            unavailable=missing,
        )

    def sample(
        self,
        histories: Sequence[Sequence[Observation]],
        noise: Tensor | None,
        seeds: Sequence[int],
        num_samples: int,
    ) -> list[PolicySample]:
        """See `PolicyTap`; all episodes are planned in one batch."""
        del seeds, num_samples  # the noise is all that is drawn
        assert noise is not None
        return self._sampler.sample(self._loaded.batch([h[-1] for h in histories]), noise)

    def own_chunk(self, history: Sequence[Observation], noise: Tensor | None, seed: int) -> Tensor:
        """See `PolicyTap`."""
        del seed
        assert noise is not None
        batch = self._loaded.batch(history[-1:])
        chunk: Tensor = self._loaded.policy.predict_action_chunk(batch, noise=noise[:1])[0]
        return chunk

    def own_noise(self) -> Tensor:
        """See `LiveTap`."""
        shape, policy = self.spec.noise_shape, self._loaded.policy
        noise: Tensor = policy.model.sample_noise((1, *(shape or ())), policy.config.device)[0]
        return noise

    def actions(self, chunks: Tensor) -> npt.NDArray[np.float32]:
        """See `PolicyTap`."""
        return self._loaded.actions(chunks)


def load(folder: Path, device: str) -> SmolVLATap:
    """Load a checkpoint, see `load_policy`."""
    return SmolVLATap(load_policy(folder, device))


def live(loaded: LoadedPolicy) -> SmolVLATap:
    """Read a policy in memory that somebody else runs."""
    return SmolVLATap(loaded)
