"""The RTX cameras of a stage in Isaac Sim."""

from collections.abc import Sequence

import numpy as np

from salus_ros.worlds.physx.serving import CAMERA

FRAMES = 3
"""Frames that are drawn before one is taken: the renderer is behind the scene by one or two."""

FIRST_FRAMES = 300
"""Frames within which a camera must give its first image."""


class RtxCameras:
    """Draws cameras that the stage has.

    Args:
        paths: Of their prims.
        size: Height and width of an image in pixels.
    """

    def __init__(self, paths: Sequence[str], size: int) -> None:
        import warp
        from isaacsim.sensors.experimental.rtx import CameraSensor, RtxCamera

        self._sensors = {
            path.rsplit("/", 1)[1].removesuffix(CAMERA): CameraSensor(
                RtxCamera(path, reset_xform_op_properties=False),
                resolution=(size, size),
                annotators=["rgb"],
            )
            for path in paths
        }
        self._out = warp.zeros((size, size, 3), dtype=warp.uint8, device="cpu")

    def draw(self) -> dict[str, np.ndarray]:
        """The images: uint8 (size, size, 3) by the name of the camera.

        Raises:
            RuntimeError: if a camera gives none; names it.
        """
        from isaacsim.core.rendering_manager import RenderingManager

        for _ in range(FRAMES):
            RenderingManager.render()
        images: dict[str, np.ndarray] = {}
        for _ in range(FIRST_FRAMES):
            images |= {
                name: image for name in self._sensors if (image := self._take(name)) is not None
            }
            if len(images) == len(self._sensors):
                return images
            RenderingManager.render()
        missing = ", ".join(name for name in self._sensors if name not in images)
        raise RuntimeError(f"no image of the camera {missing} after {FIRST_FRAMES} frames")

    def _take(self, name: str) -> np.ndarray | None:
        image, _ = self._sensors[name].get_data("rgb", out=self._out)
        return None if image is None else np.array(image.numpy())
