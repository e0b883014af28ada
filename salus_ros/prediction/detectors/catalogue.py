"""Every detector that is compared, by name."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.detectors.baselines import (
    ENTROPY_WINDOW,
    Clock,
    SingleSignal,
    StatisticSum,
    TaskPrior,
)
from salus_ros.prediction.detectors.detector import Detector
from salus_ros.prediction.detectors.distances import Mahalanobis, NearestNeighbours
from salus_ros.prediction.detectors.novelty import LogpZO, RandomNetworkDistillation
from salus_ros.prediction.detectors.predicting import HorizonPredictor
from salus_ros.prediction.detectors.probes import SafeMLP, SequenceProbe
from salus_ros.prediction.detectors.readings import Reading

OURS = "salus_tcn"
"""What the others are compared with: the default model."""

PUBLISHED: tuple[str, ...] = (
    "stac_single",
    "stac",
    "ace",
    "mahalanobis",
    "knn",
    "rnd",
    "logpzo",
    "safe_mlp",
    "safe_lstm",
    "actprobe",
)


def catalogue(signal_names: Sequence[str]) -> dict[str, Callable[[], Detector]]:
    """What makes each detector, unfitted, by name, in the order of tables.

    Args:
        signal_names: Signals of the episodes; each is a detector of its own.
    """
    tcn = PRESETS["tcn"]
    made: dict[str, Callable[[], Detector]] = {"clock": Clock, "task_prior": TaskPrior}
    made |= {f"signal:{name}": _signal(name) for name in signal_names}
    return made | {
        "stac_single": lambda: StatisticSum("stac_single", "stac_single"),
        "stac": lambda: StatisticSum("stac", "stac_mmd"),
        "ace": lambda: StatisticSum("ace", "chunk_entropy", ENTROPY_WINDOW),
        "mahalanobis": Mahalanobis,
        "knn": NearestNeighbours,
        "rnd": RandomNetworkDistillation,
        "logpzo": LogpZO,
        "safe_mlp": SafeMLP,
        "safe_lstm": lambda: SequenceProbe(
            "safe_lstm", Reading("embedding"), hidden=256, weight_decay=1e-3
        ),
        "actprobe": actprobe,
        "salus_outcome": lambda: SequenceProbe(
            "salus_outcome",
            Reading("signals", "embedding", flags=True),
            hidden=64,
            dropout=0.5,
            learning_rate=1e-3,
            weight_decay=1e-3,
        ),
        "salus_mlp": lambda: HorizonPredictor("salus_mlp", PRESETS["mlp"]),
        "salus_gru": lambda: HorizonPredictor("salus_gru", PRESETS["gru"]),
        "salus_tcn_signals": lambda: HorizonPredictor(
            "salus_tcn_signals", replace(tcn, inputs=("signals", "validity"))
        ),
        "salus_tcn_clock": lambda: HorizonPredictor(
            "salus_tcn_clock", replace(tcn, inputs=(*tcn.inputs, "clock"))
        ),
        OURS: lambda: HorizonPredictor(OURS, tcn),
    }


def actprobe(error: str = "chunk_error", magnitude: str = "chunk_magnitude") -> SequenceProbe:
    """ActProbe with about 24,000 parameters, given how its two figures are called."""
    return SequenceProbe(
        "actprobe",
        Reading(error, magnitude, "clock"),
        hidden=64,
        head=(96,),
        tasks=True,
        learning_rate=1e-3,
    )


def choose(names: Sequence[str], signal_names: Sequence[str]) -> dict[str, Callable[[], Detector]]:
    """Those of the catalogue with these names; all when none is given.

    Raises:
        ConfigError: if a name is unknown.
    """
    known = catalogue(signal_names)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"there is no detector {', '.join(map(repr, unknown))}; there are {', '.join(known)}"
        )
    return {name: make for name, make in known.items() if not names or name in names}


def _signal(name: str) -> Callable[[], Detector]:
    return lambda: SingleSignal(name)
