"""PhysX as an engine of the built-in world: model and data here follow what it does there."""

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NoReturn, Self

import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.core.errors import ConfigError, SimulatorError
from salus_ros.worlds.engine import Images
from salus_ros.worlds.panda import IMAGE_SIZE
from salus_ros.worlds.physx.application import PHYSX, Application, last_line
from salus_ros.worlds.physx.scene import camera_path, light_path, prim_path, write_usd
from salus_ros.worlds.physx.serving import pose

STEP_S = 60.0
"""How long a physics step may take, before the engine counts as one that has stopped."""

LEAST_FORCE_N = 1e-6
"""PhysX names pairs that are near each other; with less force than this they do not touch."""

Array = npt.NDArray[np.float64]


class PhysxEngine:
    """Has PhysX step the scene in a process of its own; see `Engine`.

    Each episode is a stage of its own there, so that it depends on no earlier one. What the
    scene's numbers say of springs, dampers, armature, masses and friction holds there too, but
    contacts are PhysX's: `solref`, `solimp` and the friction of joints have no counterpart, so
    that surfaces are rigid. A friction that changes does so for its geom's whole body.

    Args:
        model: The scene.
        data: Its state.
        home: Position of each driven joint at rest, by name.
        application: What runs PhysX.
        own_images: Whether it draws the images too.

    Raises:
        SimulatorError: if PhysX is not set up, does not start, or does not take the scene.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        home: Mapping[str, float],
        application: Application = PHYSX,
        *,
        own_images: bool = False,
    ) -> None:
        application.python()  # if it is missing, that is said before the scene is made
        self._application, self._own_images = application, own_images
        self._seen_before = False
        self._model, self._data = model, data
        self._joints = _Joints(model, tuple(home))
        self._bodies = _FreeBodies(model)
        self._arm = int(model.body_rootid[self._joints.bodies[0]])
        solid = (model.geom_contype | model.geom_conaffinity) != 0
        moves = model.body_weldid[model.geom_bodyid] != 0
        of_arm = model.body_rootid[model.geom_bodyid] == self._arm
        self._sensors = np.flatnonzero(solid & moves)
        self._filters = np.flatnonzero(solid & ~of_arm)
        by_itself = np.flatnonzero(model.body_parentid[1:] == 0) + 1
        self._placed = [int(body) for body in by_itself if body != self._arm]
        joint, free = (len(home),), len(self._bodies.ids)
        pairs = (len(self._sensors), len(self._filters))
        self._form = [joint, joint, (free, 3), (free, 4), (free, 3), (free, 3), pairs]
        self._friction = model.geom_friction[:, 0].copy()
        self._brightness = float(model.light_diffuse.max())
        self._pairs: list[tuple[int, int]] = []
        self._pair_forces: list[float] = []
        self._folder = tempfile.TemporaryDirectory(prefix="salus-physx-")
        scene, self._log = Path(self._folder.name, "scene.usda"), Path(self._folder.name, "log")
        write_usd(model, home, scene)
        self._pipe, theirs = Pipe()
        with theirs:
            arguments = [str(theirs.fileno()), str(scene)]
            self._process = application.run(arguments, self._log, theirs.fileno())
        self._answer(application.start_s)

    def load(self) -> None:
        """See `Engine.load`."""
        model, data = self._model, self._data
        joints, slide = self._joints.paths(model), self._joints.slide
        links = np.flatnonzero(model.body_rootid == self._arm)
        paths = {
            "articulation": [prim_path(model, self._arm)],
            "links": [prim_path(model, int(link)) for link in links],
            "joints": joints,
            "sliding": [path for path, slides in zip(joints, slide, strict=True) if slides],
            "bodies": [prim_path(model, body) for body in self._bodies.ids],
            "sensors": [self._geom_path(geom) for geom in self._sensors],
            "filters": [self._geom_path(geom) for geom in self._filters],
        }
        self._pairs, self._pair_forces = [], []
        self._friction = model.geom_friction[:, 0].copy()
        q = data.qpos[self._joints.qpos]
        within_s, timestep_s = self._application.start_s, float(model.opt.timestep)
        self._ask(within_s, "load", paths, self._arranged(), q, timestep_s)
        self._seen_before = False

    def step(self) -> None:
        """See `Engine.step`."""
        model, data = self._model, self._data
        changed = np.flatnonzero(model.geom_friction[:, 0] != self._friction)
        frictions = {
            prim_path(model, model.geom_bodyid[geom]): float(model.geom_friction[geom, 0])
            for geom in changed
        }
        self._friction[changed] = model.geom_friction[changed, 0]
        pushes = data.xfrc_applied[self._bodies.ids, :3]
        answer = self._ask(STEP_S, "step", data.ctrl[self._joints.ctrl], pushes, frictions)
        if not isinstance(answer, tuple) or [np.shape(part) for part in answer] != self._form:
            self._fail("answers a step in a form that is not its own")
        if not all(np.isfinite(part).all() for part in answer):
            self._fail("gives joints, poses or forces that are not finite")
        q, v, positions, quaternions, linear, angular, forces = answer
        data.qpos[self._joints.qpos], data.qvel[self._joints.dof] = q, v
        self._bodies.put(data, positions, quaternions, linear, angular)
        data.time += model.opt.timestep
        self._refresh()
        found = np.argwhere(forces > LEAST_FORCE_N)
        self._pairs = [(int(self._sensors[s]), int(self._filters[f])) for s, f in found]
        self._pair_forces = [float(forces[s, f]) for s, f in found]

    @property
    def look(self) -> Callable[[], Images] | None:
        """See `Engine.look`."""
        return self._look if self._own_images else None

    def contacts(self) -> Sequence[Sequence[int]]:
        """See `Engine.contacts`."""
        return self._pairs

    def force(self, contact: int) -> float:
        """See `Engine.force`."""
        return self._pair_forces[contact]

    def follow(self, other: Self) -> None:
        """See `Engine.follow`."""
        raise ConfigError(
            "the state of PhysX cannot be copied; run other futures of an episode in a world that "
            "MuJoCo moves"
        )

    def close(self) -> None:
        """See `Engine.close`."""
        self._pipe.close()
        with contextlib.suppress(Exception):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _arranged(self) -> dict[str, dict[str, Any]]:
        """Where bodies, cameras and lamps are in this episode, and what light the lamps give."""
        model, data = self._model, self._data
        values: dict[str, dict[str, Any]] = {
            prim_path(model, body): pose(data.xpos[body].tolist(), data.xquat[body].tolist())
            for body in self._placed
        }
        for camera in range(model.ncam):
            placed = (model.cam_pos[camera].tolist(), model.cam_quat[camera].tolist())
            values[camera_path(model, camera)] = pose(*placed)
        for light in range(model.nlight):
            colour = (model.light_diffuse[light] / self._brightness).tolist()
            values[light_path(model, light)] = {
                "xformOp:translate": ("double3", model.light_pos[light].tolist()),
                "inputs:color": ("color3f", colour),
            }
        return values

    def _look(self) -> Images:
        within_s = STEP_S if self._seen_before else self._application.start_s
        images = self._ask(within_s, "look", IMAGE_SIZE)
        cameras = [self._model.camera(camera).name for camera in range(self._model.ncam)]
        images = images if isinstance(images, dict) else {}
        wanted = ((IMAGE_SIZE, IMAGE_SIZE, 3), np.dtype(np.uint8))
        for camera in cameras:
            image = images.get(camera)
            found = None if image is None else (image.shape, image.dtype)
            if found != wanted:
                self._fail(f"gives of the camera {camera} {found or 'no image'}, not {wanted}")
        self._seen_before = True
        return {camera: images[camera] for camera in cameras}

    def _refresh(self) -> None:
        """What follows of positions and velocities: poses, speeds, efforts of the drives."""
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_comVel(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        mujoco.mj_transmission(self._model, self._data)
        mujoco.mj_fwdActuation(self._model, self._data)

    def _geom_path(self, geom: int) -> str:
        body = int(self._model.geom_bodyid[geom])
        return prim_path(self._model, body, self._model.geom(geom).name)

    def _ask(self, within_s: float, *request: Any) -> Any:
        try:
            self._pipe.send(request)
        except OSError:
            self._fail("has ended")
        return self._answer(within_s)

    def _answer(self, within_s: float) -> Any:
        pipe: Connection = self._pipe
        try:
            if not pipe.poll(within_s):
                self._fail(f"has not answered for {within_s:.0f} s")
            kind, value = pipe.recv()
        except (EOFError, OSError):
            self._fail("has ended")
        except Exception as error:  # noqa: BLE001 - what is no pickle can raise anything
            self._fail(f"answers what cannot be read ({type(error).__name__}: {error})")
        if kind == "error":
            self._fail(f"says {value}")
        return value

    def _fail(self, what: str) -> NoReturn:
        self._process.kill()
        said = last_line(self._log)
        name = self._application.name
        raise SimulatorError(f"{name} {what}; start the world anew. {said}".rstrip())


class _Joints:
    """Where model and data keep the driven joints."""

    def __init__(self, model: mujoco.MjModel, names: tuple[str, ...]) -> None:
        self.names = names
        joints = [model.joint(name) for name in names]
        self.qpos = np.array([joint.qposadr[0] for joint in joints])
        self.dof = np.array([joint.dofadr[0] for joint in joints])
        self.ctrl = np.array([model.actuator(name).id for name in names])
        self.bodies = [int(joint.bodyid[0]) for joint in joints]
        self.slide = [joint.type[0] == mujoco.mjtJoint.mjJNT_SLIDE for joint in joints]

    def paths(self, model: mujoco.MjModel) -> list[str]:
        """Their prims' paths."""
        pairs = zip(self.bodies, self.names, strict=True)
        return [prim_path(model, body, name) for body, name in pairs]


class _FreeBodies:
    """The bodies that move freely, and their place in the state."""

    def __init__(self, model: mujoco.MjModel) -> None:
        free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
        self.ids = np.array([int(model.jnt_bodyid[joint]) for joint in free])
        self._qpos = [int(model.jnt_qposadr[joint]) for joint in free]
        self._dof = [int(model.jnt_dofadr[joint]) for joint in free]

    def put(
        self, data: mujoco.MjData, positions: Array, quaternions: Array, linear: Array, turn: Array
    ) -> None:
        """Write their state; MuJoCo counts a free body's turning in its own frame."""
        own, inverse = np.zeros(3), np.zeros(4)
        for i, (q, v) in enumerate(zip(self._qpos, self._dof, strict=True)):
            data.qpos[q : q + 3], data.qpos[q + 3 : q + 7] = positions[i], quaternions[i]
            mujoco.mju_negQuat(inverse, quaternions[i])
            mujoco.mju_rotVecQuat(own, turn[i], inverse)
            data.qvel[v : v + 3], data.qvel[v + 3 : v + 6] = linear[i], own
