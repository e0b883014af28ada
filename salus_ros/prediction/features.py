"""What a model reads of a step: standardised values, and which of them were there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Self, get_args

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.messages.signals import SignalsRow
from salus_ros.prediction.config import Input
from salus_ros.prediction.extras import EXTRAS, SINGLE, Extras, Parts, told
from salus_ros.prediction.normalisation import Normalisation

INPUTS: tuple[str, ...] = get_args(Input)
"""The signals; which of them are valid; `EXTRAS`, each with whether it is there, or each value of
`SINGLE`; the elapsed share of the time limit, and how close the limit is."""

CLOSE_STEPS = (4, 8, 16, 32, 64)
"""Scales, in steps, of the closeness of the time limit: of the elapsed share, or of one ramp, a
network does not learn to tell 0.2 s from 0.5 s."""

CLOCK_COLUMNS = 1 + len(CLOSE_STEPS)

ROWS_AT_ONCE = 2**15


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Turns steps into the features of a model, with statistics of the training split.

    A signal that is left out or was never valid in training has `inverse_std` 0 and counts as
    never valid.

    Attributes:
        inputs: Which of `INPUTS`, in that order.
        signals: Statistics of the signals (S,).
        extras: Statistics of those of `EXTRAS` that are inputs, (W,) each.
        parts: What each of them consists of, see `extras.Parts`.
        time_limit_steps: Steps after which an episode counts as failed; for the clock alone.

    Raises:
        ConfigError: if the clock is an input and there is no limit.
    """

    inputs: tuple[str, ...]
    signals: Normalisation
    extras: Mapping[str, Normalisation] = field(default_factory=dict)
    parts: Parts = field(default_factory=dict)
    time_limit_steps: int = 0

    def __post_init__(self) -> None:
        if "clock" in self.inputs and self.time_limit_steps < 1:
            raise ConfigError(
                "inputs has 'clock', which tells how much of the time limit is left, but no limit "
                "is given; give --time-limit-steps, or leave the clock out of the inputs"
            )

    @classmethod
    def fit(
        cls,
        inputs: Sequence[str],
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_],
        extras: Extras | None = None,
        parts: Parts | None = None,
        left_out: NDArray[np.bool_] | None = None,
        time_limit_steps: int = 0,
    ) -> Self:
        """Fit on the training split.

        Args:
            inputs: Which of `INPUTS`.
            signals: (N, S).
            valid: (N, S).
            extras: Those of `EXTRAS` that are inputs, and maybe others, (N, W) each.
            parts: What they consist of.
            left_out: Bool (S,), signals not to be read.
            time_limit_steps: Steps after which an episode counts as failed, needed for the clock.
        """
        statistics = Normalisation.fit(signals, valid)
        if left_out is not None:
            statistics.inverse_std[left_out] = 0.0
        fitted = {}
        for name in EXTRAS:
            if name in inputs:
                assert extras is not None
                fitted[name] = Normalisation.fit(extras[name], np.isfinite(extras[name]))
        named = tuple(name for name in INPUTS if name in inputs)
        known = {name: tuple((parts or {}).get(name, ())) for name in fitted}
        return cls(named, statistics, fitted, known, time_limit_steps)

    def other_parts(self, parts: Parts) -> dict[str, str]:
        """Inputs that do not consist of what those of training did, each with both in words."""
        return {
            name: f"{list(given)}, that of training of {list(trained)}"
            for name, given in parts.items()
            if given and (trained := self.parts.get(name)) and trained != given
        }

    def read(
        self, said: SignalsRow, joints: NDArray[np.float32] | None = None
    ) -> dict[str, NDArray[np.floating]]:
        """The inputs (1, W) beside the signals that a step has, live.

        Args:
            said: What the policy's tap says.
            joints: (1, W) as `parts` has them; None where nobody tells them.

        Raises:
            ObservationError: if one does not consist of what that of training did.
        """
        extras, parts = told(said, self.extras)
        for name, both in self.other_parts(parts).items():
            raise ObservationError(
                f"the {name} consists of {both}; run the policy and the robot that the model was "
                "trained for",
                f"{name} of other parts than the model's",
            )
        if joints is not None and "joints" in self.extras:
            extras["joints"] = joints
        return extras

    def missing(self, extras: Extras) -> dict[str, str]:
        """What a step lacks of the inputs beside the signals, by name, in words."""
        lack = {name: f"no {name}" for name in self.extras if name not in extras}
        return lack | {
            name: f"{name} with values that are not finite"
            for name, values in extras.items()
            if name in self.extras and name not in SINGLE and not self._there(name, values).all()
        }

    @property
    def width(self) -> int:
        """Number of features F."""
        return sum(self._widths)

    @property
    def spans(self) -> dict[str, slice]:
        """Columns of each of `EXTRAS` that is an input, with its flag or flags."""
        stops = accumulate(self._widths)
        found = zip(self.inputs, self._widths, stops, strict=True)
        return {n: slice(stop - width, stop) for n, width, stop in found if n in self.extras}

    @property
    def _widths(self) -> list[int]:
        """Columns of each input."""
        signals = len(self.signals.mean)
        own = {"signals": signals, "validity": signals, "clock": CLOCK_COLUMNS}
        return [own[name] if name in own else self._columns(name) for name in self.inputs]

    def apply(
        self,
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_],
        extras: Extras | None = None,
        step: NDArray[np.integer] | int = 0,
    ) -> NDArray[np.float32]:
        """Features of some steps.

        Args:
            signals: Float32 (B, S); values that are not valid may be anything.
            valid: Bool (B, S).
            extras: Some of `EXTRAS`, (B, W) each. One that is not there is missing, and so is a
                row with a value that is not finite in a column that training had; of `SINGLE`
                that value alone.
            step: (B,) step within the episode, or that of all rows, for the clock.

        Returns:
            Float32 (B, F), finite; what is missing is 0, the training mean.

        Raises:
            ObservationError: if the sizes are not those of training, or a value marked valid is
                not finite.
        """
        extras = extras or {}
        if len(signals) <= ROWS_AT_ONCE:
            return self._apply(signals, valid, extras, step)
        features = np.empty((len(signals), self.width), np.float32)
        steps = np.broadcast_to(step, len(signals))
        for start in range(0, len(signals), ROWS_AT_ONCE):  # or its temporaries fill the memory
            some = slice(start, start + ROWS_AT_ONCE)
            part = {name: values[some] for name, values in extras.items()}
            features[some] = self._apply(signals[some], valid[some], part, steps[some])
        return features

    def _apply(
        self,
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_],
        extras: Extras,
        step: NDArray[np.integer] | int,
    ) -> NDArray[np.float32]:
        parts: list[NDArray[np.float32]] = []
        for name in self.inputs:
            if name == "signals":
                parts.append(self.signals.apply(signals, valid))
            elif name == "validity":
                parts.append((valid & (self.signals.inverse_std > 0)).astype(np.float32))
            elif name == "clock":
                parts.append(_clock(np.full(len(signals), step), self.time_limit_steps))
            else:
                parts += self._extra(name, extras.get(name), len(signals))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _extra(
        self, name: str, given: NDArray[np.floating] | None, rows: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Standardised values (B, W) of an input, and whether it is there (B, 1), or each is."""
        statistics = self.extras[name]
        width = len(statistics.mean)
        if given is None:
            flags = self._columns(name) - width
            return np.zeros((rows, width), np.float32), np.zeros((rows, flags), np.float32)
        if given.shape != (rows, width):
            raise ObservationError(
                f"the {name} has {given.shape[-1]} values, the model takes {width}; run the "
                "policy and the robot that it was trained for, or train another",
                f"{name} of another size than the model's",
            )
        values = given.astype(np.float32, copy=False)
        if name in SINGLE:
            each = np.isfinite(values) & (statistics.inverse_std > 0)
            return statistics.apply(values, each), each.astype(np.float32)
        there = self._there(name, values)
        usable = there & (statistics.inverse_std > 0)
        return statistics.apply(values, usable), there.astype(np.float32)

    def _columns(self, name: str) -> int:
        """Values of an input and flags: one, or one for each."""
        width = len(self.extras[name].mean)
        return 2 * width if name in SINGLE else width + 1

    def _there(self, name: str, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether a row (B, W) is finite in each column that training had: (B, 1)."""
        finite = np.isfinite(values)
        if np.logical_and.reduce(finite, axis=None):  # as nearly always, and a tenth of the time
            return np.ones((len(values), 1), np.bool_)
        read = self.extras[name].inverse_std > 0
        there: NDArray[np.bool_] = np.logical_and.reduce(finite, axis=1, where=read, keepdims=True)
        return there


def _clock(step: NDArray[np.integer], limit: int) -> NDArray[np.float32]:
    """Elapsed share of the time limit, and how close it is: (B, 1 + C).

    The latter is 2 exp(-left / tau) for each tau of `CLOSE_STEPS`, 2 from the limit on.
    """
    left = np.maximum(limit - step, 0)[:, None] / np.array(CLOSE_STEPS)  # (B, C)
    return np.column_stack((step / limit, 2.0 * np.exp(-left))).astype(np.float32)
