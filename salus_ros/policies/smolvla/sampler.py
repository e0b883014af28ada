"""K action chunks from one prefix pass of SmolVLA, with what the signals need from inside.

The stock sampler encodes the prefix and denoises one chunk. Here the prefixes of B observations
are encoded once and K chunks of each are denoised side by side on their cache:

- self-attention layers of the expert get the prefix's keys and values repeated K times, since
  each chunk appends its own;
- cross-attention layers keep them once, and the K chunks are K times as many queries; the
  expert's projections of those keys and values are the same at every denoising step and are
  computed at the first only.

The arithmetic is LeRobot's (`denoise_step`, Euler steps from time 1 to 0), so a chunk equals
the stock sampler's for the same noise up to rounding (a test).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lerobot.policies.common.vla_utils import make_att_2d_masks
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from salus_ros.policies.tap import PolicySample


class _Memo:
    """Computes a projection once per replan instead of once per denoising step."""

    def __init__(self, projection: nn.Module) -> None:
        self._projection = projection
        self._value: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self._value is None:
            self._value = self._forward(x)
        return self._value

    def put_in(self) -> None:
        """From now on it is asked in the projection's place."""
        self._forward: Callable[[Tensor], Tensor] = self._projection.forward
        self._projection.forward = self

    def take_out(self) -> None:
        """It is in nobody's place, and has forgotten."""
        self._projection.__dict__.pop("forward", None)
        self._value = None


