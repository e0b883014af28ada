import math
import threading
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fake_robot import PERIOD_NS, SIZE, Robot

from salus_msgs.msg import RecorderStatus
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.spec import SHARD_STEPS


@pytest.fixture
def robot(graph, tmp_path):
    return Robot(graph, tmp_path / "runs" / "a.zarr")


def test_status_follows_the_recording(graph, robot):
    graph.until(lambda: robot.heard)
    assert robot.heard[-1].state == RecorderStatus.STATE_IDLE
    assert math.isnan(robot.heard[-1].rate_hz)
    robot.step("a", 0)
    graph.until(lambda: robot.heard[-1].state == RecorderStatus.STATE_RECORDING)
    graph.until(lambda: robot.heard[-1].steps_in_episode == 1)
    assert robot.heard[-1].episode_id == "a"
    assert robot.heard[-1].rate_hz > 0
    robot.step("a", 1)
    robot.end("a", 2)
    robot.committed(1)
    graph.until(lambda: robot.heard[-1].state == RecorderStatus.STATE_IDLE)


def test_writing_does_not_hold_up_the_node(graph, robot, monkeypatch):
    write = EpisodeStore.write

    def slow(self, block):
        time.sleep(0.5)
        return write(self, block)

    monkeypatch.setattr(EpisodeStore, "write", slow)
    robot.run("a")
    graph.until(lambda: robot.heard and robot.heard[-1].state == RecorderStatus.STATE_WRITING)
    robot.run("b")
    graph.until(
        lambda: (
            robot.node._recorder._assembler.steps("b") == 4
            or robot.node._recorder.writer.queue_depth
        )
    )
    robot.committed(2)


def test_a_long_episode_is_written_while_it_grows(graph, robot):
    steps = SHARD_STEPS + 50
    for step in range(steps):
        robot.step("a", step)
        graph.until(lambda step=step: robot.node._recorder._assembler.steps("a") > step)
    graph.until((robot.path / "meta" / "episode_ends").exists, "a store")
    assert len(StoreReader(robot.path)) == 0
    robot.end("a", steps)
    status = robot.committed(1)
    assert (status.steps_recorded, status.steps_with_gaps) == (steps, 0)
    assert status.bytes_waiting < 10_000  # the newest image of each camera
    episode = StoreReader(robot.path).episode(0)
    np.testing.assert_array_equal(episode.stamp_ns, np.arange(1, steps + 1) * PERIOD_NS)
    np.testing.assert_array_equal(episode.images["front"][:, 0, 0, 0], np.arange(steps) % 256)
    assert episode.meta.model_id == "m1"


def test_a_long_episode_that_never_ends_leaves_nothing(graph, robot):
    steps = SHARD_STEPS + 50
    for step in range(steps):
        robot.step("a", step)
        graph.until(lambda step=step: robot.node._recorder._assembler.steps("a") > step)
    robot.run("b", 3)
    status = robot.committed(1)
    assert status.steps_recorded == 3
    assert status.messages_dropped > 6 * steps
    (episode,) = [StoreReader(robot.path).episode(0)]
    assert (episode.meta.id, len(episode)) == ("b", 3)


def test_what_the_disk_cannot_keep_up_with_is_dropped_and_counted(graph, tmp_path, monkeypatch):
    robot = Robot(graph, tmp_path / "a.zarr", buffer_mb=16)
    free = threading.Event()
    write = EpisodeStore.write
    monkeypatch.setattr(EpisodeStore, "write", lambda self, b: (free.wait(), write(self, b))[1])
    for step in range(40):  # of 0.59 MB
        robot.step("a", step, size=(256, 256))
        graph.until(
            lambda step=step: (
                robot.node._recorder._assembler.streams["wrist"].newest_ns >= step * PERIOD_NS
            )
        )
        if step == 20:
            said = "of 16 MB (buffer_mb) wait to be written: the disk is slower than the streams"
            graph.until(lambda said=said: robot.heard and said in robot.heard[-1].warning)
    robot.failed("do not fit the parameter buffer_mb")
    free.set()
    graph.until(lambda: robot.node._recorder.writer.held_bytes == 0)
    robot.run("b", 3, size=(256, 256))
    robot.committed(1)
    assert [m.id for m in StoreReader(robot.path).episodes()] == ["b"]


