"""Messages of our own graph as rows of an episode: actions, signals, predictions.

What they become is what the recorder node makes of them live.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core import schema
from salus_ros.core.errors import ObservationError
from salus_ros.core.failures import FAILURE_TYPES, FailureType
from salus_ros.messages.kinds import EPISODE_STATUS as EPISODE_STATUS
from salus_ros.messages.kinds import FAILURE_HORIZONS, VLA_SIGNALS
from salus_ros.messages.kinds import POLICY_ACTION as POLICY_ACTION
from salus_ros.messages.kinds import STATE_JOINTS as STATE_JOINTS
from salus_ros.messages.signals import signals_array


@dataclass(frozen=True, slots=True, eq=False)
class SignalsRow:
    """Signals of one step: float32 (12,), NaN where not valid, and float16 (D,)."""

    signals: NDArray[np.float32]
    valid: NDArray[np.bool_]
    fresh: bool
    embedding: NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class PredictionRow:
    """Prediction of one step: float32 (H, K), and its sums."""

    probability: NDArray[np.float32]
    risk: float
    alarm: bool
    model_id: str


@dataclass(frozen=True, slots=True)
class Acted:
    """That the policy acted at a step of an episode.

    Attributes:
        stamp_ns: Stamp of the action.
        receive_ns: When it was received.
        ordinal: The how-manieth message of its topic it is.
    """

    episode_id: str
    step: int
    stamp_ns: int
    receive_ns: int
    ordinal: int
    policy_id: str


class SignalsReader:
    """Reads VlaSignals; the first embedding settles its size.

    Attributes:
        embedding_dim: D; 0 as long as no message has an embedding.
    """

    def __init__(self) -> None:
        """No message yet."""
        self.embedding_dim = 0

    def read(self, message: Any, kind: str) -> SignalsRow:
        """Read a message.

        Raises:
            ObservationError: if it is of another type, or its embedding of another size.
        """
        _check_kind(kind, VLA_SIGNALS)
        signals, valid = signals_array(message)
        embedding = np.asarray(message.embedding, np.float16)
        self.embedding_dim = self.embedding_dim or embedding.size
        if embedding.size not in (0, self.embedding_dim):
            raise ObservationError(
                f"its embedding has {embedding.size} values, the first one {self.embedding_dim}"
            )
        return SignalsRow(signals, valid, bool(message.fresh), embedding)

    def arrays(
        self, rows: Sequence[SignalsRow | None], age_ms: NDArray[np.float32]
    ) -> dict[str, Any]:
        """Arrays of T steps, by their names in `Episode`; NaN where a step has none.

        Args:
            rows: The row of each step.
            age_ms: Float32 (T,): its age; one that is not of its step is not fresh.
        """
        length, count = len(rows), len(schema.SIGNAL_NAMES)
        signals = np.full((length, count), np.nan, np.float32)
        valid, fresh = np.zeros((length, count), np.bool_), np.zeros(length, np.bool_)
        embedding = np.full((length, self.embedding_dim), np.nan, np.float16)
        for t, row in enumerate(rows):
            if row is not None:
                signals[t], valid[t] = row.signals, row.valid
                fresh[t] = row.fresh and age_ms[t] == 0
                if row.embedding.size:
                    embedding[t] = row.embedding
        return {
            "signals": signals,
            "signals_valid": valid,
            "signals_fresh": fresh,
            "embedding": embedding if self.embedding_dim else None,
        }


class PredictionReader:
    """Reads FailureHorizons; the first one settles horizons and types.

    Attributes:
        horizons_s: The H horizons in s; those of the schema before the first message.
        failure_types: The K types.
    """

    def __init__(self) -> None:
        """No message yet."""
        self.horizons_s, self.failure_types = schema.HORIZONS_S, FAILURE_TYPES
        self._known = False

    def read(self, message: Any, kind: str) -> PredictionRow:
        """Read a message.

        Raises:
            ObservationError: if it is of another type, has other horizons or failure types than
                the first one, or not as many values.
        """
        _check_kind(kind, FAILURE_HORIZONS)
        horizons_s = tuple(round(float(h), 6) for h in message.horizons)
        try:
            failure_types = tuple(FailureType(int(one)) for one in message.failure_types)
        except ValueError as error:
            raise ObservationError(f"it names a failure type that does not exist: {error}") from (
                error
            )
        shape = len(horizons_s), len(failure_types)
        if len(message.probability) != shape[0] * shape[1]:
            raise ObservationError(
                f"it has {len(message.probability)} probabilities; {shape[0]} horizons x "
                f"{shape[1]} types need {shape[0] * shape[1]}"
            )
        if not self._known:
            self.horizons_s, self.failure_types, self._known = horizons_s, failure_types, True
        if (horizons_s, failure_types) != (self.horizons_s, self.failure_types):
            raise ObservationError("its horizons or failure types are not those of the first one")
        probability = np.asarray(message.probability, np.float32).reshape(shape)
        return PredictionRow(
            probability, float(message.risk), bool(message.alarm), str(message.model_id)
        )

    def arrays(self, rows: Sequence[PredictionRow | None]) -> dict[str, Any]:
        """Arrays of T steps, by their names in `Episode`; NaN where a step has none."""
        shape = (len(rows), len(self.horizons_s), len(self.failure_types))
        probability = np.full(shape, np.nan, np.float32)
        risk, alarm = (np.full(len(rows), np.nan, np.float32) for _ in range(2))
        for t, row in enumerate(rows):
            if row is not None:
                probability[t], risk[t], alarm[t] = row.probability, row.risk, row.alarm
        return {"probability": probability, "risk": risk, "alarm": alarm}


def _check_kind(kind: str, needed: str) -> None:
    if kind != needed:
        raise ObservationError(f"it is a {kind}; a {needed} is needed")
