"""Every detector that is compared, by name."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from salus_ros.core.errors import ConfigError
from salus_ros.core.schema import SignalKind
from salus_ros.evaluation.detectors.baselines import (
    ENTROPY_WINDOW,
    PriorOfTask,
    ReversalRate,
    Rule,
    SingleSignal,
    StatisticSum,
)
from salus_ros.evaluation.detectors.detector import Detector
from salus_ros.evaluation.detectors.distances import Mahalanobis, NearestNeighbours
from salus_ros.evaluation.detectors.landmark import Blend, Landmark
from salus_ros.evaluation.detectors.novelty import LogpZO, RandomNetworkDistillation
from salus_ros.evaluation.detectors.predicting import (
    HorizonPredictor,
    JointsAndAction,
    ShuffledControl,
)
from salus_ros.evaluation.detectors.probes import MiddleLayerProbe, SafeMLP
from salus_ros.evaluation.detectors.readings import Reading
from salus_ros.evaluation.detectors.sequence_probe import SequenceProbe, actprobe
from salus_ros.evaluation.detectors.temporal_difference import TemporalDifferenceProbe
from salus_ros.evaluation.rules import STUCK, clock, stuck, stuck_lacks
from salus_ros.prediction.config import PRESETS, Input, TrainingConfig

OURS = "salus_tcn"
"""What the others are compared with: the default model, by the score that its alarm goes by."""

_SIGNALS: tuple[Input, ...] = ("signals", "validity")

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
    "tdqc",
    "middle_layer",
    "reversal_rate",
    "actprobe",
)

FEWEST_FAILURES = 10
"""In training, below which nothing is learnt from them where there are no hidden states."""


def catalogue(signal_names: Sequence[str]) -> dict[str, Callable[[], Detector]]:
    """What makes each detector, unfitted, by name, in the order of tables.

    Args:
        signal_names: Signals of the episodes; each is a detector of its own.
    """
    tcn = PRESETS["tcn"]
    made: dict[str, Callable[[], Detector]] = {
        "clock": lambda: Rule("clock", clock),
        "task_prior": PriorOfTask,
        "stuck": lambda: Rule("stuck", stuck, stuck_lacks, declared=STUCK),
    }
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
        "tdqc": lambda: TemporalDifferenceProbe(
            "tdqc", Reading("embedding"), hidden=256, epochs=150, learning_rate=1e-3, patience=30
        ),
        "middle_layer": MiddleLayerProbe,
        "reversal_rate": ReversalRate,
        "actprobe": actprobe,
        "landmark": Landmark,
        "blend": Blend,
        "salus_outcome": lambda: SequenceProbe(
            "salus_outcome",
            Reading("signals", "embedding", flags=True),
            hidden=64,
            dropout=0.5,
            learning_rate=1e-3,
            weight_decay=1e-3,
        ),
        "salus_mlp": lambda: HorizonPredictor("salus_mlp", PRESETS["mlp"]),
        "salus_mlp_large": lambda: HorizonPredictor("salus_mlp_large", PRESETS["mlp-large"]),
        "salus_gru": lambda: HorizonPredictor("salus_gru", PRESETS["gru"], "alarm"),
        "salus_tcn_signals": lambda: HorizonPredictor(
            "salus_tcn_signals", replace(tcn, inputs=_SIGNALS), "alarm"
        ),
        "salus_tcn_clock": lambda: HorizonPredictor(
            "salus_tcn_clock", replace(tcn, inputs=(*tcn.inputs, "clock")), "alarm"
        ),
        "salus_tcn_shuffled": lambda: ShuffledControl("salus_tcn_shuffled", tcn, "alarm"),
        "salus_tcn_horizons": lambda: HorizonPredictor("salus_tcn_horizons", tcn),
        "salus_tcn_eventual": lambda: HorizonPredictor(
            "salus_tcn_eventual", tcn, "episode_failure"
        ),
        OURS: lambda: HorizonPredictor(OURS, tcn, "alarm"),
    }


def default_of_logs(failures: int) -> str:
    """The detector to use where there are no hidden states, given how many failures teach it.

    Decided beforehand: to choose by a handful of tasks is worse than not to choose. What it rests
    on: `salus benchmark LOGS --protocol unseen`.
    """
    return "blend" if failures >= FEWEST_FAILURES else "stac_single"


def ablations() -> dict[str, Callable[[], Detector]]:
    """What makes the default model with parts of what it learns from left out, by name.

    Of the signals alone: each kind left out, and each kind alone; then all but the
    look-ahead or the joints, the embedding alone, the robot's state and action in its place, and
    half of the training episodes.
    `salus_tcn_signals` and `salus_tcn` of the catalogue are what they compare with.
    """
    tcn = PRESETS["tcn"]
    kinds = [kind.name.lower() for kind in SignalKind]
    made: dict[str, TrainingConfig] = {}
    for kind in kinds:
        made[f"without_{kind}"] = replace(tcn, inputs=_SIGNALS, leave_out=(kind,))
    for kind in kinds:
        others = tuple(one for one in kinds if one != kind)
        made[f"{kind}_alone"] = replace(tcn, inputs=_SIGNALS, leave_out=others)
    for part in ("lookahead", "joints"):
        kept: tuple[Input, ...] = tuple(name for name in tcn.inputs if name != part)
        made[f"without_{part}"] = replace(tcn, inputs=kept)
    made["embedding_alone"] = replace(tcn, inputs=("embedding",))
    return {
        **{name: _of_episodes(name, config) for name, config in made.items()},
        "state_and_action": lambda: JointsAndAction(
            "state_and_action", replace(tcn, inputs=("embedding",)), "alarm"
        ),
        "half_of_training": lambda: HorizonPredictor("half_of_training", tcn, "alarm", share=0.5),
    }


def _of_episodes(name: str, config: TrainingConfig) -> Callable[[], Detector]:
    return lambda: HorizonPredictor(name, config, "alarm")


def choose(names: Sequence[str], signal_names: Sequence[str]) -> dict[str, Callable[[], Detector]]:
    """Those of the catalogue and the ablations with these names; all of the catalogue if none.

    Raises:
        ConfigError: if a name is unknown.
    """
    known = catalogue(signal_names) | ablations()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"there is no detector {', '.join(map(repr, unknown))}; there are {', '.join(known)}"
        )
    return {name: known[name] for name in known if name in (names or catalogue(signal_names))}


def _signal(name: str) -> Callable[[], Detector]:
    return lambda: SingleSignal(name)
