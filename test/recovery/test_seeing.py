"""Where a cube lies, from pictures of it that are drawn here."""

import cv2
import numpy as np
import pytest

from salus_ros.recovery.seeing import _CORNERS, locate
from salus_ros.worlds.conditions import CUBE_HALF_M
from salus_ros.worlds.mujoco.workcell import nominal_workcell
from salus_ros.worlds.physics import RIGID

RED, BLUE = (200, 30, 30), (20, 30, 180)


@pytest.fixture(scope="module")
def cameras():
    return nominal_workcell(RIGID).cameras


def drawn(cameras, place, colour=RED, rng=None):
    """Images of a table with a cube on it."""
    images = {}
    for name, camera in cameras.items():
        image = np.full((256, 256, 3), 120, np.uint8)
        corners = camera.project(_CORNERS + np.array([*place, CUBE_HALF_M]))
        outline = cv2.convexHull(np.round(16 * corners).astype(np.int32))
        cv2.fillConvexPoly(image, outline, colour, lineType=cv2.LINE_8, shift=4)
        if rng is not None:
            noisy = image + rng.normal(0, 20, image.shape)
            image = noisy.clip(0, 255).astype(np.uint8)
        images[name] = image
    return images


@pytest.mark.parametrize("place", [(0.4, -0.2), (0.5, -0.1), (0.6, 0.0)])
@pytest.mark.parametrize(("cube", "colour"), [("red_cube", RED), ("blue_cube", BLUE)])
def test_a_cube_is_found_to_some_millimetres(cameras, place, cube, colour):
    found = locate(drawn(cameras, place, colour), cameras, cube)
    np.testing.assert_allclose(found, place, atol=0.004)


def test_noisy_pictures_move_it_little(cameras):
    images = drawn(cameras, (0.5, -0.1), rng=np.random.default_rng(0))
    np.testing.assert_allclose(locate(images, cameras, "red_cube"), (0.5, -0.1), atol=0.008)


def test_one_that_is_not_there_or_half_hidden_or_seen_at_two_places_is_not_found(cameras):
    images = drawn(cameras, (0.5, -0.1))
    assert locate(images, cameras, "blue_cube") is None
    hidden = images | {"side": images["side"].copy()}
    rows = np.flatnonzero((hidden["side"][..., 0] > 180).any(axis=1))
    hidden["side"][: rows[len(rows) * 3 // 4]] = 120
    assert locate(hidden, cameras, "red_cube") is None
    elsewhere = images | {"side": drawn(cameras, (0.6, 0.0))["side"]}
    assert locate(elsewhere, cameras, "red_cube") is None
    assert locate({"front": images["front"]}, cameras, "red_cube") is None
