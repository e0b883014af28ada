"""A SmolVLA that is run step by step, with its signals: the same code live and offline."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.signals.computer import SignalComputer
from salus_ros.signals.reference import LatentReference
from salus_ros.signals.smolvla import IMAGE_PREFIX, load_policy
from salus_ros.signals.tap import SmolVLATap


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """What the policy says at one step.

    Attributes:
        action: float32 (A,), in the robot's units.
        signals: float32 (12,); NaN where not valid. Held from the last replan if not `fresh`.
        valid: bool (12,).
        fresh: Whether the network ran at this step.
        embedding: float16 (H,) pooled hidden state of the last replan.
        inference_ms: Duration of the network run; NaN if it did not run.
    """

    action: npt.NDArray[np.float32]
    signals: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    fresh: bool
    embedding: npt.NDArray[np.float16]
    inference_ms: float


class SmolVLARunner:
    """Runs a SmolVLA checkpoint: replans every `replan_every` steps, acts at each.

    The executed chunk is the first of the K samples. Noise is seeded from (seed, step), so an
    episode repeats exactly and a runner restarted in its middle goes on alike.

    Args:
        policy_path: Checkpoint folder, see `load_policy`.
        device: Torch device.
        num_samples: K, at least 1; signals over samples need 2.
        replan_every: Steps between runs of the network, 1 to the policy's `n_action_steps`.

    Raises:
        PolicyError: if the folder is not a SmolVLA checkpoint.
        ConfigError: if `num_samples` or `replan_every` is not allowed.
    """

    def __init__(
        self,
        policy_path: str | Path,
        device: str = "cpu",
        num_samples: int = 4,
        replan_every: int = 3,
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
        self._loaded = loaded
        self._device, self._samples, self._replan_every = device, num_samples, replan_every
        self._tap = SmolVLATap(loaded.policy, config.n_action_steps)
        self._noise_shape = (num_samples, config.chunk_size, config.max_action_dim)
        self.cameras = tuple(key.removeprefix(IMAGE_PREFIX) for key in loaded.image_keys)
        self.state_dim = int(config.robot_state_feature.shape[0])
        self.action_dim = int(config.action_feature.shape[0])
        self.embedding_dim = int(loaded.policy.model.vlm_with_expert.expert_hidden_size)
        self.policy_id = loaded.policy_id
        reference = LatentReference.load(Path(policy_path), self.embedding_dim)
        self._computer = SignalComputer(config.n_action_steps, reference)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin an episode; nothing of the last one remains."""
        self._seed = seed
        self._planned_at: int | None = None
        self._chunk: npt.NDArray[np.float32] = np.empty((0, self.action_dim), np.float32)
        self._signals: npt.NDArray[np.float32] = np.full(12, np.nan, np.float32)
        self._embedding: npt.NDArray[np.float16] = np.full(self.embedding_dim, np.nan, np.float16)
        self._computer.reset()

    def step(
        self,
        images: Mapping[str, npt.NDArray[np.uint8]],
        state: npt.NDArray[np.floating],
        task: str,
        step: int,
    ) -> PolicyStep:
        """Act on one observation.

        Args:
            images: For each of `cameras` a uint8 RGB image (H, W, 3).
            state: (state_dim,) in the units of the training data, finite.
            task: The instruction.
            step: Step of the episode, increasing; gaps are allowed.

        Raises:
            ObservationError: if an image or the state is not of that form.
        """
        self._check(images, state)
        due = (
            self._planned_at is None
            or step < self._planned_at
            or step - self._planned_at >= self._replan_every
        )
        inference_ms = float("nan")
        if due:
            started = time.perf_counter()
            self._replan(images, state, task, step)
            inference_ms = (time.perf_counter() - started) * 1e3
        assert self._planned_at is not None
        return PolicyStep(
            action=self._chunk[step - self._planned_at].copy(),
            signals=self._signals.copy(),
            valid=np.isfinite(self._signals),
            fresh=due,
            embedding=self._embedding.copy(),
            inference_ms=inference_ms,
        )

    def _replan(
        self,
        images: Mapping[str, npt.NDArray[np.uint8]],
        state: npt.NDArray[np.floating],
        task: str,
        step: int,
    ) -> None:
        batch = self._loaded.preprocess(
            {
                "observation.state": torch.as_tensor(np.asarray(state, dtype=np.float32)),
                "task": task,
                **{
                    key: torch.from_numpy(np.ascontiguousarray(images[name]))
                    .permute(2, 0, 1)
                    .float()
                    .div_(255.0)
                    for key, name in zip(self._loaded.image_keys, self.cameras, strict=True)
                },
            }
        )
        rng = np.random.default_rng([self._seed, step])
        noise = rng.standard_normal(self._noise_shape, dtype=np.float32)
        sample = self._tap.sample(batch, torch.from_numpy(noise).to(self._device))
        self._signals = self._computer(sample, step)
        self._embedding = sample.hidden.mean(dim=0).cpu().numpy().astype(np.float16)
        actions = self._loaded.postprocess(sample.chunks[0])  # (C, A)
        self._chunk = actions.float().cpu().numpy()
        self._planned_at = step

    def _check(
        self, images: Mapping[str, npt.NDArray[np.uint8]], state: npt.NDArray[np.floating]
    ) -> None:
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
        shape = np.shape(state)
        if shape != (self.state_dim,) or not np.isfinite(state).all():
            raise ObservationError(
                f"the state is {np.asarray(state)}: the policy takes {self.state_dim} finite "
                "values"
            )
