"""Watching a policy in its user's own loop: `with Watch(policy, ...) as watch`."""

import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from salus_ros.core.errors import ConfigError, ObservationError, SalusError
from salus_ros.policies.checkpoint import policy_id
from salus_ros.policies.following import Follower, PolicyStep
from salus_ros.policies.live import (
    WATCHED,
    Call,
    Generators,
    Prepared,
    beside,
    generators,
    same_generators,
    twin,
)
from salus_ros.policies.noise import NoiseProcess
from salus_ros.policies.reference import LatentReference
from salus_ros.policies.signals import unavailable_signals
from salus_ros.policies.tap import LiveTap, PolicySample, TapSpec

NOTHING = np.zeros(0, np.float32)
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchedStep:
    """What a watched policy says at one of its user's calls.

    Attributes:
        episode: Number of the episode, from 0.
        step: Of the episode, from 0: calls of `select_action`, or what `replan_every` says that
            lies between two of `predict_action_chunk`.
        stamp_ns: When the call began, Unix time.
        said: Its signals and plans.
        policy_id: Name of the policy.
        cameras: Its names of its cameras.
        further: Names of its signals beyond the twelve.
    """

    episode: int
    step: int
    stamp_ns: int
    said: PolicyStep
    policy_id: str
    cameras: tuple[str, ...]
    further: tuple[str, ...]


