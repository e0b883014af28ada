"""The contract of a policy: what goes in, and what it reveals of itself.

SALUS reads a policy through its tap alone. A tap for another kind of policy is an object with
these attributes and methods, and a function `load(folder, device)` that makes it, which is named
in the entry-point group `salus.policies` under the `type` of its checkpoints. What a policy
cannot give is None (no value of it is made up), and the signals that would need it are NaN and not
valid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from salus_ros.core.errors import PolicyError
from salus_ros.core.schema import further_fault


@dataclass(frozen=True, slots=True)
class Observation:
    """What a policy is given at one step.

    Attributes:
        images: For each camera a uint8 RGB image (H, W, 3); may be empty where the runner needs
            none.
        state: (state_dim,) in the units of the training data, finite.
        task: The instruction.
        step: Step of the episode, increasing; gaps are allowed.
    """

    images: Mapping[str, npt.NDArray[np.uint8]]
    state: npt.NDArray[np.floating]
    task: str
    step: int


@dataclass(frozen=True, slots=True)
class PolicySample:
    """What one replan of one observation reveals; None where the policy has no such thing.

    Attributes:
        chunks: (K, T, A) normalised actions; the first chunk is the one that is executed.
        hidden: (K, H) hidden state, the last before the actions, mean over the executed tokens.
        curvature: () mean over denoising steps i and samples of |v_{i+1} - v_i|^2 / |v_i|^2.
        attention: (S,) attention of the executed action tokens to the S tokens of the
            observation, mean over heads, layers, tokens and samples; sums to 1.
        image_tokens: For each camera, the slice of `attention` with its image tokens.
        visual: (cameras, D) image features of the policy's own encoder, mean of each camera.
        middle: (K, E) state in the middle of the part that makes the actions, mean over the
            executed tokens.
        named: Signals that the tap computes itself, by name: of the twelve in place of what
            follows from the rest, and of `TapSpec.further`. One that it leaves out is NaN.
    """

    chunks: Tensor
    hidden: Tensor | None = None
    curvature: Tensor | None = None
    attention: Tensor | None = None
    image_tokens: tuple[slice, ...] = ()
    visual: Tensor | None = None
    middle: Tensor | None = None
    named: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TapSpec:
    """Sizes of a policy, and what it can be asked for.

    Attributes:
        cameras: Names of the cameras that it takes, in its order.
        state_dim: Values of the state.
        action_dim: A, values of an action.
        plan_length: T, actions of a chunk.
        executed: Actions of a chunk that may be executed, 1 to T.
        stochastic: Whether it answers one observation with more than one chunk.
        noise_shape: Shape of the normal noise that one chunk is made of, where the caller gives
            it; None where the policy draws it itself, from a seed, or draws none.
        image_sizes: Height and width in pixels that the images of a camera must have; of none
            where the policy resizes them itself.
        observation_steps: Number of successive observations that it is given.
        embedding_dim: H; 0 without `PolicySample.hidden`.
        visual_dim: D; 0 without `PolicySample.visual`.
        expert_dim: E; 0 without `PolicySample.middle`.
        further: Names of the signals that it gives beyond the twelve, in `PolicySample.named`.
        unavailable: Signals that it never gives, each with the reason.

    Raises:
        PolicyError: if a name of `further` is one of the twelve, empty, or there twice.
    """

    cameras: tuple[str, ...]
    state_dim: int
    action_dim: int
    plan_length: int
    executed: int
    stochastic: bool
    noise_shape: tuple[int, ...] | None = None
    image_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    observation_steps: int = 1
    embedding_dim: int = 0
    visual_dim: int = 0
    expert_dim: int = 0
    further: tuple[str, ...] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if fault := further_fault(self.further):
            raise PolicyError(f"the tap's further signals are {list(self.further)}; {fault}")


class PolicyTap(Protocol):
    """A loaded policy; it keeps nothing from one call to the next."""

    @property
    def spec(self) -> TapSpec:
        """Sizes of the policy."""

    def sample(
        self,
        histories: Sequence[Sequence[Observation]],
        noise: Tensor | None,
        seeds: Sequence[int],
        num_samples: int,
    ) -> list[PolicySample]:
        """Plan for B episodes.

        Args:
            histories: Of each episode the newest `observation_steps` observations, oldest first.
            noise: float32 (B, K, *noise_shape) standard normal; None where `noise_shape` is.
            seeds: Of each episode, for what else is drawn: 32 bits.
            num_samples: K.
        """

    def own_chunk(self, history: Sequence[Observation], noise: Tensor | None, seed: int) -> Tensor:
        """The chunk (L, A), L at most T, of the policy's library called as its users call it.

        Args:
            history: As `sample` is given it, of one episode.
            noise: (K, *noise_shape), or None.
            seed: Of the episode.
        """

    def actions(self, chunks: Tensor) -> npt.NDArray[np.float32]:
        """Normalised chunks (..., T, A) in the robot's units."""


class LiveTap(PolicyTap, Protocol):
    """A tap that reads a policy beside the calls of its own user, see `watching`."""

    def own_noise(self) -> Tensor | None:
        """The noise (*noise_shape,) that a call of its library's draws, from torch's generators.

        None where `TapSpec.noise_shape` is. What the call draws afterwards, `sample` draws for the
        first chunk from the same generators.
        """
