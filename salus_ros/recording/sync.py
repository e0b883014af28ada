"""Putting together what belongs to one observation."""

from collections import deque
from collections.abc import Sequence
from typing import Any

IMAGES_KEPT = 8
SAMPLES_KEPT = 256


class ObservationSync:
    """Collects the messages of one observation: every camera, the joints and the episode.

    The newest image of the first camera is the reference, and its stamp the observation's.
    The other cameras and the joints give their sample with the nearest stamp, which may differ
    by `slop_ns`. The episode's status gives the one of that stamp; with a slop, where it is a
    state that was announced some time before, the newest one up to the reference.

    A reference that is replaced by a newer one before it is complete is given up, and one that
    is repeated is complete again. When time jumps back, everything older is forgotten.
    """

    def __init__(self, cameras: Sequence[str], slop_ns: int = 0) -> None:
        """Make an empty collection.

        Args:
            cameras: Names of the image streams, the reference first.
            slop_ns: Largest difference of stamps in ns; 0 takes equal stamps only.
        """
        self._reference = cameras[0]
        self._slop_ns = slop_ns
        limits = dict.fromkeys(cameras, IMAGES_KEPT)
        limits |= {"joint_states": SAMPLES_KEPT, "episode": SAMPLES_KEPT}
        self._samples: dict[str, deque[tuple[int, Any]]] = {
            stream: deque(maxlen=limit) for stream, limit in limits.items()
        }
        self._wanted: int | None = None
        self.given_up = 0
        """References that were replaced before they were complete."""

    def add(self, stream: str, stamp_ns: int, message: Any) -> tuple[int, dict[str, Any]] | None:
        """Take in a message.

        Args:
            stream: A camera, "joint_states" or "episode".
            stamp_ns: Its stamp in ns.
            message: The message.

        Returns:
            The observation's stamp and its messages by stream, if this completes it.
        """
        samples = self._samples[stream]
        if samples and stamp_ns < samples[-1][0]:
            self._restart()
        if samples and stamp_ns == samples[-1][0]:
            samples.pop()
        samples.append((stamp_ns, message))
        if stream == self._reference:
            if self._wanted is not None and self._wanted != stamp_ns:
                self.given_up += 1
            self._wanted = stamp_ns
        return self._complete()

    def _complete(self) -> tuple[int, dict[str, Any]] | None:
        wanted = self._wanted
        if wanted is None:
            return None
        found = {stream: self._find(stream, wanted) for stream in self._samples}
        if any(message is None for message in found.values()):
            return None
        self._wanted = None
        return wanted, found

    def _find(self, stream: str, stamp_ns: int) -> Any:
        samples = self._samples[stream]
        if not samples:
            return None
        if stream == "episode" and self._slop_ns:
            past = [m for s, m in samples if s <= stamp_ns + self._slop_ns]
            return past[-1] if past else None
        nearest = min(samples, key=lambda sample: abs(sample[0] - stamp_ns))
        return nearest[1] if abs(nearest[0] - stamp_ns) <= self._slop_ns else None

    def _restart(self) -> None:
        """Forget everything: the other streams' samples are of the time before the jump."""
        for samples in self._samples.values():
            samples.clear()
        self._wanted = None
