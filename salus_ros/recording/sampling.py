"""As-of sampling: of each stream the newest sample that is not newer than a step."""

import math
from collections.abc import Mapping

from salus_ros.recording.rows import Row
from salus_ros.recording.streams import Source
from salus_ros.recording.time import NANO


class Sampler:
    """Gives rows the samples of several streams.

    A row takes of each stream the samples that its policy used, where that is known, else the
    newest one that is not newer than the row, nor older than the stream allows, nor of an earlier
    episode.
    """

    def __init__(
        self, streams: Mapping[str, Source], max_age_ms: Mapping[str, float], patience_s: float
    ) -> None:
        """Sample nothing yet.

        Args:
            streams: The streams by name.
            max_age_ms: Oldest sample of each that a row may use.
            patience_s: How far a stream must have moved past a row that it has no sample of
                exactly, so that samples in disorder find their place.
        """
        self._streams = dict(streams)
        self._max_age_ns = {name: round(max_age_ms[name] * 1e6) for name in streams}
        self._patience_ns = round(patience_s * NANO)

    @property
    def size(self) -> int:
        """Bytes of the samples that are held."""
        return sum(stream.size for stream in self._streams.values())

    @property
    def refused(self) -> int:
        """Samples whose stamps were wrong."""
        return sum(stream.refused for stream in self._streams.values())

    def is_ready(self, row: Row) -> bool:
        """Whether no stream can have a better sample for a row any more."""
        moved_ns = row.stamp_ns + self._patience_ns
        return all(
            stream.at(row.inputs[name]) is not None
            if name in row.inputs
            else stream.newest_ns >= moved_ns or stream.at((row.stamp_ns,)) is not None
            for name, stream in self._streams.items()
        )

    def look(self, row: Row, earlier_ns: int) -> dict[str, int]:
        """Give a row its samples, and forget nothing.

        Args:
            row: The row.
            earlier_ns: Newest stamp of the episode before; -1 for none.

        Returns:
            Their stamps, of the streams that have one.
        """
        stamps = {}
        for name, stream in self._streams.items():
            if name in row.inputs:
                found = stream.at(row.inputs[name])
            else:
                after_ns = max(earlier_ns, row.stamp_ns - self._max_age_ns[name] - 1)
                found = stream.as_of(row.stamp_ns, after_ns)
            row.samples[name] = None if found is None else found[1]
            row.age_ms[name] = math.nan if found is None else (row.stamp_ns - found[0]) / 1e6
            if found is not None:
                stamps[name] = found[0]
        return stamps

    def fill(self, row: Row, earlier_ns: int) -> None:
        """Give a row its samples; what only rows before it could use is forgotten.

        Args:
            row: The row.
            earlier_ns: Newest stamp of the episode before; -1 for none.
        """
        stamps = self.look(row, earlier_ns)
        for name, stream in self._streams.items():
            # The next row's samples are not older than this one's.
            stream.forget_before(min(row.stamp_ns, stamps.get(name, row.stamp_ns)))

    def forget_old(self, answer_s: float = 0.0, most: int = 0) -> None:
        """Drop what no row can use that comes from now on.

        Args:
            answer_s: How long after a sample an action may come that was computed from it.
            most: Bytes that may be held for such an action; beyond, the oldest are let go.
        """
        window_ns = round(answer_s * NANO)
        self._forget(window_ns)
        while window_ns > self._patience_ns and self.size > most:
            window_ns //= 2
            self._forget(window_ns)

    def _forget(self, window_ns: int) -> None:
        for name, stream in self._streams.items():
            reach_ns = self._max_age_ns[name] + self._patience_ns
            stream.forget_before(stream.newest_ns - reach_ns - window_ns)

    def forget_all(self) -> None:
        """Drop all but the newest samples."""
        for stream in self._streams.values():
            stream.forget_before(stream.newest_ns)

    def restart(self, stamp_ns: int, but: str) -> None:
        """Time starts again at a stamp; `but` names a stream that knows it already."""
        for name, stream in self._streams.items():
            if name != but:
                stream.forget_after(stamp_ns)
