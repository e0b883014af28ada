"""The watch node: actions with chunks in, signals out."""

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.serialization import serialize_message

from salus_msgs.msg import PolicyAction, VlaSignals
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.messages.signals import read_signals
from salus_ros.nodes import convert
from salus_ros.nodes.watch import WatchNode
from salus_ros.policies.signals import SignalComputer
from salus_ros.policies.tap import PolicySample

K, T, A, EXECUTED = 3, 8, 4, 2
PERIOD_NS = 33_333_333
SCALE = np.float32([0.5, 1, 2, 4])
RNG = np.random.default_rng(0)
CHUNKS = {at: RNG.standard_normal((K, T, A)).astype(np.float32) for at in (0, 2, 4)}


class Elsewhere:
    """A watch node, and a policy that runs elsewhere."""

    def __init__(self, graph, **parameters):
        self.graph = graph
        self.signals = graph.listen(VlaSignals, "signals")
        self.diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
        self.node = graph.add(WatchNode, executed=EXECUTED, **parameters)
        self.actions = graph.talk(PolicyAction, "action")

    def act(self, step, planned_at=None, *, episode="a", tick=None, **changes):
        """Publish the action of a step, with its chunk where it was planned just then."""
        planned_at = step if planned_at is None else planned_at
        chunks = CHUNKS[planned_at]
        stamp_ns = (step + 1 if tick is None else tick) * PERIOD_NS
        message = PolicyAction(
            header=convert.header(stamp_ns), episode_id=episode, step=step, policy_id="theirs"
        )
        message.action = convert.float_array(chunks[0, step - planned_at])
        message.chunk_step = step - planned_at
        message.action_scale = convert.float_array(SCALE)
        if planned_at == step:
            message.chunk = convert.float_array(chunks[0])
            message.chunk_length, message.num_samples = T, K
            message.chunk_samples = convert.float_array(chunks)
        for name, value in changes.items():
            setattr(message, name, value)
        self.actions.publish(message)

    def heard(self, count):
        self.graph.until(lambda: len(self.signals) >= count)
        assert len(self.signals) == count
        return self.signals[-1]

    def reported(self, level, said):
        self.graph.until(
            lambda: any(
                status.level == level and said in status.message
                for array in self.diagnostics
                for status in array.status
                if status.name == f"{self.graph.namespace[1:]}/watch"
            ),
            said,
        )
        return self.diagnostics[-1].status[0]


def valid(message):
    return {n for n, there in zip(SIGNAL_NAMES, message.valid, strict=True) if there}


def test_chunks_become_the_signals_that_they_would_be_anywhere(graph):
    policy = Elsewhere(graph)
    computer = SignalComputer(EXECUTED)
    for step in range(6):
        planned_at = step - step % 2
        policy.act(step, planned_at)
        said = policy.heard(step + 1)
        assert (said.episode_id, said.step, said.policy_id) == ("a", step, "theirs")
        assert said.header.stamp == convert.to_stamp((step + 1) * PERIOD_NS)
        assert (said.fresh, said.plan_step) == (step % 2 == 0, step % 2)
        if said.fresh:
            sample = PolicySample(torch.from_numpy(CHUNKS[planned_at] / SCALE))
            expected = computer(sample, planned_at)
        row = read_signals(said)
        np.testing.assert_array_equal(row.signals, expected)
        np.testing.assert_array_equal(row.plan, CHUNKS[planned_at][0].astype(np.float16))
    assert valid(said) == {"sample_variance", "sample_spread_growth", "chunk_inconsistency"}
    policy.reported(DiagnosticStatus.OK, "watching")


def test_what_was_planned_for_an_earlier_observation_counts_from_there(graph):
    """As with asynchronous inference: the chunk of step 2 is executed from its action 1 on."""
    policy = Elsewhere(graph)
    late = {
        "chunk": convert.float_array(CHUNKS[2][0]),
        "chunk_length": T,
        "chunk_samples": convert.float_array(CHUNKS[2]),
        "num_samples": K,
    }
    policy.act(0)
    policy.act(3, 2, **late)
    said = policy.heard(2)
    assert (said.fresh, said.plan_step) == (True, 1)
    computer = SignalComputer(EXECUTED)
    computer(PolicySample(torch.from_numpy(CHUNKS[0] / SCALE)), 0)
    expected = computer(PolicySample(torch.from_numpy(CHUNKS[2] / SCALE)), 2)
    np.testing.assert_array_equal(read_signals(said).signals, expected)


NAN = convert.float_array(np.full(T * A, np.nan, np.float32))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"chunk_length": T + 1}, "a chunk of another size than it says"),
        ({"chunk": NAN, "chunk_samples": []}, "chunks that are not finite"),
        ({"num_samples": K + 1}, "chunk_samples of another size than it says"),
        ({"chunk_samples": convert.float_array(CHUNKS[4])}, "or not the executed one first"),
        ({"chunk_samples": []}, "chunks of another size than before"),
        ({"action_scale": [1.0, 0.0, 1.0, 1.0]}, "an action_scale that does not go"),
        ({"action": [np.nan] * A}, "an action without values, or not finite"),
    ],
)
def test_what_cannot_be_used_is_refused_counted_and_not_held(graph, changes, cause):
    policy = Elsewhere(graph)
    policy.act(0)
    policy.act(2, **changes)
    policy.act(3, 2)  # of a plan that could not be read
    said = policy.heard(3)
    assert [valid(one) for one in policy.signals[1:]] == [set(), set()]
    assert len(said.plan) == 0
    assert np.isnan(said.sample_variance)
    policy.act(4)
    assert "sample_variance" in valid(policy.heard(4))
    assert [why for why in policy.node._refused if cause in why]
    assert policy.node._refused.total() == 1


def test_late_repeated_and_reordered_actions_change_nothing(graph):
    policy = Elsewhere(graph)
    policy.act(0)
    policy.act(2)
    first = policy.heard(2)
    policy.act(2)  # nobody seems to have heard it: the same answer again
    assert serialize_message(policy.heard(3)) == serialize_message(first)
    policy.act(1, 0)  # overtaken
    policy.act(3, 2)
    assert policy.heard(4).plan_step == 1
    assert (policy.node._progress.late, policy.node._counts["repeated"]) == (1, 1)


def test_a_chunk_that_was_lost_on_the_way_is_not_made_up(graph):
    policy = Elsewhere(graph)
    policy.act(0)
    policy.act(5, 4)
    assert valid(policy.heard(2)) == set()
    policy.act(0, episode="b", tick=9)  # and an episode begins with nothing
    assert valid(policy.heard(3)) == {"sample_variance", "sample_spread_growth"}


def test_actions_without_any_chunk_are_said_to_be(graph):
    policy = Elsewhere(graph)
    policy.act(1, 0)
    assert valid(policy.heard(1)) == set()
    policy.reported(DiagnosticStatus.WARN, "actions come without a chunk")
