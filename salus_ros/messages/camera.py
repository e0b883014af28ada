"""Images of several cameras as the store holds them: uint8 RGB of one size."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salus_ros.core.errors import ObservationError
from salus_ros.messages.images import assumed_colours, read_image
from salus_ros.messages.kinds import IMAGES
from salus_ros.messages.pixels import RECORDING, Advice


class ImageReader:
    """Reads the images of one recording; the first one of a camera settles its size.

    Attributes:
        size: Height and width that the store takes of every camera; None before the first image.
        assumed: What was taken for granted of a camera's colours, by camera.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] | None = None,
        image_size: tuple[int, int] | None = None,
        depth_range_mm: Mapping[str, tuple[float, float]] | None = None,
        encoding: Mapping[str, str] | None = None,
        advice: Advice = RECORDING,
    ) -> None:
        """Prepare to read.

        Args:
            size: Height and width of the store, if there is one.
            image_size: Height and width to scale images to; None keeps theirs.
            depth_range_mm: Near and far of each camera that gives depth.
            encoding: Encoding of each camera whose messages say it wrongly.
            advice: What the error texts advise.
        """
        self.size = size
        self._scaled_size, self._advice = image_size, advice
        self._depth_range_mm, self._encoding = depth_range_mm or {}, encoding or {}
        self._raw_sizes: dict[str, tuple[int, int]] = {}
        self.assumed: dict[str, str] = {}

    def read(self, message: Any, kind: str, camera: str) -> NDArray[np.uint8]:
        """Read an Image or a CompressedImage (`read_image`).

        Returns:
            Uint8 (H, W, 3) RGB, scaled where a size was given.

        Raises:
            ObservationError: if it is of another type, encoding or size, or damaged.
        """
        if kind not in IMAGES:
            raise ObservationError(f"{kind} is no image; allowed are {', '.join(IMAGES)}")
        depth_range = self._depth_range_mm.get(camera)
        image = read_image(
            message,
            camera,
            encoding=self._encoding.get(camera, ""),
            depth_range_mm=depth_range,
            advice=self._advice,
        )
        if depth_range is None and camera not in self._encoding and camera not in self.assumed:
            encoding = str(getattr(message, "encoding", ""))
            if words := assumed_colours(camera, encoding):
                self.assumed[camera] = words
        return self._fitted(image, camera, depth=depth_range is not None)

    def _fitted(self, image: NDArray[np.uint8], camera: str, *, depth: bool) -> NDArray[np.uint8]:
        height, width, _ = image.shape
        size = self._raw_sizes.setdefault(camera, (height, width))
        if (height, width) != size:
            raise ObservationError(
                f"the image is {width}x{height}, the first one {size[1]}x{size[0]}"
            )
        if self._scaled_size is not None:
            self.size = self._scaled_size
            return scaled(image, self._scaled_size, depth=depth)
        self.size = self.size or size
        if size != self.size:
            raise ObservationError(
                f"the image is {width}x{height}, the store takes {self.size[1]}x{self.size[0]} of "
                "every camera; set image_size in the mapping"
            )
        return image


def scaled(
    image: NDArray[np.uint8], size: tuple[int, int], *, depth: bool = False
) -> NDArray[np.uint8]:
    """Scale an image (H, W, 3) to height and width: each pixel the mean of what it covers.

    Of depth no mean is taken: between an edge and what has no measurement is nothing.
    """
    height, width = size
    if image.shape[:2] == size:
        return image
    resampling = Image.Resampling.NEAREST if depth else Image.Resampling.BOX
    return np.array(Image.fromarray(image).resize((width, height), resampling))
