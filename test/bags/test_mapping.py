from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from salus_ros.bags.mapping import Mapping, Values
from salus_ros.core.errors import ConfigError
from salus_ros.messages.images import ENCODINGS
from salus_ros.messages.values import VALUES

WHOLE = {
    "cameras": {"front": "/c"},
    "state": {"topic": "/s", "joints": ["a"]},
    "action": {"topic": "/a", "fields": ["linear.x"], "names": ["forward"]},
    "task": "lift",
    "episodes": {"gap_s": 2.0},
    "clock": {"topic": "/s"},
    "time": "header",
    "max_age_ms": 50.0,
    "max_age_of": {"front": 150.0, "state": 0.0},
    "image_size": [3, 4],
    "signals": "/signals",
    "prediction": "/failure_horizons",
    "depth_range_mm": {"front": [100.0, 2000.0]},
    "encoding": {"front": "16UC1"},
}


def given(**changes):
    return {"state": "/s", "action": "/a", "cameras": {"d": "/d"}} | changes


@pytest.mark.parametrize("changes", [{}, {"episodes": {"topic": "/e"}, "clock": {"rate_hz": 5.0}}])
def test_a_mapping_reads_back_as_it_was(changes):
    file = yaml.safe_dump(WHOLE | changes)
    assert Mapping.from_dict(yaml.safe_load(file)).to_dict() == WHOLE | changes


def test_what_is_left_out_or_has_no_value_has_its_default():
    mapping = Mapping.from_dict(given(task=None, signals=None, clock=None, max_age_of=None))
    assert mapping == Mapping(Values("/s"), Values("/a"), {"d": "/d"})
    assert (mapping.rate_hz, mapping.time, mapping.task) == (30.0, "receive", "")
    assert mapping.streams == {"d": "/d", "state": "/s", "action": "/a"}


def test_each_stream_has_its_own_age():
    mapping = Mapping.from_dict(given(max_age_ms=50, max_age_of={"d": 150.5}))
    assert mapping.oldest_ns("d") == 150_500_000
    assert mapping.oldest_ns("state") == 50_000_000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "it is None; give the keys state, action"),
        ({"state": "/s"}, "it has no action; give the name of a topic, or {topic: NAME"),
        (given(action=""), "action.topic is ''; it should have at least 1 character"),
        (given(action=5), "action is 5; .* give the name of a topic"),
        (given(action={"fields": ["x"]}), "it has no action.topic"),
        (given(colour="red"), "unknown keys colour; allowed are state, action, cameras"),
        (given(state={"topic": "/s", "joint": ["a"]}), "state has the unknown key joint"),
        (given(state={"topic": "/s", "joints": "a"}), "state.joints is 'a'"),
        (
            given(state={"topic": "/s", "joints": ["a", "a"]}),
            "has a name twice: a, a",
        ),
        (given(state={"topic": "/s", "joints": ["a"], "names": ["b"]}), "give one of them"),
        (
            given(state={"topic": "/s", "joints": ["a"], "fields": ["x", "y"]}),
            "joints and 2 fields; joints choose from one",
        ),
        (given(episodes={"gap_s": 0}), "gap_s is 0.0; give a number above 0"),
        (given(episodes={"gap_s": "long"}), "episodes.gap_s is 'long'; it should be a valid num"),
        (given(episodes="day"), "episodes is day; allowed are bag"),
        (given(episodes={"gap_s": 1, "topic": "/e"}), "allowed are bag"),
        (given(clock={"rate_hz": 5, "topic": "/s"}), "give one of them"),
        (given(clock={"rate_hz": "fast"}), "clock.rate_hz is 'fast'; it should be a valid number"),
        (given(clock={"rate_hz": -1}), "clock.rate_hz is -1; it should be greater than 0"),
        (given(clock={"rate_hz": float("inf")}), "clock.rate_hz is inf"),
        (given(clock={"hz": 5}), "clock has the unknown keys hz; allowed are rate_hz, topic"),
        (given(clock=5), "clock is 5; give the keys"),
        (given(time="now"), "time is 'now'; it should be 'receive' or 'header'"),
        (given(cameras={"state": "/c"}), "no camera can be called state; rename it"),
        (given(cameras=["/c"]), "cameras is .*; give {NAME: TOPIC}"),
        (given(cameras={"d": None}), "cameras.d is None"),
        (given(image_size=[0, 3]), r"image_size.0 is 0; .* give \[height, width\] in pixels"),
        (given(image_size=[3]), r"it has no image_size.1; give \[height, width\] in pixels"),
        (given(depth_range_mm={"e": [1, 2]}), "depth_range_mm names e; the cameras are d"),
        (given(depth_range_mm={"d": [2, 1]}), r"is \[2.0, 1.0\]; give \[NEAR, FAR\] in mm"),
        (given(depth_range_mm={"d": [2]}), "depth_range_mm.d.1; give {CAMERA: .NEAR, FAR.} in mm"),
        (given(encoding={"d": "RGB"}), "encoding of 'd' is 'RGB'; allowed are mono8, "),
        (given(encoding={"e": "rgb8"}), "encoding names e; the cameras are d"),
        (given(max_age_ms=-1), "max_age_ms is -1; it should be greater than or equal to 0"),
        (given(max_age_of={"state": float("nan")}), "max_age_of.state is nan; .* finite number"),
        (given(max_age_of={"top": 5}), "max_age_of names top; the streams are d, state, action"),
        (given(max_age_of=5), "max_age_of is 5; .* give {STREAM: MS}"),
    ],
)
def test_what_is_wrong_is_refused_with_its_key_what_is_given_and_what_is_allowed(content, says):
    with pytest.raises(ConfigError, match=says):
        Mapping.from_dict(content)


