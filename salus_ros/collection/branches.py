"""Other futures of a recorded moment: the policy is run on from there with new noise."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salus_ros.collection.replay import STATE_ATOL_RAD, advance
from salus_ros.collection.rollout import check_fit
from salus_ros.core.failures import Outcome
from salus_ros.episodes import EpisodeMeta
from salus_ros.evaluation.limits import Fate
from salus_ros.policies.runner import PolicyRunner, step_together
from salus_ros.policies.tap import Observation
from salus_ros.worlds.catalogue import world_form
from salus_ros.worlds.mujoco import PHYSICS
from salus_ros.worlds.mujoco.world import Info, PickPlaceEnv
from salus_ros.worlds.mujoco.world import Observation as Seen
from salus_ros.worlds.panda import ACTION_DIM


@dataclass(frozen=True, slots=True)
class Start:
    """How a future begins.

    Attributes:
        seed: Of what the policy and the world draw from here on; None for the episode's own,
            which makes it the episode's own future.
        follow: So many recorded actions, those of the plan just drawn, are done before the policy
            plans anew. What is remembered of the plan's noise is then kept.
    """

    seed: int | None
    follow: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Future:
    """What became of a moment.

    Attributes:
        outcome: `UNKNOWN` where it was not over but all within the horizon was decided.
        fate: When it was over, and how it failed, before the moment where a loss was not made
            good.
        actions: Float32 (n, 7), done from the moment on.
    """

    outcome: Outcome
    fate: Fate
    actions: NDArray[np.float32]


class Branches:
    """Worlds and a policy that play the futures of a moment side by side.

    Args:
        policy: Policy folder.
        env_id: World, one of `PHYSICS`.
        number: Futures at a time.
        replan_every: Steps between runs of the policy.
        noise_memory: Of the policy, see `PolicyRunner`.
        device: Torch device of the policy.

    Raises:
        PolicyError: if the policy cannot be loaded, or does not fit the world.
        ConfigError: if it does not take these options.
        SimulatorError: if the world cannot be rendered here.
    """

    def __init__(
        self,
        policy: Path,
        env_id: str,
        number: int,
        replan_every: int = 3,
        noise_memory: float | None = None,
        device: str = "cpu",
    ) -> None:
        # The first chunk is the executed one: it does not depend on how many there are.
        runner = PolicyRunner(policy, device, 1, replan_every, noise_memory)
        camera_of = check_fit(runner, world_form(env_id))
        physics = PHYSICS[env_id]
        self._envs = [PickPlaceEnv(physics=physics, render_every=0) for _ in range(number)]
        runners = [runner, *(runner.sibling() for _ in range(number - 1))]
        self._slots = [
            _Slot(env, one, camera_of) for env, one in zip(self._envs, runners, strict=True)
        ]

    def play(
        self,
        meta: EpisodeMeta,
        actions: NDArray[np.float32],
        state: NDArray[np.float32],
        starts: Sequence[Start],
        horizon: int | None = None,
    ) -> list[Future] | None:
        """Play futures of one moment.

        A future is played until its fate within the horizon is decided: until it ends, or the
        horizon is over and no loss within it, or before it, may yet count as a failure. So none
        stays undecided.

        Args:
            meta: The episode.
            actions: Its recorded actions (T, 7), those before the moment and the ones to follow.
            state: Recorded joints (t + 1, 7) up to the moment t.
            starts: How each begins; no more than there are worlds.
            horizon: In steps; None to play all to their end.

        Returns:
            What became of each; None where the replay does not come to the recorded state.

        Raises:
            ValueError: if there are more than worlds.
        """
        if len(starts) > len(self._slots):
            raise ValueError(f"{len(starts)} futures in {len(self._slots)} worlds")
        step = len(state) - 1
        first, *others = self._envs
        known = advance(first, meta, actions[:step])
        if not np.allclose(known[0]["agent_pos"], state[-1], rtol=0, atol=STATE_ATOL_RAD):
            return None
        for env in others[: len(starts) - 1]:
            advance(env, meta, actions[:0])
            env.follow(first)
        slots = self._slots[: len(starts)]
        for slot, start in zip(slots, starts, strict=True):
            slot.begin(meta, actions[step:], step, start, known)
        last = None if horizon is None else step + horizon
        while running := [slot for slot in slots if not slot.decided(last)]:
            thinking = [slot for slot in running if not slot.script]
            answers = step_together(
                [slot.runner for slot in thinking], [slot.see() for slot in thinking]
            )
            chosen = [*zip(thinking, (answer.action for answer in answers), strict=True)]
            chosen += [(slot, slot.script.popleft()) for slot in running if slot.script]
            for slot, action in chosen:
                slot.act(action)
        return [slot.future for slot in slots]

    def close(self) -> None:
        """Free the worlds."""
        for env in self._envs:
            env.close()


class _Slot:
    """One world, one runner, one future."""

    def __init__(
        self, env: PickPlaceEnv, runner: PolicyRunner, camera_of: Mapping[str, str]
    ) -> None:
        self._env, self.runner, self._camera_of = env, runner, camera_of

    def begin(
        self,
        meta: EpisodeMeta,
        ahead: NDArray[np.float32],
        step: int,
        start: Start,
        known: tuple[Seen, Info],
    ) -> None:
        """Begin a future at the moment that the world is in; `ahead` are recorded actions."""
        self._step, (self._seen, self._info) = step, known
        self.runner.reset(meta.seed)
        if start.seed is not None:
            self._env.branch(start.seed)
            if start.follow:
                self.runner.branch(start.seed, step)
            else:
                self.runner.reset(start.seed)
        self.script = deque(ahead[: start.follow])
        self._done: list[NDArray[np.float32]] = []
        self._ended = False

    def see(self) -> Observation:
        """What the policy is given at this step."""
        if self.runner.looks(self._step):
            self._seen = self._env.look()
        pixels = self._seen["pixels"]
        return Observation(
            images={ours: pixels[name] for ours, name in self._camera_of.items() if pixels},
            state=self._seen["agent_pos"],
            task=self._info["task"],
            step=self._step,
        )

    def act(self, action: NDArray[np.float32]) -> None:
        """Do an action."""
        self._seen, _, terminated, truncated, self._info = self._env.step(action)
        self._done.append(action)
        self._step += 1
        self._ended = terminated or truncated

    def decided(self, last: int | None) -> bool:
        """Whether it is known what fails until step `last`."""
        if self._ended or last is None:
            return self._ended
        return self._step >= last and not 0 <= self._env.referee.open_loss_step <= last

    @property
    def future(self) -> Future:
        """What became of it."""
        return Future(
            outcome=self._info["outcome"],
            fate=Fate(self._step, self._info["failure_type"], self._info["failure_step"]),
            actions=np.array(self._done, np.float32).reshape(len(self._done), ACTION_DIM),
        )
