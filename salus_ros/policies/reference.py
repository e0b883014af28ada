"""The hidden states of successful episodes, against which `latent_ood` is measured."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.covariance import LedoitWolf

from salus_ros.core.errors import PolicyError

REFERENCE_FILE = "latent_reference.safetensors"
"""Lies beside the policy's weights."""


@dataclass(frozen=True, slots=True)
class LatentReference:
    """Mean (H,) and precision (H, H) of the pooled hidden state h over successful episodes."""

    mean: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, hidden: npt.NDArray[np.floating]) -> "LatentReference":
        """Fit to hidden states (N, H); the covariance is shrunk (Ledoit & Wolf 2004).

        Raises:
            PolicyError: with fewer than two finite rows.
        """
        h = np.asarray(hidden, dtype=np.float64)
        h = h[np.isfinite(h).all(axis=1)]
        if len(h) < 2:
            raise PolicyError(
                f"{len(h)} hidden states of successful episodes are too few for a reference; "
                "record successful episodes first"
            )
        estimate = LedoitWolf().fit(h)
        return cls(estimate.location_, estimate.precision_)

    def distance(self, hidden: npt.NDArray[np.floating]) -> float:
        """Mahalanobis distance sqrt((h - mean)' precision (h - mean)) of h (H,)."""
        d = np.asarray(hidden, dtype=np.float64) - self.mean
        return float(np.sqrt(max(float(d @ self.precision @ d), 0.0)))

    def save(self, folder: Path) -> None:
        """Write beside a policy's weights."""
        tensors = {"mean": self.mean, "precision": np.ascontiguousarray(self.precision)}
        save_file(tensors, folder / REFERENCE_FILE)

    @classmethod
    def load(cls, folder: Path, width: int) -> "LatentReference | None":
        """Read the reference beside a policy's weights, or None if there is none.

        Raises:
            PolicyError: if the file is damaged or belongs to a policy of another width.
        """
        path = folder / REFERENCE_FILE
        if not path.exists():
            return None
        try:
            tensors = load_file(path)
            mean, precision = tensors["mean"], tensors["precision"]
        except (SafetensorError, OSError, KeyError) as error:
            raise PolicyError(
                f"cannot read '{path}' ({error}); delete it or fit it anew"
            ) from error
        if mean.shape != (width,) or precision.shape != (width, width):
            raise PolicyError(
                f"'{path}' is a reference for hidden states of {mean.shape}, "
                f"the policy's have ({width},); delete it or fit it anew"
            )
        return cls(mean, precision)
