"""What a recovery is told at a step: joints, images and predictions, each as of its stamp."""

import math
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_msgs.msg import EpisodeStatus, FailureHorizons
from salus_ros.core.errors import ObservationError, RecoveryError
from salus_ros.messages.joints import read_joints
from salus_ros.messages.serialised import read_serialised_image
from salus_ros.messages.signals import read_prediction
from salus_ros.messages.stamps import NANO
from salus_ros.recovery.sight import Action, Sight
from salus_ros.recovery.watch import NOTHING, Forecast, Overheard
from salus_ros.worlds.panda import FINGER_JOINTS, JOINTS
from salus_ros.worlds.workcell import Workcell

SAMPLES_KEPT = 64
IMAGES_KEPT = 32
IMAGE_AGE_NS = 100_000_000
"""An older image is none."""


class RecoveryInput:
    """Collects what comes, and gives it out as of a step.

    Args:
        cell: The arm.
        cameras: Those that are looked at; none where nobody looks.
        overheard: Makes forecasts of what the predictor says.
    """

    def __init__(self, cell: Workcell, cameras: Sequence[str], overheard: Overheard) -> None:
        self._cell, self._overheard = cell, overheard
        self._samples: deque[tuple[int, dict[str, float]]] = deque(maxlen=SAMPLES_KEPT)
        self._images: dict[str, deque[tuple[int, bytes]]] = {
            name: deque(maxlen=IMAGES_KEPT) for name in cameras
        }
        self._episode_id, self._foreseen_at = "", -1  # of the newest prediction
        self._forecast = NOTHING

    # What comes

    def joints(self, message: Any, stamp_ns: int) -> None:
        """Take in a JointState, of some joints or all.

        Raises:
            ObservationError: if it cannot be read.
        """
        names, positions = read_joints(message, (*JOINTS, *FINGER_JOINTS))
        if names:
            sample = dict(zip(names, positions.tolist(), strict=True))
            self._samples.append((stamp_ns, sample))

    def image(self, camera: str, stamp_ns: int, raw: bytes) -> None:
        """Take in an image as it was sent; it is read where somebody looks."""
        self._images[camera].append((stamp_ns, raw))

    def horizons(self, message: FailureHorizons) -> bool:
        """Take in a prediction; whether it is of a step that none was heard of yet.

        Raises:
            ObservationError: if it cannot be used.
        """
        if message.episode_id != self._episode_id:
            self.forget_predictions()
            self._episode_id = message.episode_id
        if message.step <= self._foreseen_at:
            return False
        self._forecast = self._overheard.update(read_prediction(message))
        self._foreseen_at = int(message.step)
        return True

    def forget_predictions(self) -> None:
        """The policy begins anew, and so does what is foreseen."""
        self._overheard.reset()
        self._episode_id, self._foreseen_at, self._forecast = "", -1, NOTHING

    # What there is

    def has_joints(self, stamp_ns: int) -> bool:
        """Whether the joints of a stamp are there, or later ones."""
        return any(at >= stamp_ns for at, _ in self._samples)

    def has_images(self, stamp_ns: int) -> bool:
        """Whether those of a stamp are there, or later ones, of every camera."""
        return all(any(at >= stamp_ns for at, _ in kept) for kept in self._images.values())

    def has_forecast(self, episode_id: str, step: int) -> bool:
        """Whether the prediction of a step is there, or of a later one."""
        return self._episode_id == episode_id and self._foreseen_at >= step

    def forecast(self, episode_id: str) -> Forecast:
        """What was foreseen last since the policy began; nothing where nothing was."""
        return self._forecast if self._episode_id == episode_id else NOTHING

    def sight(
        self,
        status: EpisodeStatus,
        step: int,
        stamp_ns: int,
        last: Action | None,
        silent_s: float = 0.0,
    ) -> Sight:
        """What is seen at a step.

        Args:
            status: The episode.
            step: The step.
            stamp_ns: Its stamp.
            last: The action that was done last.
            silent_s: How long the joints have been waited for; they are as old at least.
        """
        values, age_s = self._as_of(stamp_ns)
        arm = np.array([values.get(name, np.nan) for name in JOINTS])
        fingers = np.array([values.get(name, np.nan) for name in FINGER_JOINTS])
        known = np.isfinite(arm).all()
        return Sight(
            step=step,
            steps_left=status.max_steps - step if status.max_steps else sys.maxsize,
            task=status.task,
            joints=arm,
            fingers=fingers,
            tool=self._cell.tool(arm) if known else np.full((4, 4), np.nan),
            last=last,
            look=lambda: self._look(stamp_ns),
            age_s=max(age_s, silent_s),
        )

    def _as_of(self, stamp_ns: int) -> tuple[dict[str, float], float]:
        """Newest position of each joint that is not newer than a stamp, and the age in s."""
        values: dict[str, float] = {}
        oldest_ns = stamp_ns
        for at, sample in reversed(self._samples):
            new = {name: value for name, value in sample.items() if name not in values}
            if at <= stamp_ns and new:
                values |= new
                oldest_ns = min(oldest_ns, at)
        return values, (stamp_ns - oldest_ns) / NANO if values else math.nan

    def _look(self, stamp_ns: int) -> Mapping[str, NDArray[np.uint8]]:
        """The images of a step.

        Raises:
            RecoveryError: if a camera has none, or one that cannot be read.
        """
        seen: dict[str, NDArray[np.uint8]] = {}
        for name, kept in self._images.items():
            fresh = (raw for at, raw in reversed(kept) if 0 <= stamp_ns - at <= IMAGE_AGE_NS)
            raw = next(fresh, None)
            if raw is None:
                raise RecoveryError(f"camera '{name}' has no image of this step")
            try:
                seen[name] = read_serialised_image(raw, name)
            except ObservationError as error:
                raise RecoveryError(f"camera '{name}': {error}") from error
        return seen
