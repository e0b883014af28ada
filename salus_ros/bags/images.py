"""Images of a bag as the store holds them: uint8 RGB of one size."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from salus_ros.bags.mapping import Mapping
from salus_ros.core.errors import ObservationError
from salus_ros.core.images import compressed_image_to_array, image_to_array

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMAGES = (RAW, COMPRESSED)
DEPTH = "16UC1"


class ImageReader:
    """Reads the images of one bag; the first one of a camera settles its size.

    Attributes:
        size: Height and width that the store takes of every camera; None before the first image.
    """

    def __init__(self, mapping: Mapping, size: tuple[int, int] | None) -> None:
        """For the cameras of `mapping`, and a store of this size if there is one."""
        self._depth_range_mm = mapping.depth_range_mm
        self._scaled_size = mapping.image_size
        self._raw_sizes: dict[str, tuple[int, int]] = {}
        self.size = size

    def read(self, message: Any, kind: str, camera: str) -> NDArray[np.uint8]:
        """Read an Image (rgb8, bgr8, rgba8, bgra8, mono8) or a CompressedImage (jpeg, png).

        Depth (16UC1 in mm, raw or as png) is read where `Mapping.depth_range_mm` says how.

        Returns:
            Uint8 (H, W, 3) RGB, scaled if the mapping says so.

        Raises:
            ObservationError: if it is of another type, encoding or size, or damaged.
        """
        if kind not in IMAGES:
            raise ObservationError(f"{kind} is no image; allowed are {', '.join(IMAGES)}")
        depth = camera in self._depth_range_mm
        if depth:
            image = depth_to_array(message, kind, camera, self._depth_range_mm[camera])
        elif kind == RAW and message.encoding == DEPTH:
            raise ObservationError(
                f"camera '{camera}' sends encoding '{DEPTH}', depth in mm, which does not fit 8 "
                f"bits; set depth_range_mm: {{{camera}: [NEAR, FAR]}} in the mapping"
            )
        elif kind == RAW:
            image = image_to_array(message, camera)
        else:
            image = compressed_image_to_array(message, camera)
        return self._fitted(image, camera, depth=depth)

    def _fitted(self, image: NDArray[np.uint8], camera: str, *, depth: bool) -> NDArray[np.uint8]:
        height, width, _ = image.shape
        size = self._raw_sizes.setdefault(camera, (height, width))
        if (height, width) != size:
            raise ObservationError(
                f"the image is {width}x{height}, the first one {size[1]}x{size[0]}"
            )
        if self._scaled_size is not None:
            self.size = self._scaled_size
            # Of depth no mean is taken: between an edge and what has no measurement is nothing.
            filter_ = Image.Resampling.NEAREST if depth else Image.Resampling.BOX
            return scaled(image, self._scaled_size, filter_)
        self.size = self.size or size
        if size != self.size:
            raise ObservationError(
                f"the image is {width}x{height}, the store takes {self.size[1]}x{self.size[0]} of "
                "every camera; set image_size in the mapping"
            )
        return image


def depth_to_array(
    message: Any, kind: str, camera: str, range_mm: tuple[float, float]
) -> NDArray[np.uint8]:
    """Depth as grey: 0 where nothing was measured, else 1 at the near end to 255 at the far one.

    grey = 1 + round(254 (d - near) / (far - near)), with d held to [near, far] first.

    Args:
        message: An Image of 16UC1 or a CompressedImage that is a png of 16 bits, in mm; 0 is no
            measurement.
        kind: Its type.
        camera: Its camera, for the error text.
        range_mm: Near and far.

    Returns:
        Uint8 (H, W, 3).

    Raises:
        ObservationError: if it is no such image, or damaged.
    """
    depth_mm = _raw_depth(message, camera) if kind == RAW else _png_depth(message, camera)
    near, far = range_mm
    share = (np.clip(depth_mm.astype(np.float32), near, far) - near) / (far - near)
    grey = np.where(depth_mm == 0, 0, 1 + np.round(254 * share)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def scaled(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    resampling: Image.Resampling = Image.Resampling.BOX,
) -> NDArray[np.uint8]:
    """Scale an image (H, W, 3) to height and width."""
    height, width = size
    if image.shape[:2] == size:
        return image
    return np.array(Image.fromarray(image).resize((width, height), resampling))


def _raw_depth(message: Any, camera: str) -> NDArray[np.uint16]:
    height, width, step = message.height, message.width, message.step
    if message.encoding != DEPTH:
        raise _no_depth(camera, f"encoding '{message.encoding}'")
    if not height or not width or step < 2 * width or len(message.data) != height * step:
        raise ObservationError(
            f"camera '{camera}' sends {len(message.data)} bytes for {width}x{height} pixels of "
            f"{DEPTH} with step {step}; needed are a step of at least {2 * width} and height x "
            "step bytes"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)[:, : 2 * width]
    order = ">u2" if message.is_bigendian else "<u2"
    return np.ascontiguousarray(rows).view(order).astype(np.uint16)


def _png_depth(message: Any, camera: str) -> NDArray[np.uint16]:
    try:
        with Image.open(io.BytesIO(bytes(message.data)), formats=("png",)) as picture:
            if not picture.mode.startswith("I"):
                raise _no_depth(camera, f"format '{message.format}' of 8 bits")
            return np.array(picture).astype(np.uint16)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise _no_depth(camera, f"format '{message.format}' that is no whole png") from error


def _no_depth(camera: str, sends: str) -> ObservationError:
    return ObservationError(
        f"camera '{camera}' sends {sends}, but has a depth_range_mm in the mapping; depth is "
        f"{DEPTH}, raw or as a png of 16 bits"
    )
