"""From one replan to the next: what a policy says at each step of an episode."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies.chunk_statistics import CHUNK_STATISTICS, ChunkStatistics
from salus_ros.policies.reference import LatentReference
from salus_ros.policies.signals import SignalComputer
from salus_ros.policies.tap import PolicySample, TapSpec


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """What the policy says at one step.

    Where no plan is in force, everything is NaN or empty, and `plan_step` is -1.

    Attributes:
        action: float32 (A,), in the robot's units.
        signals: float32 (12,); NaN where not valid. Held from the last replan if not `fresh`.
        valid: bool (12,).
        fresh: Whether the network ran at this step.
        embedding: float16 (H,) pooled hidden state of the last replan; this and the next two of
            size 0 where the policy gives none.
        chunk_statistics: float32 (5,) of the last replan, see `CHUNK_STATISTICS`; NaN where one
            does not exist.
        plans: float32 (K, T, A) the chunks of the last replan, whole, in the units of `action`;
            the first is the one that is executed.
        plan_step: Which action of it this is: `action` is `plans[0, plan_step]`.
        visual_embedding: float16 (cameras, D) image features of the last replan from the policy's
            own encoder, mean of each camera, in the order of `PolicyRunner.cameras`.
        expert_embedding: float16 (E,) pooled state in the middle of the action expert, of the
            last replan.
        further: float32 (F,) signals beyond the twelve, of the last replan, in the order of
            `TapSpec.further`; NaN where one does not exist.
        inference_ms: Duration of the network run, of the whole batch; NaN if it did not run.
    """

    action: npt.NDArray[np.float32]
    signals: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    fresh: bool
    embedding: npt.NDArray[np.float16]
    chunk_statistics: npt.NDArray[np.float32]
    plans: npt.NDArray[np.float32]
    plan_step: int
    visual_embedding: npt.NDArray[np.float16]
    expert_embedding: npt.NDArray[np.float16]
    further: npt.NDArray[np.float32]
    inference_ms: float


class Follower:
    """Follows one episode after the other; `reset` clears all memory.

    Args:
        spec: Of the policy.
        reference: For `latent_ood`; None leaves it NaN.
        replan_every: Steps between replans, see `SignalComputer`.
    """

    def __init__(
        self,
        spec: TapSpec,
        reference: LatentReference | None = None,
        replan_every: int | None = None,
    ) -> None:
        self._spec = spec
        self._computer = SignalComputer(spec.executed, reference, replan_every, spec.further)
        self._statistics_computer = ChunkStatistics()
        self.reset()

    def reset(self) -> None:
        """Begin an episode; nothing of the last one remains."""
        self._computer.reset()
        self._statistics_computer.reset()
        self.planned_at: int | None = None
        """Step of the last replan; None before the first."""
        self._hold_nothing()

    def _hold_nothing(self) -> None:
        spec, signals = self._spec, len(SIGNAL_NAMES) + len(self._spec.further)
        self._plans: npt.NDArray[np.float32] = np.empty((0, 0, spec.action_dim), np.float32)
        self._signals: npt.NDArray[np.float32] = np.full(signals, np.nan, np.float32)
        self._embedding: npt.NDArray[np.float16] = np.full(spec.embedding_dim, np.nan, np.float16)
        self._visual: npt.NDArray[np.float16] = np.empty((0, spec.visual_dim), np.float16)
        self._middle: npt.NDArray[np.float16] = np.empty(0, np.float16)
        self._statistics: npt.NDArray[np.float32] = np.full(
            len(CHUNK_STATISTICS), np.nan, np.float32
        )

    def accept(self, sample: PolicySample, plans: npt.NDArray[np.float32], step: int) -> None:
        """Take in a replan.

        Args:
            sample: What it reveals.
            plans: float32 (K, T, A), its chunks in the robot's units.
            step: Of the observation that it was made from.
        """
        self._hold_nothing()
        self._signals = self._computer(sample, step)
        chunks = sample.chunks.double().cpu().numpy()
        self._statistics = self._statistics_computer(chunks, step)
        if sample.hidden is not None:
            self._embedding = _half(sample.hidden.mean(dim=0))
        if sample.visual is not None:
            self._visual = _half(sample.visual)
        if sample.middle is not None:
            self._middle = _half(sample.middle.mean(dim=0))
        self._plans = plans
        self.planned_at = step

    def answer(self, step: int, *, fresh: bool, inference_ms: float = float("nan")) -> PolicyStep:
        """What is said at a step: of the last replan, as long as its plan goes on."""
        plan_step = -1 if self.planned_at is None else step - self.planned_at
        if not 0 <= plan_step < self._plans.shape[1]:
            self.reset()
            plan_step = -1
        action: npt.NDArray[np.float32] = np.full(self._spec.action_dim, np.nan, np.float32)
        if plan_step >= 0:
            action = self._plans[0, plan_step].copy()
        twelve = self._signals[: len(SIGNAL_NAMES)]
        return PolicyStep(
            action=action,
            signals=twelve.copy(),
            valid=np.isfinite(twelve),
            fresh=fresh,
            embedding=self._embedding.copy(),
            chunk_statistics=self._statistics.copy(),
            plans=self._plans.copy(),
            plan_step=plan_step,
            visual_embedding=self._visual.copy(),
            expert_embedding=self._middle.copy(),
            further=self._signals[len(SIGNAL_NAMES) :].copy(),
            inference_ms=inference_ms,
        )


def _half(values: torch.Tensor) -> npt.NDArray[np.float16]:
    """As stores keep it; what float16 cannot hold becomes infinite, which no store takes."""
    with np.errstate(over="ignore"):
        return values.float().cpu().numpy().astype(np.float16)
