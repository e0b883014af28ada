"""Where a cube of a known size and colour lies, from still cameras whose calibration is known."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from salus_ros.worlds.conditions import CUBE_HALF_M
from salus_ros.worlds.workcell import Camera

Array = npt.NDArray[np.float64]
Images = Mapping[str, npt.NDArray[np.uint8]]

CHANNEL: dict[str, int] = {"red_cube": 0, "blue_cube": 2}
"""The colour channel, of RGB, that a cube stands out in."""

STANDS_OUT = 2.0
"""So many times as bright as either other channel is a pixel of the cube."""

LEAST_VALUE = 40
"""Darker pixels have no colour."""

LEAST_SHARE = 0.6
"""Of the cube's outline must be seen, or something is before it."""

MOST_RESIDUAL_PX = 8.0
"""By which the cameras may disagree with one place of the cube."""

SMOOTHING_PX = 5

_CORNERS: Array = CUBE_HALF_M * np.array(
    [(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]
)


@dataclass(frozen=True, slots=True)
class _Blob:
    centre: Array
    """(2,) column and row in pixels."""
    area: float
    """In pixels."""


def locate(images: Images, cameras: Mapping[str, Camera], cube: str) -> Array | None:
    """Where on the table a cube lies.

    The place is the one at which the outlines of a cube, drawn with the nominal calibration,
    have their centres where the coloured patches have theirs (least squares over the cameras).

    Args:
        images: Uint8 RGB (H, W, 3) of each camera.
        cameras: Calibration of the cameras to look with.
        cube: One of `CHANNEL`.

    Returns:
        Its centre's (x, y) in m; None where it is not seen whole by every camera, or where they
        disagree.
    """
    blobs = {name: _blob(images[name], CHANNEL[cube]) for name in cameras if name in images}
    seen = {name: blob for name, blob in blobs.items() if blob is not None}
    if len(seen) < len(cameras):
        return None
    centres = np.array([blob.centre for blob in seen.values()])

    def off(place: Array) -> Array:
        drawn = [_outline(cameras[name], place)[0] for name in seen]
        return np.ravel(np.array(drawn) - centres)

    first = [_on_table(cameras[name], blob.centre) for name, blob in seen.items()]
    found = least_squares(off, np.mean(first, axis=0), x_scale=0.01)
    residual = np.abs(found.fun).max()
    whole = all(
        blob.area >= LEAST_SHARE * _outline(cameras[name], found.x)[1]
        for name, blob in seen.items()
    )
    place: Array = found.x
    return place if whole and residual <= MOST_RESIDUAL_PX else None


def _blob(image: npt.NDArray[np.uint8], channel: int) -> _Blob | None:
    """The largest patch of a colour."""
    smooth = cv2.GaussianBlur(image, (SMOOTHING_PX, SMOOTHING_PX), 0).astype(np.float32)
    others = np.delete(smooth, channel, axis=2).max(axis=2)
    mask = (smooth[..., channel] > STANDS_OUT * others) & (smooth[..., channel] > LEAST_VALUE)
    count, _, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:  # the background alone
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return _Blob(np.asarray(centres[largest], np.float64), float(stats[largest, cv2.CC_STAT_AREA]))


def _outline(camera: Camera, place: Array) -> tuple[Array, float]:
    """Centre (2,) and area, in pixels, of the outline of a cube that lies at a place."""
    pixels = camera.project(_CORNERS + np.array([*place, CUBE_HALF_M]))
    moments = cv2.moments(cv2.convexHull(pixels.astype(np.float32)))
    area = moments["m00"]
    return np.array([moments["m10"], moments["m01"]]) / area, area


def _on_table(camera: Camera, pixel: Array) -> Array:
    """Where (x, y) the ray of a pixel comes to the height of a cube's centre."""
    ray = camera.pose[:3, :3] @ np.linalg.solve(camera.matrix, np.append(pixel, 1.0))
    position = camera.pose[:3, 3]
    reach = (CUBE_HALF_M - position[2]) / ray[2]
    return np.asarray((position + reach * ray)[:2])
