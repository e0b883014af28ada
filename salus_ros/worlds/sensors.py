"""What cameras and encoders measure of what is there."""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from salus_ros.worlds.physics import Physics

Array = npt.NDArray[np.float64]

ARM = slice(0, 7)
"""The arm's joints among all; behind them are the two fingers."""

_POSITIONS, _VELOCITIES, _EFFORTS = -1, -2, -3
"""Numbers of the sensors that are not cameras."""

_STREAM = 0x5E50

_QUANTILES: Array = ndtri((np.arange(256) + 0.5) / 256)
_QUANTILES /= _QUANTILES.std()
"""Standard normal values that are equally likely, up to 2.9 deviations: a byte draws one, and
what a pixel then measures is looked up. Its noise is of a few units, in whole numbers."""


class Sensors:
    """Noise that is always there, of the size that `Physics` says.

    A value depends on the episode's seed, the step and the sensor alone: whoever asks for it,
    and however often, is told the same. Without noise the true values are returned untouched.
    """

    def __init__(self, physics: Physics) -> None:
        self._physics = physics
        levels = np.arange(256, dtype=np.float64)
        variance = physics.pixel_dark_noise**2 + physics.pixel_shot_noise * levels
        measured = levels[:, None] + np.sqrt(variance)[:, None] * _QUANTILES
        measured = np.rint(measured).clip(0, 255)
        self._measured_pixel = measured.astype(np.uint8).ravel()  # by true value and drawn byte
        self._noisy_cameras = bool(variance.any())
        self._seed = 0

    def reset(self, rng: np.random.Generator) -> None:
        """Begin an episode."""
        self._seed = int(rng.integers(2**31))

    def image(self, image: npt.NDArray[np.uint8], camera: int, step: int) -> npt.NDArray[np.uint8]:
        """What camera number `camera` measures of an image (H, W, 3) at `step`.

        Dark and shot noise of the linear camera model of EMVA 1288, each channel on its own:
        variance = dark variance + shot noise * value.
        """
        if not self._noisy_cameras:
            return image
        drawn = np.frombuffer(self._source(step, camera).bytes(image.size), np.uint8)
        place = image.astype(np.uint16)
        place <<= 8
        place |= drawn.reshape(image.shape)
        return np.take(self._measured_pixel, place)

    def positions(self, true: Array, step: int) -> Array:
        """Measured positions of the nine joints: seven in rad, two in m."""
        physics = self._physics
        scales = (physics.encoder_noise_rad, physics.finger_noise_m)
        return self._measured(true, step, _POSITIONS, *scales)

    def velocities(self, true: Array, step: int) -> Array:
        """Measured velocities of the nine joints: seven in rad/s, two in m/s."""
        scale = self._physics.velocity_noise_rad_s
        return self._measured(true, step, _VELOCITIES, scale, scale)

    def efforts(self, true: Array, step: int) -> Array:
        """Measured efforts of the nine joints: seven in Nm, two in N."""
        scale = self._physics.effort_noise_nm
        return self._measured(true, step, _EFFORTS, scale, scale)

    def _measured(self, true: Array, step: int, sensor: int, arm: float, finger: float) -> Array:
        if arm == finger == 0.0:
            return true
        scales = np.full(len(true), finger)
        scales[ARM] = arm
        noise: Array = self._source(step, sensor).normal(0.0, scales)
        return true + noise

    def _source(self, step: int, sensor: int) -> np.random.Generator:
        return np.random.default_rng([_STREAM, self._seed, step, sensor - _EFFORTS])
