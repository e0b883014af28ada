"""A node's state for rqt_runtime_monitor and Foxglove: level, one line, and figures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from salus_ros.nodes.base import SalusNode

OK = DiagnosticStatus.OK
WARN = DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR
STALE = DiagnosticStatus.STALE

PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """How a node is: one of OK, WARN, ERROR, STALE, why, and its figures."""

    level: bytes
    message: str
    values: dict[str, object] = field(default_factory=dict)


class Diagnostics:
    """Publishes a node's report on `/diagnostics`, every second and when asked to."""

    def __init__(self, node: SalusNode[Any], report: Callable[[], Report]) -> None:
        """Start publishing what `report` returns."""
        self._node = node
        self._report = report
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_steady_timer(PERIOD_S, self.publish)

    def publish(self) -> None:
        """Publish the report now."""
        report = self._report() if self._node.active else self._inactive()
        status = DiagnosticStatus(
            level=report.level,
            name=self._node.get_fully_qualified_name().lstrip("/"),
            message=report.message,
            hardware_id="salus",
            values=[KeyValue(key=k, value=_text(v)) for k, v in report.values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _inactive(self) -> Report:
        if missing := self._node.missing_listeners():
            return Report(WARN, f"not active: waiting for {' and '.join(missing)}")
        return Report(OK, "not active")


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Problem:
    """The input error that stands, if any: logged and reported when it is new."""

    def __init__(self, node: SalusNode[Any]) -> None:
        """No problem yet."""
        self._node = node
        self.text = ""
        self.count = 0
        self._cause = ""

    def set(self, text: str, cause: str = "") -> bool:
        """Take note of an error; true when it is another one than the one that stood.

        Args:
            text: What a person should read.
            cause: The same without the numbers of one message, by which it is known again.
        """
        new = (cause or text) != self._cause
        self.text, self._cause = text, cause or text
        self.count += 1
        if new:
            self._node.get_logger().error(text)
        return new

    def clear(self, of: str = "") -> None:
        """The input is good again: that whose errors begin with `of`."""
        if self.text and self._cause.startswith(of):
            self._node.get_logger().info("the input is good again")
            self.text = self._cause = ""
