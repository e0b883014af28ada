"""A policy that somebody else runs, read beside each of its calls.

The policy's own call is left alone. What it reveals is found by planning once more for the same
observation: by its tap, whose first chunk is made of the noise of the call itself, or, for a
policy without one, by further calls of `predict_action_chunk`. Both run on a copy of the policy
that shares its weights, and leave torch's generators as they were.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from salus_ros.core.errors import ObservationError, PolicyError
from salus_ros.core.schema import SIGNALS, SignalKind
from salus_ros.policies.loading import LoadedPolicy, camera_keys
from salus_ros.policies.registry import live_tap
from salus_ros.policies.tap import LiveTap, Observation, PolicySample, TapSpec

SAME = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Largest difference of two chunks that are the same but for rounding, in normalised units, by
the type of the weights; `SAME_ROUGHLY` for shorter ones."""

SAME_ROUGHLY = 5e-2

WATCHED = ("select_action", "predict_action_chunk", "_get_action_chunk", "reset")
"""Methods of a policy by which it is run; the third is what some of them plan by."""

Generators = tuple[Tensor, Tensor | None]
"""State of torch's generators of the CPU and of a policy's GPU."""


@dataclass(frozen=True, slots=True)
class Prepared(Observation):
    """An observation as a policy's own user gives it.

    Attributes:
        batch: One observation, normalised, on the policy's device; the images and the state of
            `Observation` are empty.
    """

    batch: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A call by which a policy has planned.

    Attributes:
        chunk: (L, A) what it gave, normalised.
        batch: What it was given.
        options: What else it was given, by name, but for the noise.
        noise: What it was given as noise, (1, ...); None where it drew that itself.
        generators: State of the generators before.
        drew: Whether it drew from them.
        before: The policy as it was before, see `twin`; None where nobody asked for it.
    """

    chunk: Tensor
    batch: Mapping[str, Any]
    options: Mapping[str, Any]
    noise: Tensor | None
    generators: Generators
    drew: bool
    before: Any = None


class Beside(Protocol):
    """Finds what a call reveals.

    Attributes:
        needs_state: Whether it needs `Call.before`.
    """

    needs_state: bool

    def spec(self, call: Call) -> TapSpec:
        """Sizes of the policy, known by its first call."""

    def sample(
        self, seen: Sequence[Prepared], call: Call, noise: Tensor | None, seed: int, number: int
    ) -> PolicySample:
        """What a call reveals.

        Args:
            seen: The newest observations, oldest first.
            call: The call.
            noise: (K, *noise_shape) standard normal, the first of which is not used.
            seed: For what else is drawn.
            number: K.

        Raises:
            ObservationError: if the call cannot be repeated.
        """

    def actions(self, chunks: Tensor) -> npt.NDArray[np.float32]:
        """Normalised chunks (..., T, A) in the robot's units, where they are known."""


class Tapped:
    """By the tap of that kind of policy."""

    needs_state = False

    def __init__(self, tap: LiveTap, dtype: torch.dtype) -> None:
        self._tap, self._tolerance = tap, SAME.get(dtype, SAME_ROUGHLY)

    def spec(self, call: Call) -> TapSpec:
        """See `Beside`."""
        del call
        return self._tap.spec

    def sample(
        self, seen: Sequence[Prepared], call: Call, noise: Tensor | None, seed: int, number: int
    ) -> PolicySample:
        """See `Beside`."""
        with drawing(call.generators):
            own = self._tap.own_noise()  # also where it is given: the call's next draws follow it
            if noise is not None and own is not None:
                noise[0] = own if call.noise is None else call.noise[0]
            given = None if noise is None else noise[None]
            (sample,) = self._tap.sample([seen], given, [seed], number)
        length = len(call.chunk)
        apart = float((sample.chunks[0, :length] - call.chunk).abs().max())
        if not apart <= self._tolerance:
            raise ObservationError(
                f"the policy planned otherwise than its tap does from the same noise (largest "
                f"difference {apart:.2g} in normalised units), as with RTC or an adapted state; "
                "what is inside it is not known",
                "a chunk that its tap does not repeat",
            )
        return sample

    def actions(self, chunks: Tensor) -> npt.NDArray[np.float32]:
        """See `Beside`."""
        return self._tap.actions(chunks)


