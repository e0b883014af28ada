"""A SmolVLA that is run step by step, with its signals: the same code live and offline.

Several episodes may be run side by side on one network: `step_together` plans those that are due
in one batch. On the CPU an episode's actions and signals do not depend, to the last bit, on the
episodes beside it (a test).
"""

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.policies.chunk_statistics import CHUNK_STATISTICS, ChunkStatistics
from salus_ros.policies.reference import LatentReference
from salus_ros.policies.smolvla.computer import SignalComputer, unavailable_signals
from salus_ros.policies.smolvla.folder import IMAGE_PREFIX, own_noise_memory
from salus_ros.policies.smolvla.loading import load_policy
from salus_ros.policies.smolvla.tap import SmolVLATap, TappedSample


@dataclass(frozen=True, slots=True)
class Observation:
    """What a policy is given at one step.

    Attributes:
        images: For each camera a uint8 RGB image (H, W, 3); may be empty where the runner is
            not due.
        state: (state_dim,) in the units of the training data, finite.
        task: The instruction.
        step: Step of the episode, increasing; gaps are allowed.
    """

    images: Mapping[str, npt.NDArray[np.uint8]]
    state: npt.NDArray[np.floating]
    task: str
    step: int


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """What the policy says at one step.

    Attributes:
        action: float32 (A,), in the robot's units.
        signals: float32 (12,); NaN where not valid. Held from the last replan if not `fresh`.
        valid: bool (12,).
        fresh: Whether the network ran at this step.
        embedding: float16 (H,) pooled hidden state of the last replan.
        chunk_statistics: float32 (5,) of the last replan, see `CHUNK_STATISTICS`; NaN where one
            does not exist.
        plans: float32 (K, T, A) the chunks of the last replan, whole, in the units of `action`;
            the first is the one that is executed.
        plan_step: Which action of it this is: `action` is `plans[0, plan_step]`.
        visual_embedding: float16 (cameras, D) image tokens of the last replan from the policy's
            own encoder, mean of each camera, in the order of `SmolVLARunner.cameras`.
        expert_embedding: float16 (H,) pooled state in the middle of the action expert, of the
            last replan.
        inference_ms: Duration of the network run, of the whole batch; NaN if it did not run.
    """

    action: npt.NDArray[np.float32]
    signals: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    fresh: bool
    embedding: npt.NDArray[np.float16]
    chunk_statistics: npt.NDArray[np.float32]
    plans: npt.NDArray[np.float32]
    plan_step: int
    visual_embedding: npt.NDArray[np.float16]
    expert_embedding: npt.NDArray[np.float16]
    inference_ms: float


