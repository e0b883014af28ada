"""The built-in world as its builder knows it, before an episode shifts bin, plate and cameras."""

import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.worlds.conditions import CUBE_HALF_M, OBSTACLE_Y_M
from salus_ros.worlds.mujoco.arm import HOME, MAX_ROTATION_RAD, MAX_TRANSLATION_M
from salus_ros.worlds.mujoco.scene import load_scene
from salus_ros.worlds.panda import IMAGE_SIZE, JOINTS
from salus_ros.worlds.physics import Physics
from salus_ros.worlds.workcell import Box, Camera, Workcell

STILL_CAMERAS: tuple[str, ...] = ("front", "side")
PLACES: tuple[str, ...] = ("bin", "plate")

HEADROOM_M = 0.6
"""Height above the table that the tool has no reason to leave."""

BESIDE_M = 0.02
"""Room beside the obstacle for the fingers."""

Array = npt.NDArray[np.float64]


class ToolKinematics:
    """Forward kinematics of the arm on a model of its own."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model, self._data = model, mujoco.MjData(model)
        self._qpos = np.array([model.joint(name).qposadr[0] for name in JOINTS])

    def __call__(self, joints: Array) -> Array:
        """Pose (4, 4) of the tool centre for the arm's seven joints in rad."""
        self._data.qpos[self._qpos] = joints
        mujoco.mj_kinematics(self._model, self._data)
        site = self._data.site("tcp")
        return _pose(site.xpos, site.xmat.reshape(3, 3))


def nominal_workcell(physics: Physics) -> Workcell:
    """The cell that every episode of a world is a variation of."""
    model = load_scene(physics)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    tool = ToolKinematics(model)
    return Workcell(
        tool=tool,
        home=tool(np.array(HOME)),
        cameras={name: _camera(model, data, name) for name in STILL_CAMERAS},
        places={name: np.array(data.body(name).xpos) for name in PLACES},
        step_m=MAX_TRANSLATION_M,
        step_rad=MAX_ROTATION_RAD,
        leash_m=physics.leash_m,
        workspace=_above_table(data),
        keep_out={"obstacle": _obstacle(data)},
    )


def camera_matrix(model: mujoco.MjModel, camera: str) -> Array:
    """Pinhole matrix (3, 3) of a camera in pixels, pixel centres at whole numbers."""
    fovy_rad = np.deg2rad(model.camera(camera).fovy[0])
    focal_px = IMAGE_SIZE / 2 / np.tan(fovy_rad / 2)
    centre_px = (IMAGE_SIZE - 1) / 2
    return np.array([[focal_px, 0, centre_px], [0, focal_px, centre_px], [0, 0, 1]])


def camera_pose(data: mujoco.MjData, camera: str) -> Array:
    """Where a camera is now: homogeneous (4, 4), in m, from its optical frame to the world.

    The optical frame is that of images: z forward, x right, y down; MuJoCo's cameras look along
    -z, with y up.
    """
    seen = data.camera(camera)
    return _pose(seen.xpos, seen.xmat.reshape(3, 3) @ np.diag([1.0, -1.0, -1.0]))


def _above_table(data: mujoco.MjData) -> Box:
    """The space over the table."""
    centre, half = _geom(data, "table")
    low = centre - half
    low[2] = centre[2] + half[2]
    high = centre + half
    high[2] = low[2] + HEADROOM_M
    return Box(low, high)


def _obstacle(data: mujoco.MjData) -> Box:
    """All that the obstacle may fill: where along the table it stands differs by episode."""
    centre, half = _geom(data, "obstacle")
    table, reach = _geom(data, "table")
    height = centre[2] + half[2] + CUBE_HALF_M
    (first, last), beside = OBSTACLE_Y_M, half[1] + BESIDE_M
    return Box(
        np.array([table[0] - reach[0], first - beside, 0.0]),
        np.array([table[0] + reach[0], last + beside, height]),
    )


def _geom(data: mujoco.MjData, name: str) -> tuple[Array, Array]:
    """Centre and half sizes of a box."""
    half = np.array(data.model.geom(name).size)
    return np.array(data.geom(name).xpos), half


def _camera(model: mujoco.MjModel, data: mujoco.MjData, name: str) -> Camera:
    return Camera(camera_matrix(model, name), camera_pose(data, name))


def _pose(position: Array, rotation: Array) -> Array:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, position
    return pose
