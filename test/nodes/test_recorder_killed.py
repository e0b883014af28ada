"""kill -9 of a recorder: what was committed stays, what was in flight is gone, nothing else is."""

import random
import time

import numpy as np
from fake_robot import PERIOD_NS, Robot
from processes import NodeProcess

from salus_ros.episodes import StoreReader
from salus_ros.episodes.verify import verify

LENGTHS = (3, 40, 230, 7, 90)
"""Steps of the episodes in turn; the longest is written while it grows."""


class Played:
    """Episodes published one after the other, and what each must look like in a store."""

    def __init__(self, robot):
        self.robot = robot
        self.first_ns = {}
        self.number = 0

    def episode(self, until=lambda: False):
        """Publish the next one; stop in its middle when the time has come."""
        name = f"e{self.number}"
        length = LENGTHS[self.number % len(LENGTHS)]
        self.number += 1
        self.first_ns[name] = (self.robot.tick + 1) * PERIOD_NS
        for step in range(length):
            self.robot.step(name, step)
            self.robot.graph.executor.spin_once(timeout_sec=0.002)
            if until():
                return
        self.robot.end(name, length)

    def check(self, path):
        """Everything committed is as it was published."""
        reader = StoreReader(path)
        for index, meta in enumerate(reader.episodes()):
            episode = reader.episode(index)
            steps = np.arange(len(episode))
            np.testing.assert_array_equal(
                episode.stamp_ns, self.first_ns[meta.id] + steps * PERIOD_NS
            )
            np.testing.assert_allclose(episode.action[:, 0], np.float32(steps / 10))
            for i, frames in enumerate(episode.images.values()):
                np.testing.assert_array_equal(frames[:, 3, 4, 1], (10 * i + steps) % 256)
        return [meta.id for meta in reader.episodes()]


def test_a_killed_recorder_loses_at_most_the_episode_in_flight(graph, tmp_path):
    path = tmp_path / "a.zarr"
    rng = random.Random(0)
    parameters = {"store_path": path, "settle_s": 0.2, "min_free_mb": 0, "status_hz": 20.0}
    parameters["reliable_sensors"] = True  # an image that is lost on the way is not the killing's
    robot, played, before = None, None, []
    for life in range(3):
        with NodeProcess("recorder", graph.namespace, **parameters) as recorder:
            if robot is None:
                robot = Robot(graph, path, alone=True)
                played = Played(robot)
            robot.heard.clear()
            graph.until(lambda robot=robot: robot.heard, "a recorder")
            kill_at = time.monotonic() + rng.uniform(0.5, 3.0)
            due = (lambda at: lambda: time.monotonic() > at)(kill_at)
            while not due():
                played.episode(due)
            committed = robot.heard[-1].episodes_committed
            recorder.process.kill()
            recorder.process.communicate()
        names = played.check(path) if path.exists() else []
        assert names[: len(before)] == before
        assert len(names) - len(before) >= committed, life
        before = names
    with NodeProcess("recorder", graph.namespace, **parameters) as recorder:
        robot.heard.clear()
        graph.until(lambda robot=robot: robot.heard, "a recorder")
        while not robot.heard[-1].episodes_committed:  # it may miss the first few steps
            played.episode()
        assert recorder.stop() == 0
    names = played.check(path)
    assert names[: len(before)] == before
    assert len(names) > len(before)
    assert verify(path).problems == ()
