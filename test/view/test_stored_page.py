"""Recorded episodes on the page: `salus view`."""

import json
import urllib.error
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import WITH_IMAGES, make_episode

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore
from salus_ros.view.server import ViewServer
from salus_ros.view.stored import Recording


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Two episodes: one without predictions, a failed one with some."""
    path = tmp_path_factory.mktemp("view") / "a.zarr"
    plain = make_episode("plain", 5, spec=WITH_IMAGES)
    failed = make_episode("failed", 6, FailureType.DROP, spec=WITH_IMAGES, seed=1)
    shape = (6, len(WITH_IMAGES.horizons_s), len(WITH_IMAGES.failure_types))
    risk = np.float32([np.nan, 0.1, 0.1, 0.9, np.nan, 0.2])
    failed = replace(
        failed,
        risk=risk,
        alarm=np.float32([np.nan, 0, 0, 1, 1, 0]),
        probability=np.broadcast_to(risk[:, None, None], shape),
        episode_outputs=np.full((6, 2), 0.5, np.float32),
    )
    nothing = dict.fromkeys(("risk", "alarm", "probability", "episode_outputs"))
    plain = replace(plain, **nothing)
    with EpisodeStore.create(path, WITH_IMAGES) as store:
        store.append(plain)
        store.append(failed)
    return path


def test_an_episode_has_the_form_of_a_live_update(path):
    update = Recording(path).update(1)
    assert [one["step"] for one in update["steps"]] == list(range(6))
    assert update["form"]["kinds"] == ("drop", "collision", "timeout", "other")
    assert update["parts"]["episode"]["ended"] == "drop at step 6"
    assert update["parts"]["buttons"]["*"]
    assert [name for name, _ in update["frames"]] == ["front", "wrist"]
    assert update["steps"][0]["signals"][11] is None
    json.dumps(update, allow_nan=False)


def test_each_step_says_what_was_predicted_of_it_and_nothing_is_not_calm(path):
    recording = Recording(path)
    steps = recording.update(1)["steps"]
    assert [one["level"] for one in steps] == [
        *("unknown", "calm", "calm", "alarm", "alarm", "calm"),
    ]
    assert steps[3]["text"].startswith("risk 0.90")
    assert steps[3]["episode_failure"] == 0.5
    assert steps[0]["risk"] is None
    assert {one["level"] for one in recording.update(0)["steps"]} == {"unknown"}


def test_it_is_served_with_its_images(path):
    server = ViewServer(Recording(path, 1))
    try:
        with urllib.request.urlopen(server.url + "about") as answer:
            about = json.load(answer)["recording"]
        assert about == {"store": str(path), "episodes": 2, "first": 1}
        with urllib.request.urlopen(server.url + "episode/1") as answer:
            assert len(json.load(answer)["steps"]) == 6
        with urllib.request.urlopen(server.url + "frame/1/wrist/5") as answer:
            assert answer.read().startswith(b"\xff\xd8")
        for wrong in ("episode/2", "episode/x", "frame/1/top/0", "frame/1/wrist/6", "live"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(
                    urllib.request.Request(
                        server.url + wrong, headers={"Origin": server.url.rstrip("/")}
                    )
                )
            assert refused.value.code == 404
    finally:
        server.close()


def test_an_episode_that_is_not_there_is_named(path):
    with pytest.raises(StoreError, match="its episodes are 0 to 1"):
        Recording(path, 2)


def test_a_picture_is_that_of_its_step(path):
    recording = Recording(path)
    pictures = {recording.jpeg(0, "front", step) for step in range(5)}
    assert len(pictures) == 5
    assert np.frombuffer(next(iter(pictures)), np.uint8).size > 100
