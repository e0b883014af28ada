"""Any policy of LeRobot's, through its public `predict_action_chunk` alone.

The K chunks are those of other seeds of torch's generators. Whether there is more than one, and
how long it is, shows when the policy is loaded: it is run on a blank observation with two seeds.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lerobot.policies.utils import populate_queues
from lerobot.utils.constants import ACTION, OBS_IMAGES
from torch import Tensor

from salus_ros.core.errors import PolicyError
from salus_ros.core.schema import SIGNALS, SignalKind
from salus_ros.policies.loading import LoadedPolicy, first_line, load_lerobot
from salus_ros.policies.tap import Observation, PolicySample, TapSpec

SAME = 1e-4
"""Two chunks that differ by less, in normalised units, are one, computed twice."""


class ChunkTap:
    """A policy that is known by its chunks alone.

    Attributes:
        spec: See `TapSpec`.

    Raises:
        PolicyError: if its `predict_action_chunk` does not work on an observation.
    """

    def __init__(self, loaded: LoadedPolicy, folder: Path) -> None:
        self._loaded, config = loaded, loaded.config
        steps = int(getattr(config, "n_obs_steps", 1))
        blank = blank_observation(loaded)
        try:
            first, other = (self._chunks([[blank] * steps], seed) for seed in (0, 1))
        except Exception as error:
            raise PolicyError(
                f"the policy of type '{config.type}' in '{folder}' does not give a chunk by "
                f"predict_action_chunk ({first_line(error)}); it needs a tap of its own "
                "(entry-point group salus.policies)"
            ) from error
        length = first.shape[1]
        reason = "this kind of policy is known by its action chunks alone"
        self.spec = TapSpec(
            **loaded.sizes | {"action_dim": self.actions(first).shape[-1]},
            plan_length=length,
            executed=min(int(getattr(config, "n_action_steps", length)), length),
            stochastic=not torch.allclose(first, other, rtol=0.0, atol=SAME),
            observation_steps=steps,
            unavailable={one.name: reason for one in SIGNALS if one.kind is SignalKind.ATTENTION}
            | {"flow_curvature": reason},
        )

    def sample(
        self,
        histories: Sequence[Sequence[Observation]],
        noise: Tensor | None,
        seeds: Sequence[int],
        num_samples: int,
    ) -> list[PolicySample]:
        """See `PolicyTap`; each episode is planned by itself, so that the others do not show."""
        del noise
        samples = []
        for history, seed in zip(histories, seeds, strict=True):
            chunks = self._chunks([history], seed)  # (1, T, A), as LeRobot's user has it
            if num_samples > 1:
                others = self._chunks([history] * (num_samples - 1), seed + 1)
                chunks = torch.cat([chunks, others])
            samples.append(PolicySample(chunks))
        return samples

    def own_chunk(self, history: Sequence[Observation], noise: Tensor | None, seed: int) -> Tensor:
        """See `PolicyTap`."""
        del noise
        return self._chunks([history], seed)[0]

    def actions(self, chunks: Tensor) -> npt.NDArray[np.float32]:
        """See `PolicyTap`."""
        return self._loaded.actions(chunks)

    @torch.inference_mode()
    def _chunks(self, histories: Sequence[Sequence[Observation]], seed: int) -> Tensor:
        """Chunks (B, T, A) of a policy that remembers nothing but these observations."""
        policy: Any = self._loaded.policy
        policy.reset()
        batch: dict[str, Any] = {}
        for step in range(len(histories[0])):
            batch = self._loaded.batch([history[step] for history in histories])
            batch.pop(ACTION, None)
            queues = getattr(policy, "_queues", None)  # of observations: as select_action does
            if queues:
                images = [batch[key] for key in self._loaded.image_keys]
                if OBS_IMAGES in queues:
                    batch[OBS_IMAGES] = torch.stack(images, dim=-4)
                policy._queues = populate_queues(queues, batch, exclude_keys=[ACTION])
        with seeded(seed, self._loaded.config.device):
            chunks: Tensor = policy.predict_action_chunk(batch)
        return chunks.float()


def blank_observation(loaded: LoadedPolicy) -> Observation:
    """An observation of the sizes that the configuration names: black, and at zero."""
    sizes = loaded.sizes
    images = {name: np.zeros((*size, 3), np.uint8) for name, size in loaded.image_sizes.items()}
    return Observation(images, np.zeros(sizes["state_dim"], np.float32), "", 0)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Within it torch draws from a seed; outside of it nothing has changed."""
    devices = [torch.device(device)] if str(device).startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def load(folder: Path, device: str) -> ChunkTap:
    """Load a checkpoint, see `load_lerobot`."""
    return ChunkTap(load_lerobot(folder, device), folder)
