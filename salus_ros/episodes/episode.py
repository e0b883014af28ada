"""One recorded episode in memory, checked once when it is made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import DTypeLike, NDArray

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes.interventions import parse


@dataclass(frozen=True, slots=True)
class EpisodeMeta:
    """What is known about an episode as a whole.

    Attributes:
        id: Name that the recording gave the episode; need not be unique in a store, where an
            episode is addressed by its index.
        task: Instruction given to the policy.
        outcome: How the episode ended.
        failure_type: Kind of the failure; `NONE` unless the outcome is `FAILURE`. A world gives
            the published type, and what is finer as the cause; see `finest_type`.
        failure_step: Step of the failure, 0 to the number of steps (which means: seen only
            after the last recorded step); -1 when there was none or its moment is unknown.
        failure_cause: Why it failed in the world's own words, finer than the type; empty without
            a failure, or where nobody says.
        seed: Seed of the world; -1 when it had none, as on a real robot.
        fault: Fault that was injected, "none" without one.
        condition: Condition that the world was drawn under; empty where there are none to name.
        fault_step: Control step at which the fault starts, which an episode may not live to see;
            -1 without a fault, or where its moment is unknown.
        fault_strength: Strength of the fault in its own unit; NaN without one, or unknown.
        world: Gymnasium id of the world that it ran in; empty on a real robot, or unknown.
        source: What the episode was made from, known by its content and not by its name: a
            conversion finds there what it has converted already. Empty where there is none.
        interventions: Where something else than the policy acted, see `interventions`; empty where
            nothing did, or nobody recorded it.
        policy_id: Which policy acted and gave the signals; after `salus convert --policy` the one
            that gave them.
        model_id: Which predictor wrote the live predictions; empty without one.
        rate_hz: Steps per second of episode time.
        wall_time_s: Wall-clock duration in s (in lockstep not the simulated one); NaN unknown.
    """

    id: str
    task: str
    outcome: Outcome
    failure_type: FailureType = FailureType.NONE
    failure_step: int = -1
    seed: int = -1
    fault: str = "none"
    policy_id: str = ""
    model_id: str = ""
    rate_hz: float = 30.0
    wall_time_s: float = math.nan
    condition: str = ""
    fault_step: int = -1
    fault_strength: float = math.nan
    world: str = ""
    failure_cause: str = ""
    source: str = ""
    interventions: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcome", Outcome(self.outcome))
        object.__setattr__(self, "failure_type", FailureType(self.failure_type))
        failed = self.outcome == Outcome.FAILURE
        if failed == (self.failure_type == FailureType.NONE):
            raise StoreError(
                f"episode '{self.id}': outcome '{self.outcome.name.lower()}' does not go with "
                f"failure type '{self.failure_type.label}'; a failure has a type, nothing else has"
            )
        if self.failure_step < -1 or (self.failure_step >= 0 and not failed):
            raise StoreError(
                f"episode '{self.id}': failure step {self.failure_step} is not allowed with "
                f"outcome '{self.outcome.name.lower()}'; use -1 where nothing failed"
            )
        if self.failure_cause and not failed:
            raise StoreError(
                f"episode '{self.id}': failure cause '{self.failure_cause}' is not allowed with "
                f"outcome '{self.outcome.name.lower()}'; leave it empty where nothing failed"
            )
        if self.fault_step < -1 or (self.fault_step >= 0 and self.fault == "none"):
            raise StoreError(
                f"episode '{self.id}': fault step {self.fault_step} is not allowed with fault "
                f"'{self.fault}'; use -1 where no fault was injected"
            )
        if self.fault == "none" and not math.isnan(self.fault_strength):
            raise StoreError(
                f"episode '{self.id}': fault strength {self.fault_strength} is not allowed "
                "without a fault; use NaN"
            )
        parse(self.interventions)
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise StoreError(f"episode '{self.id}': rate_hz {self.rate_hz} must be above 0")

    def judged(
        self, outcome: Outcome, failure_type: FailureType, failure_step: int
    ) -> "EpisodeMeta":
        """The same, judged so; the world's own cause stays where the type is the same.

        The same is the type that is stored or the finer one that the cause names.

        Raises:
            StoreError: if the judgement contradicts itself.
        """
        same = failure_type in (self.failure_type, self.finest_type)
        return replace(
            self,
            outcome=outcome,
            failure_type=failure_type,
            failure_step=failure_step,
            failure_cause=self.failure_cause if same else "",
        )

    def check_length(self, steps: int) -> None:
        """Refuse what lies after the end of an episode of this many steps."""
        if self.failure_step > steps:
            raise StoreError(
                f"episode '{self.id}': failure step {self.failure_step} lies after its {steps} "
                f"steps; allowed is 0 to {steps}, or -1 where the moment is not known"
            )
        spans = parse(self.interventions)
        if spans and spans[-1].stop > steps:
            raise StoreError(
                f"episode '{self.id}': the interventions '{self.interventions}' go beyond its "
                f"{steps} steps"
            )

    @property
    def labelled(self) -> bool:
        """Whether horizon labels can be computed: a known outcome, and a moment if it failed."""
        return self.outcome == Outcome.SUCCESS or self.failure_step >= 0

    @property
    def finest_type(self) -> FailureType:
        """The finest failure type that is known of it, by its type and its cause."""
        return self.failure_type.refined(self.failure_cause)

    @property
    def ending(self) -> str:
        """How it ended, in one word: "success", the kind of failure, or "unknown"."""
        failed = self.outcome == Outcome.FAILURE
        return self.failure_type.label if failed else self.outcome.name.lower()


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """The arrays of one episode of T steps; row t holds step t's observation and its action.

    What was not there is absent or NaN, never a made-up zero: signals without validity become
    NaN, and the optional arrays may be None, which a store writes as NaN.

    Attributes:
        meta: The episode as a whole.
        action: Float32 (T, A).
        state: Float32 (T, S).
        stamp_ns: Int64 (T,), strictly increasing.
        signals: Float32 (T, 12), in the order of `schema.SIGNALS`; NaN where not valid.
        signals_valid: Bool (T, 12).
        signals_fresh: Bool (T,): computed at this step, not held from an earlier one.
        further_signals: Float32 (T, F), of the store's `further_signals`, held and replaced as
            `signals` are; NaN where one does not exist; or None.
        images: Uint8 (T, H, W, 3) per camera name; empty without cameras.
        embedding: Float16 (T, D), or None.
        chunk_statistics: Float32 (T, C), NaN where one does not exist; or None.
        plan: Float16 (T, L, A), the policy's plan in force at each step, whole, in the units of
            `action`; or None. It is replaced at the steps that are `signals_fresh`.
        plan_step: Float32 (T,), which action of the plan is executed at the step, from 0; or None.
            Where the policy acted and the age of its signals is 0, `action[t]` is
            `plan[t, plan_step[t]]` but for the rounding to float16, at most 2^-11 of it.
        plan_samples: Float16 (T, K, L, A), all sampled plans, of which `plan` is the first; or
            None.
        visual_embedding: Float16 (T, C, V), image tokens of each camera from the policy's own
            encoder, mean over the image, as of the last replan; or None.
        expert_embedding: Float16 (T, E), state in the middle of the policy's action expert, as of
            the last replan; or None.
        joint_position: Float32 (T, J) in rad or m, of the store's `joint_names`; NaN where no
            message says it; or None.
        joint_velocity: Float32 (T, J) in rad/s or m/s, likewise.
        joint_effort: Float32 (T, J) in Nm or N, likewise.
        lookahead: Float16 (T, N), what the arm would meet if it did as was planned at the step, of
            the store's `lookahead_names`; NaN where joints or plan are missing; or None.
        truth: Float32 (T, N), what only the world can know of the step, of the store's
            `truth_names`: poses of things and contact forces. To measure with and to teach with,
            never an input of what predicts; or None.
        age_ms: Float32 (T, M): age of the sample that was used of each stream of the store, NaN
            for no sample; or None.
        probability: Float32 (T, H, K) as predicted live, NaN for none; or None.
        risk: Float32 (T,) as predicted live, NaN for none; or None.
        alarm: Float32 (T,), 0 or 1 as predicted live, NaN for none; or None.
        episode_outputs: Float32 (T, E), what was predicted live of the episode as a whole, of the
            store's `episode_outputs`, NaN for none; or None.
    """

    meta: EpisodeMeta
    action: NDArray[np.float32]
    state: NDArray[np.float32]
    stamp_ns: NDArray[np.int64]
    signals: NDArray[np.float32]
    signals_valid: NDArray[np.bool_]
    signals_fresh: NDArray[np.bool_]
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    further_signals: NDArray[np.float32] | None = None
    embedding: NDArray[np.float16] | None = None
    chunk_statistics: NDArray[np.float32] | None = None
    plan: NDArray[np.float16] | None = None
    plan_step: NDArray[np.float32] | None = None
    plan_samples: NDArray[np.float16] | None = None
    visual_embedding: NDArray[np.float16] | None = None
    expert_embedding: NDArray[np.float16] | None = None
    joint_position: NDArray[np.float32] | None = None
    joint_velocity: NDArray[np.float32] | None = None
    joint_effort: NDArray[np.float32] | None = None
    lookahead: NDArray[np.float16] | None = None
    truth: NDArray[np.float32] | None = None
    age_ms: NDArray[np.float32] | None = None
    probability: NDArray[np.float32] | None = None
    risk: NDArray[np.float32] | None = None
    alarm: NDArray[np.float32] | None = None
    episode_outputs: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        for name, (dims, dtype) in _FORMS.items():
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            object.__setattr__(self, name, self._checked(name, value, dims, dtype))
        for camera, frames in self.images.items():
            if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
                raise self._error(f"images of '{camera}'", frames, "uint8 (T, H, W, 3)")
        rows = {name: len(value) for name, value in self._arrays().items()}
        if len(self) == 0 or len(set(rows.values())) > 1:
            raise StoreError(
                f"episode '{self.meta.id}': all arrays need the same number of steps, at least "
                f"one; given {rows}"
            )
        self.meta.check_length(len(self))
        if (np.diff(self.stamp_ns) <= 0).any():
            step = int(np.flatnonzero(np.diff(self.stamp_ns) <= 0)[0])
            raise StoreError(
                f"episode '{self.meta.id}': stamp_ns must increase with every step; it goes from "
                f"{self.stamp_ns[step]} to {self.stamp_ns[step + 1]} after step {step}"
            )
        if not np.isfinite(self.signals[self.signals_valid]).all():
            raise StoreError(
                f"episode '{self.meta.id}': a signal marked valid is not finite; mark it invalid"
            )
        signals = np.where(self.signals_valid, self.signals, np.float32(np.nan))
        object.__setattr__(self, "signals", signals)

    def __len__(self) -> int:
        """Number of steps T."""
        return len(self.stamp_ns)

    def named(self, meta: EpisodeMeta) -> "Episode":
        """The same steps, and what is known about them as a whole."""
        return replace(self, meta=meta)

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        present = {name: getattr(self, name) for name in _FORMS}
        arrays = {name: value for name, value in present.items() if value is not None}
        return arrays | {f"images of '{camera}'": v for camera, v in self.images.items()}

    def _checked(
        self, name: str, value: object, dims: int, dtype: DTypeLike
    ) -> NDArray[np.generic]:
        array = np.asarray(value)
        allowed = f"{np.dtype(dtype)} with {dims} dimensions"
        if array.ndim != dims or not np.can_cast(array.dtype, dtype, casting="same_kind"):
            raise self._error(name, array, allowed)
        return array.astype(dtype, copy=False)

    def _error(self, name: str, given: NDArray[np.generic], allowed: str) -> StoreError:
        return StoreError(
            f"episode '{self.meta.id}': {name} is {given.dtype} {given.shape}; "
            f"allowed is {allowed}"
        )


_FORMS: dict[str, tuple[int, DTypeLike]] = {
    "action": (2, np.float32),
    "state": (2, np.float32),
    "stamp_ns": (1, np.int64),
    "signals": (2, np.float32),
    "signals_valid": (2, np.bool_),
    "signals_fresh": (1, np.bool_),
    "further_signals": (2, np.float32),
    "embedding": (2, np.float16),
    "chunk_statistics": (2, np.float32),
    "plan": (3, np.float16),
    "plan_step": (1, np.float32),
    "plan_samples": (4, np.float16),
    "visual_embedding": (3, np.float16),
    "expert_embedding": (2, np.float16),
    "joint_position": (2, np.float32),
    "joint_velocity": (2, np.float32),
    "joint_effort": (2, np.float32),
    "lookahead": (2, np.float16),
    "truth": (2, np.float32),
    "age_ms": (2, np.float32),
    "probability": (3, np.float32),
    "risk": (1, np.float32),
    "alarm": (1, np.float32),
    "episode_outputs": (2, np.float32),
}

OPTIONAL = tuple(one.name for one in fields(Episode) if one.default is None)
"""Arrays that an episode need not have."""
