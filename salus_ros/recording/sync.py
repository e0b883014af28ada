"""Putting together what belongs to one observation."""

from bisect import insort_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.recording.rows import STATE
from salus_ros.recording.streams import JointStream, Stream
from salus_ros.recording.time import DISORDER_NS, Order

IMAGES_KEPT = 8
SAMPLES_KEPT = 256

JOINTS, EPISODE = "joint_states", "episode"
"""Names of the streams that are no cameras."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What belongs together.

    Attributes:
        stamp_ns: Its stamp, that of the reference image.
        images: Message of each camera.
        state: Float32 (S,), in the order of the joints.
        status: Message that says where the episode stands.
        inputs: Stream (a camera or "state") and stamp in ns of each sample that it is made of.
    """

    stamp_ns: int
    images: dict[str, Any]
    state: NDArray[np.float32]
    status: Any
    inputs: tuple[tuple[str, int], ...]


class ObservationSync:
    """Collects the messages of one observation: every camera, the joints and the episode.

    The newest image of the first camera is the reference, and its stamp the observation's. One
    that is replaced by a newer one before it is complete is given up; one that comes again
    is complete again.

    Attributes:
        given_up: References that were given up, by the stream that was missing.
        unknown_joints: Joints of the state that no message has had yet.
    """

    def __init__(self, cameras: Sequence[str], joints: Sequence[str]) -> None:
        """Make an empty collection.

        Args:
            cameras: Names of the image streams, the reference first.
            joints: Names of the S joints of the state, in its order.
        """
        self.cameras, self.joints = tuple(cameras), tuple(joints)
        self.given_up: Counter[str] = Counter()
        self.unknown_joints = set(joints)
        self._wanted: int | None = None
        self._completed: int | None = None
        images = dict.fromkeys(cameras, IMAGES_KEPT)
        self._limits = images | dict.fromkeys((JOINTS, EPISODE), SAMPLES_KEPT)

    def add(self, stream: str, stamp_ns: int, sample: Any) -> Observation | None:
        """Take in a sample.

        Args:
            stream: A camera, "joint_states" or "episode".
            stamp_ns: Its stamp in ns.
            sample: The message; of joints, their values by name, of some or all.

        Returns:
            The observation, if this completes it.
        """
        if stream == JOINTS:
            self.unknown_joints -= sample.keys()
        self._take(stream, stamp_ns, sample)
        if self._wanted is None:
            return None
        found = self._find(self._wanted)
        if isinstance(found, str):
            return None
        self._completed, self._wanted = self._wanted, None
        return found

    @property
    def missing(self) -> str:
        """Stream that the reference still waits for; empty where none waits."""
        found = "" if self._wanted is None else self._find(self._wanted)
        return found if isinstance(found, str) else ""

    @property
    def refused(self) -> int:
        """Samples whose stamps were wrong."""
        return 0

    def lack(self, stream: str) -> str:
        """Say in words that an observation lacks a stream."""
        raise NotImplementedError

    def _want(self, stamp_ns: int | None) -> None:
        if self._wanted not in (None, stamp_ns, self._completed):
            self.given_up[self.missing] += 1
        self._wanted = stamp_ns

    def _take(self, stream: str, stamp_ns: int, sample: Any) -> None:
        raise NotImplementedError

    def _find(self, stamp_ns: int) -> Observation | str:
        """The observation of a reference, or the first stream that it lacks."""
        raise NotImplementedError


class ExactSync(ObservationSync):
    """Of a world, whose messages of one observation have one stamp.

    Whichever order they come in, and whatever its clock does. What comes again replaces what was
    there, and what has been given out is forgotten: a world that starts anew has old stamps.
    """

    def __init__(self, cameras: Sequence[str], joints: Sequence[str]) -> None:
        """As `ObservationSync`."""
        super().__init__(cameras, joints)
        self._held: dict[str, dict[int, Any]] = {stream: {} for stream in self._limits}

    def lack(self, stream: str) -> str:
        """Say in words that an observation lacks a stream."""
        return f"no '{stream}' of the same stamp as '{self.cameras[0]}' (sync_slop_ms is 0)"

    def _take(self, stream: str, stamp_ns: int, sample: Any) -> None:
        held = self._held[stream]
        before = held.pop(stamp_ns, None)
        held[stamp_ns] = {**before, **sample} if stream == JOINTS and before else sample
        if len(held) > self._limits[stream]:
            del held[next(iter(held))]
        if stream == self.cameras[0]:
            self._want(stamp_ns)

    def _find(self, stamp_ns: int) -> Observation | str:
        for stream, held in self._held.items():
            if stamp_ns not in held:
                return stream
        values = self._held[JOINTS][stamp_ns]
        if not all(joint in values for joint in self.joints):
            return JOINTS
        found = {stream: held.pop(stamp_ns) for stream, held in self._held.items()}
        return Observation(
            stamp_ns,
            {camera: found[camera] for camera in self.cameras},
            np.array([values[joint] for joint in self.joints], np.float32),
            found[EPISODE],
            tuple((stream, stamp_ns) for stream in (*self.cameras, STATE)),
        )


