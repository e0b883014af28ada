"""The monitor: what the graph says of itself, as JSON lines for a program without rclpy.

python -m salus_ros.nodes.monitor --ros-args -r __ns:=/robot1
"""

import json
import math
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

from salus_msgs.msg import EpisodeStatus, FailureHorizons, RecorderStatus, VlaSignals
from salus_ros.core.errors import ObservationError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.messages.signals import read_prediction
from salus_ros.nodes.base import SalusNode, run
from salus_ros.nodes.declaration import NodeParameters
from salus_ros.nodes.qos import status_qos, stream_qos


@dataclass(frozen=True)
class MonitorParameters(NodeParameters):
    """It has none of its own."""

    node_name: ClassVar[str] = "monitor"


class MonitorNode(SalusNode[MonitorParameters]):
    """Writes one JSON object a message of interest to standard output.

    `episode`: id, step, phase, outcome, failure type; `recorder`: its counts; `inference`: ms of
    a fresh policy run; `prediction`: step, risk, the kinds of failure within the longest horizon,
    that it fails at all, alarm, and the time from the arrival of the signals to that of their
    prediction in ms.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(MonitorParameters, **options)
        self._heard: dict[tuple[str, int], float] = {}

    def activate(self) -> None:
        """Listen."""
        qos = stream_qos()
        self.create_subscription(RecorderStatus, "recorder_status", self._on_status, status_qos())
        self.create_subscription(FailureHorizons, "failure_horizons", self._on_horizons, qos)
        self.create_subscription(VlaSignals, "signals", self._on_signals, qos)
        self.create_subscription(EpisodeStatus, "episode", self._on_episode, status_qos())

    def _say(self, kind: str, **values: object) -> None:
        sys.stdout.write(json.dumps({"kind": kind} | values) + "\n")
        sys.stdout.flush()

    def _on_episode(self, message: EpisodeStatus) -> None:
        self._say(
            "episode",
            id=message.episode_id,
            step=message.step,
            ended=message.phase == EpisodeStatus.PHASE_ENDED,
            finished=message.phase == EpisodeStatus.PHASE_FINISHED,
            outcome=Outcome(message.outcome).name.lower(),
            failure_type=FailureType(message.failure_type).label,
        )

    def _on_status(self, message: RecorderStatus) -> None:
        self._say(
            "recorder",
            committed=message.episodes_committed,
            steps=message.steps_recorded,
            dropped=message.messages_dropped,
            gaps=message.steps_with_gaps,
            error=message.last_error,
        )

    def _on_signals(self, message: VlaSignals) -> None:
        self._heard = {(message.episode_id, message.step): time.perf_counter()}
        if message.fresh and math.isfinite(message.inference_ms):
            self._say("inference", ms=message.inference_ms)

    def _on_horizons(self, message: FailureHorizons) -> None:
        heard = self._heard.get((message.episode_id, message.step))
        if heard is not None:
            ms = (time.perf_counter() - heard) * 1e3
            try:
                row = read_prediction(message)
            except ObservationError as error:
                self.get_logger().warning(f"failure_horizons: {error}")
                return
            kinds = (kind.label for kind in row.failure_types)
            self._say(
                "prediction",
                step=message.step,
                horizon_s=row.horizons_s[-1],
                risk=row.risk,
                types=dict(zip(kinds, row.probability[-1].tolist(), strict=True)),
                episode_failure=float(row.episode_outputs[0]),
                alarm=row.alarm,
                ms=ms,
            )


def main() -> int:
    """Run the node."""
    return run(MonitorNode)


if __name__ == "__main__":
    sys.exit(main())
