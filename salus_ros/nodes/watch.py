"""The watch node: actions of a policy that runs elsewhere in, its signals out."""

import math
import sys
import time
from collections import Counter, defaultdict

import numpy as np

from salus_msgs.msg import PolicyAction, VlaSignals
from salus_ros.core.errors import ObservationError
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.messages.plans import has_chunk, read_plan
from salus_ros.messages.stamps import to_ns
from salus_ros.nodes import convert
from salus_ros.nodes.base import SalusNode, run
from salus_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Problem, Report
from salus_ros.nodes.parameters import WatchParameters
from salus_ros.nodes.qos import stream_qos
from salus_ros.policies.following import PolicyStep
from salus_ros.policies.told import ToldPolicy
from salus_ros.recording.progress import Progress, check_step
from salus_ros.recording.status import check_id
from salus_ros.recording.time import Order

CAUSES_SHOWN = 8


class WatchNode(SalusNode[WatchParameters]):
    """Answers every action with signals of the same stamp, episode and step.

    They are those of the chunks that the actions bring. An action whose chunk was not seen, or
    could not be used, has signals that are NaN and not valid. A message that cannot be used is
    refused, counted and reported; the node lives on.
    """

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        Raises:
            ConfigError: if one is not allowed.
        """
        super().__init__(WatchParameters, **options)

    def configure(self) -> None:
        """Make what it publishes."""
        self._signals = self.create_publisher(VlaSignals, "signals", stream_qos())
        self.needs_listeners(self._signals)
        self._bad_input = Problem(self)
        self._forget()
        self._diagnostics = Diagnostics(self, self._report)

    def _forget(self) -> None:
        self._policy = ToldPolicy(self.parameters.executed)
        self._progress = Progress()
        self._refused: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._last: VlaSignals | None = None
        self._said = ""
        self._heard_at = math.nan

    def activate(self) -> None:
        """Follow the actions from the next one on."""
        self._forget()
        self.create_subscription(PolicyAction, "action", self._on_action, stream_qos())

    def _on_action(self, message: PolicyAction) -> None:
        self._heard_at = time.monotonic()
        self._counts["actions"] += 1
        try:
            check_id(message.episode_id)
            check_step(message.step)
            stamp_ns = to_ns(message.header.stamp)
        except ObservationError as error:  # of no step, so there is none to answer
            self._refuse(error)
            return
        order = self._progress.judge(message.episode_id, message.step, stamp_ns)
        if order not in (Order.NEXT, Order.JUMP):
            self._counts[order.value] += 1
            if order is Order.REPEATED and self._last is not None:
                self._signals.publish(self._last)
            return
        if order is Order.JUMP:
            self.get_logger().warning(f"{self._progress.last_jump} on action: starting afresh")
        if self._progress.begins:
            self._policy.reset()
        self._publish(message, self._follow(message))

    def _follow(self, message: PolicyAction) -> PolicyStep | None:
        try:
            plan = read_plan(message)
            said = self._policy.take(message.step, plan.chunks, plan.chunk_step, plan.scale)
        except ObservationError as error:
            if has_chunk(message):
                self._policy.forget()
            self._refuse(error)
            return None
        self._bad_input.clear()
        if said is None or said.plan_step < 0:
            self._counts["without a plan"] += 1
        return said

    def _publish(self, action: PolicyAction, said: PolicyStep | None) -> None:
        signals = VlaSignals(
            header=action.header,
            episode_id=action.episode_id,
            step=action.step,
            fresh=said is not None and said.fresh,
            inference_ms=math.nan,
            policy_id=action.policy_id,
        )
        if said is None:
            values = np.full(len(SIGNAL_NAMES), np.nan, np.float32)
            convert.fill_signals(signals, values, np.isfinite(values))
        else:
            convert.fill_signals(signals, said.signals, said.valid)
            signals.num_samples = len(said.plans)
            if self.parameters.publish_plan:
                samples = self.parameters.publish_plan_samples
                convert.fill_plan(signals, said, samples=samples)
        self._signals.publish(signals)
        self._last = signals
        self._say_once()

    def _say_once(self) -> None:
        """Say which signals there will not be, whenever that changes."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for name, reason in self._policy.unavailable.items():
            names[reason].append(name)
        said = "; ".join(f"no {', '.join(some)}: {reason}" for reason, some in names.items())
        if said and said != self._said:
            self._said = said
            self.get_logger().info(f"there will be {said}")

    def _refuse(self, error: ObservationError) -> None:
        self._refused[error.cause] += 1
        if self._bad_input.set(f"action: {error}", f"action: {error.cause}"):
            self._diagnostics.publish()

    def _report(self) -> Report:
        progress, counts = self._progress, self._counts
        values: dict[str, object] = {
            "episode": progress.episode_id,
            "step": progress.step,
            "actions": counts["actions"],
            "actions without a plan that was seen": counts["without a plan"],
            "actions repeated": counts[Order.REPEATED.value],
            "actions late": progress.late,
            "actions with a wrong stamp": progress.refused,
            "steps missed": progress.missed,
            "messages refused": self._refused.total(),
        }
        for cause, count in self._refused.most_common(CAUSES_SHOWN):
            values[f"refused: {cause}"] = count
        if problem := self._bad_input.text:
            return Report(ERROR, problem, values)
        if math.isnan(self._heard_at):
            text = "no action has arrived yet: does the policy publish it?"
            return Report(WARN, text, values)
        silent_s = time.monotonic() - self._heard_at
        if silent_s > self.parameters.input_timeout_s:
            return Report(OK, f"no action for {silent_s:.0f} s", values)
        if self._policy.spec is None:
            text = "actions come without a chunk, so there are no signals: fill PolicyAction.chunk"
            return Report(WARN, text, values)
        return Report(OK, "watching", values)


def main() -> int:
    """Run the node."""
    return run(WatchNode)


if __name__ == "__main__":
    sys.exit(main())
