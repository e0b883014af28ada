"""The managed life of every node: transitions, autostart, errors, and who is waited for."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32

from salus_msgs.msg import EpisodeStatus
from salus_ros.core.errors import ConfigError
from salus_ros.nodes.base import SalusNode
from salus_ros.nodes.parameters import WaitingParameters
from salus_ros.nodes.qos import OVERRIDES, sensor_qos, stream_qos
from salus_ros.nodes.simulator import SimulatorNode

FAST = "fast_world:salus_test/Fast-v0"


@dataclass(frozen=True)
class TalkerParameters(WaitingParameters):
    node_name: ClassVar[str] = "talker"


class Talker(SalusNode[TalkerParameters]):
    """Publishes a number; fails where it is told to."""

    def __init__(self, **options):
        super().__init__(TalkerParameters, **options)
        self.calls = []
        self.fail = {}

    def do(self, what):
        self.calls.append(what)
        if what in self.fail:
            raise self.fail[what]

    def configure(self):
        self.out = self.needs_listeners(self.create_publisher(Float32, "number", stream_qos()))
        self.do("configure")

    def activate(self):
        self.create_subscription(Float32, "order", self.calls.append, stream_qos())
        self.create_steady_timer(60.0, lambda: None)
        self.do("activate")

    def deactivate(self):
        self.do("deactivate")

    def cleanup(self):
        self.do("cleanup")


def change(graph, transition, node="talker"):
    request = ChangeState.Request(transition=Transition(id=transition))
    return graph.call(ChangeState, f"{node}/change_state", request).success


def state(graph, node="talker"):
    return graph.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label


def topics(node):
    """What a node of ours publishes and listens to, beside what every node does."""
    own = {f"{node.get_namespace()}/{name}" for name in ("number", "order")}
    publishers = {one.topic_name for one in node.publishers} & own
    return publishers | {one.topic_name for one in node.subscriptions} & own


def listener(graph, name, kind=Float32, topic="number"):
    node = Node(name, namespace=graph.namespace)
    node.create_subscription(kind, topic, lambda _: None, stream_qos())
    return node


def test_a_life_step_by_step(graph):
    node = graph.add(Talker, autostart=False)
    number, order = (f"{graph.namespace}/{name}" for name in ("number", "order"))
    assert (state(graph), topics(node), node.calls) == ("unconfigured", set(), [])
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert (state(graph), topics(node)) == ("inactive", {number})
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    assert (state(graph), topics(node)) == ("active", {number, order})
    assert node.active
    assert change(graph, Transition.TRANSITION_DEACTIVATE)
    assert (state(graph), topics(node)) == ("inactive", {number})
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    assert change(graph, Transition.TRANSITION_DEACTIVATE)
    assert change(graph, Transition.TRANSITION_CLEANUP)
    assert (state(graph), topics(node)) == ("unconfigured", set())
    twice = ["activate", "deactivate"] * 2
    assert node.calls == ["configure", *twice, "cleanup"]
    assert not node.finished.done()


def test_a_shutdown_ends_what_is_under_way_and_the_process(graph):
    node = graph.add(Talker)
    assert change(graph, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert node.calls == ["configure", "activate", "deactivate", "cleanup"]
    assert node.finished.done()
    assert node.finished.exception() is None


def test_a_transition_that_is_not_allowed_is_refused(graph):
    node = graph.add(Talker, autostart=False)
    with pytest.raises(Exception, match="Transition is not registered"):
        node.trigger_activate()
    assert state(graph) == "unconfigured"


@pytest.mark.parametrize("error", [ConfigError("set this"), ZeroDivisionError("oh")])
@pytest.mark.parametrize("where", ["configure", "activate"])
def test_a_transition_that_fails_leaves_the_node_alive_and_says_why(graph, capfd, where, error):
    node = graph.add(Talker, autostart=False)
    node.fail[where] = error
    if where == "activate":
        assert change(graph, Transition.TRANSITION_CONFIGURE)
    wanted = {
        "configure": Transition.TRANSITION_CONFIGURE,
        "activate": Transition.TRANSITION_ACTIVATE,
    }
    assert not change(graph, wanted[where])
    said = capfd.readouterr().err
    assert str(error) in said
    assert ("Traceback" in said) == isinstance(error, ZeroDivisionError)
    # An intended error leaves it where it was; another one starts over.
    kept = where == "activate" and isinstance(error, ConfigError)
    assert state(graph) == ("inactive" if kept else "unconfigured")
    assert f"{graph.namespace}/order" not in topics(node)
    node.fail.clear()
    if not kept:
        assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    assert state(graph) == "active"


def test_started_by_itself_it_raises_what_is_wrong(graph):
    class Wrong(Talker):
        def configure(self):
            raise ConfigError("set this")

    with pytest.raises(ConfigError, match="set this"):
        graph.add(Wrong)


def test_it_waits_for_who_is_named_and_an_onlooker_does_not_count(graph):
    onlookers = [graph.listen(Float32, "number"), listener(graph, "rqt")]
    node = graph.add(Talker, wait_for="recorder, other")
    graph.until(lambda: node.count_subscribers("number") == 2)
    assert node.missing_listeners() == [
        f"'recorder' to listen to {graph.namespace}/number",
        f"'other' to listen to {graph.namespace}/number",
    ]
    recorder = listener(graph, "recorder")
    graph.until(lambda: len(node.missing_listeners()) == 1)
    assert not node.active
    other = listener(graph, "other")
    graph.until(lambda: node.active)
    assert node.out.get_subscription_count() == 4  # found, and matched as well
    for one in (onlookers[1], recorder, other):
        one.destroy_node()


def test_a_name_may_be_absolute(graph):
    node = graph.add(Talker, wait_for="/elsewhere/bag")
    far = Node("bag", namespace="/elsewhere")
    far.create_subscription(Float32, f"{graph.namespace}/number", lambda _: None, stream_qos())
    graph.until(lambda: node.active)
    far.destroy_node()


def test_told_to_be_active_without_who_it_waits_for_it_refuses(graph, capfd, monkeypatch):
    monkeypatch.setattr("salus_ros.nodes.base.LISTENERS_TIMEOUT_S", 0.2)
    graph.add(Talker, wait_for="recorder", autostart=False)
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert not change(graph, Transition.TRANSITION_ACTIVATE)
    said = f"cannot become active without 'recorder' to listen to {graph.namespace}/number"
    assert said in capfd.readouterr().err
    recorder = listener(graph, "recorder")
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    recorder.destroy_node()


def test_a_node_that_was_removed_is_gone_from_the_graph(graph):
    node = graph.add(Talker)
    graph.until(lambda: ("talker", graph.namespace) in names(graph))
    graph.remove(node)
    graph.until(lambda: ("talker", graph.namespace) not in names(graph))


def names(graph):
    return graph.probe.get_node_names_and_namespaces()


def test_a_world_that_is_deactivated_discards_its_episode_and_goes_on_with_the_next(graph):
    heard = graph.listen(EpisodeStatus, "episode", status=True)
    graph.add(SimulatorNode, env_id=FAST, wait_for="probe")
    graph.until(lambda: heard and heard[-1].phase == EpisodeStatus.PHASE_RUNNING)
    assert change(graph, Transition.TRANSITION_DEACTIVATE, "simulator")
    graph.until(lambda: heard[-1].phase == EpisodeStatus.PHASE_DISCARDED)
    assert heard[-1].episode_id == "episode_000000"
    assert change(graph, Transition.TRANSITION_ACTIVATE, "simulator")
    graph.until(lambda: heard[-1].phase == EpisodeStatus.PHASE_RUNNING)
    assert heard[-1].episode_id == "episode_000001"
    assert change(graph, Transition.TRANSITION_DEACTIVATE, "simulator")
    assert change(graph, Transition.TRANSITION_CLEANUP, "simulator")
    assert state(graph, "simulator") == "unconfigured"


@pytest.mark.parametrize("reliable", [False, True])
def test_sensors_are_read_best_effort_unless_they_are_asked_to_be_reliable(graph, reliable):
    node = Node("reader", namespace=graph.namespace)
    node.create_subscription(JointState, "a", lambda _: None, sensor_qos(reliable=reliable))
    graph.until(lambda: graph.probe.get_subscriptions_info_by_topic("a"))
    (info,) = graph.probe.get_subscriptions_info_by_topic("a")
    assert info.qos_profile.reliability.name == ("RELIABLE" if reliable else "BEST_EFFORT")
    assert sensor_qos(reliable=reliable).depth == (50 if reliable else 5)
    node.destroy_node()


def test_quality_of_service_can_be_set_by_parameters(graph):
    from rclpy.parameter import Parameter

    name = f"qos_overrides.{graph.namespace}/a.subscription."
    given = {"reliability": "reliable", "depth": 7}
    node = Node(
        "reader",
        namespace=graph.namespace,
        parameter_overrides=[Parameter(name + key, value=value) for key, value in given.items()],
    )
    for _ in range(2):  # a node that becomes active again makes its subscriptions anew
        qos = sensor_qos(reliable=False)
        made = node.create_subscription(
            JointState, "a", lambda _: None, qos, qos_overriding_options=OVERRIDES
        )
        assert (qos.reliability.name, qos.depth) == ("RELIABLE", 7)
        node.destroy_subscription(made)
    node.destroy_node()