class SmolVLASampler:
    """Samples chunks from a SmolVLA and reads its attention, velocities and hidden state.

    Outside of `sample` the policy is as it was.

    Args:
        policy: The policy.
        executed: Number of tokens of a chunk that will be executed.
    """

    def __init__(self, policy: SmolVLAPolicy, executed: int) -> None:
        self._policy, self._model = policy, policy.model
        self._executed = executed
        self._vlm: Any = policy.model.vlm_with_expert
        every = self._vlm.self_attn_every_n_layers
        numbers = range(self._vlm.num_vlm_layers)
        cross = "cross" in self._vlm.attention_mode
        self._cross = [i for i in numbers if cross and not (every > 0 and i % every == 0)]
        _, expert = self._vlm.get_model_layers(
            [self._vlm.get_vlm_model().text_model, self._vlm.lm_expert]
        )
        attention = [expert[i].self_attn for i in self._cross if expert[i] is not None]
        layers = self._vlm.lm_expert.layers
        behind = [*(layer.input_layernorm for layer in layers[1:]), self._vlm.lm_expert.norm]
        self._middle_norm: nn.Module = behind[(len(layers) - 1) // 2]  # it is given their state
        self._memos = [_Memo(p) for a in attention for p in (a.k_proj, a.v_proj)]
        self._prefix_length = 0
        self._recording = False
        self._attention: list[Tensor] = []
        self._bias: dict[int, Tensor] = {}  # of the mask, by the number of keys
        self._hidden = torch.empty(0)
        self._middle = torch.empty(0)
        self._image_length = 0
        self._pooled: list[Tensor] = []  # image tokens, camera by camera

    @property
    def has_attention(self) -> bool:
        """Whether the expert has cross-attention layers, whose attention is read."""
        return bool(self._cross)

    @torch.inference_mode()
    def sample(self, batch: dict[str, Any], noise: Tensor) -> list[PolicySample]:
        """Denoise K chunks of each of B observations.

        Args:
            batch: Preprocessed batch of B observations with equally many language tokens.
            noise: (B, K, C, max_action_dim) standard normal, the state at time 1.

        Returns:
            What was sampled and seen, for each observation.
        """
        model, config = self._model, self._policy.config
        images, image_masks = self._policy.prepare_images(batch)
        state = self._policy.prepare_state(batch)
        tokens = batch["observation.language.tokens"]
        masks = batch["observation.language.attention_mask"]
        b, k = noise.shape[:2]
        with self._hooks():
            self._embed_together(images)
            embeddings, pad, autoregressive = model.embed_prefix(
                images, image_masks, tokens, masks, state=state
            )
            _, cache = self._vlm.forward(
                attention_mask=make_att_2d_masks(pad, autoregressive),
                position_ids=torch.cumsum(pad, dim=1) - 1,
                past_key_values=None,
                inputs_embeds=[embeddings, None],
                use_cache=True,
            )
            self._prefix_length = pad.shape[1]
            for i, layer in enumerate(cache.layers):
                if i not in self._cross:
                    layer.batch_repeat_interleave(k)
            pad = pad.repeat_interleave(k, dim=0)  # (B K, S)
            for memo in self._memos:
                memo.put_in()
            self._vlm.get_attention_interface = lambda: self._attend
            x, velocity = noise.flatten(0, 1), None  # (B K, C, max_action_dim)
            curvatures: list[Tensor] = []
            dt = -1.0 / config.num_steps
            dims = config.action_feature.shape[0]
            for i in range(config.num_steps):
                self._recording = i == config.num_steps - 1
                time = torch.full((b * k,), 1.0 + i * dt, dtype=torch.float32, device=x.device)
                last, velocity = (
                    velocity,
                    model.denoise_step(
                        x_t=x, prefix_pad_masks=pad, past_key_values=cache, timestep=time
                    ),
                )
                if last is not None:
                    change = (velocity - last)[..., :dims].square().sum(dim=(1, 2))
                    size = last[..., :dims].square().sum(dim=(1, 2))
                    curvatures.append(change / size)  # (B K,)
                x = x + dt * velocity
        none = torch.full((b * k,), torch.nan, device=x.device)
        chunks = x[..., :dims].unflatten(0, (b, k))
        hidden = self._hidden[:, : self._executed].mean(dim=1).unflatten(0, (b, k))
        middle = self._middle[:, : self._executed].float().mean(dim=1).unflatten(0, (b, k))
        curvature = torch.stack(curvatures or [none], dim=1).unflatten(0, (b, k))
        attention = torch.stack(self._attention).mean(dim=0) if self._attention else None
        image_tokens = self._image_slices(len(images))
        visual = torch.cat(self._pooled).unflatten(0, (len(images), b))[: len(image_tokens)]
        return [
            PolicySample(
                chunks=chunks[i],
                hidden=hidden[i],
                curvature=curvature[i].mean(),
                attention=attention[i] if attention is not None else None,
                image_tokens=image_tokens,
                visual=visual[:, i],
                middle=middle[i],
            )
            for i in range(b)
        ]

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        self._attention, self._bias, self._pooled = [], {}, []
        connector = self._vlm.get_vlm_model().connector
        handles = [
            self._model.action_out_proj.register_forward_pre_hook(self._see_hidden),
            self._middle_norm.register_forward_pre_hook(self._see_middle),
            connector.register_forward_hook(self._see_image),
            self._model.state_proj.register_forward_hook(self._project_alone),
        ]
        try:
            yield
        finally:
            self._recording = False
            for handle in handles:
                handle.remove()
            for memo in self._memos:
                memo.take_out()
            for name in ("get_attention_interface", "embed_image"):
                self._vlm.__dict__.pop(name, None)

    def _embed_together(self, images: list[Tensor]) -> None:
        """Encode all cameras' images (B, 3, H, W) in one pass; `embed_prefix` asks one by one."""
        if len({image.shape for image in images}) == 1:
            parts = iter(self._vlm.embed_image(torch.cat(images)).split(len(images[0])))
            self._vlm.embed_image = lambda _image: next(parts)

    def _see_hidden(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if self._recording:
            self._hidden = inputs[0]  # (B K, C, H)

    def _see_middle(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if self._recording:
            self._middle = inputs[0]  # (B K, C, H)

    def _see_image(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self._image_length = output.shape[1]
        self._pooled.append(output.float().mean(dim=1))  # (images, D)

    @staticmethod
    def _project_alone(module: nn.Linear, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        """Project the state of each observation by itself, from a copy aligned as a batch of one.

        It is the one product whose rows are observations rather than tokens. The kernel for a
        single row sums in another order than those for several, so the batch would show in the
        last bits of everything after it.
        """
        rows = inputs[0].split(1)
        return torch.cat([F.linear(row.clone(), module.weight, module.bias) for row in rows])

    def _image_slices(self, images: int) -> tuple[slice, ...]:
        special = self._model.add_image_special_tokens
        before, after = (2, 1) if special else (0, 0)
        stride = before + self._image_length + after
        starts = [i * stride + before for i in range(images)]
        given = images - self._policy.config.empty_cameras if images > 1 else images
        return tuple(slice(s, s + self._image_length) for s in starts[: max(given, 1)])

    def _attend(
        self, mask: Tensor, _batch: int, head_dim: int, q: Tensor, k: Tensor, v: Tensor
    ) -> Tensor:
        """Grouped-query attention of (N, L, heads, D) queries; N may be a multiple of k's batch.

        Each query attends to something (the prefix holds at least one valid token), so the
        fused kernel's treatment of fully masked rows does not matter.
        """
        n, length, heads, _ = q.shape
        b, source = k.shape[:2]
        dtype = v.dtype
        q = q.to(torch.float32).reshape(b, n // b * length, heads, head_dim).transpose(1, 2)
        k = k.to(torch.float32).transpose(1, 2)  # (b, kv heads, S, D)
        v = v.to(torch.float32).transpose(1, 2)
        if source not in self._bias:  # the same for every layer and denoising step
            mask = mask.expand(n, length, source).reshape(b, 1, n // b * length, source)
            self._bias[source] = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(
                ~mask, -torch.inf
            )
        bias = self._bias[source]
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=bias, enable_gqa=k.shape[1] != heads
        )
        if self._recording and source == self._prefix_length:
            self._attention.append(self._weights(q, k, bias, n, length))
        out = out.transpose(1, 2).reshape(n, length, heads * head_dim)
        return out.to(dtype)

    def _weights(self, q: Tensor, k: Tensor, bias: Tensor, n: int, length: int) -> Tensor:
        """Attention probabilities (b, S), mean over heads, executed tokens and samples."""
        b, heads, _, d = q.shape
        rows = (
            torch.arange(n // b, device=q.device)[:, None] * length
            + torch.arange(min(self._executed, length), device=q.device)
        ).flatten()
        grouped = q[:, :, rows].reshape(b, k.shape[1], -1, d)  # (b, kv heads, group * rows, D)
        logits = grouped @ k.transpose(2, 3) * d**-0.5
        logits = logits.view(b, heads, len(rows), -1) + bias[:, :, rows]
        return logits.softmax(dim=-1).mean(dim=(1, 2))
