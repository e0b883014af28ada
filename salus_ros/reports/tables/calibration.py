"""Tables of `salus calibrate`: the thresholds and what they promise."""

import math
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from salus_ros.prediction.calibration import Calibration
from salus_ros.training.calibrate import promise


def calibration_tables(result: Calibration) -> Iterator[RenderableType]:
    """The threshold of each promise, the one in force in bold, and what they come from."""
    tells = any(map(math.isfinite, result.episode_thresholds.values()))
    score = "the probability to fail at all" if tells else "the risk"
    table = Table("alpha", f"alarm when {score} exceeds", "what that promises")
    for alpha, threshold in result.thresholds.items():
        limit = min(threshold, result.episode_thresholds[alpha])
        shown = f"{limit:.3f}" if math.isfinite(limit) else "never"
        style = "bold" if alpha == result.alpha else None
        table.add_row(f"{alpha:g}", shown, promise(result, alpha), style=style)
    yield table
    yield (
        f"{len(result.probability_keys)} episodes for the probabilities; "
        f"{len(result.threshold_keys)} others, {result.successes} successful, for the threshold"
    )
    if result.shared:
        yield f"too few failures for a fit of their own: {', '.join(result.shared)}"
