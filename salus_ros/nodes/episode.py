"""The episode node: says what an episode is where no world does, as a person tells it."""

import sys
from collections.abc import Callable
from typing import Any

from rclpy.duration import Duration
from std_srvs.srv import Trigger

from salus_msgs.msg import EpisodeStatus
from salus_msgs.srv import LabelEpisode, StartEpisode
from salus_ros.nodes.announcer import Announcer, EpisodeError
from salus_ros.nodes.base import SalusNode, run
from salus_ros.nodes.diagnostics import OK, Diagnostics, Report
from salus_ros.nodes.parameters import EpisodeParameters
from salus_ros.nodes.qos import status_qos

FLUSH_S = 1.0


class EpisodeNode(SalusNode[EpisodeParameters]):
    """Publishes `episode` when a person begins, ends, discards and judges one."""

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        Raises:
            ConfigError: if one is not allowed.
        """
        super().__init__(EpisodeParameters, **options)

    def configure(self) -> None:
        """Make ready to announce; what was announced before is forgotten."""
        given = self.parameters
        self._announcer = Announcer(EpisodeStatus, given.rate_hz, given.task)
        self._publisher = self.create_publisher(EpisodeStatus, "episode", status_qos())
        self.needs_listeners(self._publisher)
        Diagnostics(self, self._report)

    def activate(self) -> None:
        """Offer the services; that no episode is under way is announced as well."""
        self.create_service(StartEpisode, "~/start", self._on_start)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self.create_service(Trigger, "~/discard", self._on_discard)
        self.create_service(LabelEpisode, "~/label", self._on_label)
        self._publish(
            EpisodeStatus(failure_step=-1, seed=-1, fault_step=-1, rate_hz=self.parameters.rate_hz)
        )

    def deactivate(self) -> None:
        """Discard the episode that is running: nobody could end it."""
        status = self._announcer.close()
        if status is not None:
            self._publish(status)
            self._publisher.wait_for_all_acked(Duration(seconds=FLUSH_S))

    def _publish(self, status: EpisodeStatus) -> None:
        status.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(status)

    def _answer(
        self, response: Any, ask: Callable[[], EpisodeStatus], say: Callable[[EpisodeStatus], str]
    ) -> Any:
        """Publish what is asked for, or say why not."""
        try:
            status = ask()
        except EpisodeError as error:
            response.message = str(error)
            return response
        self._publish(status)
        response.success, response.message = True, say(status)
        self.get_logger().info(response.message)
        return response

    def _on_start(
        self, request: StartEpisode.Request, response: StartEpisode.Response
    ) -> StartEpisode.Response:
        def say(status: EpisodeStatus) -> str:
            response.episode_id = status.episode_id
            return f"'{status.episode_id}' is running, task: {status.task or 'none given'}"

        ask = self._announcer.start
        return self._answer(response, lambda: ask(request.task, request.episode_id), say)

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(
            response,
            self._announcer.stop,
            lambda status: f"'{status.episode_id}' has ended; say how it went with ~/label",
        )

    def _on_discard(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(
            response,
            self._announcer.discard,
            lambda status: f"'{status.episode_id}' is over and not to be kept",
        )

    def _on_label(
        self, request: LabelEpisode.Request, response: LabelEpisode.Response
    ) -> LabelEpisode.Response:
        def ask() -> EpisodeStatus:
            return self._announcer.label(
                request.episode_id,
                request.outcome,
                request.failure_type,
                request.failure_step,
                request.failure_time,
            )

        return self._answer(response, ask, self._announcer.said)

    def _report(self) -> Report:
        running = self._announcer.running
        values: dict[str, object] = {
            "episode": running or self._announcer.last,
            "episodes begun": self._announcer.count,
        }
        text = (
            f"'{running}' is running" if running else "no episode is running; ~/start begins one"
        )
        return Report(OK, text, values)


def main() -> int:
    """Run the node."""
    return run(EpisodeNode)


if __name__ == "__main__":
    sys.exit(main())
