import json
from pathlib import Path

import pytest

from salus_ros.bags.mapping import Mapping
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
