"""Detectors by distance in the hidden state of the policy: to successes, less that to failures.

The baselines of SAFE (Gu et al. 2025, arXiv 2506.09937).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from salus_ros.evaluation.detectors.detector import Replans, Score, early_auroc, failed
from salus_ros.prediction.extras import ARRAYS
from salus_ros.prediction.normalisation import Normalisation
from salus_ros.training.dataset import Samples

RIDGE = 1e-4
"""Added to the diagonal of a covariance, of standardised values."""

NEIGHBOURS = (1, 5, 10)
"""Numbers of nearest neighbours to choose from."""

BLOCK_ROWS = 2048

Vectors = NDArray[np.float32]


class EmbeddingDetector:
    """What detectors that read the hidden state at each replan share.

    Subclasses fit `_learn` and score `_score_vectors`; a replan without a finite hidden state is
    passed over.
    """

    name = ""
    needs_failures = False

    def missing(self, samples: Samples) -> str:
        """Ask for the hidden state."""
        return missing_embedding(samples)

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Fit on the replans of training, before their failure."""
        vectors, replans = _embeddings(samples)
        used = samples.rows(train)[replans.rows]
        self._normalisation = Normalisation.fit(vectors[used], np.isfinite(vectors[used]))
        bad = failed(samples)[replans.episode[used]]
        scaled = self._scaled(vectors[used])
        self._learn(scaled[~bad], scaled[bad], seed)
        self._choose(samples, validation)

    def score(self, samples: Samples) -> Score:
        """Score at each replan, held until the next."""
        vectors, replans = _embeddings(samples)
        return replans.hold(self._running(replans, self._score_vectors(self._scaled(vectors))))

    def _learn(self, successes: Vectors, failures: Vectors, seed: int) -> None:
        raise NotImplementedError

    def _score_vectors(self, vectors: Vectors) -> Score:
        raise NotImplementedError

    def _choose(self, samples: Samples, validation: Sequence[int]) -> None:
        """Choose settings on episodes that were held back; by default there are none."""

    def _running(self, replans: Replans, values: Score) -> Score:
        """Turn the figures of the replans (M,) into running scores; by default they are."""
        return values

    def _scaled(self, vectors: Vectors) -> Vectors:
        return self._normalisation.apply(vectors, np.isfinite(vectors))


class Mahalanobis(EmbeddingDetector):
    """Score = d(e, successes) - d(e, failures), d = sqrt((e - mu)' S^-1 (e - mu)).

    mu and S are mean and covariance of either, S + `RIDGE` I.
    """

    name = "mahalanobis"
    needs_failures = True

    def _learn(self, successes: Vectors, failures: Vectors, seed: int) -> None:
        self._of_successes = _gaussian(successes)
        self._of_failures = _gaussian(failures)

    def _score_vectors(self, vectors: Vectors) -> Score:
        near, far = (
            np.linalg.norm((vectors - mean) @ whitening, axis=1)
            for mean, whitening in (self._of_successes, self._of_failures)
        )
        difference: Score = near - far
        return difference


class NearestNeighbours(EmbeddingDetector):
    """Score = mean cosine distance to the k nearest successes less that to the k nearest failures.

    k is the one of `NEIGHBOURS` that tells the held-back episodes best.
    """

    name = "knn"
    needs_failures = True

    def _learn(self, successes: Vectors, failures: Vectors, seed: int) -> None:
        self._successes, self._failures = _directions(successes), _directions(failures)
        self.neighbours = NEIGHBOURS[0]

    def _choose(self, samples: Samples, validation: Sequence[int]) -> None:
        part = samples.subset(validation)
        vectors, replans = _embeddings(part)
        scores = self._all_scores(self._scaled(vectors))
        figures = [early_auroc(replans.hold(score), part) for score in scores]
        self.neighbours = NEIGHBOURS[int(np.argmax(np.nan_to_num(figures, nan=-1.0)))]

    def _score_vectors(self, vectors: Vectors) -> Score:
        return self._all_scores(vectors)[NEIGHBOURS.index(self.neighbours)]

    def _all_scores(self, vectors: Vectors) -> list[Score]:
        """Scores (M,) for each of `NEIGHBOURS`."""
        directions = _directions(vectors)
        near = _nearest(directions, self._successes)
        far = _nearest(directions, self._failures)
        return [near[:, :k].mean(axis=1) - far[:, :k].mean(axis=1) for k in NEIGHBOURS]


def missing_embedding(samples: Samples, name: str = "embedding") -> str:
    """Say that the episodes lack a hidden state, one of `extras.EXTRAS`; "" if they have it."""
    field = ARRAYS[name][0]
    if name not in samples.extras:
        return f"the episodes have no {field} of one width"
    there = np.isfinite(samples.extras[name]).all(axis=1).any()
    return "" if there else f"no {field} is finite"


def _embeddings(samples: Samples) -> tuple[Vectors, Replans]:
    """Hidden states float32 (M, D) of the replans that have one."""
    replans = Replans.of(samples, np.asarray(np.isfinite(samples.extras["embedding"]).all(axis=1)))
    return samples.extras["embedding"][replans.rows].astype(np.float32), replans


def _gaussian(vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) and W (D, D) with W W' the inverse of the covariance."""
    values = vectors.astype(np.float64)
    mean = values.mean(axis=0)
    centred = values - mean
    covariance = centred.T @ centred / len(values) + RIDGE * np.eye(values.shape[1])
    inverse_root = np.linalg.inv(np.linalg.cholesky(covariance))  # L^-1, S^-1 = L^-T L^-1
    return mean, inverse_root.T


def _directions(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, 1e-12)
    return unit


def _nearest(directions: Vectors, reference: Vectors) -> NDArray[np.float64]:
    """Smallest cosine distances, ascending, (M, k) with k the largest number of neighbours."""
    most = min(max(NEIGHBOURS), len(reference))
    found = np.empty((len(directions), most))
    for start in range(0, len(directions), BLOCK_ROWS):
        block = 1.0 - directions[start : start + BLOCK_ROWS] @ reference.T
        found[start : start + BLOCK_ROWS] = np.sort(
            np.partition(block, most - 1, axis=1)[:, :most], axis=1
        )
    return found