def test_depth_is_recorded_where_its_range_is_known(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr", depth_near_mm=400.0, depth_far_mm=654.0)
    robot.run("a", 3, encoding="16UC1")
    robot.committed(1)
    assert (StoreReader(robot.path).episode(0).images["front"] == 101).all()


def test_images_may_be_stored_as_jpeg(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr", image_codec="jpeg")
    robot.run("a", 3)
    robot.committed(1)
    reader = StoreReader(robot.path)
    assert reader.spec.image_codec == "jpeg"
    frames = reader.episode(0).images["side"]
    np.testing.assert_allclose(frames[:, 5, 5, 0], 10 + np.arange(3), atol=2)


@pytest.mark.parametrize(("compression", "tolerance"), [("png", 0), ("jpeg", 2)])
def test_compressed_images_are_recorded(graph, tmp_path, compression, tolerance):
    robot = Robot(graph, tmp_path / "a.zarr", compression=compression)
    robot.run("a", 3)
    robot.committed(1)
    images = StoreReader(robot.path).episode(0).images
    assert images["wrist"].shape == (3, *SIZE, 3)
    expected = 20 + np.arange(3)
    for channel in range(3):
        np.testing.assert_allclose(images["wrist"][:, 5, 5, channel], expected, atol=tolerance)


def test_a_damaged_compressed_image_is_not_recorded(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr", compression="jpeg")
    image = robot.image
    robot.image = lambda pixels, encoding: _cut(image(pixels, encoding))
    robot.run("a", 3)
    robot.dropped("are no whole jpeg or png")


def _cut(message):
    message.data = message.data[:100]
    return message


def test_each_stream_has_an_age_of_its_own(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr", max_age_ms=0.0, max_prediction_age_ms=50.0)
    robot.step("a", 0)
    robot.step("a", 1, skip=("prediction", "signals"))
    robot.end("a", 2)
    robot.committed(1)
    ages = StoreReader(robot.path).episode(0).age_ms[1]
    np.testing.assert_allclose(ages, [0, 0, 0, 0, 0, np.nan, 33.333], atol=0.01)


def test_a_stream_that_stops_is_reported_during_the_episode(graph, robot):
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    for step in range(5):
        robot.step("a", step)
    for step in range(5, 45):
        robot.step("a", step, skip=("wrist",))
        graph.until(lambda step=step: robot.node._recorder._assembler.steps("a") > step)
    graph.until(lambda: robot.heard and "'wrist' stopped" in robot.heard[-1].warning)
    graph.until(
        lambda: any(
            s.level == DiagnosticStatus.WARN and "'wrist' stopped" in s.message
            for array in diagnostics
            for s in array.status
            if s.name == f"{graph.namespace[1:]}/recorder"
        )
    )
    place = [one.name for one in robot.heard[-1].streams].index("wrist")
    graph.until(lambda: robot.heard[-1].streams[place].gap_share > 0.5)
    assert robot.heard[-1].streams[place].age_p50_ms == 0.0


def test_a_stream_that_loses_now_and_then_is_reported_during_the_episode(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr", max_age_ms=0.0)
    for step in range(20):
        robot.step("a", step, skip=("wrist",) if step % 4 == 1 else ())
        graph.until(lambda step=step: robot.node._recorder._assembler.steps("a") > step)
    graph.until(lambda: robot.heard and "'wrist' was missing" in robot.heard[-1].warning)
    assert robot.heard[-1].state == RecorderStatus.STATE_RECORDING