class SmolVLARunner:
    """Runs a SmolVLA checkpoint: replans every `replan_every` steps, acts at each.

    The executed chunk is the first of the K samples. Noise is seeded from (seed, step), so an
    episode repeats exactly and a runner restarted in its middle goes on alike.

    Attributes:
        cameras: Names of the cameras that the policy takes.
        state_dim: Values of the state.
        action_dim: Values of an action.
        embedding_dim: H, values of the pooled hidden state, and of that in the expert's middle.
        plan_length: T, actions of a chunk.
        num_samples: K.
        visual_dim: D, values of an image token.
        policy_id: See `folder.policy_id`.
        unavailable: Signals that this policy, run so, never has, each with the reason.

    Args:
        policy_path: Checkpoint folder, see `load_policy`.
        device: Torch device.
        num_samples: K, at least 1; signals over samples need 2.
        replan_every: Steps between runs of the network, 1 to the policy's `n_action_steps`.
        noise_memory: Time constant, in steps, with which the noise of a replan is forgotten. At
            0 each is drawn anew, and one plan may contradict the next by chance; infinite, one
            draw serves the episode, and a plan changes with what is seen alone. None: as the
            policy's folder says, see `own_noise_memory`.

    Raises:
        PolicyError: if the folder is not a SmolVLA checkpoint.
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
        loaded = load_policy(policy_path, device)
        config = loaded.config
        if not 1 <= replan_every <= config.n_action_steps:
            raise ConfigError(
                f"replan_every is {replan_every}; this policy executes at most "
                f"{config.n_action_steps} steps of a chunk (n_action_steps)"
            )
        if num_samples < 1:
            raise ConfigError(f"num_samples is {num_samples}; at least 1 chunk is needed")
        if noise_memory is None:
            noise_memory = own_noise_memory(Path(policy_path))
        if not noise_memory >= 0.0:
            raise ConfigError(
                f"noise_memory is {noise_memory}; allowed are 0 steps and more, also inf"
            )
        self._loaded = loaded
        self._kept = math.exp(-1.0 / noise_memory) if noise_memory > 0.0 else 0.0  # a step
        self._device, self._replan_every = device, replan_every
        self.num_samples, self.plan_length = num_samples, int(config.chunk_size)
        self._tap = SmolVLATap(loaded.policy, config.n_action_steps)
        self._noise_shape = (num_samples, config.chunk_size, config.max_action_dim)
        self.cameras = tuple(key.removeprefix(IMAGE_PREFIX) for key in loaded.image_keys)
        self.state_dim = int(config.robot_state_feature.shape[0])
        self.action_dim = int(config.action_feature.shape[0])
        self.embedding_dim = int(loaded.policy.model.vlm_with_expert.expert_hidden_size)
        self.visual_dim = int(loaded.policy.model.vlm_with_expert.config.text_config.hidden_size)
        self.policy_id = loaded.policy_id
        self._reference = LatentReference.load(Path(policy_path), self.embedding_dim)
        self._computer = SignalComputer(config.n_action_steps, self._reference)
        self._chunk_computer = ChunkStatistics()
        self.unavailable: dict[str, str] = unavailable_signals(
            config,
            num_samples,
            replan_every,
            attention=self._tap.has_attention,
            reference=self._reference is not None,
        )
        self.reset(0)

    def sibling(self) -> "SmolVLARunner":
        """Another runner with its own episode, on the same network with the same settings."""
        other = copy.copy(self)
        other._computer = SignalComputer(self._loaded.config.n_action_steps, self._reference)
        other._chunk_computer = ChunkStatistics()
        other.reset(0)
        return other

    def reset(self, seed: int) -> None:
        """Begin an episode; nothing of the last one remains."""
        self._seed = seed
        self._noise_of: tuple[int, npt.NDArray[np.float32]] | None = None
        self._planned_at: int | None = None
        self._plans: npt.NDArray[np.float32] = np.empty((0, 0, self.action_dim), np.float32)
        self._signals: npt.NDArray[np.float32] = np.full(12, np.nan, np.float32)
        self._embedding: npt.NDArray[np.float16] = np.full(self.embedding_dim, np.nan, np.float16)
        self._visual: npt.NDArray[np.float16] = np.empty((0, self.visual_dim), np.float16)
        self._middle: npt.NDArray[np.float16] = np.empty(0, np.float16)
        self._computer.reset()
        self._chunk_computer.reset()
        self._statistics: npt.NDArray[np.float32] = np.full(
            len(CHUNK_STATISTICS), np.nan, np.float32
        )

    def branch(self, seed: int, step: int) -> None:
        """Draw from another seed after `step`; of its noise what is remembered is kept."""
        self._noise(step)
        self._seed = seed

    def due(self, step: int) -> bool:
        """Whether the network runs at `step`, which then needs images."""
        return (
            self._planned_at is None
            or step < self._planned_at
            or step - self._planned_at >= self._replan_every
        )

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

    def _noise(self, step: int) -> npt.NDArray[np.float32]:
        """Standard normal noise (K, C, max_action_dim) of a step: a stationary AR(1) process."""
        if self._kept == 0.0:
            return self._draw(step)
        if self._noise_of is None or self._noise_of[0] > step:
            self._noise_of = 0, self._draw(0)
        done, noise = self._noise_of
        for s in range(done + 1, step + 1):
            noise = self._kept * noise + math.sqrt(1.0 - self._kept**2) * self._draw(s)
        self._noise_of = step, noise
        return noise

    def _draw(self, step: int) -> npt.NDArray[np.float32]:
        rng = np.random.default_rng([self._seed, step])
        return rng.standard_normal(self._noise_shape, dtype=np.float32)

    def _accept(self, sample: TappedSample, plans: npt.NDArray[np.float32], step: int) -> None:
        self._signals = self._computer(sample, step)
        self._statistics = self._chunk_computer(sample.chunks.double().cpu().numpy(), step)
        self._embedding = _half(sample.hidden.mean(dim=0))
        self._visual, self._middle = _half(sample.visual), _half(sample.middle.mean(dim=0))
        self._plans = plans
        self._planned_at = step

    def _answer(self, step: int, *, fresh: bool, inference_ms: float) -> PolicyStep:
        assert self._planned_at is not None
        return PolicyStep(
            action=self._plans[0, step - self._planned_at].copy(),
            signals=self._signals.copy(),
            valid=np.isfinite(self._signals),
            fresh=fresh,
            embedding=self._embedding.copy(),
            chunk_statistics=self._statistics.copy(),
            plans=self._plans.copy(),
            plan_step=step - self._planned_at,
            visual_embedding=self._visual.copy(),
            expert_embedding=self._middle.copy(),
            inference_ms=inference_ms,
        )

    def _check(self, given: Observation) -> None:
        images, state = given.images, given.state
        if images or self.due(given.step):
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


def step_together(
    runners: Sequence[SmolVLARunner], observations: Sequence[Observation]
) -> list[PolicyStep]:
    """Act on one observation of each of several episodes; those due are planned in one batch.

    Args:
        runners: A runner of each episode: one runner and its siblings, each at most once.
        observations: Of each runner, in the same order.

    Returns:
        The answer of each runner, as `SmolVLARunner.step` gives it.

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
    started = time.perf_counter()
    _replan([pair for pair, is_due in zip(pairs, due, strict=True) if is_due])
    elapsed_ms = (time.perf_counter() - started) * 1e3
    return [
        runner._answer(given.step, fresh=fresh, inference_ms=elapsed_ms if fresh else float("nan"))
        for (runner, given), fresh in zip(pairs, due, strict=True)
    ]