class NearestSync(ObservationSync):
    """Of a robot, whose drivers stamp by themselves.

    The other cameras and the joints give their sample nearest to the reference, within a slop.
    The episode's status is a state that was announced at some time: the newest one counts that
    is not ahead of the reference by more than that. Of samples that come twice the first counts,
    late ones are put in order, a wrong stamp is refused (`salus_ros.recording.time`). Where a
    clock jumps back the samples of the time before are forgotten, and the newest status stays.
    """

    def __init__(self, cameras: Sequence[str], joints: Sequence[str], slop_ns: int) -> None:
        """As `ObservationSync`; `slop_ns` is the largest difference of stamps in ns."""
        super().__init__(cameras, joints)
        self._slop_ns = slop_ns
        self._joints = JointStream(joints)
        self._images = {camera: Stream() for camera in cameras}
        self._streams: dict[str, Stream | JointStream] = {**self._images, JOINTS: self._joints}
        self._statuses: list[tuple[int, Any]] = []
        self._latest: Any = None  # status, as they arrive

    @property
    def refused(self) -> int:
        """Samples whose stamps were wrong."""
        return sum(stream.refused for stream in self._streams.values())

    def lack(self, stream: str) -> str:
        """Say in words that an observation lacks a stream."""
        slop = f"{self._slop_ns / 1e6:g} ms"
        if stream == EPISODE:
            return (
                f"no status of an episode at most {slop} ahead of '{self.cameras[0]}': has none "
                "come, or do clocks differ?"
            )
        return f"no '{stream}' within {slop} of '{self.cameras[0]}'"

    def _take(self, stream: str, stamp_ns: int, sample: Any) -> None:
        if stream == EPISODE:
            self._announce(stamp_ns, sample)
            return
        samples = self._streams[stream]
        if samples.add(stamp_ns, sample) is Order.JUMP:
            self._jump(stream, stamp_ns)
        samples.keep(self._limits[stream])
        if stream == self.cameras[0] and stamp_ns == samples.newest_ns:
            self._want(stamp_ns)
            for images in self._images.values():
                images.forget_before(stamp_ns - self._slop_ns)

    def _announce(self, stamp_ns: int, status: Any) -> None:
        self._latest = status
        newest_ns = self._statuses[-1][0] if self._statuses else stamp_ns
        if stamp_ns < newest_ns - DISORDER_NS:  # of another clock, but the last word
            self._statuses.clear()
        insort_right(self._statuses, (stamp_ns, status), key=itemgetter(0))
        del self._statuses[:-SAMPLES_KEPT]

    def _jump(self, stream: str, stamp_ns: int) -> None:
        if self._streams[stream].jump_ns > 0:  # a pause: what was before is too old anyway
            return
        self._want(None)
        for name, samples in self._streams.items():
            if name != stream:
                samples.forget_after(stamp_ns)
        if self._latest is not None:
            self._statuses = [(-1, self._latest)]

    def _find(self, stamp_ns: int) -> Observation | str:
        images: dict[str, Any] = {}
        inputs: list[tuple[str, int]] = []
        for camera, stream in self._images.items():
            found = stream.nearest(stamp_ns, self._slop_ns)
            if found is None:
                return camera
            images[camera] = found[1]
            inputs.append((camera, found[0]))
        joints = self._joints.nearest(stamp_ns, self._slop_ns)
        if joints is None:
            return JOINTS
        known = [status for at, status in self._statuses if at <= stamp_ns + self._slop_ns]
        if not known:
            return EPISODE
        stamps, state = joints
        inputs += [(STATE, at) for at in stamps]
        return Observation(stamp_ns, images, state, known[-1], tuple(inputs))


def observation_sync(
    cameras: Sequence[str], joints: Sequence[str], slop_ns: int
) -> ObservationSync:
    """Collection of observations whose stamps may differ by `slop_ns`; 0: that have one stamp."""
    return NearestSync(cameras, joints, slop_ns) if slop_ns else ExactSync(cameras, joints)
