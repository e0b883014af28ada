"""Hold stands still for its time, with the gripper as it was told."""

import numpy as np
from sights import sight

from salus_ros.recovery.behaviours.hold import Hold


def test_it_stands_still_and_hands_back():
    closed = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)
    hold = Hold(3)
    for _ in range(2):  # the second time as long as the first
        hold.begin(sight(), 0)
        actions = [hold.act(sight(n, last=closed)) for n in range(4)]
        for action in actions[:3]:
            np.testing.assert_array_equal(action, closed)
        assert actions[3] is None
    assert hold.least_steps == 3
