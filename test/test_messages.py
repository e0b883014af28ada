"""salus_msgs: in step with core, complete, and alive on DDS."""

import array
import math
import re
from pathlib import Path

import pytest
from builtin_interfaces.msg import Time

import salus_msgs.msg
import salus_msgs.srv
from salus_msgs.msg import VlaSignals
from salus_ros.control.gate import GateState
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.phases import Phase
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.recording.recorder import State

MESSAGES = (
    "EpisodeStatus",
    "FailureHorizons",
    "FailureType",
    "GateStatus",
    "Outcome",
    "PolicyAction",
    "RecorderStatus",
    "RecoveryPlan",
    "RecoveryStatus",
    "StreamStamp",
    "StreamStatus",
    "VlaSignals",
)
SERVICES = ("LabelEpisode", "ResetEpisode", "StartEpisode")
SOURCES = sorted((Path(__file__).parent.parent / "salus_msgs").glob("*/*.[ms][sr][gv]"))


def constants(message: type) -> dict[str, int]:
    """Constants of a message class, by name."""
    names = [name for name in dir(type(message)) if name.isupper() and name[0] != "_"]
    return {name: getattr(message, name) for name in names}


@pytest.mark.parametrize("kind", [FailureType, Outcome])
def test_constants_are_those_of_core_and_stand_in_one_place(kind):
    message = getattr(salus_msgs.msg, kind.__name__)
    assert constants(message) == {member.name: member.value for member in kind}
    for source in SOURCES:
        if source.stem != kind.__name__:
            assert f"{kind.__name__.upper()}_" not in source.read_text()


@pytest.mark.parametrize(
    ("prefix", "message", "kind"),
    [
        ("PHASE_", "EpisodeStatus", Phase),
        ("STATE_", "RecorderStatus", State),
        ("STATE_", "GateStatus", GateState),
    ],
)
def test_constants_of_one_message_are_those_of_the_package(prefix, message, kind):
    found = constants(getattr(salus_msgs.msg, message))
    ours = {name: value for name, value in found.items() if name.startswith(prefix)}
    assert ours == {prefix + member.name: member.value for member in kind}


def test_signal_fields_are_the_twelve_signals_in_order():
    fields = VlaSignals.get_fields_and_field_types()
    floats = [name for name, kind in fields.items() if kind == "float"]
    assert floats == [*SIGNAL_NAMES, "inference_ms"]
    assert fields["valid"] == f"boolean[{len(SIGNAL_NAMES)}]"


def test_the_sources_hold_exactly_the_agreed_interfaces():
    assert [path.stem for path in SOURCES] == [*MESSAGES, *SERVICES]
    assert all(hasattr(salus_msgs.msg, name) for name in MESSAGES)
    assert all(hasattr(salus_msgs.srv, name) for name in SERVICES)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_field_is_explained(source):
    """A comment stands beside a field or above the block of lines it belongs to."""
    unexplained, explained = [], False
    for line in source.read_text().splitlines():
        if not line or line == "---":
            explained = False
        elif line.startswith("#"):
            explained = True
        elif not explained and "#" not in line and not re.match(r"\w+ [A-Z_]+=", line):
            unexplained.append(line)
    assert unexplained == []


def example(kind: str) -> object:
    """A value of a field type that is not the field's default."""
    if length := re.fullmatch(r"boolean\[(\d+)\]", kind):
        return [index % 2 == 0 for index in range(int(length[1]))]
    if kind == "builtin_interfaces/Time":
        return Time(sec=7, nanosec=5)
    if match := re.fullmatch(r"sequence<salus_msgs/(\w+)>", kind):
        return [filled(getattr(salus_msgs.msg, match[1]))]
    if kind == "sequence<string>":
        return ["front", "grün"]
    if kind.startswith("sequence<"):
        return array.array({"float": "f", "uint8": "B"}[kind[9:-1]], [1, 2, 3])
    values = {"boolean": True, "string": "grün", "float": 0.25, "uint8": 2, "int32": -3}
    return values.get(kind, 70_000)


def filled(message_class: type) -> object:
    """A message in which every field differs from its default."""
    message = message_class()
    for name, kind in message_class.get_fields_and_field_types().items():
        if name == "header":
            message.header.frame_id = "front"
            message.header.stamp.nanosec = 5
        else:
            setattr(message, name, example(kind))
            assert getattr(message, name) != getattr(message_class(), name)
    return message


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_arrives_as_it_was_sent(ros, name):
    message_class = getattr(salus_msgs.msg, name)
    sent, received = filled(message_class), []
    node = ros.create_node("round_trip")
    node.create_subscription(message_class, "round_trip", received.append, 1)
    publisher = node.create_publisher(message_class, "round_trip", 1)
    for _ in range(50):
        publisher.publish(sent)
        ros.spin_once(node, timeout_sec=0.1)
        if received:
            break
    assert received[0] == sent


def test_a_missing_value_arrives_as_nan(ros):
    received = []
    node = ros.create_node("nan")
    node.create_subscription(VlaSignals, "nan", received.append, 1)
    publisher = node.create_publisher(VlaSignals, "nan", 1)
    for _ in range(50):
        publisher.publish(VlaSignals(latent_ood=math.nan))
        ros.spin_once(node, timeout_sec=0.1)
        if received:
            break
    assert math.isnan(received[0].latent_ood)
    assert not any(received[0].valid)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_answers_what_it_was_asked(ros, name):
    service_class = getattr(salus_msgs.srv, name)
    request, answer, asked = filled(service_class.Request), filled(service_class.Response), []

    def handle(request, _response):
        asked.append(request)
        return answer

    node = ros.create_node("service")
    node.create_service(service_class, "service", handle)
    client = node.create_client(service_class, "service")
    assert client.wait_for_service(10.0)
    future = client.call_async(request)
    ros.spin_until_future_complete(node, future, timeout_sec=10.0)
    assert asked == [request]
    assert future.result() == answer
