"""Diffusion Policy behind the contract.

K chunks are denoised side by side under one encoding of the images. LeRobot's call returns the
part of a chunk that may be executed; the chunk here goes on to the end of the horizon.
`flow_curvature` is that of the noise e_i which the network sees in step i, mean over i and samples
of |e_{i+1} - e_i|^2 / |e_i|^2: where e stays the same, the path of x / alpha over sigma / alpha
(Song et al. 2021, DDIM) is straight.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from salus_ros.core.schema import SIGNALS, SignalKind
from salus_ros.policies.lerobot_chunk.tap import seeded
from salus_ros.policies.loading import LoadedPolicy, load_lerobot
from salus_ros.policies.tap import Observation, PolicySample, TapSpec


class DiffusionTap:
    """A checkpoint of LeRobot's `diffusion`.

    Attributes:
        spec: See `TapSpec`.

    Args:
        loaded: The policy.
        live: Whether the first chunk goes on drawing from torch's own generators, as LeRobot's
            call does.
    """

    def __init__(self, loaded: LoadedPolicy, *, live: bool = False) -> None:
        self._loaded, config, self._live = loaded, loaded.config, live
        model = loaded.policy.diffusion
        self._start = config.n_obs_steps - 1  # of the horizon, the action of now
        reason = "its network of convolutions has no attention"
        missing = {one.name: reason for one in SIGNALS if one.kind is SignalKind.ATTENTION}
        if model.num_inference_steps < 2:
            missing["flow_curvature"] = "there is one denoising step (num_inference_steps)"
        encoders = model.rgb_encoder
        self._encoders = [*encoders] if isinstance(encoders, nn.ModuleList) else [encoders]
        self.spec = TapSpec(
            **loaded.sizes,
            plan_length=int(config.horizon) - self._start,
            executed=int(config.n_action_steps),
            stochastic=True,
            noise_shape=(int(config.horizon), int(config.action_feature.shape[0])),
            image_sizes={} if config.resize_shape else loaded.image_sizes,
            observation_steps=int(config.n_obs_steps),
            embedding_dim=int(config.down_dims[0]),
            visual_dim=int(self._encoders[0].feature_dim),
            expert_dim=int(config.down_dims[-1]),
            unavailable=missing,
        )

    @torch.inference_mode()
    def sample(
        self,
        histories: Sequence[Sequence[Observation]],
        noise: Tensor | None,
        seeds: Sequence[int],
        num_samples: int,
    ) -> list[PolicySample]:
        """See `PolicyTap`; each episode is planned by itself, so that the others do not show."""
        del num_samples
        assert noise is not None
        return [
            self._sample(history, of_one, seed)
            for history, of_one, seed in zip(histories, noise, seeds, strict=True)
        ]

    def own_chunk(self, history: Sequence[Observation], noise: Tensor | None, seed: int) -> Tensor:
        """See `PolicyTap`; its first `n_action_steps` actions."""
        assert noise is not None
        with seeded(seed, self._loaded.config.device):
            chunk: Tensor = self._loaded.policy.predict_action_chunk(
                self._batch(history), noise=noise[:1]
            )[0]
        return chunk

    def own_noise(self) -> Tensor:
        """See `LiveTap`."""
        model: Any = self._loaded.policy.diffusion
        like = next(model.parameters())
        return torch.randn(
            (1, *(self.spec.noise_shape or ())), dtype=like.dtype, device=like.device
        )[0]

    def actions(self, chunks: Tensor) -> npt.NDArray[np.float32]:
        """See `PolicyTap`."""
        return self._loaded.actions(chunks)

    def _batch(self, history: Sequence[Observation]) -> dict[str, Tensor]:
        """State (1, n, S) and images (1, n, 3, H, W) of the n newest observations."""
        self._loaded.policy.reset()  # what it is given is all that it knows
        batches = [self._loaded.batch([given]) for given in history]
        keys = (*self._loaded.image_keys, "observation.state")
        return {key: torch.stack([batch[key] for batch in batches], dim=1) for key in keys}

    def _sample(self, history: Sequence[Observation], noise: Tensor, seed: int) -> PolicySample:
        k = len(noise)
        # A sampler that draws in every step (DDPM) draws for each chunk by itself.
        generators = [torch.Generator(noise.device).manual_seed(seed + i) for i in range(k)]
        if self._live:
            generators[0] = _own_generator(noise.device)
        batch = {
            key: value.expand(k, *value.shape[1:]) for key, value in self._batch(history).items()
        }
        seen: dict[str, list[Tensor]] = {
            "image": [],
            "noise": [],
            "middle": [],
            "hidden": [],
            "whole": [],
        }
        with self._hooks(k, generators, seen):
            self._loaded.policy.predict_action_chunk(batch, noise=noise)
        executed = slice(self._start, self._start + self.spec.executed)
        path = seen["noise"]
        curvatures = [
            (after - before).square().sum(dim=(1, 2)) / before.square().sum(dim=(1, 2))
            for before, after in pairwise(path)
        ]
        return PolicySample(
            chunks=seen["whole"][0][:, self._start :],
            hidden=seen["hidden"][-1][..., executed].mean(dim=2),  # (K, H)
            curvature=torch.stack(curvatures).mean() if curvatures else None,
            visual=self._newest(seen["image"], len(history)),
            middle=seen["middle"][-1].mean(dim=2),  # (K, E), of the whole chunk: it is shortened
        )

    def _newest(self, features: list[Tensor], steps: int) -> Tensor:
        """Features (cameras, D) of the newest images: an encoder a camera, or one for all."""
        if len(self._encoders) > 1:
            return torch.stack([of_one[steps - 1] for of_one in features])
        cameras = len(self._loaded.image_keys)
        return features[0][(steps - 1) * cameras : steps * cameras]

    @contextmanager
    def _hooks(
        self, k: int, generators: list[torch.Generator], seen: dict[str, list[Tensor]]
    ) -> Iterator[None]:
        """Encode each image once, draw for each chunk by itself, and look inside."""
        model: Any = self._loaded.policy.diffusion
        own = model.conditional_sample

        def conditional_sample(
            batch_size: int, global_cond: Any = None, generator: Any = None, noise: Any = None
        ) -> Tensor:
            whole: Tensor = own(batch_size, global_cond, generators, noise)
            seen["whole"].append(whole)
            return whole

        def once(_module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
            return inputs[0][: len(inputs[0]) // k]

        def repeated(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            seen["image"].append(output)
            return output.repeat(k, 1)

        def predicted(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen["noise"].append(self._noise(inputs[0], int(inputs[1][0]), output))

        handles = [
            *(encoder.register_forward_pre_hook(once) for encoder in self._encoders),
            *(encoder.register_forward_hook(repeated) for encoder in self._encoders),
            model.unet.register_forward_hook(predicted),
            model.unet.mid_modules[-1].register_forward_hook(
                lambda _module, _inputs, output: seen["middle"].append(output)
            ),
            model.unet.final_conv.register_forward_pre_hook(
                lambda _module, inputs: seen["hidden"].append(inputs[0])
            ),
        ]
        model.conditional_sample = conditional_sample
        try:
            yield
        finally:
            del model.conditional_sample
            for handle in handles:
                handle.remove()

    def _noise(self, x: Tensor, step: int, output: Tensor) -> Tensor:
        """The noise (K, T, A) that a prediction means, in x = alpha x_0 + sigma e."""
        if self._loaded.config.prediction_type == "epsilon":
            return output
        kept = self._loaded.policy.diffusion.noise_scheduler.alphas_cumprod[step].to(x)
        return (x - kept.sqrt() * output) / (1.0 - kept).sqrt()


def _own_generator(device: torch.device) -> torch.Generator:
    """The one that torch itself draws from."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    return torch.default_generator


def load(folder: Path, device: str) -> DiffusionTap:
    """Load a checkpoint, see `load_lerobot`."""
    return DiffusionTap(load_lerobot(folder, device))


def live(loaded: LoadedPolicy) -> DiffusionTap:
    """Read a policy in memory that somebody else runs."""
    return DiffusionTap(loaded, live=True)
