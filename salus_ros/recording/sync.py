"""Putting together what belongs to one observation."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.phases import Phase
from salus_ros.recording.rows import STATE
from salus_ros.recording.streams import JointStream, Stream
from salus_ros.recording.time import Order, jump_words

IMAGES_KEPT = 8
SAMPLES_KEPT = 256


@dataclass(frozen=True, slots=True, eq=False)
class SyncedObservation:
    """What belongs to one stamp, and which samples it was taken from.

    Attributes:
        stamp_ns: Stamp of the reference image.
        images: Message of each camera.
        state: Float32 (S,), the joints in the order that was asked for.
        status: Status of the episode.
        inputs: Stamps in ns of the samples used, by stream: a camera, or "state", which several
            messages may have made.
    """

    stamp_ns: int
    images: dict[str, Any]
    state: NDArray[np.float32]
    status: Any
    inputs: dict[str, tuple[int, ...]]


class ObservationSync:
    """Collects the messages of one observation: every camera, the joints and the episode.

    The newest image of the first camera is the reference, and its stamp the observation's. Of
    the other cameras and the joints the sample with the nearest stamp counts, of those that have
    come, if it is within `slop_ns`. The episode's status is that of the same stamp; with a slop,
    where it is a state that was announced some time before, the newest one up to the reference.

    Each stream is put in order by the rule for time on its own: one late message finds its place
    and harms nothing. A reference that is replaced by a newer one before it is complete is given
    up, one that comes after a newer one is late, and one that is repeated is complete again.

    Attributes:
        given_up: References that were not answered for, by the reason.
        jumps: How often the clock of a stream jumped.
        last_jump: The last one of them in words.
    """

    def __init__(self, cameras: Sequence[str], joints: Sequence[str], slop_ns: int = 0) -> None:
        """Make an empty collection.

        Args:
            cameras: Names of the image streams, the reference first.
            joints: Names of the S joints of the state, in its order.
            slop_ns: Largest difference of stamps in ns; 0 takes equal stamps only.
        """
        self._reference = cameras[0]
        self._cameras = tuple(cameras)
        self._joints = tuple(joints)
        self._slop_ns = slop_ns
        self.given_up: Counter[str] = Counter()
        self.jumps = 0
        self.last_jump = ""
        self.restart()

    def restart(self) -> None:
        """Forget every sample."""
        self._images = {camera: Stream(IMAGES_KEPT) for camera in self._cameras}
        self._state = JointStream(self._joints, SAMPLES_KEPT)
        self._statuses = Stream(SAMPLES_KEPT)
        self._wanted: int | None = None

    @property
    def refused(self) -> int:
        """Samples whose stamps were wrong."""
        streams = (*self._images.values(), self._state, self._statuses)
        return sum(stream.refused for stream in streams)

    @property
    def waiting_for(self) -> str:
        """What the newest reference still lacks, in words; empty where none waits."""
        return "" if self._wanted is None else " and ".join(self._lacking(self._wanted))

    def add_image(self, camera: str, stamp_ns: int, message: Any) -> SyncedObservation | None:
        """Take in an image; returns the observation that it completes, if any."""
        stream = self._images[camera]
        order = self._noted(stream.add(stamp_ns, message), stream, camera)
        if camera == self._reference:
            if order in (Order.NEXT, Order.JUMP):
                self._give_up()
                self._wanted = stream.newest_ns
            elif order is Order.REPEATED and stamp_ns == stream.newest_ns:
                self._wanted = stamp_ns
            elif order is Order.LATE:
                self.given_up[f"'{camera}' came after a newer one"] += 1
        return self._complete()

    def add_joints(
        self, stamp_ns: int, positions: Mapping[str, float]
    ) -> SyncedObservation | None:
        """Take in the positions of some joints or all, as `add_image` does an image."""
        self._noted(self._state.add(stamp_ns, positions), self._state, "joint_states")
        return self._complete()

    def add_status(self, stamp_ns: int, status: Any) -> SyncedObservation | None:
        """Take in an EpisodeStatus, of whichever library, as `add_image` does an image.

        Where it says that an episode begins, at a stamp that is not new, the world was started
        again: everything older is forgotten.
        """
        newest = self._statuses.as_of(self._statuses.newest_ns, -1)
        order = self._noted(self._statuses.add(stamp_ns, status), self._statuses, "episode")
        if order in (Order.LATE, Order.REPEATED) and newest is not None:
            begins = status.phase == Phase.RUNNING and status.step == 0
            if begins and (newest[1].step > 0 or newest[1].episode_id != status.episode_id):
                self.restart()
                self._statuses.add(stamp_ns, status)
        return self._complete()

    def _noted(self, order: Order, stream: Stream | JointStream, name: str) -> Order:
        if order is Order.JUMP:
            self.jumps += 1
            self.last_jump = f"{jump_words(stream.jump_ns)} on '{name}'"
        return order

    def _complete(self) -> SyncedObservation | None:
        wanted = self._wanted
        if wanted is None:
            return None
        images: dict[str, Any] = {}
        inputs: dict[str, tuple[int, ...]] = {}
        for camera, stream in self._images.items():
            if (found := stream.nearest(wanted, self._slop_ns)) is None:
                return None
            inputs[camera], images[camera] = (found[0],), found[1]
        inputs[STATE] = self._state.nearest_stamps(wanted, self._slop_ns)
        state, status = self._state.at(inputs[STATE]), self._status_of(wanted)
        if state is None or status is None:
            return None
        self._wanted = None
        return SyncedObservation(wanted, images, state[1], status, inputs)

    def _status_of(self, stamp_ns: int) -> Any:
        if self._slop_ns:
            found = self._statuses.as_of(stamp_ns + self._slop_ns, -1)
        else:
            found = self._statuses.at((stamp_ns,))
        return None if found is None else found[1]

    def _give_up(self) -> None:
        """Count the reference that waits; not one of before any episode: nobody asked for it."""
        if self._wanted is not None and (lacking := self._lacking(self._wanted)):
            self.given_up[" and ".join(lacking)] += 1

    def _lacking(self, stamp_ns: int) -> list[str]:
        if self._slop_ns and self._status_of(stamp_ns) is None:
            return []
        how = (
            f"within {self._slop_ns / 1e6:g} ms of '{self._reference}'"
            if self._slop_ns
            else f"with the stamp of '{self._reference}'"
        )
        lacking = [
            f"no '{camera}' {how}"
            for camera, stream in self._images.items()
            if stream.nearest(stamp_ns, self._slop_ns) is None
        ]
        if missing := self._state.missing:
            lacking.append(f"no {', '.join(missing)} in 'joint_states'")
        elif self._state.at(self._state.nearest_stamps(stamp_ns, self._slop_ns)) is None:
            lacking.append(f"no 'joint_states' {how}")
        if self._status_of(stamp_ns) is None:
            lacking.append(f"no 'episode' {how}")
        return lacking
