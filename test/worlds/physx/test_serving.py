"""What processes that move the scene do alike: scenes laid over scenes, things found by name."""

import numpy as np
import pytest

from salus_ros.worlds.physx.serving import Episodes, overlay, places, pose


def test_an_overlay_names_each_prim_once_and_puts_bodies_elsewhere():
    text = overlay(
        "scene.usda",
        {
            "/world/Geometry/bin": pose([0.5, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]),
            "/world/Geometry/cube": pose([0.1, -0.2, 0.022], [0.6, 0.0, 0.0, 0.8]),
            "/world/lamp": {"inputs:color": ("color3f", [1.0, 0.5, 0.25])},
        },
    )
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "#usda 1.0"
    assert "subLayers = [@./scene.usda@]" in lines
    for name in ("world", "Geometry", "bin", "cube"):
        assert lines.count(f'over "{name}" {{') == 1
    cube = lines.index('over "cube" {')
    assert lines[cube + 1 : cube + 4] == [
        "double3 xformOp:translate = (0.1, -0.2, 0.022)",
        "quatf xformOp:orient = (0.6, 0.0, 0.0, 0.8)",
        "}",
    ]
    assert "color3f inputs:color = (1.0, 0.5, 0.25)" in lines
    assert text.count("{") == text.count("}") == 5
    assert {'upAxis = "Z"', "metersPerUnit = 1"} <= set(lines)  # the first layer's are the stage's


def test_places_follow_the_wanted_order():
    np.testing.assert_array_equal(places(["b", "a"], ["a", "c", "b"], "joint"), [2, 0])


def test_what_a_scene_lacks_is_named():
    with pytest.raises(ValueError, match="no driven joint j2, j3; it has j1"):
        places(["j1", "j2", "j3"], ["j1"], "driven joint")


def test_each_episode_is_a_file_of_its_own_and_the_one_before_is_gone(tmp_path):
    episodes = Episodes(tmp_path / "scene.usda")
    first = episodes.begin({})
    second = episodes.begin({"/world/lamp": {"inputs:color": ("color3f", [1.0, 1.0, 1.0])}})
    assert second == episodes.current != first
    assert "inputs:color" in second.read_text()
    assert list(tmp_path.iterdir()) == [second]
