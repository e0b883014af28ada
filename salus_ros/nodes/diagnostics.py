"""A node's state for rqt_runtime_monitor and Foxglove: level, one line, and figures."""

import math
import time
from collections import Counter
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
GOOD_S = 1.0
LOG_AGAIN_S = 10.0
LONGEST_TEXT, LONGEST_CAUSE, CAUSES = 500, 120, 20


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


def shortened(text: str, limit: int = 80) -> str:
    """A text that fits a line of a log, whatever a message brought along."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


class Problem:
    """The input error that stands, if any: logged and reported when it is new.

    It stands until the input has been good for `GOOD_S`, so that good and bad messages in turn
    do not fill the log.

    Attributes:
        count: Messages that had one.
        causes: The same by their cause; what is beyond `CAUSES` of them under "other".
    """

    def __init__(self, node: SalusNode[Any]) -> None:
        """No problem yet."""
        self._node = node
        self.count = 0
        self.causes: Counter[str] = Counter()
        self._text = self._cause = ""
        self._good_at: float | None = None
        self._logged_at: dict[str, float] = {}

    @property
    def text(self) -> str:
        """What a person should read; empty for none."""
        if self._good_at is not None and time.monotonic() - self._good_at > GOOD_S:
            self._node.get_logger().info("the input is good again")
            self._text, self._cause, self._good_at = "", "", None
        return self._text

    def set(self, text: str, cause: str = "") -> bool:
        """Take note of an error; true when it is another one than the one that stood.

        Args:
            text: What a person should read.
            cause: The same without the numbers of one message, by which it is known again.
        """
        text, cause = shortened(text, LONGEST_TEXT), shortened(cause or text, LONGEST_CAUSE)
        new = cause != self._cause
        self._text, self._cause, self._good_at = text, cause, None
        self.count += 1
        if cause not in self.causes and len(self.causes) >= CAUSES:
            cause = "other"
        self.causes[cause] += 1
        now_s = time.monotonic()
        if new and now_s - self._logged_at.get(cause, -math.inf) > LOG_AGAIN_S:
            self._logged_at[cause] = now_s
            self._node.get_logger().error(text)
        return new

    def clear(self, of: str = "") -> None:
        """A message was good, of those whose errors begin with `of`."""
        if self._text and self._good_at is None and self._cause.startswith(of):
            self._good_at = time.monotonic()

    def values(self) -> dict[str, object]:
        """The figures of a report: how many messages were faulty, and why."""
        faulty = {f"faulty: {cause}": count for cause, count in self.causes.items()}
        return {"faulty messages": self.count, **faulty}