def _check_runners(runners: Sequence[SmolVLARunner]) -> None:
    if len({id(runner) for runner in runners}) != len(runners):
        raise ConfigError(
            "a runner is given twice; each episode needs its own, see SmolVLARunner.sibling"
        )
    if len({id(runner._tap) for runner in runners}) > 1:
        policies = sorted({runner.policy_id for runner in runners})
        raise ConfigError(
            f"the runners of {', '.join(policies)} do not share one network; load the policy "
            "once and make the other runners with SmolVLARunner.sibling"
        )


def _replan(pairs: Sequence[tuple[SmolVLARunner, Observation]]) -> None:
    """Plan all given episodes in one batch."""
    if not pairs:
        return
    first = pairs[0][0]
    loaded = first._loaded
    for name in first.cameras:
        shapes = sorted({given.images[name].shape for _, given in pairs})
        if len(shapes) > 1:
            raise ObservationError(
                f"the images of '{name}' are {' and '.join(map(str, shapes))}; those that are "
                "planned together must be of one size"
            )
    batch = loaded.preprocess(
        {
            "observation.state": torch.from_numpy(
                np.stack([np.asarray(given.state, dtype=np.float32) for _, given in pairs])
            ),
            "task": [given.task for _, given in pairs],
            **{
                key: _unit_range(np.stack([given.images[name] for _, given in pairs]))
                for key, name in zip(loaded.image_keys, first.cameras, strict=True)
            },
        }
    )
    noise = np.stack([runner._noise(given.step) for runner, given in pairs])
    samples = first._tap.sample(batch, torch.from_numpy(noise).to(first._device))
    actions = loaded.postprocess(torch.stack([sample.chunks for sample in samples]))
    plans = actions.float().cpu().numpy()  # (B, K, T, A)
    for (runner, given), sample, of_one in zip(pairs, samples, plans, strict=True):
        runner._accept(sample, of_one, given.step)


def _unit_range(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Images (B, H, W, 3) as float32 (B, 3, H, W) in [0, 1]."""
    # numpy turns bytes into floats ten times as fast as torch does on a CPU.
    return torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2).div_(255.0)


def _half(values: torch.Tensor) -> npt.NDArray[np.float16]:
    """As stores keep it; what float16 cannot hold becomes infinite, which no store takes."""
    with np.errstate(over="ignore"):
        return values.float().cpu().numpy().astype(np.float16)