def test_two_mistakes_are_both_named():
    with pytest.raises(ConfigError, match=r"max_age_ms is 'old'.*image_size is 3"):
        Mapping.from_dict(given(max_age_ms="old", image_size=3))


@pytest.mark.parametrize("text", ["[", "\x00", None])
def test_a_file_that_cannot_be_read_is_named_with_how_to_get_one(tmp_path, text):
    path = tmp_path / "mapping.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"(?s)cannot read the mapping '.*--scan"):
        Mapping.load(path)


def test_a_file_with_a_mistake_is_named(tmp_path):
    path = tmp_path / "mapping.yaml"
    path.write_text("{state: /s, action: /a, time: now}")
    with pytest.raises(ConfigError, match=r"mapping '.*mapping.yaml': time is 'now'"):
        Mapping.load(path)


def test_a_changed_mapping_is_checked_too_and_none_can_be_written_to():
    mapping = Mapping.from_dict(given())
    assert replace(mapping, rate_hz=5.0).rate_hz == 5
    with pytest.raises(ConfigError, match="depth_range_mm names x"):
        replace(mapping, depth_range_mm={"x": (1.0, 2.0)})
    with pytest.raises(AttributeError):
        mapping.rate_hz = 5.0


def test_every_key_encoding_and_type_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text()
    keys = [*WHOLE, *Values.__dataclass_fields__, "rate_hz", "gap_s"]
    assert [key for key in keys if key not in text] == []
    encodings = [one for one in ENCODINGS if not one.startswith("bayer_") and "16" not in one]
    assert [one for one in encodings if one not in text] == []
    kinds = [kind.rpartition("/")[2].removesuffix("Stamped") for kind in VALUES]
    common = [kind for kind in kinds if not kind.startswith(("Int", "UInt", "Gripper"))]
    assert [kind for kind in common if kind not in text] == []
    example = text.split("```yaml\n")[1].split("```")[0]
    assert Mapping.from_dict(yaml.safe_load(example)).action.joints[0] == "shoulder"
