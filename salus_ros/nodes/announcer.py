"""Episodes of a robot on which nobody else says what one is."""

import math
import time
from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.publisher import Publisher

from salus_msgs.msg import EpisodeStatus

NO_LIMIT = 0


class Announcer:
    """Publishes `episode` when a person begins and ends one."""

    def __init__(
        self,
        publisher: Publisher,
        clock: Clock,
        rate_hz: float,
        heard: Callable[[EpisodeStatus], object],
    ) -> None:
        """Announce nothing yet.

        Args:
            publisher: Of the topic `episode`.
            clock: Clock of the stamps; must be that of the images.
            rate_hz: Steps per second of the policy.
            heard: Takes what was published, as a subscription would.
        """
        self._publisher = publisher
        self._clock = clock
        self._rate_hz = rate_hz
        self._heard = heard
        self._running: EpisodeStatus | None = None

    @property
    def running(self) -> str:
        """Id of the episode that is running; empty for none."""
        return self._running.episode_id if self._running else ""

    def begin(self, task: str, episode_id: str = "") -> str:
        """Begin an episode and return its id, by default the date and time."""
        status = EpisodeStatus(
            episode_id=episode_id or time.strftime("%Y-%m-%dT%H-%M-%S"),
            phase=EpisodeStatus.PHASE_RUNNING,
            task=task,
            rate_hz=self._rate_hz,
            seed=-1,
            failure_step=-1,
            failure_time=math.nan,
            fault="none",
            fault_step=-1,
            fault_strength=math.nan,
            max_steps=NO_LIMIT,
        )
        self._running = status
        self._publish(status)
        return str(status.episode_id)

    def end(self) -> None:
        """End the episode that is running, if any; a person has yet to say how it went."""
        if self._running is not None:
            status, self._running = self._running, None
            status.phase = EpisodeStatus.PHASE_ENDED
            self._publish(status)

    def _publish(self, status: EpisodeStatus) -> None:
        status.header.stamp = self._clock.now().to_msg()
        self._publisher.publish(status)
        self._heard(status)