class Watch:
    """Reads the signals of a policy beside the calls of its user, who gets what they got before.

    An episode begins with the first call after `reset` of the policy, or after `end`. What fails
    on this side never reaches the user's loop: it is counted in `problems`, logged once, and
    the signals of that replan are NaN.

    Attributes:
        policy_id: Name of the policy.
        unavailable: Signals that it never has, each with the reason; known after its first plan.
        spec: Sizes of the policy; None before its first plan.
        last: The newest step; None before the first.
        replans: How often it has planned.
        seconds: What watching has cost, beside the policy's own calls.
        problems: What went wrong, and how often.

    Args:
        policy: A policy of LeRobot's, as its user runs it.
        postprocess: Its postprocessor, which gives `PolicyStep.plans` the robot's units; without,
            they are normalised.
        on_step: Called with each step.
        num_samples: K, chunks of a replan; 1 costs least and gives no spread.
        seed: Of the noise of the chunks beside the executed one.
        replan_every: Steps between two calls of `predict_action_chunk`, for a loop that calls
            that itself; without, what compares two replans in time is not known.
        folder: Of its checkpoint: for the name, and the reference of `latent_ood`.
        tap: Of the policy, where it is of a kind that SALUS has none for.

    Raises:
        ConfigError: if `num_samples` or `replan_every` is not allowed.
        PolicyError: if the policy is none of LeRobot's, or `folder` is not a checkpoint.
    """

    def __init__(
        self,
        policy: Any,
        postprocess: Any = None,
        *,
        on_step: Callable[[WatchedStep], object] | None = None,
        num_samples: int = 4,
        seed: int = 0,
        replan_every: int | None = None,
        folder: str | Path | None = None,
        tap: LiveTap | None = None,
    ) -> None:
        if num_samples < 1 or (replan_every is not None and replan_every < 1):
            raise ConfigError(
                f"num_samples is {num_samples} and replan_every {replan_every}; allowed are whole "
                "numbers from 1 on"
            )
        self._beside = beside(policy, postprocess, tap)
        self._policy, self._on_step = policy, on_step
        self._device: torch.device = next(policy.parameters()).device
        self._folder = None if folder is None else Path(folder)
        self.policy_id = policy.config.type if folder is None else policy_id(folder)
        self._wanted, self._seed, self._replan_every = num_samples, seed, replan_every
        self.spec: TapSpec | None = None
        self.unavailable: dict[str, str] = {}
        self.last: WatchedStep | None = None
        self.replans, self.seconds = 0, 0.0
        self.problems: Counter[str] = Counter()
        self._follower: Follower | None = None
        self._own: dict[str, Any] = {}  # what stood in the policy's own attributes
        self._began = time.time_ns() - time.monotonic_ns()
        self._episode, self._running = -1, False
        self._call: Call | None = None  # of the user's call at hand
        self._selecting = self._planning = self._planned = self._busy = False
        self._forget()

    def _forget(self) -> None:
        self._step, self._next = -1, 0
        self._seen: list[Prepared] = []
        if self._follower is not None:
            self._follower.reset()

    def __enter__(self) -> Self:
        wraps = {"select_action": self._select, "reset": self._reset}
        there = {name: getattr(self._policy, name, None) for name in WATCHED}
        if any(hasattr(own, "watched_by_salus") for own in there.values()):
            raise ConfigError("the policy is watched already; one watch at a time")
        for name, own in there.items():
            if own is None:
                continue
            if name in self._policy.__dict__:
                self._own[name] = own
            wrapped = functools.wraps(own)(functools.partial(wraps.get(name, self._plan), own))
            wrapped.watched_by_salus = self  # type: ignore[attr-defined]
            setattr(self._policy, name, wrapped)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for name in WATCHED:
            if getattr(self._policy.__dict__.get(name), "watched_by_salus", None) is self:
                delattr(self._policy, name)
        for name, own in self._own.items():
            setattr(self._policy, name, own)
        self._own.clear()

    def end(self) -> None:
        """End the episode; the next call begins another."""
        self._running = False
        self._forget()

    # The user's calls

    def _reset(self, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.end()
        return own(*args, **kwargs)

    def _select(self, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        batch, stamp_ns = self._given(args, kwargs), self._now_ns()
        self._call, self._planned, self._selecting = None, False, True
        try:
            action = own(*args, **kwargs)
        finally:
            self._selecting = False
        self._guard(self._take, batch, stamp_ns, 1)
        return action

    def _plan(self, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._planning:  # a part of the call that is looked at already
            return own(*args, **kwargs)
        batch, stamp_ns = self._given(args, kwargs), self._now_ns()
        before: list[Any] = []
        self._guard(lambda: before.extend(self._before_call()))
        self._planning = True
        try:
            chunk = own(*args, **kwargs)
        finally:
            self._planning = False
        self._planned, self._call = True, None
        options = {name: value for name, value in kwargs.items() if name not in ("batch", "noise")}
        noise = kwargs.get("noise", args[1] if len(args) > 1 else None)
        if before:
            self._guard(lambda: self._after_call(chunk, batch, options, noise, *before))
        if not self._selecting:
            self._guard(self._take, batch, stamp_ns, self._replan_every or 0)
        return chunk

    def _given(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The batch as it was before the policy may change it; empty where there is none."""
        batch = args[0] if args else kwargs.get("batch")
        return dict(batch) if isinstance(batch, Mapping) else {}

    def _now_ns(self) -> int:
        """Unix time that never jumps."""
        return self._began + time.monotonic_ns()

    # This side

    def _guard(self, what: Callable[..., None], *given: Any) -> None:
        """Do it; whatever happens, the user's loop goes on."""
        started, self._busy = time.perf_counter(), True
        try:
            what(*given)
        except Exception as error:  # noqa: BLE001 - a robot waits for the action
            self._fail(error)
        finally:
            self._busy = False
            self.seconds += time.perf_counter() - started

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, SalusError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        cause = error.cause if isinstance(error, ObservationError) else text
        self.problems[cause] += 1
        if self.problems[cause] == 1:
            # No warning of Python's: whoever makes errors of those would have one in the loop.
            LOG.warning("watching the policy: %s", text)

    def _before_call(self) -> tuple[Generators, Any]:
        """What has to be known of the policy from before it plans."""
        wanted = self._beside.needs_state and self._wanted > 1
        return generators(self._device), twin(self._policy) if wanted else None

    def _after_call(
        self,
        chunk: torch.Tensor,
        batch: dict[str, Any],
        options: dict[str, Any],
        noise: torch.Tensor | None,
        state: Generators,
        before: Any,
    ) -> None:
        """Keep what has to be known of a plan; its chunk is the user's, who may change it."""
        drew = not same_generators(state, generators(self._device))
        kept = chunk.detach().float().clone()
        self._call = Call(kept, batch, options, noise, state, drew, before)

    def _take(self, batch: dict[str, Any], stamp_ns: int, steps: int) -> None:
        """Take in a call that is done; `steps` to the next one, 0 where that is not known."""
        if not self._running:
            self._running, self._episode = True, self._episode + 1
            self._begin()
        call, planned = self._call, self._planned
        self._call, self._planned = None, False
        self._step = self._next
        self._see(batch)
        if not planned and self._follower is None:
            raise ObservationError(
                "select_action has given an action and no chunk: such a policy has no plans to "
                "be watched",
                "an action without a chunk",
            )
        try:
            if planned:
                self.replans += 1
                if call is None:
                    raise ObservationError("a plan could not be looked at", "a plan not seen")
                self._accept(call)
        except Exception:
            if self._follower is not None:
                self._follower.reset()  # the plan in force is not known
            raise
        finally:
            self._say(stamp_ns, fresh=planned)
            length = 1 if self.spec is None else self.spec.plan_length
            self._next = self._step + (steps or length)  # chunks that do not overlap

    def _see(self, batch: dict[str, Any]) -> None:
        """Keep what the next plans are given; a batch of several observations is all of them."""
        state = batch.get("observation.state")
        if isinstance(state, torch.Tensor) and state.ndim == 3:  # (1, n, S)
            times = range(state.shape[1])
            self._seen = [self._prepared({k: _at(v, t) for k, v in batch.items()}) for t in times]
            return
        kept = 1 if self.spec is None else self.spec.observation_steps
        self._seen = [*self._seen, self._prepared(batch)][-max(kept, 1) :]

    def _prepared(self, batch: dict[str, Any]) -> Prepared:
        return Prepared({}, NOTHING, "", self._step, batch)

    def _accept(self, call: Call) -> None:
        """Find what a replan reveals."""
        if call.chunk.ndim != 3 or len(call.chunk) != 1:
            raise ObservationError(
                f"its chunk is {tuple(call.chunk.shape)}; a watch follows one robot, (1, T, A)",
                "a chunk that is not of one robot",
            )
        call = replace(call, chunk=call.chunk[0])
        if self._follower is None:
            self._open(self._beside.spec(call))
        spec, follower = self.spec, self._follower
        assert spec is not None
        assert follower is not None
        number = self._wanted if spec.stochastic else 1
        noise = None
        if spec.noise_shape is not None:
            # Of one episode after the other: each has noise of its own.
            process = NoiseProcess((number, *spec.noise_shape), 0.0)
            process.reset(self._seed + self._episode)
            noise = torch.from_numpy(process(self._step)).to(self._device)
        lacking = spec.observation_steps - len(self._seen)
        seen = [self._seen[0]] * lacking + self._seen  # as LeRobot's queues are filled
        drawn = np.random.SeedSequence([self._seed + self._episode, self._step])
        seed = int(drawn.generate_state(1)[0])
        try:
            sample = self._beside.sample(seen, call, noise, seed, number)
        except ObservationError as error:
            self._fail(error)
            sample = PolicySample(call.chunk[None])  # that much is known
        plans = self._beside.actions(sample.chunks[None])[0]  # (K, T, A)
        follower.accept(sample, plans, self._step)

    def _open(self, spec: TapSpec) -> None:
        """Take the sizes of the policy, which its first plan has told."""
        reference = None
        if self._folder is not None and spec.embedding_dim:
            reference = LatentReference.load(self._folder, spec.embedding_dim)
        every = self._replan_every or spec.executed
        self._follower = Follower(spec, reference, every)
        self.unavailable = unavailable_signals(
            spec, self._wanted, every, reference=reference is not None
        )
        self.spec = spec

    def _say(self, stamp_ns: int, *, fresh: bool) -> None:
        if self._follower is None:
            return
        ms = (self._now_ns() - stamp_ns) / 1e6 if fresh else float("nan")
        said = self._follower.answer(self._step, fresh=fresh, inference_ms=ms)
        assert self.spec is not None
        names = (self.policy_id, self.spec.cameras, self.spec.further)
        self.last = WatchedStep(self._episode, self._step, stamp_ns, said, *names)
        self._hand_on(self.last)

    # What a store adds

    def _begin(self) -> None:
        """An episode has begun."""

    def _hand_on(self, step: WatchedStep) -> None:
        """Give a step to whoever asked for them."""
        if self._on_step is not None:
            self._on_step(step)


def _at(value: Any, t: int) -> Any:
    """Of a batch (1, n, ...) the observation t."""
    return value[:, t] if isinstance(value, torch.Tensor) and value.ndim >= 3 else value
