"""Detectors that learn from successes alone what the policy's hidden state looks like."""

import numpy as np
import torch
from torch import Tensor

from salus_ros.evaluation.detectors.detector import Replans, Score
from salus_ros.evaluation.detectors.distances import EmbeddingDetector, Vectors
from salus_ros.evaluation.detectors.learning import minimise, perceptron, seeded

HELD_BACK = 10
"""One in so many rows of the successes decides when a training ends."""


class RandomNetworkDistillation(EmbeddingDetector):
    """Score = window sum of |f(e) - g(e)|; f learns a frozen random g on successes.

    As in FIPER (Römer et al. 2025), after Burda et al. 2018 (arXiv 1810.12894): g has 4 layers,
    f has 6.

    Args:
        window: Replans summed over.
        epochs: Most passes over the training rows.
    """

    name = "rnd"

    def __init__(self, window: int = 10, epochs: int = 60) -> None:
        self.window = window
        self.epochs = epochs

    def _learn(self, successes: Vectors, failures: Vectors, seed: int) -> None:
        width = successes.shape[1]
        rows, held = _split(successes)
        with seeded(seed):
            self._target = perceptron([width, 128, 128, 128, 64]).requires_grad_(False)
            self._learner = perceptron([width, 128, 128, 128, 128, 128, 64])

            def loss(x: Tensor) -> Tensor:
                return torch.square(self._learner(x) - self._target(x)).sum(dim=1).mean()

            minimise(
                self._learner,
                lambda members: loss(rows[members]),
                len(rows),
                lambda: float(loss(held)),
                epochs=self.epochs,
                batch=256,
                learning_rate=1e-3,
                patience=10,
            )

    def _score_vectors(self, vectors: Vectors) -> Score:
        x = torch.from_numpy(vectors)
        with torch.inference_mode():
            distance = torch.linalg.vector_norm(self._learner(x) - self._target(x), dim=1)
        return np.asarray(distance, dtype=np.float64)

    def _running(self, replans: Replans, values: Score) -> Score:
        return replans.running_sum(values, self.window)


class LogpZO(EmbeddingDetector):
    """Score = |e + v(e, 0)|^2, how unlikely the noise is that a flow leads a hidden state to.

    As in FAIL-Detect (Xu et al. 2025, arXiv 2503.08558): v(x_t, t) learns z - e on successes,
    x_t = (1 - t) e + t z with z normal and t uniform.

    Args:
        epochs: Most passes over the training rows.
    """

    name = "logpzo"

    def __init__(self, epochs: int = 200) -> None:
        self.epochs = epochs

    def _learn(self, successes: Vectors, failures: Vectors, seed: int) -> None:
        width = successes.shape[1]
        rows, held = _split(successes)
        with seeded(seed):
            self._flow = perceptron([width + 1, 256, 256, width])
            noise, time = torch.randn(held.shape), torch.rand(len(held), 1)

            def loss(x: Tensor, z: Tensor, t: Tensor) -> Tensor:
                moved = torch.cat(((1 - t) * x + t * z, t), dim=1)
                return torch.square(self._flow(moved) - (z - x)).mean()

            def batch_loss(members: Tensor) -> Tensor:
                x = rows[members]
                return loss(x, torch.randn(x.shape), torch.rand(len(x), 1))

            minimise(
                self._flow,
                batch_loss,
                len(rows),
                lambda: float(loss(held, noise, time)),
                epochs=self.epochs,
                batch=256,
                learning_rate=1e-4,
                patience=20,
            )

    def _score_vectors(self, vectors: Vectors) -> Score:
        x = torch.from_numpy(vectors)
        with torch.inference_mode():
            noise = x + self._flow(torch.cat((x, torch.zeros(len(x), 1)), dim=1))
        return np.asarray(noise.square().sum(dim=1), dtype=np.float64)


def _split(vectors: Vectors) -> tuple[Tensor, Tensor]:
    """Rows to learn from, and those of the last episodes, that decide when to stop."""
    kept = len(vectors) - len(vectors) // HELD_BACK
    return torch.from_numpy(vectors[:kept]), torch.from_numpy(vectors[kept:])