class Repeated:
    """By further calls of any policy's `predict_action_chunk`, K - 1 of them."""

    needs_state = True

    def __init__(self, loaded: LoadedPolicy) -> None:
        self._loaded = loaded

    def spec(self, call: Call) -> TapSpec:
        """See `Beside`."""
        length, config = len(call.chunk), self._loaded.config
        reason = "this kind of policy is known by its action chunks alone"
        return TapSpec(
            **self._loaded.sizes | {"action_dim": call.chunk.shape[-1]},
            plan_length=length,
            executed=min(int(getattr(config, "n_action_steps", length)), length),
            stochastic=call.drew,
            unavailable={one.name: reason for one in SIGNALS if one.kind is SignalKind.ATTENTION}
            | {"flow_curvature": reason},
        )

    def sample(
        self, seen: Sequence[Prepared], call: Call, noise: Tensor | None, seed: int, number: int
    ) -> PolicySample:
        """See `Beside`."""
        del seen, noise
        chunks = [call.chunk]
        with drawing(call.generators), torch.no_grad():
            torch.manual_seed(seed)
            for _ in range(number - 1):
                again = twin(call.before).predict_action_chunk
                chunk = again(dict(call.batch), **call.options)
                chunks.append(chunk[0].float())
        return PolicySample(torch.stack(chunks))

    def actions(self, chunks: Tensor) -> npt.NDArray[np.float32]:
        """See `Beside`."""
        return self._loaded.actions(chunks)


@dataclass(frozen=True, slots=True)
class _Live(LoadedPolicy):
    """A policy whose observations are prepared already."""

    def batch(self, observations: Sequence[Observation]) -> dict[str, Any]:
        """The one observation, as it was given."""
        (given,) = observations
        assert isinstance(given, Prepared)
        return dict(given.batch)


def beside(policy: Any, postprocess: Any = None, tap: LiveTap | None = None) -> Beside:
    """What finds what a policy's calls reveal.

    Args:
        policy: Of LeRobot's; nothing of it is changed.
        postprocess: Its normalised actions to the robot's units; None leaves them as they are.
        tap: Of the policy, where SALUS has none of its own.

    Raises:
        PolicyError: if it is no such policy, or nothing can be read beside it.
    """
    from lerobot.policies.pretrained import PreTrainedPolicy

    if not isinstance(policy, PreTrainedPolicy):
        raise PolicyError(
            f"a {type(policy).__name__} cannot be watched; give the policy object of LeRobot's "
            "(a PreTrainedPolicy; of one that peft has wrapped, its get_base_model())"
        )
    weights = next(policy.parameters())
    if tap is not None:
        return Tapped(tap, weights.dtype)
    copied = twin(policy)
    own: Any = (lambda chunks: chunks) if postprocess is None else postprocess
    loaded = _Live(copied, None, own, camera_keys(policy.config))
    own_tap = live_tap(policy.config.type, loaded)
    return Repeated(loaded) if own_tap is None else Tapped(own_tap, weights.dtype)


def twin(policy: Any) -> Any:
    """A policy with the same weights, and queues of its own, which it may change."""
    shared = [*policy.modules(), *policy.parameters(), *policy.buffers(), policy.config]
    memo = {id(one): one for one in shared}
    made = copy.copy(policy)
    modules = set(nn.Module().__dict__)
    for name, value in policy.__dict__.items():
        if name in WATCHED:
            del made.__dict__[name]  # whoever watches or compiles the policy does not see its twin
        elif name not in modules:
            made.__dict__[name] = copy.deepcopy(value, memo)
    return made


def generators(device: torch.device) -> Generators:
    """State of the generators that a policy on a device draws from."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), cuda


def same_generators(one: Generators, other: Generators) -> bool:
    """Whether nothing was drawn between two states."""
    cuda = one[1] is None or other[1] is None or torch.equal(one[1], other[1])
    return cuda and torch.equal(one[0], other[0])


@contextmanager
def drawing(state: Generators) -> Iterator[None]:
    """Within it torch draws from a state; outside of it nothing has changed."""
    cpu, cuda = state
    devices = [] if cuda is None else [torch.cuda.current_device()]
    with torch.random.fork_rng(devices=devices):
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)
        yield
