"""Episodes that are wholly in memory, and the batches that are drawn from them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salus_ros.prediction.config import TrainingConfig

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Episodes one after the other, N steps in all.

    features: float32 (N, F); labels: bool (N, H, K); usable: bool (N,), the steps that count;
    lengths: steps of each episode; endings: bool (E, 2), how it ended, see `Samples.endings`;
    auxiliary: float32 (N, A), targets of a second task, NaN where there is none; None: none;
    optional: columns of each input that may be missing, all 0 where it is.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    lengths: tuple[int, ...]
    endings: NDArray[np.bool_]
    auxiliary: NDArray[np.float32] | None = None
    optional: tuple[slice, ...] = ()


class Batches:
    """A part as tensors on the device; batches are gathered from them."""

    def __init__(self, part: Part, device: torch.device, config: TrainingConfig) -> None:
        outputs = math.prod(part.labels.shape[1:])
        flat: NDArray[np.float32] = part.labels.reshape(len(part.labels), outputs).astype(
            np.float32
        )
        if config.eventual:
            endings = np.repeat(part.endings, part.lengths, axis=0).astype(np.float32)
            flat = np.column_stack([flat, endings])
        self.features = torch.from_numpy(part.features).to(device)  # (N, F)
        self.targets = torch.from_numpy(flat).to(device)  # (N, outputs)
        self.horizons = self.targets[:, :outputs]
        nothing: NDArray[np.float32] = np.zeros((len(flat), 0), np.float32)
        second = nothing if part.auxiliary is None else part.auxiliary
        self.auxiliary = torch.from_numpy(second).to(device)  # (N, A)
        self.usable = torch.from_numpy(part.usable).to(device)  # (N,)
        self.optional = part.optional
        self.lengths = part.lengths
        lengths = torch.tensor(part.lengths, dtype=torch.int64, device=device)  # (E,)
        self.ends = lengths.cumsum(0)
        self.starts = self.ends - lengths
        self.episode = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)

    def draw(self, config: TrainingConfig) -> Iterator[Batch]:
        """Batches of one pass, in a new random order.

        Yields:
            `features`, `targets` and `auxiliary`, whole episodes (b, T, ...) for a network with
            memory, else steps (b, ...), and which of the steps are `counted`.
        """
        if config.sequential:
            failing = torch.zeros(len(self.lengths), device=self.usable.device)
            failing.index_add_(0, self.episode, self.horizons.amax(dim=1))
            order = _order(torch.arange(len(failing)), failing.cpu() > 0, config.oversample)
            steps = np.cumsum([self.lengths[i] for i in order.tolist()])
            cuts = np.flatnonzero(np.diff(steps // config.batch_size)) + 1
            for some in np.split(order.numpy(), cuts):
                yield self._episodes(torch.from_numpy(some).to(self.starts.device), config)
            return
        rows = self.usable.nonzero()[:, 0]
        rows = _order(rows, self.horizons[rows].amax(dim=1) > 0, config.oversample)
        for batch in torch.split(rows, config.batch_size):
            read = self._shifted(batch[:, None], self.episode[batch], config)[:, 0]
            yield {
                "features": self._noisy(self.features[read], config),
                "targets": self.targets[batch],
                "auxiliary": self.auxiliary[batch],
                "counted": self.usable[batch],
            }

    def _episodes(self, episodes: Tensor, config: TrainingConfig) -> Batch:
        starts, ends = self.starts[episodes, None], self.ends[episodes, None]  # (b, 1)
        longest = int((ends - starts).max())
        rows = starts + torch.arange(longest, device=starts.device)  # (b, T)
        inside = rows < ends
        rows = torch.minimum(rows, ends - 1)
        read = self._shifted(rows, episodes, config)
        return {
            "features": self._noisy(self.features[read], config),
            "targets": self.targets[rows],
            "auxiliary": self.auxiliary[rows],
            "counted": self.usable[rows] & inside,
        }

    def _shifted(self, rows: Tensor, episodes: Tensor, config: TrainingConfig) -> Tensor:
        """Rows (b, T) whose features are read for the labels of `rows`, moved by the jitter."""
        most = config.jitter_steps
        if not most:
            return rows
        moved = rows + torch.randint(-most, most + 1, (len(rows), 1), device=rows.device)
        low, high = self.starts[episodes, None], self.ends[episodes, None] - 1
        return torch.minimum(torch.maximum(moved, low), high)

    def _noisy(self, features: Tensor, config: TrainingConfig) -> Tensor:
        """Features (b, ..., F) of episodes or steps, which are the caller's own, made worse."""
        if config.signal_noise:
            features = features + config.signal_noise * torch.randn_like(features)
        if config.input_dropout:
            for columns in self.optional:
                gone = torch.rand(len(features), device=features.device) < config.input_dropout
                features[gone, ..., columns] = 0.0
        return features


def _order(items: Tensor, failing: Tensor, oversample: float) -> Tensor:
    """A random order of items; with oversampling, as many drawn with failing ones oftener."""
    if oversample == 1.0:
        return items[torch.randperm(len(items), device=items.device)]
    weights = torch.where(failing, oversample, 1.0)
    return items[torch.multinomial(weights, len(items), replacement=True)]
