"""Who has the arm: the policy, a recovery behaviour, or nobody, and then it is held.

The same code decides live and in trials: what it is told is in `Sight` and `Forecast`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from salus_ros.core.errors import RecoveryError
from salus_ros.core.failures import FailureType
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.guards import Guard, Guards
from salus_ros.recovery.motion import still
from salus_ros.recovery.sight import Action, Sight
from salus_ros.recovery.triggers import Trigger
from salus_ros.recovery.watch import Forecast

POLICY, HELD = "the policy", "nobody"
"""Who acts, where no behaviour does; none of these is called so."""

HELD_NAME = "held"
"""How the intervention is called that keeps the arm still."""


def episode_draws(seed: int, episode_seed: int) -> int:
    """Seed of a supervisor for one episode.

    Args:
        seed: Of the whole run.
        episode_seed: Of the episode; below 0 where it has none, as on a real robot.
    """
    return int(np.random.SeedSequence((seed, max(episode_seed, 0))).generate_state(1)[0])


@dataclass(frozen=True, slots=True)
class Rule:
    """Which behaviour takes the arm at which trigger.

    Attributes:
        behaviour: It.
        trigger: Its trigger.
        cause: The trigger in words, for records.
    """

    behaviour: Behaviour
    trigger: Trigger
    cause: str


@dataclass(slots=True)
class Intervention:
    """One time that the arm was taken, or would have been.

    Attributes:
        start: First step of the behaviour.
        behaviour: Its name.
        cause: What triggered it.
        kind: The kind of failure that was foreseen, by its label.
        end: First step after it; -1 while it lasts.
        ended: "done", or why the arm was held; empty while it lasts.
    """

    start: int
    behaviour: str
    cause: str
    kind: str
    end: int = -1
    ended: str = ""

    @property
    def foreseen(self) -> str:
        """Trigger and kind in words, as they are recorded with each step."""
        known = self.kind != FailureType.NONE.label
        return f"{self.cause} {self.kind}" if known else self.cause


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """What is to be done at a step.

    Attributes:
        action: (7,); None where the policy has to plan anew before it acts.
        actor: `POLICY`, `HELD` or the name of a behaviour.
    """

    action: Action | None
    actor: str

    @property
    def handed_back(self) -> bool:
        """Whether the policy gets the arm back at this step.

        Whoever runs it clears the plan, the memory of its signals and that of the predictor, and
        does the action that it then plans.
        """
        return self.action is None


@dataclass(slots=True)
class Supervisor:
    """Decides step by step, in one episode, who has the arm.

    Once the arm is held it stays so, and `reason` says why, until it is released or the episode
    ends: a new one has a new supervisor.

    Attributes:
        rules: In order of preference: the first whose trigger fires and whose behaviour may start
            takes the arm.
        guards: What is allowed.
        seed: Of the behaviours' draws.
        shadow: Nothing is done, only said: the policy keeps the arm.
        interventions: What was done, or would have been.
        refusals: Why behaviours did not start, each once.
        reason: Why the arm is held; empty while it is not.
    """

    rules: Sequence[Rule]
    guards: Guards
    seed: int = 0
    shadow: bool = False
    interventions: list[Intervention] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    reason: str = ""
    _acting: Behaviour | None = None
    _last_end: int = -1
    _opens: bool = True
    _guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self._guard = Guard(self.guards)

    @property
    def actor(self) -> str:
        """Who has the arm now."""
        if self.reason:
            return HELD
        return POLICY if self._acting is None else self._acting.name

    @property
    def heeds_alarm(self) -> bool:
        """Whether a rule goes by the alarm, so that it matters what that is worth."""
        return any(rule.trigger.heeds_alarm for rule in self.rules)

    @property
    def acts(self) -> str:
        """What acts in the policy's place, as it is recorded; empty where the policy does."""
        if self.reason:
            foreseen = self.interventions[-1].foreseen if self.interventions else "alarm"
            return f"{HELD_NAME}@{foreseen}"
        if self._acting is None:
            return ""
        return f"{self._acting.name}@{self.interventions[-1].foreseen}"

    def release(self, step: int) -> str:
        """Give the policy the arm back that is held, and say why it was; empty: it was not."""
        was, self.reason = self.reason, ""
        if was:
            self._last_end = step
        return was

    def step(
        self, sight: Sight, forecast: Forecast, action: Action | None, doubt: str = ""
    ) -> Command:
        """Decide one step.

        Args:
            sight: What is seen.
            forecast: What is foreseen; `NOTHING` while a behaviour has the arm.
            action: What the policy would do; needed where it has the arm.
            doubt: Why the arm is to be held, whatever is seen and foreseen; empty for no reason.
        """
        self._opens = not sight.closing
        if self.reason:
            return self._still()
        if doubt and not self.shadow:
            return self._hold(sight, doubt)
        if self._acting is not None:
            return self._act(self._acting, sight)
        assert action is not None
        sight = replace(sight, wanted=action)
        fired = [rule for rule in self.rules if rule.trigger.update(sight, forecast)]
        flickers = self._guard.flickers(forecast.alarm, sight.step)
        if flickers and not self.shadow and self.heeds_alarm:
            return self._hold(sight, "the alarm comes and goes")
        rule = next((rule for rule in fired if self._may(rule.behaviour, sight)), None)
        if rule is None:
            return Command(action, POLICY)
        self.interventions.append(
            Intervention(sight.step, rule.behaviour.name, rule.cause, forecast.kind.label)
        )
        if self.shadow:
            self._end(sight.step, "shadow")
            return Command(action, POLICY)
        self._acting = rule.behaviour
        self._guard.begin(sight)
        try:
            rule.behaviour.begin(sight, self.seed + len(self.interventions))
        except Exception as error:  # noqa: BLE001 - a behaviour may raise anything
            return self._hold(sight, _said(error))
        return self._act(rule.behaviour, sight)

    def _act(self, behaviour: Behaviour, sight: Sight) -> Command:
        if doubt := self._guard.doubt(sight):
            return self._hold(sight, doubt)
        try:
            action = behaviour.act(sight)
        except Exception as error:  # noqa: BLE001 - a behaviour may raise anything
            return self._hold(sight, _said(error))
        if action is None:
            self._acting = None
            self._end(sight.step, "done")
            return Command(None, POLICY)
        if fault := self._guard.fault(action, sight, releases=behaviour.releases):
            return self._hold(sight, fault)
        return Command(self._guard.slowed(action, sight), behaviour.name)

    def _may(self, behaviour: Behaviour, sight: Sight) -> bool:
        """Whether a behaviour may start; why not is kept."""
        refusal = self._guard.refusal(
            behaviour.least_steps, sight, len(self.interventions), self._last_end
        )
        if not refusal:
            try:
                refusal = behaviour.refusal(sight)
            except Exception as error:  # noqa: BLE001 - a behaviour may raise anything
                refusal = _said(error)
        if refusal and (told := f"{behaviour.name}: {refusal}") not in self.refusals:
            self.refusals.append(told)
        return not refusal

    def _hold(self, sight: Sight, reason: str) -> Command:
        name = self.actor
        self.reason = reason if name == POLICY else f"{name}: {reason}"
        if self._acting is not None:
            self._acting = None
            self._end(sight.step, reason)
        return self._still()

    def _end(self, step: int, ended: str) -> None:
        self.interventions[-1].end, self.interventions[-1].ended = step, ended
        self._last_end = step
        self._guard.reset()
        for rule in self.rules:
            rule.trigger.reset()

    def _still(self) -> Command:
        return Command(still(opens=self._opens), HELD)


def _said(error: Exception) -> str:
    """An error in one line; of those that are not its own, with their kind."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RecoveryError) else f"{type(error).__name__}: {text}"
