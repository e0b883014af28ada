import json
from pathlib import Path

import pytest
import yaml

from salus_ros.bags.mapping import MAX_AGE_MS, Mapping
from salus_ros.bags.scan import propose
from salus_ros.core.errors import ConfigError
from salus_ros.episodes import StoreReader


@pytest.fixture
def bag(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "bags")
    from written_bags import recording

    return recording().write(tmp_path / "bag")


def test_scan_says_what_there_is_and_writes_a_mapping_that_converts(salus, bag, tmp_path):
    config, out = tmp_path / "mapping.yaml", tmp_path / "out.zarr"
    code, text, _ = salus("convert", bag, "--scan", "--config", config, "--json")
    found = json.loads(text)
    assert code == 0
    assert [topic["topic"] for topic in found["topics"]] == ["/act", "/cam", "/joints"]
    assert found["topics"][1]["messages"] == 10
    assert found["topics"][1]["rate_hz"] == pytest.approx(10)
    mapping = Mapping.load(config)
    assert dict(mapping.cameras) == {"cam": "/cam"}
    assert mapping.rate_hz == pytest.approx(10)
    code, text, _ = salus("convert", bag, "--out", out, "--config", config, "--json")
    (report,) = json.loads(text)["bags"]
    assert (code, report["episodes"], report["steps"]) == (0, 1, 10)
    assert len(StoreReader(out)) == 1


def test_a_slow_stream_is_given_three_of_its_periods():
    def topic(name, kind, rate_hz):
        return {"topic": name, "type": kind, "messages": 9, "rate_hz": rate_hz}

    image, joints = "sensor_msgs/msg/Image", "sensor_msgs/msg/JointState"
    found = [topic("/slow/image", image, 5.0), topic("/fast/image", image, 30.0),
             topic("/joint_states", joints, 100.0)]  # fmt: skip
    proposed = propose(found)
    assert (proposed["max_age_ms"], proposed["max_age_of"]) == (MAX_AGE_MS, {"slow": 600})
    proposed["action"] = "/command"
    mapping = Mapping.from_dict(yaml.safe_load(yaml.safe_dump(proposed)))
    ages = [mapping.oldest_ns(name) for name in ("slow", "fast", "state")]
    assert ages == [600_000_000, 200_000_000, 200_000_000]


def test_scan_leaves_a_mapping_that_exists_as_it_is(salus, bag, tmp_path):
    config = tmp_path / "mapping.yaml"
    config.write_text("mine")
    code, text, err = salus("convert", bag, "--scan", "--config", config)
    assert code == 0
    assert config.read_text() == "mine"
    assert "is left as it is" in err
    assert "/joints" in text


def test_what_cannot_be_read_is_named_and_the_exit_code_says_so(salus, bag, tmp_path):
    config, out = tmp_path / "mapping.yaml", tmp_path / "out.zarr"
    config.write_text("{state: /joints, action: /act, cameras: {front: /cam}}")
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[:-50])
    code, text, err = salus("convert", bag, "--out", out, "--config", config)
    assert code == 1
    assert "bag.mcap is cut short" in err
    assert "wrote 1 episodes" in text


def test_without_a_mapping_it_says_how_to_get_one(salus, bag, tmp_path):
    code, _, err = salus("convert", bag, "--out", tmp_path / "out.zarr")
    assert code == 2
    assert "--scan" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{state: /s}", "has no action"),
        ("{state: /s, action: ''}", "empty topic"),
        ("{state: /s, action: /a, colour: red}", "unknown keys colour"),
        ("{state: /s, action: /a, episodes: {gap_s: 0}}", "gap_s is 0"),
        ("{state: /s, action: /a, episodes: day}", "allowed are bag"),
        ("{state: /s, action: /a, clock: {rate_hz: 5, topic: /s}}", "give one of them"),
        ("{state: /s, action: /a, clock: {rate_hz: fast}}", "wrong kind"),
        ("{state: /s, action: /a, time: now}", "receive, header"),
        ("{state: /s, action: /a, cameras: {state: /c}}", "rename it"),
        ("{state: /s, action: /a, image_size: [0, 3]}", "height, width"),
        ("{state: {topic: /s, joints: a}, action: /a}", "give a list"),
        ("{state: /s, action: /a, depth_range_mm: {d: [1, 2]}}", "the cameras are none"),
        ("{state: /s, action: /a, cameras: {d: /d}, depth_range_mm: {d: [2, 1]}}", "NEAR, FAR"),
        ("{state: /s, action: /a, cameras: {d: /d}, depth_range_mm: {d: [2]}}", "wrong kind"),
        ("{state: /s, action: /a, max_age_ms: -1}", "give 0 or a number above it"),
        ("{state: /s, action: /a, max_age_of: {state: .nan}}", "max_age_of 'state' is nan"),
        ("{state: /s, action: /a, max_age_of: {top: 5}}", "the streams are state, action"),
        ("{state: /s, action: /a, max_age_of: 5}", "wrong kind"),
        ("[", "cannot read the mapping"),
    ],
)
def test_a_wrong_mapping_is_refused_with_what_is_allowed(tmp_path, text, says):
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        Mapping.load(path)


def test_a_mapping_reads_back_as_it_was():
    given = {
        "cameras": {"front": "/c"},
        "state": {"topic": "/s", "joints": ["a"]},
        "action": {"topic": "/a", "fields": ["linear.x"]},
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
    }
    assert Mapping.from_dict(yaml.safe_load(yaml.safe_dump(given))).to_dict() == given


def test_several_bags_at_once_are_written_in_their_order(salus, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "bags")
    from written_bags import recording

    bags = [recording(4).write(tmp_path / name) for name in ("b", "c", "a")]
    config, out = tmp_path / "mapping.yaml", tmp_path / "out.zarr"
    config.write_text("{state: /joints, action: /act, cameras: {front: /cam}}")
    code, text, _ = salus("convert", *bags, "--out", out, "--config", config, "--workers", 2)
    assert code == 0
    assert text.count("wrote 1 episodes") == 3
    assert [meta.id for meta in StoreReader(out).episodes()] == ["b/0", "c/0", "a/0"]
