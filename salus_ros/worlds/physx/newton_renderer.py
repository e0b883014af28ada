"""What the cameras of a USD stage show, by Newton's ray tracer on the CPU.

Run by the Python of PhysX's environment.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros.worlds.physx.serving import CAMERA

AMBIENT = 0.5
"""What light there is from everywhere, as a share of what shows colours as they are."""

LAMP = 0.65
"""What the lamp gives at the colour (1, 1, 1); the lamp of the scene as its builder knows it."""

SKY_RGBA = (217, 230, 240, 255)
"""Where a camera sees nothing."""


class NewtonRenderer:
    """Draws the cameras of a stage, with its bodies where they are now.

    The lamp gives its colour and the direction from which it shines on the bodies; Newton has
    one far lamp, no sphere of light. Without shadows, as the scene has none in MuJoCo.

    Args:
        stage: The USD file.
        size: Height and width of an image in pixels.
    """

    def __init__(self, stage: Path, size: int) -> None:
        import newton
        import warp
        from newton.sensors import SensorCamera
        from pxr import Usd, UsdGeom

        warp.config.quiet = True
        self._warp = warp
        usd = Usd.Stage.Open(str(stage))
        builder = newton.ModelBuilder()
        builder.add_usd(str(stage))
        # What is only seen has a flag for it, and Newton then hides what is only touched.
        visible = int(newton.ShapeFlags.VISIBLE)
        builder.shape_flags = [int(flags) | visible for flags in builder.shape_flags]
        self._model = builder.finalize(device="cpu")
        self._state = self._model.state()
        self._bodies = {path: i for i, path in enumerate(self._model.body_label)}
        self._rest = self._state.body_q.numpy()
        red, green, blue, alpha = SKY_RGBA
        sky = SensorCamera.ClearData(clear_color=alpha << 24 | blue << 16 | green << 8 | red)
        self._sensor = SensorCamera(self._model, default_clear_data=sky)
        self._shine(usd)
        prims = [prim for prim in usd.Traverse() if prim.IsA(UsdGeom.Camera)]
        self._names = [prim.GetName().removesuffix(CAMERA) for prim in prims]
        self._rays = [
            SensorCamera.compute_camera_rays_pinhole_usd(size, size, prim, device="cpu")
            for prim in prims
        ]
        carriers = [self._carrier(str(prim.GetPath())) for prim in prims]
        first = self._sensor.compute_camera_transforms_usd(prims).numpy()
        self._cameras = [
            (body, self._beside(body, warp.transformf(*pose)))
            for body, pose in zip(carriers, first, strict=True)
        ]
        self._image = self._sensor.allocate_image_color(1, size, size)

    def draw(self, poses: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The images.

        Args:
            poses: Position and quaternion (x, y, z, w) of bodies, (7,) each, by path.

        Returns:
            Uint8 (size, size, 3) by the name of the camera.
        """
        warp, now = self._warp, self._rest.copy()
        for path, pose in poses.items():
            now[self._bodies[path]] = pose
        self._state.body_q.assign(now)
        self._model.bvh_refit_shapes(self._state)
        images = {}
        for name, rays, (body, pose) in zip(self._names, self._rays, self._cameras, strict=True):
            placed = pose if body is None else warp.transformf(*now[body]) * pose
            where = warp.array([placed], dtype=warp.transformf, device="cpu")
            self._sensor.update(self._state, where, rays, color_image=self._image)
            rgba = self._image.numpy().view(np.uint8).reshape(*self._image.shape[1:], 4)
            images[name] = rgba[..., :3].copy()
        return images

    def _carrier(self, path: str) -> int | None:
        """The body that a camera is fixed to; None: the world."""
        over = [body for body in self._bodies if path.startswith(f"{body}/")]
        return self._bodies[max(over, key=len)] if over else None

    def _beside(self, body: int | None, pose: Any) -> Any:
        """A pose of the world, as the body at rest sees it."""
        if body is None:
            return pose
        return self._warp.transform_inverse(self._warp.transformf(*self._rest[body])) * pose

    def _shine(self, stage: Any) -> None:
        from pxr import Usd, UsdGeom, UsdLux

        lamps = [prim for prim in stage.Traverse() if prim.IsA(UsdLux.SphereLight)]
        self._sensor.set_ambient_light((AMBIENT,) * 3)
        for prim in lamps[:1]:
            place = UsdGeom.Xformable(prim).ComputeLocalToWorldTransform(Usd.TimeCode.Default())
            way = self._rest[:, :3].mean(axis=0) - np.array(place.ExtractTranslation())
            colour = LAMP * np.array(UsdLux.SphereLight(prim).GetColorAttr().Get())
            self._sensor.create_default_light(
                enable_shadows=False,
                direction=self._warp.vec3f(*map(float, way / np.linalg.norm(way))),
                color=tuple(map(float, colour)),
            )
