"""PhysX as an engine of the built-in world: model and data here follow what it does there."""

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NoReturn, Self

import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.core.errors import ConfigError, SimulatorError
from salus_ros.worlds.physx.environment import last_line, start
from salus_ros.worlds.physx.scene import prim_path, write_usd

START_S = 300.0
"""How long PhysX may take to start, and to load a scene."""

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

    Raises:
        SimulatorError: if PhysX is not set up, does not start, or does not take the scene.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, home: Mapping[str, float]
    ) -> None:
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
        self._friction = model.geom_friction[:, 0].copy()
        self._pairs: list[tuple[int, int]] = []
        self._pair_forces: list[float] = []
        self._folder = tempfile.TemporaryDirectory(prefix="salus-physx-")
        scene, self._log = Path(self._folder.name, "scene.usda"), Path(self._folder.name, "log")
        write_usd(model, home, scene)
        self._pipe, theirs = Pipe()
        with theirs:
            arguments = [str(theirs.fileno()), str(scene)]
            self._process = start("server.py", arguments, self._log, theirs.fileno())
        self._answer(START_S)

    def load(self) -> None:
        """See `Engine.load`."""
        model, data = self._model, self._data
        joints, slide = self._joints.paths(model), self._joints.slide
        paths = {
            "articulation": [prim_path(model, self._arm)],
            "joints": joints,
            "sliding": [path for path, slides in zip(joints, slide, strict=True) if slides],
            "bodies": [prim_path(model, body) for body in self._bodies.ids],
            "sensors": [self._geom_path(geom) for geom in self._sensors],
            "filters": [self._geom_path(geom) for geom in self._filters],
        }
        poses = {
            prim_path(model, body): (data.xpos[body].tolist(), data.xquat[body].tolist())
            for body in self._placed
        }
        self._pairs, self._pair_forces = [], []
        self._friction = model.geom_friction[:, 0].copy()
        q = data.qpos[self._joints.qpos]
        self._ask(START_S, "load", paths, poses, q, float(model.opt.timestep))

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
        if kind == "error":
            self._fail(f"says {value}")
        return value

    def _fail(self, what: str) -> NoReturn:
        self._process.kill()
        said = last_line(self._log)
        raise SimulatorError(f"PhysX {what}; start the world anew. {said}".rstrip())


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
