"""What makes a predictor's probabilities true and its alarm a promise, as it is applied live.

`salus_ros.training.calibrate` fits it.
"""

import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import CheckpointError

FILE_NAME = "calibration.json"
FORMAT = "salus-calibration"
SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Calibration:
    """What was fitted to a predictor, for H horizons and K failure types.

    Attributes:
        model_id: The predictor.
        slope: Of the logit, H rows of K, above 0, so that rankings stay.
        intercept: H rows of K.
        eventual: Slope and intercept of the logit of the eventual failure.
        no_progress: The same of that of no progress.
        shared: Types with too few failures for a fit of their own; they share one per horizon.
        alpha: Promised share of successful episodes with a false alarm.
        threshold: Alarm when the calibrated risk exceeds it; +inf, and then it never alarms,
            where alpha is too small for the number of successes.
        thresholds: The same by alpha.
        episode_threshold: Alarm when the probability of the eventual failure exceeds it; +inf
            for a model without, and where alpha is too small.
        episode_thresholds: The same by alpha.
        output_threshold: Of the single calibrated probabilities: that with the best micro F1.
        event_threshold: The same of all types but the timeout, chosen for them alone; NaN where
            there was no such failure, or the calibration is older than this threshold.
        successes: Successful episodes that the thresholds come from.
        probability_keys: Content keys of the episodes that slope and intercept were fitted to.
        threshold_keys: Content keys of those that the thresholds come from; none is of both.
        policies: Names of the policies that these episodes are of, the only ones for which its
            probabilities and promises hold; empty: not known.
    """

    model_id: str
    slope: tuple[tuple[float, ...], ...]
    intercept: tuple[tuple[float, ...], ...]
    eventual: tuple[float, float]
    shared: tuple[str, ...]
    alpha: float
    threshold: float
    thresholds: dict[float, float]
    episode_threshold: float
    episode_thresholds: dict[float, float]
    output_threshold: float
    successes: int
    probability_keys: tuple[str, ...]
    threshold_keys: tuple[str, ...]
    no_progress: tuple[float, float] = (1.0, 0.0)
    event_threshold: float = math.nan
    policies: tuple[str, ...] = ()

    def doubt(self, policy_id: str) -> str:
        """Why it does not hold for a policy, in words; empty: it does, as far as is known."""
        if not self.policies or policy_id in self.policies:
            return ""
        return (
            f"the policy is {policy_id or 'unnamed'}, and the predictor was calibrated on "
            f"{', '.join(self.policies)}: neither its probabilities nor its promised rate of "
            "false alarms hold; calibrate or adapt it on episodes of this policy"
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """Content keys of all episodes used."""
        return self.probability_keys + self.threshold_keys

    def apply(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities float32 (B, H, K) of logits (B, H, K)."""
        slope, intercept = self._halved
        probability: NDArray[np.float32] = np.tanh(logits * slope + intercept)
        probability *= 0.5
        probability += 0.5
        return probability

    @cached_property
    def _halved(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Half of slope and intercept (H, K): sigmoid(x) = 0.5 + 0.5 tanh(x / 2)."""
        return 0.5 * np.asarray(self.slope, np.float32), 0.5 * np.asarray(
            self.intercept, np.float32
        )

    def apply_episode(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated logits (B, 2) of the eventual failure and of no progress, of raw ones."""
        slope, intercept = self._of_episode
        scaled: NDArray[np.float32] = logits * slope + intercept
        return scaled

    @cached_property
    def _of_episode(self) -> NDArray[np.float32]:
        """Slopes and intercepts (2, 2)."""
        return np.asarray((self.eventual, self.no_progress), np.float32).T

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; a threshold that is not finite is null."""
        values = asdict(self) | {"format": FORMAT, "schema_version": SCHEMA_VERSION}
        for name in ("threshold", "episode_threshold"):
            values[name] = _finite(values[name])
            several = values[f"{name}s"].items()
            values[f"{name}s"] = {f"{alpha:g}": _finite(limit) for alpha, limit in several}
        values["event_threshold"] = _finite(self.event_threshold)
        return values

    def save(self, folder: str | Path) -> Path:
        """Write `calibration.json` into the predictor's folder, at once or not at all."""
        path = Path(folder) / FILE_NAME
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        partial.replace(path)
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Self | None:
        """Read `calibration.json`; None where there is none.

        Raises:
            CheckpointError: if it is damaged or no calibration.
        """
        path = Path(folder) / FILE_NAME
        try:
            values = json.loads(path.read_text())
            if values.pop("format") != FORMAT:
                raise ValueError("unknown format")
            if (version := values.pop("schema_version", 1)) != SCHEMA_VERSION:
                raise ValueError(f"schema version {version}, this version reads {SCHEMA_VERSION}")
            slope, intercept = (tuple(map(tuple, values[n])) for n in ("slope", "intercept"))
            sizes = np.asarray(slope, np.float64).shape, np.asarray(intercept, np.float64).shape
            if sizes[0] != sizes[1] or len(sizes[0]) != 2 or np.asarray(slope).min() <= 0:
                raise ValueError(f"slope {sizes[0]} and intercept {sizes[1]}")
            given: dict[str, Any] = {
                "slope": slope,
                "intercept": intercept,
                "eventual": (float(values["eventual"][0]), float(values["eventual"][1])),
                "no_progress": tuple(map(float, values.get("no_progress", (1.0, 0.0)))),
                "shared": tuple(values["shared"]),
                "probability_keys": tuple(values["probability_keys"]),
                "threshold_keys": tuple(values["threshold_keys"]),
                "policies": tuple(map(str, values.get("policies", ()))),
            }
            events = values.get("event_threshold")
            given["event_threshold"] = math.nan if events is None else float(events)
            for name in ("threshold", "episode_threshold"):
                several = values[f"{name}s"].items()
                given[name] = _infinite(values[name])
                given[f"{name}s"] = {float(a): _infinite(limit) for a, limit in several}
            return cls(**(values | given))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"'{path}' is not a calibration ({error}); run `salus calibrate` again, or delete "
                "it to predict uncalibrated"
            ) from error


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _infinite(value: float | None) -> float:
    return math.inf if value is None else float(value)
