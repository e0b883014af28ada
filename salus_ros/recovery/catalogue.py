"""The behaviours by their names, made as a configuration says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from salus_ros.core.errors import ConfigError
from salus_ros.policies.runner import PolicyRunner
from salus_ros.recovery.arms import SEEN, Arm
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.behaviours.hold import Hold, Requery
from salus_ros.recovery.behaviours.home import Home
from salus_ros.recovery.behaviours.manifold import FollowSuccess
from salus_ros.recovery.behaviours.other_policy import OtherPolicy
from salus_ros.recovery.behaviours.person import Person
from salus_ros.recovery.behaviours.regrasp import Regrasp
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.recovery.planner import ManifoldPlanner
from salus_ros.worlds.workcell import Workcell


@dataclass(frozen=True, slots=True)
class BehaviourSettings:
    """Settings of the behaviours that ship.

    Attributes:
        hold_steps: How long `hold` stands still.
        person_timeout_s: How long `person` waits for an answer, and for each next action.
        policy: Folder of the second policy; None for none.
        policy_steps: How long that has the arm.
        replan_every: Steps between its replans.
        regrasp_steps: `scripted` and `policy` are not started with fewer steps left.
        retry_steps: The same of `home`.
        device: Torch device that it runs on.
        manifold: File of the manifold; None for none.
    """

    hold_steps: int = 30
    person_timeout_s: float = 3.0
    policy: Path | None = None
    policy_steps: int = 120
    replan_every: int = 3
    regrasp_steps: int = 85
    retry_steps: int = 116
    device: str = "cpu"
    manifold: Path | None = None

    def __post_init__(self) -> None:
        for name in ("hold_steps", "person_timeout_s", "policy_steps"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")


def make_behaviour(name: str, cell: Workcell, settings: BehaviourSettings) -> Behaviour:
    """A behaviour of its own.

    Args:
        name: One of `BEHAVIOURS`.
        cell: The arm and its surroundings.
        settings: Of the behaviours.

    Raises:
        ConfigError: if there is none of that name, or it lacks a setting.
        PolicyError: if the second policy cannot be loaded or does not fit.
        CheckpointError: if the manifold cannot be loaded.
    """
    check_behaviour(name, settings)
    return BEHAVIOURS[name](cell, settings)


def check_behaviour(name: str, settings: BehaviourSettings) -> None:
    """Refuse a behaviour that cannot be made, before anything is loaded.

    Raises:
        ConfigError: if there is none of that name, or it lacks a setting.
    """
    check_name(name)
    if name == OtherPolicy.name and settings.policy is None:
        raise ConfigError("the behaviour 'policy' needs the folder of a second policy; give it")
    if name == FollowSuccess.name and settings.manifold is None:
        raise ConfigError(
            "the behaviour 'manifold' needs a file of `salus manifold train`; give it"
        )


def check_name(name: str) -> None:
    """Refuse a behaviour that there is not.

    Raises:
        ConfigError: naming those that there are.
    """
    if name not in BEHAVIOURS:
        raise ConfigError(
            f"there is no recovery behaviour '{name}'; there are {', '.join(BEHAVIOURS)}"
        )


def live_arm(text: str) -> Arm:
    """Read what is written of an arm that a robot can have; see `Arm.parse`.

    Raises:
        ConfigError: if it is none, has a behaviour that there is not, or a trigger that only a
            trial has.
    """
    arm = Arm.parse(text)
    if arm.planned:
        raise ConfigError(
            f"'{text}': the trigger {arm.planned} is planned by a trial that knows the episode; "
            f"live there are {', '.join(SEEN)}"
        )
    for choice in arm.choices:
        check_name(choice.behaviour)
    return arm


def _other_policy(_: Workcell, settings: BehaviourSettings) -> Behaviour:
    assert settings.policy is not None  # checked
    runner = PolicyRunner(settings.policy, settings.device, 1, settings.replan_every)
    return OtherPolicy(runner, settings.policy_steps, settings.regrasp_steps)


def _follow_success(cell: Workcell, settings: BehaviourSettings) -> Behaviour:
    assert settings.manifold is not None  # checked
    return FollowSuccess(ManifoldPlanner(Manifold.load(settings.manifold), cell))


BEHAVIOURS: dict[str, Callable[[Workcell, BehaviourSettings], Behaviour]] = {
    Requery.name: lambda _, settings: Requery(),
    Hold.name: lambda _, settings: Hold(settings.hold_steps),
    Home.name: lambda cell, settings: Home(cell, settings.retry_steps),
    FollowSuccess.name: _follow_success,
    OtherPolicy.name: _other_policy,
    Regrasp.name: lambda cell, settings: Regrasp(cell, settings.regrasp_steps),
    Person.name: lambda _, settings: Person(settings.person_timeout_s),
}
"""How each is made."""
