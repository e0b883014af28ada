"""Behaviour cloning of a tiny SmolVLA: flow matching on demonstrations, resumable."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
from lerobot.policies.smolvla.processor_smolvla import make_smolvla_pre_post_processors
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from salus_ros.core.errors import CheckpointError
from salus_ros.policies.checkpoint import save_noise_memory
from salus_ros.policies.smolvla.loading import load_policy
from salus_ros.policies.tiny.build import TINY, Architecture, build_policy, save_policy
from salus_ros.policies.tiny.demonstrations import Demonstrations

CHECKPOINT = "training.pt"


@dataclass(frozen=True, slots=True)
class PolicyTrainingConfig:
    """Options of `salus policy train`.

    Attributes:
        noise_memory: Written beside the weights, see `own_noise_memory`; training has no use for
            it.
    """

    iterations: int = 12_000
    batch_size: int = 32
    learning_rate: float = 6e-4
    weight_decay: float = 1e-4
    warmup: int = 300
    ema_decay: float = 0.998
    shift_px: int = 2
    seed: int = 0
    save_every: int = 250
    noise_memory: float = 0.0


class Batches:
    """Random batches of demonstrations with random image shifts.

    A shift moves each camera's image by up to `shift_px` pixels with replicated borders
    (DrQ, Kostrikov et al. 2021) and is the only augmentation beside brightness.
    """

    def __init__(self, demos: Demonstrations, config: PolicyTrainingConfig, chunk: int) -> None:
        self._config = config
        self._images = torch.from_numpy(demos.images)  # (N, V, S, S, 3) uint8
        self._cameras = demos.cameras
        self._state = torch.from_numpy(demos.state)  # (N, D)
        self._action = torch.from_numpy(demos.action)  # (N, A)
        lengths = np.diff(demos.ends, prepend=0)
        last = np.repeat(demos.ends - 1, lengths)  # (N,) last step of each step's episode
        self._tasks = [
            task for task, n in zip(demos.tasks, lengths, strict=True) for _ in range(n)
        ]
        steps = np.arange(len(last))[:, None] + np.arange(chunk)  # (N, C)
        self._is_pad = torch.from_numpy(steps > last[:, None])
        self._steps = torch.from_numpy(np.minimum(steps, last[:, None]))

    def __len__(self) -> int:
        return len(self._state)

    def draw(self, generator: torch.Generator) -> dict[str, Any]:
        """One batch in the form that LeRobot's preprocessor takes."""
        config = self._config
        index = torch.randint(len(self), (config.batch_size,), generator=generator)
        images = self._images[index].permute(0, 1, 4, 2, 3).float() / 255.0  # (B, V, 3, S, S)
        images = self._augment(images, generator)
        batch: dict[str, Any] = {
            "observation.state": self._state[index],
            "action": self._action[self._steps[index]],  # (B, C, A)
            "action_is_pad": self._is_pad[index],
            "task": [self._tasks[i] for i in index.tolist()],
        }
        for i, name in enumerate(self._cameras):
            batch[f"observation.images.{name}"] = images[:, i]
        return batch

    def _augment(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        b, v, _, s, _ = images.shape
        p = self._config.shift_px
        padded = F.pad(images.flatten(0, 1), (p, p, p, p), mode="replicate")  # (BV, 3, S+2p, S+2p)
        offset = torch.randint(0, 2 * p + 1, (b * v, 2), generator=generator)
        rows = offset[:, :1] + torch.arange(s)  # (BV, S)
        columns = offset[:, 1:] + torch.arange(s)
        picked = padded[
            torch.arange(b * v)[:, None, None, None],
            torch.arange(3)[None, :, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
        gain = 0.9 + 0.2 * torch.rand((b * v, 1, 1, 1), generator=generator)
        return (picked * gain).clamp(0.0, 1.0).view(b, v, 3, s, s)


def architecture_for(demos: Demonstrations) -> Architecture:
    """A tiny SmolVLA for the cameras, states, actions and instructions of demonstrations."""
    longest = max(len(task.split()) for task in demos.tasks)
    return replace(
        TINY,
        cameras=demos.cameras,
        state_dim=demos.state.shape[1],
        action_dim=demos.action.shape[1],
        text_tokens=max(TINY.text_tokens, longest + 1),
    )


def normalisation(demos: Demonstrations) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation of state and action; a constant dimension gets std 1."""

    def moments(x: Any) -> dict[str, Any]:
        std = x.std(axis=0)
        return {"mean": x.mean(axis=0), "std": np.where(std < 1e-4, 1.0, std).astype(np.float32)}

    return {"observation.state": moments(demos.state), "action": moments(demos.action)}


def train(
    demos: Demonstrations,
    out: Path,
    config: PolicyTrainingConfig,
    device: str = "cpu",
    progress: Callable[[int, float], None] | None = None,
    init: Path | None = None,
) -> dict[str, Any]:
    """Train a tiny SmolVLA and write it to `out` every `save_every` iterations.

    The weights that are written are the exponential moving average. Started again with the
    same `out`, it goes on where it was stopped.

    Args:
        demos: What to imitate, with images already shrunk to what the architecture takes.
        out: Policy folder.
        config: Options.
        device: Torch device.
        progress: Called with the iteration and the running loss.
        init: Policy folder whose weights are begun with; random ones by default. Not read where a
            training goes on.

    Returns:
        Summary: iterations done, running loss, options.

    Raises:
        CheckpointError: if `out` holds a training state that is not readable, or the weights of
            `init` are not those of a tiny SmolVLA.
        PolicyError: if `init` is not a policy folder.
    """
    torch.manual_seed(config.seed)
    policy = build_policy(out, architecture_for(demos), device)
    if init is not None and not (out / CHECKPOINT).exists():
        _begin_with(policy, init, device)
    stats = normalisation(demos)
    prepare, _ = make_smolvla_pre_post_processors(policy.config, dataset_stats=stats)
    batches = Batches(demos, config, policy.config.chunk_size)
    average = AveragedModel(policy, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
    optimiser = torch.optim.AdamW(
        [p for p in policy.parameters() if p.requires_grad],
        lr=config.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=config.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: _rate(i, config))
    start, running = _resume(out, policy, average, optimiser, schedule, device)
    policy.train()
    for i in range(start, config.iterations):
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + i)
        torch.manual_seed(config.seed * 1_000_003 + i)
        loss, _ = policy.forward(prepare(batches.draw(generator)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(policy)
        value = loss.item()
        running = value if math.isnan(running) else 0.99 * running + 0.01 * value
        if progress is not None:
            progress(i + 1, running)
        if (i + 1) % config.save_every == 0 or i + 1 == config.iterations:
            _save(out, policy, average, optimiser, schedule, i + 1, running, stats)
            save_noise_memory(out, config.noise_memory)
    return {"iterations": config.iterations, "loss": running, **asdict(config)}


def _begin_with(policy: SmolVLAPolicy, init: Path, device: str) -> None:
    weights = load_policy(init, device).policy.state_dict()
    try:
        policy.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{init} is not a tiny SmolVLA ({str(error).splitlines()[1].strip()}); give a folder "
            "made by `salus policy train`, or begin with random weights"
        ) from error


def _rate(i: int, config: PolicyTrainingConfig) -> float:
    if i < config.warmup:
        return (i + 1) / config.warmup
    done = (i - config.warmup) / max(1, config.iterations - config.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _save(out, policy, average, optimiser, schedule, iteration, running, stats) -> None:
    state = {
        "policy": policy.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "iteration": iteration,
        "running": running,
    }
    part = out / f"{CHECKPOINT}.part"
    torch.save(state, part)
    part.replace(out / CHECKPOINT)
    save_policy(average.module, out, stats)


def _resume(out, policy, average, optimiser, schedule, device) -> tuple[int, float]:
    path = out / CHECKPOINT
    if not path.exists():
        return 0, math.nan
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        policy.load_state_dict(state["policy"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a training state of this policy ({error}); "
            "give another --out, or delete the file to start anew"
        ) from error
    return int(state["iteration"]), float(state["running"])
