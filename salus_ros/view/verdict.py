"""What the banner says: one rule, for live episodes and for recorded ones."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How the banner looks; what is not known is a warning, never calm."""

    ALARM = "alarm"
    UNKNOWN = "unknown"
    CALM = "calm"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be thought of a step, and why."""

    level: Level
    text: str


UNPREDICTED = Verdict(Level.UNKNOWN, "nothing was predicted, and what is not known is not safe")


def judge(
    risk: float,
    alarm: bool,
    *,
    kind: str = "",
    lead_s: float = math.nan,
    longest_s: float = math.nan,
    can_alarm: bool = True,
) -> Verdict:
    """Judge one step that something was predicted of.

    Args:
        risk: In [0, 1]; NaN: not known.
        alarm: Whether there is an alarm.
        kind: The likeliest kind of failure; "none" where no failure within the horizons is the
            likeliest, empty where nobody says.
        lead_s: Expected time to the failure in s; NaN: beyond the longest horizon.
        longest_s: The longest horizon in s.
        can_alarm: Whether any threshold is set that can be exceeded.
    """
    if alarm:
        if math.isnan(risk):
            return Verdict(Level.ALARM, "the risk is not known, which is not safe")
        if not kind:
            return Verdict(Level.ALARM, f"risk {risk:.2f}; kind and lead are not recorded")
        what = "the episode is likely to fail" if kind == "none" else kind.replace("_", " ")
        when = f"in {lead_s:.2f} s" if math.isfinite(lead_s) else f"later than {longest_s:g} s"
        return Verdict(Level.ALARM, f"{what}, {when}")
    if math.isnan(risk):
        return Verdict(Level.UNKNOWN, "the risk is not known, which is not safe")
    if not can_alarm:
        return Verdict(Level.UNKNOWN, "no alarm is possible: no threshold is set")
    return Verdict(Level.CALM, "no alarm")
