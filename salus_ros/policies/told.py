"""Signals of a policy that is known by the chunks it tells alone, from wherever it runs."""

import numpy as np
import numpy.typing as npt
import torch

from salus_ros.core.errors import ObservationError
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies.following import Follower, PolicyStep
from salus_ros.policies.signals import unavailable_signals
from salus_ros.policies.tap import PolicySample, TapSpec

OF_CHUNKS = ("sample_variance", "sample_spread_growth", "chunk_inconsistency")


class ToldPolicy:
    """Follows the episodes of such a policy; `reset` begins one.

    Attributes:
        spec: Its sizes; None before its first chunk of the episode.

    Args:
        executed: Actions of a chunk that are executed before the next one; 0 for all.
    """

    def __init__(self, executed: int = 0) -> None:
        self._executed = executed
        self.reset()

    def reset(self) -> None:
        """Begin an episode: nothing is known."""
        self.spec: TapSpec | None = None
        self._follower: Follower | None = None
        self._number = 0

    def forget(self) -> None:
        """The plan in force is not known, since what told it could not be used."""
        if self._follower is not None:
            self._follower.reset()

    @property
    def unavailable(self) -> dict[str, str]:
        """Signals that it never has, each with the reason; nothing before its first chunk."""
        if self.spec is None:
            return {}
        every = self.spec.executed
        return unavailable_signals(self.spec, self._number, every, reference=False)

    def take(
        self,
        step: int,
        chunks: npt.NDArray[np.float32] | None,
        chunk_step: int,
        scale: npt.NDArray[np.float32],
    ) -> PolicyStep | None:
        """Take in a step of the episode.

        Args:
            step: Its number.
            chunks: (K, T, A) in the robot's units, where the policy has planned anew.
            chunk_step: Which action of its newest chunk is executed; that was made for the
                observation of `chunk_step` steps ago.
            scale: (A,) what a value is divided by to be as in training.

        Returns:
            What is said, without anything where the plan in force was not seen; None while there
            was no chunk at all.

        Raises:
            ObservationError: if the chunks are not of the size of those before, or older than the
                episode; the plan in force is not known then.
        """
        planned_at = step - chunk_step
        if chunks is not None:
            self._accept(chunks, planned_at, scale)
        follower = self._follower
        if follower is None:
            return None
        if follower.planned_at != planned_at:
            follower.reset()
        return follower.answer(step, fresh=chunks is not None)

    def _accept(
        self, chunks: npt.NDArray[np.float32], planned_at: int, scale: npt.NDArray[np.float32]
    ) -> None:
        number, length, width = chunks.shape
        if self._follower is None:
            self.spec = TapSpec(
                cameras=(),
                state_dim=0,
                action_dim=width,
                plan_length=length,
                executed=min(self._executed or length, length),
                stochastic=number > 1,
                unavailable=dict.fromkeys(
                    (name for name in SIGNAL_NAMES if name not in OF_CHUNKS),
                    "the policy runs elsewhere and is known by its chunks alone",
                ),
            )
            self._follower, self._number = Follower(self.spec), number
        assert self.spec is not None
        known = (self._number, self.spec.plan_length, self.spec.action_dim)
        if chunks.shape != known or planned_at < 0:
            self.forget()
            raise ObservationError(
                f"its {number} chunks of {length} actions of {width} values are of step "
                f"{planned_at}; those before in the episode were {known}, and step 0 is the first",
                "chunks of another size than before, or older than the episode",
            )
        sample = PolicySample(torch.from_numpy(chunks / scale))
        self._follower.accept(sample, chunks, planned_at)
