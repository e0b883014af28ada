"""Images of a bag as the store holds them: uint8 RGB of one size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salus_ros.bags.mapping import Mapping
from salus_ros.core.errors import ObservationError
from salus_ros.messages.depth import DEPTH, depth_to_array
from salus_ros.messages.images import compressed_image_to_array, image_to_array

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMAGES = (RAW, COMPRESSED)


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
            image = depth_to_array(message, camera, self._depth_range_mm[camera])
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
