"""One episode done again under one arm: what was recorded up to the first intervention, then live.

Until then the world is stepped with the recorded actions, so that every arm is the same episode
to the last bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.collection.replay import STATE_ATOL_RAD
from salus_ros.collection.rollout import check_fit, joints_of
from salus_ros.collection.trials.config import TrialConfig
from salus_ros.core.errors import SalusError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeMeta
from salus_ros.messages.joints import joint_keys
from salus_ros.policies.following import PolicyStep
from salus_ros.policies.runner import PolicyRunner
from salus_ros.prediction.extras import told
from salus_ros.prediction.predictor import Predictor
from salus_ros.recording.joint_columns import joint_sample
from salus_ros.recording.policy_columns import signals_row
from salus_ros.recovery.arms import Arm, make_rules
from salus_ros.recovery.catalogue import make_behaviour
from salus_ros.recovery.guards import Guard, Guards
from salus_ros.recovery.sight import Action, Sight
from salus_ros.recovery.supervisor import POLICY, Supervisor, episode_draws
from salus_ros.recovery.watch import NOTHING, Forecast, Watch
from salus_ros.worlds.adapter import cause_of
from salus_ros.worlds.mujoco import WORLDS
from salus_ros.worlds.mujoco.workcell import nominal_workcell
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.panda import ACTION_DIM, STATE_DIM


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """An episode without intervention.

    Attributes:
        meta: How it went.
        actions: Float32 (T, 7).
        state: Float32 (T, 7) joints at each step.
        forecasts: What was foreseen at each step.
        told: What else the policy told that a behaviour reads, (T, W) by the names of
            `prediction.extras`.
    """

    meta: EpisodeMeta
    actions: NDArray[np.float32]
    state: NDArray[np.float32]
    forecasts: Sequence[Forecast]
    told: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """How an episode went under an arm.

    Attributes:
        outcome: How it ended.
        failure_type: Kind of failure.
        cause: Why, in the world's own words.
        steps: Its length.
        interventions: What was done, see `Intervention`, or would have been.
        refusals: Why behaviours did not start.
        held: Why the arm was held; empty where it was not.
        diverged: Step of the first action that is not the recorded one's turn; -1 for none.
        actions: Float32 (steps - diverged, 7) from there on.
    """

    outcome: Outcome
    failure_type: FailureType
    cause: str
    steps: int
    interventions: list[dict[str, Any]]
    refusals: list[str]
    held: str
    diverged: int
    actions: NDArray[np.float32] = field(repr=False)


class Courses:
    """A world, a policy, a predictor and behaviours that do one course after the other.

    Args:
        config: The trial.

    Raises:
        SalusError: if the policy, the predictor or a behaviour cannot be made.
    """

    def __init__(self, config: TrialConfig) -> None:
        given = config.collection
        world = WORLDS[given.env_id]
        physics = world["physics"]
        self._config, self._limit = config, physics.max_steps
        self._runner = PolicyRunner(
            given.policy,
            given.device,
            given.num_samples,
            given.replan_every,
            given.noise_memory,
        )
        self._camera_of = check_fit(self._runner, given.form)
        self._watch = Watch(Predictor.load(config.model), config.alpha)
        self._cell = nominal_workcell(physics)
        names = {choice.behaviour for arm in config.parsed for choice in arm.choices}
        self._behaviours = {
            name: make_behaviour(name, self._cell, config.settings) for name in sorted(names)
        }
        self._guards = Guards(self._cell.step_m, self._cell.leash_m, most=config.most)
        self._told: Mapping[str, NDArray[np.floating]] = {}
        self._env = PickPlaceEnv(**world, render_every=0)

    def run(self, recorded: Recorded, arm: Arm, at: int) -> Course:
        """Do an episode under an arm.

        Args:
            recorded: It, without intervention.
            arm: The arm.
            at: When a planned trigger fires; -1 for never.

        Raises:
            SalusError: if the world does not come where it was recorded.
        """
        if self._silent(recorded, arm, at):
            return _as_recorded(recorded)
        self._begin(recorded.meta, arm, at)
        for step, (action, forecast) in enumerate(
            zip(recorded.actions, recorded.forecasts, strict=True)
        ):
            self._check(recorded, step)
            self._told = {name: of[step : step + 1] for name, of in recorded.told.items()}
            command = self._supervisor.step(self._sight(), forecast, action)
            if command.actor != POLICY or command.handed_back:
                done = self._live(command.action)
                return self._course(step, done)
            self._do(action)
        return self._course(-1, [])

    def close(self) -> None:
        """Free the world."""
        self._env.close()

    def _silent(self, recorded: Recorded, arm: Arm, at: int) -> bool:
        """Whether nothing fires in the whole episode, which its joints and forecasts tell."""
        rules = make_rules(arm, self._behaviours, self._config.stuck, at)
        guard = Guard(self._guards)
        for step, forecast in enumerate(recorded.forecasts):
            joints = recorded.state[step].astype(np.float64)
            sight = self._as_seen(recorded.meta.task, step, joints, np.zeros(2))
            fired = [rule.trigger.update(sight, forecast) for rule in rules]
            if guard.flickers(forecast.alarm, step) or any(fired):
                return False
        return True

    def _begin(self, meta: EpisodeMeta, arm: Arm, at: int) -> None:
        rules = make_rules(arm, self._behaviours, self._config.stuck, at)
        seed = episode_draws(self._config.seed, meta.seed)
        self._supervisor = Supervisor(rules, self._guards, seed, arm.shadow)
        options = {"task": meta.task, "fault": meta.fault, "condition": meta.condition}
        self._seen, self._info = self._env.reset(seed=meta.seed, options=options)
        self._step, self._over = 0, False
        self._last: Action | None = None
        self._told = {}

    def _check(self, recorded: Recorded, step: int) -> None:
        if self._over or not np.allclose(
            self._seen["agent_pos"], recorded.state[step], rtol=0, atol=STATE_ATOL_RAD
        ):
            raise SalusError(
                f"the episode of seed {recorded.meta.seed} does not repeat: at step {step} it is "
                "not where it was recorded; collect it again with this version"
            )

    def _live(self, action: Action | None) -> list[Action]:
        """Go on to the end from the first command of an intervention; the actions done."""
        done: list[Action] = []
        while True:
            if action is None:  # handed back
                self._clear()
                action = self._policy().action
            done.append(action)
            self._do(action)
            if self._over:
                return done
            if self._supervisor.actor == POLICY:
                answer = self._policy()
                forecast = self._forecast
                action = self._supervisor.step(self._sight(), forecast, answer.action).action
            else:
                action = self._supervisor.step(self._sight(), NOTHING, None).action

    def _clear(self) -> None:
        """The policy begins anew: its plan, its noise, its signals and what was foreseen go."""
        self._runner.reset(self._supervisor.seed + len(self._supervisor.interventions))
        self._watch.reset()

    def _policy(self) -> PolicyStep:
        if self._runner.due(self._step):
            self._seen = self._env.look()
        pixels = self._seen["pixels"]
        images = {ours: pixels[name] for ours, name in self._camera_of.items() if pixels}
        state, task = self._seen["agent_pos"], self._info["task"]
        answer = self._runner.step(images, state, task, self._step)
        said = signals_row(answer, self._runner.cameras, self._runner.further_signals)
        self._told, _ = told(said)
        names = tuple(self._info["joint_names"])
        values = joint_sample(names, joints_of(self._info)).tolist()
        joints = dict(zip(joint_keys(names), values, strict=True))
        self._forecast = self._watch.update(said, self._step, joints)
        return answer

    def _do(self, action: Action) -> None:
        self._seen, _, terminated, truncated, self._info = self._env.step(action)
        self._last, self._over, self._told = action, terminated or truncated, {}
        self._step += 1

    def _sight(self) -> Sight:
        joints = np.asarray(self._info["joint_positions"], np.float64)
        seen = self._as_seen(
            self._info["task"], self._step, joints[:STATE_DIM], joints[STATE_DIM:]
        )
        return replace(seen, last=self._last, told=self._told)

    def _as_seen(
        self, task: str, step: int, arm: NDArray[np.float64], fingers: NDArray[np.float64]
    ) -> Sight:
        return Sight(
            step=step,
            steps_left=self._limit - step,
            task=task,
            joints=arm,
            fingers=fingers,
            tool=self._cell.tool(arm),
            last=None,
            look=lambda: self._env.look()["pixels"],
        )

    def _course(self, diverged: int, done: list[Action]) -> Course:
        supervisor = self._supervisor
        for one in supervisor.interventions:
            if one.end < 0:
                one.end, one.ended = self._step, "the episode ended"
        return Course(
            outcome=Outcome(self._info["outcome"]),
            failure_type=FailureType(self._info["failure_type"]),
            cause=cause_of(self._info),
            steps=self._step,
            interventions=[asdict(one) for one in supervisor.interventions],
            refusals=supervisor.refusals,
            held=supervisor.reason,
            diverged=diverged,
            actions=np.array(done, np.float32).reshape(len(done), ACTION_DIM),
        )


def _as_recorded(recorded: Recorded) -> Course:
    """The course of an arm that does nothing."""
    meta = recorded.meta
    return Course(
        outcome=meta.outcome,
        failure_type=meta.failure_type,
        cause=meta.failure_cause,
        steps=len(recorded.actions),
        interventions=[],
        refusals=[],
        held="",
        diverged=-1,
        actions=np.empty((0, ACTION_DIM), np.float32),
    )
