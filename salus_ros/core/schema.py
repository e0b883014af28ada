"""Names, sizes and units of everything that is recorded, published or learnt from."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

RATE_HZ = 30.0
"""Control rate of the policy and of the recording."""

HORIZONS_S: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5)
"""Prediction horizons in seconds; 6, 9, 12 and 15 steps at 30 Hz."""

EPISODE_OUTPUTS: tuple[str, ...] = ("episode_failure", "no_progress")
"""What a model can tell of the episode as a whole, in output order: that it will fail at all, and
that it will end in no progress, by its time limit."""


class SignalKind(Enum):
    """What part of the policy a signal is read from."""

    ATTENTION = "attention"
    UNCERTAINTY = "uncertainty"
    HIDDEN_STATE = "hidden state"


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """Name and kind of one of the twelve signals; formulas are in `salus_ros.policies`."""

    name: str
    kind: SignalKind


SIGNALS: tuple[SignalSpec, ...] = (
    SignalSpec("attention_entropy", SignalKind.ATTENTION),
    SignalSpec("attention_image_mass", SignalKind.ATTENTION),
    SignalSpec("attention_camera_imbalance", SignalKind.ATTENTION),
    SignalSpec("attention_shift", SignalKind.ATTENTION),
    SignalSpec("sample_variance", SignalKind.UNCERTAINTY),
    SignalSpec("sample_spread_growth", SignalKind.UNCERTAINTY),
    SignalSpec("chunk_inconsistency", SignalKind.UNCERTAINTY),
    SignalSpec("flow_curvature", SignalKind.UNCERTAINTY),
    SignalSpec("latent_drift", SignalKind.HIDDEN_STATE),
    SignalSpec("latent_norm", SignalKind.HIDDEN_STATE),
    SignalSpec("latent_dispersion", SignalKind.HIDDEN_STATE),
    SignalSpec("latent_ood", SignalKind.HIDDEN_STATE),
)
"""The twelve signals, in the order of every array; four of each kind."""

SIGNAL_NAMES: tuple[str, ...] = tuple(spec.name for spec in SIGNALS)

MOST_FURTHER = 256
"""Signals beyond the twelve that a policy may have."""

LONGEST_NAME = 80
"""Characters of the name of one."""


def columns_by_kind(names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Columns of the signals of each kind by name; those of none we know are "other"."""
    kinds = {spec.name: spec.kind.value for spec in SIGNALS}
    found: dict[str, dict[str, int]] = {}
    for column, name in enumerate(names):
        found.setdefault(kinds.get(name, "other"), {})[name] = column
    return found


def further_fault(names: Sequence[str]) -> str:
    """What is wrong with the names of signals beyond the twelve; empty for nothing."""
    sound = all(0 < len(name) <= LONGEST_NAME for name in names)
    if sound and len(names) <= MOST_FURTHER and len({*names, *SIGNAL_NAMES}) == len(names) + 12:
        return ""
    return (
        f"allowed are up to {MOST_FURTHER} different names of 1 to {LONGEST_NAME} characters, "
        f"none of them one of the twelve ({', '.join(SIGNAL_NAMES)})"
    )


JOINT_QUANTITIES: tuple[str, ...] = ("position", "velocity", "effort")
"""What joint states say of a joint: rad or m, rad/s or m/s, Nm or N."""


def horizon_steps(
    horizons_s: tuple[float, ...] = HORIZONS_S, rate_hz: float = RATE_HZ
) -> tuple[int, ...]:
    """Horizons in whole steps: round(h * rate_hz), at least one step each."""
    return tuple(max(1, round(h * rate_hz)) for h in horizons_s)
