"""What a trial compares, and under which rules."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from salus_ros.collection.config import CollectionConfig
from salus_ros.core.errors import ConfigError
from salus_ros.policies.checkpoint import policy_id
from salus_ros.recovery.arms import NONE, Arm, StuckRule
from salus_ros.recovery.catalogue import BehaviourSettings, check_behaviour
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.worlds.physics import ENV_ID, FIRST_ENV_ID

TRIAL_SEED = 3_000_000
"""Episodes of trials start here, those of evaluations and recordings below."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a world is, in steps.

    Attributes:
        stuck_steps: The stuck rule's.
        regrasp_steps: What a grasp from anew takes.
        retry_steps: What another attempt of the policy takes.
    """

    stuck_steps: int
    regrasp_steps: int
    retry_steps: int


PACES: Mapping[str, Pace] = {
    FIRST_ENV_ID: Pace(stuck_steps=30, regrasp_steps=85, retry_steps=116),
    ENV_ID: Pace(stuck_steps=90, regrasp_steps=130, retry_steps=160),
}
"""By world. The stuck rules: of v0 chosen on 265 episodes, where 30 steps within 6 cm see every
timeout; of v1 on 298, where 90 see 15 of 16 and 17 % of the successes."""


@dataclass(frozen=True, slots=True)
class TrialConfig:
    """Options of a trial; a course depends on them, its arm and its episode, on nothing else.

    Attributes:
        collection: World, policy, faults and noise, of every arm alike.
        model: Folder of the calibrated predictor.
        arms: What to compare, see `Arm.parse`; `none` is always among them.
        alpha: The alarm's rate.
        settings: Of the behaviours.
        stuck: What counts as stuck.
        most: Interventions in an episode at most.
        seed: Of what the trial itself draws.
    """

    collection: CollectionConfig
    model: Path
    arms: tuple[str, ...]
    alpha: float = 0.2
    settings: BehaviourSettings = field(default_factory=BehaviourSettings)
    stuck: StuckRule = field(default_factory=StuckRule)
    most: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if len(set(self.arms)) < len(self.arms):
            raise ConfigError(f"an arm is given twice: {', '.join(self.arms)}")
        for arm in self.parsed:
            for choice in arm.choices:
                check_behaviour(choice.behaviour, self.settings)
        if self.most < 1:
            raise ConfigError(f"{self.most} interventions at most; give 1 or more")

    @property
    def parsed(self) -> tuple[Arm, ...]:
        """The arms but `none`, which is what was recorded."""
        return tuple(Arm.parse(name) for name in self.arms if name != NONE)

    def decides(self, model_id: str) -> dict[str, Any]:
        """JSON values of all that a course depends on, but its arm and episode."""
        kept = asdict(self) | {"model": model_id}
        kept["collection"] |= {"policy": policy_id(self.collection.policy), "envs": None}
        del kept["arms"]
        if self.settings.manifold is None:
            del kept["settings"]["manifold"]
        else:
            loaded = Manifold.load(self.settings.manifold)
            kept["settings"]["manifold"] = loaded.manifold_id
        values: dict[str, Any] = _plain(kept)
        return values


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return str(value) if isinstance(value, Path) else value
