"""A policy that is run step by step, with its signals: the same code live and offline.

Several episodes may be run side by side on one network: `step_together` plans those that are due
in one batch. On the CPU an episode's actions and signals do not depend, to the last bit, on the
episodes beside it (a test).
"""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.policies.checkpoint import own_noise_memory, policy_id
from salus_ros.policies.following import Follower, PolicyStep
from salus_ros.policies.noise import NoiseProcess
from salus_ros.policies.reference import LatentReference
from salus_ros.policies.registry import load_tap
from salus_ros.policies.signals import unavailable_signals
from salus_ros.policies.tap import Observation


class PolicyRunner:
    """Runs a checkpoint by its tap: replans every `replan_every` steps, acts at each.

    The executed chunk is the first of the K samples. Noise is seeded from (seed, step), so an
    episode repeats exactly and, unless the policy is given earlier observations too, a runner
    restarted in its middle goes on alike.

    Attributes:
        cameras: Names of the cameras that the policy takes.
        state_dim: Values of the state.
        action_dim: Values of an action.
        embedding_dim: H, values of the pooled hidden state; 0 where the policy gives none.
        expert_dim: E, those of the state in the expert's middle.
        plan_length: T, actions of a chunk.
        num_samples: K; 1 for a policy that has one chunk for an observation.
        observation_steps: Successive observations that a plan is made from.
        visual_dim: D, values of an image's features.
        further_signals: Names of its signals beyond the twelve.
        policy_id: See `checkpoint.policy_id`.
        unavailable: Signals that this policy, run so, never has, each with the reason.

    Args:
        policy_path: Checkpoint folder, see `load_tap`.
        device: Torch device.
        num_samples: K, at least 1; signals over samples need 2.
        replan_every: Steps between runs of the network, 1 to the policy's `n_action_steps`.
        noise_memory: Time constant, in steps, with which the noise of a replan is forgotten. At
            0 each is drawn anew, and one plan may contradict the next by chance; infinite, one
            draw serves the episode, and a plan changes with what is seen alone. None: as the
            policy's folder says, see `own_noise_memory`.

    Raises:
        PolicyError: if the folder is not a checkpoint that there is a tap for.
        ConfigError: if `num_samples`, `replan_every` or `noise_memory` is not allowed.
    """

    def __init__(
        self,
        policy_path: str | Path,
        device: str = "cpu",
        num_samples: int = 4,
        replan_every: int = 3,
        noise_memory: float | None = None,
    ) -> None:
        self._tap = load_tap(Path(policy_path), device)
        spec = self._spec = self._tap.spec
        if not 1 <= replan_every <= spec.executed:
            raise ConfigError(
                f"replan_every is {replan_every}; this policy executes at most "
                f"{spec.executed} steps of a chunk (n_action_steps)"
            )
        if num_samples < 1:
            raise ConfigError(f"num_samples is {num_samples}; at least 1 chunk is needed")
        if noise_memory is None:
            noise_memory = own_noise_memory(Path(policy_path))
        if not noise_memory >= 0.0:
            raise ConfigError(
                f"noise_memory is {noise_memory}; allowed are 0 steps and more, also inf"
            )
        if noise_memory > 0.0 and spec.noise_shape is None:
            raise ConfigError(
                f"noise_memory is {noise_memory}; this policy takes no noise, only 0 is allowed"
            )
        self._memory = noise_memory
        self._device, self._replan_every = device, replan_every
        self.num_samples = num_samples if spec.stochastic else 1
        self.cameras, self.plan_length = spec.cameras, spec.plan_length
        self.state_dim, self.action_dim = spec.state_dim, spec.action_dim
        self.embedding_dim, self.visual_dim = spec.embedding_dim, spec.visual_dim
        self.expert_dim, self.observation_steps = spec.expert_dim, spec.observation_steps
        self.further_signals = spec.further
        self.policy_id = policy_id(policy_path, noise_memory)
        self._reference = LatentReference.load(Path(policy_path), self.embedding_dim)
        self.unavailable: dict[str, str] = unavailable_signals(
            spec, num_samples, replan_every, reference=self._reference is not None
        )
        self._begin()

    def _begin(self) -> None:
        """Get what belongs to one episode alone."""
        spec = self._spec
        shape = (self.num_samples, *(spec.noise_shape or ()))
        self._noise = NoiseProcess(shape, self._memory)
        self._follower = Follower(spec, self._reference, self._replan_every)
        self.reset(0)

    def sibling(self) -> "PolicyRunner":
        """Another runner with its own episode, on the same network with the same settings."""
        other = copy.copy(self)
        other._begin()
        return other

    def reset(self, seed: int) -> None:
        """Begin an episode; nothing of the last one remains."""
        self._seed = seed
        self._noise.reset(seed)
        self._history: list[Observation] = []
        self._follower.reset()

    def branch(self, seed: int, step: int) -> None:
        """Draw from another seed after `step`; of its noise what is remembered is kept."""
        self._noise.branch(seed, step)
        self._seed = seed

    def looks(self, step: int) -> bool:
        """Whether images are needed at `step`: to plan, or to be given at a later plan too."""
        return self.observation_steps > 1 or self.due(step)

    def due(self, step: int) -> bool:
        """Whether the network runs at `step`."""
        planned_at = self._follower.planned_at
        return planned_at is None or not 0 <= step - planned_at < self._replan_every

    def step(
        self,
        images: Mapping[str, npt.NDArray[np.uint8]],
        state: npt.NDArray[np.floating],
        task: str,
        step: int,
    ) -> PolicyStep:
        """Act on one observation, whose fields `Observation` describes.

        Raises:
            ObservationError: if an image or the state is not of that form.
        """
        return step_together([self], [Observation(images, state, task, step)])[0]

    def _see(self, given: Observation) -> None:
        """Keep what the next plans are given; an earlier step than the last begins anew."""
        if self._spec.observation_steps > 1:  # who gave the images may reuse their memory
            given = replace(given, images={n: i.copy() for n, i in given.images.items()})
        kept = [old for old in self._history if old.step < given.step]
        if len(kept) < len(self._history) - 1:
            kept = []
        self._history = [*kept, given][-self._spec.observation_steps :]

    def _past(self) -> list[Observation]:
        """The newest observations, the oldest repeated where there are too few, as LeRobot's."""
        lacking = self._spec.observation_steps - len(self._history)
        return [self._history[0]] * lacking + self._history

    def _drawn(self, step: int) -> int:
        """Seed of what the policy draws itself at a step."""
        return int(np.random.SeedSequence([self._seed, step]).generate_state(1)[0])

    def _check(self, given: Observation) -> None:
        images, state = given.images, given.state
        if images or self.looks(given.step):
            self._check_images(images)
        shape = np.shape(state)
        if shape != (self.state_dim,) or not np.isfinite(state).all():
            raise ObservationError(
                f"the state is {np.asarray(state)}: the policy takes {self.state_dim} finite "
                "values"
            )

    def _check_images(self, images: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        missing = [name for name in self.cameras if name not in images]
        if missing:
            raise ObservationError(
                f"no image of {', '.join(missing)}: the policy needs {', '.join(self.cameras)}, "
                f"given were {', '.join(images) or 'none'}"
            )
        for name in self.cameras:
            image = images[name]
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ObservationError(
                    f"the image of '{name}' is {image.dtype} {image.shape}; "
                    "it must be uint8 (height, width, 3) RGB"
                )
            size = self._spec.image_sizes.get(name, image.shape[:2])
            if image.shape[:2] != size:
                raise ObservationError(
                    f"the image of '{name}' is {image.shape[0]} x {image.shape[1]} pixels, the "
                    f"policy was trained with {size[0]} x {size[1]} and does not resize; give it "
                    "images of that size"
                )


def step_together(
    runners: Sequence[PolicyRunner], observations: Sequence[Observation]
) -> list[PolicyStep]:
    """Act on one observation of each of several episodes; those due are planned in one batch.

    Args:
        runners: A runner of each episode: one runner and its siblings, each at most once.
        observations: Of each runner, in the same order.

    Returns:
        The answer of each runner, as `PolicyRunner.step` gives it.

    Raises:
        ConfigError: if the runners do not share one network or do not match the observations.
        ObservationError: if an image or a state is not of the form needed; nothing was stepped.
    """
    if len(runners) != len(observations):
        raise ConfigError(
            f"{len(runners)} runners and {len(observations)} observations; give one observation "
            "for each runner"
        )
    _check_runners(runners)
    pairs = list(zip(runners, observations, strict=True))
    for runner, given in pairs:
        runner._check(given)
    due = [runner.due(given.step) for runner, given in pairs]
    for runner, given in pairs:
        if given.images:
            runner._see(given)
    started = time.perf_counter()
    _replan([pair for pair, is_due in zip(pairs, due, strict=True) if is_due])
    elapsed_ms = (time.perf_counter() - started) * 1e3
    return [
        runner._follower.answer(
            given.step, fresh=fresh, inference_ms=elapsed_ms if fresh else float("nan")
        )
        for (runner, given), fresh in zip(pairs, due, strict=True)
    ]


def _check_runners(runners: Sequence[PolicyRunner]) -> None:
    if len({id(runner) for runner in runners}) != len(runners):
        raise ConfigError(
            "a runner is given twice; each episode needs its own, see PolicyRunner.sibling"
        )
    if len({id(runner._tap) for runner in runners}) > 1:
        policies = sorted({runner.policy_id for runner in runners})
        raise ConfigError(
            f"the runners of {', '.join(policies)} do not share one network; load the policy "
            "once and make the other runners with PolicyRunner.sibling"
        )


def _replan(pairs: Sequence[tuple[PolicyRunner, Observation]]) -> None:
    """Plan all given episodes in one batch."""
    if not pairs:
        return
    first = pairs[0][0]
    for name in first.cameras:
        shapes = sorted({given.images[name].shape for _, given in pairs})
        if len(shapes) > 1:
            raise ObservationError(
                f"the images of '{name}' are {' and '.join(map(str, shapes))}; those that are "
                "planned together must be of one size"
            )
    noise = None
    if first._spec.noise_shape is not None:
        drawn = np.stack([runner._noise(given.step) for runner, given in pairs])
        noise = torch.from_numpy(drawn).to(first._device)
    samples = first._tap.sample(
        [runner._past() for runner, _ in pairs],
        noise,
        [runner._drawn(given.step) for runner, given in pairs],
        first.num_samples,
    )
    plans = first._tap.actions(torch.stack([sample.chunks for sample in samples]))  # (B, K, T, A)
    for (runner, given), sample, of_one in zip(pairs, samples, plans, strict=True):
        runner._follower.accept(sample, of_one, given.step)
