"""The course of one episode: what is known of each of its steps, as the page draws it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import FailureType
from salus_ros.core.schema import EPISODE_OUTPUTS, SIGNAL_NAMES
from salus_ros.messages.signals import PredictionRow
from salus_ros.reports.figures.colours import ENDING_COLOURS, FAINT
from salus_ros.view.verdict import UNPREDICTED, Verdict, judge

LONGEST = 3000
"""Steps of a live episode that are kept: 100 s at 30 Hz."""

DIGITS = 5

type Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


def number(value: float) -> float | str | None:
    """A number as JSON has it: NaN is null, infinity is the word "inf"."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return float(f"{value:.{DIGITS}g}")


def numbers(values: NDArray[np.floating[Any]]) -> list[Json]:
    """Many of them, flat."""
    return [number(value) for value in values.ravel().tolist()]


@dataclass(frozen=True, slots=True)
class Form:
    """What the numbers of a prediction mean.

    Attributes:
        horizons_s: The H horizons in s.
        kinds: Names of the K kinds of failure.
        colours: A colour for each.
        signals: Names of the signals.
    """

    horizons_s: tuple[float, ...] = ()
    kinds: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    signals: tuple[str, ...] = SIGNAL_NAMES

    @classmethod
    def of(
        cls,
        horizons_s: Sequence[float],
        kinds: Sequence[FailureType],
        signals: Sequence[str] = SIGNAL_NAMES,
    ) -> "Form":
        """The form of these horizons and kinds."""
        names = tuple(kind.label for kind in kinds)
        colours = tuple(ENDING_COLOURS.get(name, FAINT) for name in names)
        return cls(tuple(horizons_s), names, colours, tuple(signals))


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of the alarm; NaN: none is set, or not known; +inf: it cannot be exceeded."""

    risk: float = math.nan
    episode: float = math.nan

    @property
    def can_alarm(self) -> bool:
        """Whether one of them can be exceeded."""
        return math.isfinite(self.risk) or math.isfinite(self.episode)


@dataclass(slots=True)
class Step:
    """One step: its newest version, and its values as JSON has them."""

    version: int
    values: dict[str, Json] = field(default_factory=dict)


class Course:
    """The steps of one episode, the last changed one last.

    Attributes:
        episode_id: The episode; empty before there is one.
        form: What the predictions' numbers mean.
        newest_ns: The newest stamp of a step.
    """

    def __init__(self, episode_id: str = "", longest: int | None = LONGEST) -> None:
        """No step yet; of more than `longest` the first are forgotten."""
        self.episode_id = episode_id
        self.form = Form()
        self.newest_ns = 0
        self._longest = longest
        self._steps: dict[int, Step] = {}

    def __len__(self) -> int:
        """Number of steps that are kept."""
        return len(self._steps)

    def _touch(self, step: int, stamp_ns: int, version: int, values: Mapping[str, Json]) -> None:
        one = self._steps.pop(step, None) or Step(version, _empty(step))
        one.version = version
        one.values.update(values)
        self._steps[step] = one
        self.newest_ns = max(self.newest_ns, stamp_ns)
        if self._longest is not None and len(self._steps) > self._longest:
            del self._steps[next(iter(self._steps))]

    def add_signals(
        self, step: int, stamp_ns: int, signals: NDArray[np.float32], version: int
    ) -> None:
        """Add the signals of a step: float32 (S,), NaN where one does not exist."""
        self._touch(step, stamp_ns, version, {"signals": numbers(signals)})

    def add_prediction(
        self,
        step: int,
        stamp_ns: int,
        row: PredictionRow,
        limits: Limits,
        verdict: Verdict,
        version: int,
    ) -> None:
        """Add what was predicted at a step.

        Those of other horizons or kinds, as of another model, are forgotten.
        """
        form = Form.of(row.horizons_s, row.failure_types, self.form.signals)
        if form != self.form:
            self.form = form
            for one in self._steps.values():
                one.values["probability"], one.version = None, version
        outputs = dict(zip(EPISODE_OUTPUTS, numbers(row.episode_outputs), strict=True))
        self._touch(
            step,
            stamp_ns,
            version,
            {
                "risk": number(row.risk),
                "limit": number(limits.risk),
                "episode_limit": number(limits.episode),
                "alarm": row.alarm,
                "probability": numbers(row.probability),
                "level": verdict.level.value,
                "text": verdict.text,
                **outputs,
            },
        )

    def since(self, version: int) -> list[dict[str, Json]]:
        """Values of the steps that changed after a version, in the order of the steps."""
        changed = list(self._newer(version))
        return sorted(changed, key=lambda values: values["step"])  # type: ignore[arg-type, return-value]

    def _newer(self, version: int) -> Iterator[dict[str, Json]]:
        for one in reversed(self._steps.values()):
            if one.version <= version:
                return
            yield dict(one.values)


def _empty(step: int) -> dict[str, Json]:
    """A step of which nothing is known."""
    nothing = dict.fromkeys(("risk", "limit", "episode_limit", *EPISODE_OUTPUTS))
    said = {"level": UNPREDICTED.level.value, "text": UNPREDICTED.text}
    return {"step": step, "signals": None, "probability": None, "alarm": None} | nothing | said


def form_json(form: Form) -> dict[str, Json]:
    """A form as JSON has it."""
    return asdict(form)


def verdict_of(row: PredictionRow, limits: Limits, kind: FailureType, lead_s: float) -> Verdict:
    """What the banner says of a live prediction.

    Args:
        row: The prediction.
        limits: Its thresholds.
        kind: The likeliest kind; `NONE` where no failure is the likeliest.
        lead_s: Expected time to the failure in s; NaN: beyond the longest horizon.
    """
    return judge(
        row.risk,
        row.alarm,
        kind=kind.label,
        lead_s=lead_s,
        longest_s=row.horizons_s[-1],
        can_alarm=limits.can_alarm,
    )
