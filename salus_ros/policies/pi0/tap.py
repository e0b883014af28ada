"""pi0 and pi0.5 behind the contract: all twelve signals, K chunks on one prefix.

LeRobot's `sample_actions` runs as it is. The prefix (images, words, of pi0.5 the state as words)
is encoded once; its keys and values are repeated before the first denoising step, so that K chunks
are denoised side by side on them. The action expert attends to prefix and chunk in one softmax;
`attention` is the part on the observation, of pi0 its state token included, scaled to sum to 1.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from salus_ros.policies.loading import LoadedPolicy, load_lerobot, read_config
from salus_ros.policies.tap import Observation, PolicySample, TapSpec


@dataclass(slots=True)
class _Seen:
    """What shows while a policy samples; attention, hidden and middle of the last step."""

    pooled: list[Tensor] = field(default_factory=list)  # image tokens, (1, D) a camera
    lengths: list[int] = field(default_factory=list)  # their number
    velocities: list[Tensor] = field(default_factory=list)  # (K, T, A) a step
    attention: list[Tensor] = field(default_factory=list)  # (S,) a layer
    hidden: Tensor | None = None  # (K, T, H)
    middle: Tensor | None = None  # (K, L, H), the last T of L are the chunk's


class Pi0Tap:
    """A checkpoint of LeRobot's `pi0` or `pi05`.

    Attributes:
        spec: See `TapSpec`.
    """

    def __init__(self, loaded: LoadedPolicy) -> None:
        self._loaded, config = loaded, loaded.config
        self._model: Any = loaded.policy.model
        self._executed, self._steps = int(config.n_action_steps), int(config.num_inference_steps)
        both = self._model.paligemma_with_expert
        self._layers: Any = both.gemma_expert.model.layers
        width = int(self._model.action_out_proj.in_features)
        one = "there is one denoising step (num_inference_steps)"
        self.spec = TapSpec(
            **loaded.sizes,
            plan_length=int(config.chunk_size),
            executed=self._executed,
            stochastic=True,
            noise_shape=(int(config.chunk_size), int(config.max_action_dim)),
            embedding_dim=width,
            visual_dim=int(both.paligemma.config.text_config.hidden_size),
            expert_dim=width,
            unavailable={"flow_curvature": one} if self._steps < 2 else {},
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
        del seeds, num_samples  # the noise is all that is drawn
        assert noise is not None
        return [self._sample(h[-1], drawn) for h, drawn in zip(histories, noise, strict=True)]

    def own_chunk(self, history: Sequence[Observation], noise: Tensor | None, seed: int) -> Tensor:
        """See `PolicyTap`."""
        del seed
        assert noise is not None
        batch = self._loaded.batch(history[-1:])
        chunk: Tensor = self._loaded.policy.predict_action_chunk(batch, noise=noise[:1])[0]
        return chunk

    def own_noise(self) -> Tensor:
        """See `LiveTap`."""
        shape = (1, *(self.spec.noise_shape or ()))
        device = next(self._model.parameters()).device
        noise: Tensor = self._model.sample_noise(shape, device)[0]
        return noise

    def actions(self, chunks: Tensor) -> npt.NDArray[np.float32]:
        """See `PolicyTap`."""
        return self._loaded.actions(chunks)

    def _sample(self, observation: Observation, noise: Tensor) -> PolicySample:
        policy, batch = self._loaded.policy, self._loaded.batch([observation])
        images, masks = policy._preprocess_images(batch)
        words = (
            batch["observation.language.tokens"],
            batch["observation.language.attention_mask"],
        )
        k, seen = len(noise), _Seen()
        of_state = hasattr(self._model, "state_proj")  # of pi0.5 it is among the words
        state = [policy.prepare_state(batch).expand(k, -1)] if of_state else []
        with self._hooks(k, seen, of_state=of_state):
            sample_actions = type(self._model).sample_actions  # not one that is compiled
            whole = sample_actions(self._model, images, masks, *words, *state, noise=noise)
        dims, tokens = self.spec.action_dim, slice(0, self._executed)
        curvatures = [
            (after - before)[..., :dims].square().sum(dim=(1, 2))
            / before[..., :dims].square().sum(dim=(1, 2))
            for before, after in pairwise(seen.velocities)
        ]
        attention = torch.stack(seen.attention).mean(dim=0)
        cameras = len(self._loaded.image_keys)
        ends = np.cumsum(seen.lengths[:cameras]).tolist()
        assert seen.hidden is not None
        assert seen.middle is not None
        return PolicySample(
            chunks=whole[..., :dims],
            hidden=seen.hidden[:, tokens].mean(dim=1),
            curvature=torch.stack(curvatures).mean() if curvatures else None,
            attention=attention / attention.sum(),
            image_tokens=tuple(slice(a, b) for a, b in pairwise([0, *ends])),
            visual=torch.cat(seen.pooled[:cameras]),
            middle=seen.middle[:, -self.spec.plan_length :][:, tokens].float().mean(dim=1),
        )

    @contextmanager
    def _hooks(self, k: int, seen: _Seen, *, of_state: bool) -> Iterator[None]:
        """Denoise K chunks on the prefix of one, and look inside."""
        model, both = self._model, self._model.paligemma_with_expert
        embed, denoise = both.embed_image, model.denoise_step
        length = 0  # of the prefix

        def embed_image(image: Tensor) -> Tensor:
            tokens: Tensor = embed(image)
            seen.lengths.append(tokens.shape[1])
            seen.pooled.append(tokens.float().mean(dim=1))
            return tokens

        def denoise_step(**given: Any) -> Tensor:
            nonlocal length
            pad, cache = given["prefix_pad_masks"], given["past_key_values"]
            if not seen.velocities:
                length = pad.shape[1]
                cache.batch_repeat_interleave(k)
            velocity: Tensor = denoise(**given | {"prefix_pad_masks": pad.expand(k, -1)})
            seen.velocities.append(velocity)
            return velocity

        def is_last() -> bool:
            return len(seen.velocities) == self._steps - 1

        def attend(_module: nn.Module, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
            if is_last():
                first = int(of_state)  # of the chunk, behind the state
                weights = output[1][:, :, first : first + self._executed]  # (K, heads, T, S + L)
                on_observation = weights[..., : length + first].float().mean(dim=(0, 1, 2))
                seen.attention.append(on_observation)

        def see_middle(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if is_last():
                seen.middle = output if isinstance(output, Tensor) else output[0]

        def see_hidden(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if is_last():
                seen.hidden = inputs[0]

        handles = [
            *(layer.self_attn.register_forward_hook(attend) for layer in self._layers),
            self._layers[(len(self._layers) - 1) // 2].register_forward_hook(see_middle),
            model.action_out_proj.register_forward_pre_hook(see_hidden),
        ]
        places = ((both, "embed_image", embed_image), (model, "denoise_step", denoise_step))
        before = [owner.__dict__.get(name) for owner, name, _ in places]
        for owner, name, ours in places:
            owner.__dict__[name] = ours
        try:
            yield
        finally:
            for (owner, name, _), own in zip(places, before, strict=True):
                del owner.__dict__[name]
                if own is not None:  # somebody else's, who looks on too
                    owner.__dict__[name] = own
            for handle in handles:
                handle.remove()


def load(folder: Path, device: str) -> Pi0Tap:
    """Load a checkpoint, see `load_lerobot`; it is not compiled, whatever its configuration says.

    The tokenizer is that of the folder's own sub-folder `tokenizer`, where there is one, and not
    the one of the hub that its preprocessor names.
    """
    config = read_config(folder)
    config.compile_model = False
    words = folder / "tokenizer"
    own = {"tokenizer_processor": {"tokenizer_name": str(words)}} if words.is_dir() else None
    return Pi0Tap(load_lerobot(folder, device, config, own))


def live(loaded: LoadedPolicy) -> Pi0Tap:
    """Read a policy in memory that somebody else runs."""
    return Pi0Tap(loaded)
