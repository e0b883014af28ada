"""What published failure detectors read from action chunks, beside the twelve signals.

Recorded so that those detectors can be run on the same episodes; no message carries them.
Notation: K samples (K, C, A) of a chunk of C normalised actions, of which the first is executed;
d steps elapsed since the previous replan, so that the chunks overlap in C - d steps.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CHUNK_STATISTICS: tuple[str, ...] = (
    "stac_single",
    "stac_mmd",
    "chunk_entropy",
    "chunk_error",
    "chunk_magnitude",
)
"""Names in the order of every array, see the functions below."""

ENTROPY_BIN = 0.5
"""Width of a histogram bin in `chunk_entropy`, in normalised units."""

TRANSLATION_DIMS = 3
"""An action begins with the displacement of the end effector."""


class ChunkStatistics:
    """Computes the statistics of one episode after the other; `reset` clears all memory."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin an episode: there is no previous replan."""
        self._chunks: Array | None = None
        self._step = -1

    def __call__(self, chunks: Array, step: int) -> npt.NDArray[np.float32]:
        """Statistics of the replan at `step` with chunks (K, C, A).

        Returns:
            Float32 (5,) in the order of `CHUNK_STATISTICS`; NaN where one needs a previous replan
            that overlaps, or two samples.
        """
        elapsed = step - self._step
        old = new = None
        if self._chunks is not None and elapsed < self._chunks.shape[1]:
            old = self._chunks[:, elapsed:]
            new = chunks[:, : old.shape[1]]
        self._chunks, self._step = chunks, step
        single = mmd = error = np.nan
        if old is not None and new is not None:
            single = float(np.abs(old[0] - new[0]).mean())
            mmd = maximum_mean_discrepancy(old[..., :-1], new[..., :-1])  # without the gripper
            error = float(np.square(old[0] - new[0]).mean())
        magnitude = float(np.linalg.norm(chunks[0], axis=1).mean())
        return np.array([single, mmd, chunk_entropy(chunks), error, magnitude], np.float32)


def maximum_mean_discrepancy(old: Array, new: Array) -> float:
    """Squared maximum mean discrepancy of two sets of K chunks (K, L, A), biased estimate.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y) with k = exp(-|x - y|^2 / b) and b the median
    squared distance (Gretton et al. 2012); the statistic of STAC (Agia et al. 2024), which draws
    256 samples where SALUS draws a few. NaN for K = 1, 0 where all chunks are equal.
    """
    samples = len(new)
    if samples < 2:
        return np.nan
    points = np.concatenate([old, new]).reshape(len(old) + samples, -1)
    squares = np.square(points[:, None] - points[None]).sum(axis=2)  # (2 K, 2 K)
    scale = float(np.median(squares[np.triu_indices(len(points), 1)]))
    if scale == 0.0:
        return 0.0
    kernel = np.exp(-squares / scale)
    k = len(old)
    return float(kernel[:k, :k].mean() + kernel[k:, k:].mean() - 2.0 * kernel[:k, k:].mean())


def chunk_entropy(chunks: Array) -> float:
    """Action-chunk entropy: how far apart K chunks (K, C, A) lead the end effector, in nats.

    Sum over the C steps and three axes of the entropy of the histogram, with bins of
    `ENTROPY_BIN`, of the K positions that the displacements add up to (after the ACE of FIPER,
    Römer et al. 2025). NaN for K = 1.
    """
    samples = len(chunks)
    if samples < 2:
        return np.nan
    positions = np.cumsum(chunks[..., :TRANSLATION_DIMS], axis=1)  # (K, C, 3)
    centred = positions - np.median(positions, axis=0)
    bins = np.floor(centred / ENTROPY_BIN + 0.5)
    share = (bins[:, None] == bins[None]).mean(axis=1)  # (K, C, 3): share of samples in my bin
    return float(-np.log(share).mean(axis=0).sum())
