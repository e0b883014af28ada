"""ACT behind the contract.

LeRobot's ACT answers with the chunk of the latent 0, the mean of its prior; that one is executed.
The other K - 1 chunks are those of latents drawn from the prior N(0, 1) (Zhao et al. 2023), as the
decoder met them in training; a policy that was trained without the CVAE has one chunk. All K go
through the transformer in one pass; the images are encoded once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from salus_ros.core.schema import SIGNALS, SignalKind
from salus_ros.policies.loading import LoadedPolicy, load_lerobot
from salus_ros.policies.tap import Observation, PolicySample, TapSpec


class ACTTap:
    """An ACT checkpoint.

    Attributes:
        spec: See `TapSpec`.
    """

    def __init__(self, loaded: LoadedPolicy) -> None:
        self._loaded, config = loaded, loaded.config
        self._executed = int(config.n_action_steps)
        sizes = set(loaded.image_sizes.values())
        missing = {"flow_curvature": "ACT does not denoise"}
        if len(sizes) > 1:
            reason = f"its cameras have images of different sizes ({sorted(sizes)})"
            missing |= {one.name: reason for one in SIGNALS if one.kind is SignalKind.ATTENTION}
        self.spec = TapSpec(
            **loaded.sizes,
            plan_length=int(config.chunk_size),
            executed=self._executed,
            stochastic=bool(config.use_vae),
            noise_shape=(int(config.latent_dim),),
            image_sizes=loaded.image_sizes,  # its tokens are a grid of that size
            embedding_dim=int(config.dim_model),
            visual_dim=int(config.dim_model),
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
        del seeds, num_samples
        assert noise is not None
        return [self._sample(h[-1], latent) for h, latent in zip(histories, noise, strict=True)]

    def own_chunk(self, history: Sequence[Observation], noise: Tensor | None, seed: int) -> Tensor:
        """See `PolicyTap`."""
        del noise, seed  # it draws nothing
        batch = self._loaded.batch(history[-1:])
        chunk: Tensor = self._loaded.policy.predict_action_chunk(batch)[0]
        return chunk

    def own_noise(self) -> Tensor:
        """See `LiveTap`; it draws none: its latent is 0."""
        return torch.zeros(self.spec.noise_shape or ())

    def actions(self, chunks: Tensor) -> npt.NDArray[np.float32]:
        """See `PolicyTap`."""
        return self._loaded.actions(chunks)

    def _sample(self, observation: Observation, latents: Tensor) -> PolicySample:
        batch, k = self._loaded.batch([observation]), len(latents)
        latents = torch.cat([torch.zeros_like(latents[:1]), latents[1:]])  # LeRobot's own first
        keys = (*self._loaded.image_keys, "observation.state")
        batch |= {key: batch[key].expand(k, *batch[key].shape[1:]) for key in keys}
        seen: dict[str, list[Tensor]] = {"image": [], "attention": [], "hidden": []}
        with self._hooks(latents, seen):
            chunks = self._loaded.policy.predict_action_chunk(batch)
        lengths = [image.shape[0] for image in seen["image"]]
        attention: Tensor | None = None
        slices: tuple[slice, ...] = ()
        if len(set(lengths)) == 1:  # image tokens come last
            attention = torch.stack(seen["attention"])[:, :, : self._executed].mean(dim=(0, 1, 2))
            first = len(attention) - sum(lengths)
            starts = [first + i * lengths[0] for i in range(len(lengths))]
            slices = tuple(slice(start, start + lengths[0]) for start in starts)
        return PolicySample(
            chunks=chunks,
            hidden=seen["hidden"][0][:, : self._executed].mean(dim=1),  # (K, D)
            attention=attention,  # (S,)
            image_tokens=slices,
            visual=torch.stack([image.mean(dim=0) for image in seen["image"]]),  # (cameras, D)
        )

    @contextmanager
    def _hooks(self, latents: Tensor, seen: dict[str, list[Tensor]]) -> Iterator[None]:
        """Give the model its latents, encode each image once, and look inside."""
        model: Any = self._loaded.policy.model
        k = len(latents)

        def encoded(_module: nn.Module, _inputs: Any, output: dict[str, Tensor]) -> Any:
            return {name: value.expand(k, -1, -1, -1) for name, value in output.items()}

        def image(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            seen["image"].append(output[0].flatten(1).T)  # (h w, D)

        def attention(_module: nn.Module, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
            seen["attention"].append(output[1])  # (K, C, S), mean over heads

        def hidden(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen["hidden"].append(inputs[0])  # (K, C, D)

        handles = [
            model.encoder_latent_input_proj.register_forward_pre_hook(lambda *_: (latents,)),
            model.backbone.register_forward_pre_hook(lambda _module, inputs: inputs[0][:1]),
            model.backbone.register_forward_hook(encoded),
            model.encoder_img_feat_input_proj.register_forward_hook(image),
            model.action_head.register_forward_pre_hook(hidden),
            *(
                layer.multihead_attn.register_forward_hook(attention)
                for layer in model.decoder.layers
            ),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def load(folder: Path, device: str) -> ACTTap:
    """Load a checkpoint, see `load_lerobot`."""
    return ACTTap(load_lerobot(folder, device))


def live(loaded: LoadedPolicy) -> ACTTap:
    """Read a policy in memory that somebody else runs."""
    return ACTTap(loaded)
