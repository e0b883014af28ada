"""The formulas of the twelve signals, on arrays; NaN where a value does not exist.

Notation of the docstrings: K samples, C tokens of a chunk of which the first E are executed,
A action dimensions, H width of the hidden state, V cameras with n image tokens each.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def attention_entropy(image_attention: Array) -> float:
    """Entropy of the image attention map over its maximum, in [0, 1].

    H(p) / log(V n) for p (V, n) normalised to sum 1. NaN if no attention falls on images.
    """
    p = _normalised(image_attention)
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum() / np.log(p.size)) if p.size > 1 else np.nan


def attention_image_mass(attention: Array, image_attention: Array) -> float:
    """Share of the attention on image tokens rather than language and state, in [0, 1]."""
    total = float(attention.sum())
    return float(image_attention.sum() / total) if total > 0 else np.nan


def attention_camera_imbalance(image_attention: Array) -> float:
    """KL(q || uniform) of the cameras' attention shares q (V,), in nats: 0 to log V."""
    q = _normalised(image_attention).sum(axis=1)
    positive = q[q > 0]
    return float((positive * np.log(positive * len(q))).sum()) if positive.size else np.nan


def attention_shift(image_attention: Array, previous: Array | None) -> float:
    """Jensen-Shannon distance (base 2) of two image attention maps, in [0, 1].

    sqrt(H((p + q) / 2) - (H(p) + H(q)) / 2); Endres & Schindelin 2003. NaN without a previous
    replan.
    """
    if previous is None:
        return np.nan
    p, q = _normalised(image_attention), _normalised(previous)
    divergence = _entropy2((p + q) / 2) - (_entropy2(p) + _entropy2(q)) / 2
    return float(np.sqrt(min(max(divergence, 0.0), 1.0)))


def sample_variance(chunks: Array, executed: int) -> float:
    """Variance over K of the executed part of chunks (K, C, A), mean over steps and dimensions.

    Normalised action units squared; NaN for K = 1.
    """
    if len(chunks) < 2:
        return np.nan
    return float(chunks[:, :executed].var(axis=0, ddof=1).mean())


def sample_spread_growth(chunks: Array, executed: int) -> float:
    """log(variance over K in the rest of the chunk / variance in its executed part).

    NaN for K = 1, or when the whole chunk is executed, or when a variance is 0.
    """
    if len(chunks) < 2 or executed >= chunks.shape[1]:
        return np.nan
    near = sample_variance(chunks, executed)
    far = sample_variance(chunks[:, executed:], chunks.shape[1])
    return float(np.log(far / near)) if near > 0 and far > 0 else np.nan


def chunk_inconsistency(chunks: Array, previous_mean: Array | None, elapsed: int) -> float:
    """Squared distance of two replans' K-means where their chunks overlap in time.

    mean over steps and dimensions of (mean_K a_t[h] - mean_K a_{t-d}[h + d])^2 with d steps
    elapsed; the statistic of STAC (Agia et al. 2024) on means. NaN without a previous replan
    or an overlap.
    """
    if previous_mean is None or elapsed >= len(previous_mean):
        return np.nan
    overlap = previous_mean[elapsed:]
    return float(np.square(chunks.mean(axis=0)[: len(overlap)] - overlap).mean())


def latent_drift(hidden: Array, previous: Array | None) -> float:
    """1 - cosine similarity of h (H,) with the previous replan's; in [0, 2]."""
    if previous is None:
        return np.nan
    norms = float(np.linalg.norm(hidden) * np.linalg.norm(previous))
    return float(1.0 - hidden @ previous / norms) if norms > 0 else np.nan


def latent_norm(hidden: Array) -> float:
    """Euclidean norm of h (H,)."""
    return float(np.linalg.norm(hidden))


def latent_dispersion(hidden_samples: Array) -> float:
    """Trace of the covariance of h over K (K, H), divided by |mean h|^2; NaN for K = 1."""
    if len(hidden_samples) < 2:
        return np.nan
    size = float(np.square(hidden_samples.mean(axis=0)).sum())
    return float(hidden_samples.var(axis=0, ddof=1).sum() / size) if size > 0 else np.nan


def image_attention_map(attention: Array, image_tokens: Sequence[slice]) -> Array:
    """The image tokens' part of an attention vector (S,), one row a camera: (V, n)."""
    return np.stack([attention[tokens] for tokens in image_tokens])


def _normalised(p: Array) -> Array:
    total = p.sum()
    return p / total if total > 0 else np.full_like(p, np.nan)


def _entropy2(p: Array) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log2(positive)).sum())
