"""Home: only with empty fingers and a low tool, up before back."""

import numpy as np
import pytest
from sights import CLOSED, OPEN, sight, tool_at

from salus_ros.recovery.behaviours.home import LOW_M, RISE_M, Home
from salus_ros.worlds.workcell import Workcell

CELL = Workcell(lambda joints: np.eye(4), tool_at(0.49, 0.0, 0.36), {}, {}, 0.02, 0.1, 0.02)
TOLD_TO_CLOSE = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)


@pytest.mark.parametrize(
    ("height", "fingers", "last", "reason"),
    [
        (0.05, OPEN, None, ""),
        (0.05, CLOSED, TOLD_TO_CLOSE, ""),
        (0.05, 0.02, -TOLD_TO_CLOSE, ""),  # opening
        (0.05, 0.02, TOLD_TO_CLOSE, "between the fingers"),
        (0.05, OPEN, TOLD_TO_CLOSE, "between the fingers"),  # still closing
        (LOW_M + 0.01, OPEN, None, "0.09 m high"),
    ],
)
def test_it_starts_low_and_empty_only(height, fingers, last, reason):
    now = sight(place=(0.5, -0.1, height), fingers=fingers, last=last)
    said = Home(CELL).refusal(now)
    assert (reason in said) if reason else not said


def test_it_rises_first_then_goes_home_and_is_done():
    home, place, places, step = Home(CELL), np.array([0.6, -0.2, 0.03]), [], 0
    home.begin(sight(place=place), 0)
    while (action := home.act(sight(step, place))) is not None:
        assert np.abs(action).max() <= 1.0
        assert action[6] == 1.0
        place = place + 0.02 * action[:3]
        places.append(place)
        step += 1
    rising = [place for place in places if place[2] < RISE_M]
    np.testing.assert_allclose(np.array(rising)[:, :2], [[0.6, -0.2]] * len(rising))
    np.testing.assert_allclose(place, CELL.home[:3, 3], atol=0.02)
