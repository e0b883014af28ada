"""Steps a USD scene with PhysX for the process that started it; arguments: FD SCENE.usda.

FD is the end of a pipe, see `serving`. Run by the Python of PhysX's environment. Joints are in
rad and m, quaternions (w, x, y, z), forces in N.

The tensor bindings that are used here are called deprecated by ovphysx 0.7; its newer sessions
hand each read to another thread, which takes some hundred times as long.
"""

import os
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros.worlds.physx.serving import Episodes, Values, places, serve

STAGE = 1
"""Ordinal of the only version of a stage that there is."""

CONTACTS = 256
"""Contact points that are kept of a step, at most; a scene has a few dozen."""

VERBS = ("load", "step", "look")


class Server:
    """One PhysX, and the episode that runs in it."""

    def __init__(self, scene: Path) -> None:
        import ovphysx
        import ovstage
        from ovphysx.samples.python_samples.schema_support import physx_schema_paths

        warnings.simplefilter("ignore", DeprecationWarning)
        keys = ovphysx.GlobalConfigKey
        ovphysx.set_global_config(keys.LOG_LEVEL, ovphysx.LogLevel.ERROR)
        ovphysx.set_global_config(keys.NUM_THREADS, 0)  # PhysX runs in this thread
        ovphysx.PhysX.set_cpu_mode(True)
        schemas = [*map(str, physx_schema_paths()), str(ovphysx.newton_schema_root())]
        ovstage.population.register_usd_schemas(schemas)
        self._episodes, self._ovstage, self._types = Episodes(scene), ovstage, ovphysx.types
        self._physx = ovphysx.PhysX()
        self._stage: Any = None
        self._bound: dict[str, Any] = {}
        self._renderer: Any = None

    def load(
        self,
        paths: dict[str, list[str]],
        values: Values,
        joints: np.ndarray,
        timestep_s: float,
    ) -> None:
        """Begin an episode in a stage of its own, so that it depends on no earlier one.

        Args:
            paths: Of the `articulation`, its `links` and `joints`, those of them that are
                `sliding`, the `bodies` that move freely, and of the colliders that feel
                (`sensors`) and that are felt (`filters`).
            values: What is otherwise in this episode than in the scene.
            joints: First positions of the joints, and their targets.
            timestep_s: Of a physics step.
        """
        self._unload()
        episode = self._episodes.begin(values)
        population = self._ovstage.population
        self._stage = self._ovstage.Stage("episode")
        domains = population.PopulationDomain.ALL
        population.open_usd(self._stage, str(episode), ordinal=STAGE, domains=domains)
        self._stage.advance_write_floor(ordinal=STAGE).wait()
        self._physx.wait_task(self._physx.attach_ovstage(self._stage, read_ordinal=STAGE))
        self._physx.wait_all()
        self._timestep_s = timestep_s
        self._sliding, self._free = paths["sliding"], paths["bodies"]
        self._place_joints(paths["joints"], joints)
        # Bindings that are opened before the first step throw the arm off by a tenth of a degree.
        self._physx.step_sync(timestep_s)
        self._bind(paths)

    def step(
        self, targets: np.ndarray, pushes: np.ndarray, frictions: dict[str, float]
    ) -> tuple[np.ndarray, ...]:
        """One physics step.

        Args:
            targets: Set points of the joints.
            pushes: Forces (N, 3) on the free bodies.
            frictions: What the friction of bodies is from now on, by path.

        Returns:
            Joint positions and velocities (J,); positions (N, 3), quaternions (N, 4), linear and
            angular velocities (N, 3) of the free bodies, in the world; the force (S, F) of each
            filter on each sensor, 0 where they do not touch.
        """
        self._set_targets(targets)
        if frictions:
            self._set_frictions(frictions)
        if pushes.any():
            wrenches = np.zeros((len(pushes), 9), np.float32)  # force, torque, where it acts
            wrenches[self._bodies, :3] = pushes
            wrenches[:, 6:] = self._read("poses")[:, :3]
            self._bound["wrenches"].write(wrenches)
        self._physx.step_sync(self._timestep_s)
        poses, motions = self._read("poses")[self._bodies], self._read("motions")[self._bodies]
        return (
            self._read("positions")[0, self._joints],
            self._read("velocities")[0, self._joints],
            poses[:, :3],
            poses[:, [6, 3, 4, 5]],  # PhysX has w last
            motions[:, :3],
            motions[:, 3:],
            self._forces()[np.ix_(self._sensors, self._filters)],
        )

    def look(self, size: int) -> dict[str, np.ndarray]:
        """What the cameras show of the last step, drawn by Newton's ray tracer.

        Args:
            size: Height and width of an image in pixels.

        Returns:
            Uint8 (size, size, 3) by camera.
        """
        if self._renderer is None:
            self._renderer = make_renderer(self._episodes.current, size)
        links = self._bound["links"]
        arm = zip(links.body_names, self._read("links")[0], strict=True)
        poses = {self._links[name]: pose for name, pose in arm}
        poses |= zip(self._bound["poses"].prim_paths, self._read("poses"), strict=True)
        return self._renderer.draw(poses)

    def _place_joints(self, joints: list[str], values: np.ndarray) -> None:
        """Put joints at rest somewhere, their set points too."""
        names = self._ovstage.PathDictionary(self._stage)
        kind = self._types.SimObjectType.ARTICULATION_JOINT
        at_rest = np.zeros_like(values)
        for attribute, wanted in (
            ("jointPosition", values),
            ("jointVelocity", at_rest),
            ("jointPositionTarget", values),
        ):
            with self._physx.write_sync(kind, attribute) as session:
                for group in session.groups:
                    found = names.get_path_strings(group.prim_list)
                    for joint, tensor in zip(found, group.tensors, strict=True):
                        value = wanted[places([joint], joints, "driven joint")[0]]
                        if joint not in self._sliding:
                            value = np.rad2deg(value)  # sessions count in degrees, bindings do not
                        tensor.assign(np.full(tensor.shape, value, np.float32))
                    session.commit_sync(group)

    def _bind(self, paths: dict[str, list[str]]) -> None:
        """Open what is read and written in each step."""
        kinds, make = self._types.TensorType, self._physx.create_tensor_binding
        for name, kind in (
            ("positions", kinds.ARTICULATION_DOF_POSITION),
            ("velocities", kinds.ARTICULATION_DOF_VELOCITY),
            ("targets", kinds.ARTICULATION_DOF_POSITION_TARGET),
            ("links", kinds.ARTICULATION_LINK_POSE),
        ):
            self._bound[name] = make(prim_paths=paths["articulation"], tensor_type=kind)
        self._links = {path.rsplit("/", 1)[1]: path for path in paths["links"]}
        for name, kind in (
            ("poses", kinds.RIGID_BODY_POSE),
            ("motions", kinds.RIGID_BODY_VELOCITY),
            ("wrenches", kinds.RIGID_BODY_WRENCH),
        ):
            self._bound[name] = make(prim_paths=paths["bodies"], tensor_type=kind)
        sensors, filters = paths["sensors"], paths["filters"]
        self._touch = self._physx.create_contact_binding(
            sensors, filters * len(sensors), len(filters), CONTACTS
        )
        self._bound["touch"] = self._touch
        joints = [path.rsplit("/", 1)[1] for path in paths["joints"]]
        self._joints = places(joints, self._bound["positions"].dof_names, "joint")
        self._bodies = places(paths["bodies"], self._bound["poses"].prim_paths, "free body")
        self._sensors = places(sensors, self._touch.sensor_paths, "collider")
        self._filters = places(filters, self._touch.filter_paths[0], "collider")

    def _read(self, name: str) -> np.ndarray:
        bound = self._bound[name]
        values = np.zeros(bound.shape, np.float32)
        bound.read(values)
        return values.astype(np.float64)

    def _set_targets(self, values: np.ndarray) -> None:
        ours = np.zeros((1, len(values)), np.float32)
        ours[0, self._joints] = values
        self._bound["targets"].write(ours)

    def _forces(self) -> np.ndarray:
        """Size of the force of each filter on each sensor, friction included."""
        shape = (self._touch.sensor_count, self._touch.filter_count, 3)
        normal, friction = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._touch.read_normal_force_matrix(normal)
        self._touch.read_friction_force_matrix(friction)
        return np.linalg.norm((normal + friction).astype(np.float64), axis=2)

    def _set_frictions(self, frictions: dict[str, float]) -> None:
        """Give all colliders of some bodies a friction."""
        kinds = self._types.SimObjectType
        for body, friction in frictions.items():
            kind = kinds.RIGID_BODY if body in self._free else kinds.ARTICULATION_LINK
            names = ["staticFriction", "dynamicFriction"]
            with self._physx.write_sync(kind, names, pattern=body) as session:
                for group in session.groups:
                    for tensor in group.tensors:
                        tensor.assign(np.full(tensor.shape, friction, np.float32))
                    session.commit_sync(group)

    def _unload(self) -> None:
        self._renderer = None
        for bound in self._bound.values():
            bound.destroy()
        self._bound.clear()
        if self._stage is not None:
            self._physx.wait_task(self._physx.detach_ovstage())
            self._stage.destroy()
            self._stage = None


def make_renderer(episode: Path, size: int) -> Any:
    """Newton's ray tracer for an episode; imported when it is asked for, which takes seconds.

    Raises:
        RuntimeError: if this Python has no Newton.
    """
    from salus_ros.worlds.physx.newton_renderer import NewtonRenderer

    try:
        return NewtonRenderer(episode, size)
    except ModuleNotFoundError as error:
        raise RuntimeError(f"{error}, which draws its images; run make physx again") from error


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), lambda: Server(Path(sys.argv[2])), VERBS)
    sys.stdout.flush()
    os._exit(0)  # PhysX's own end waits for threads, at times for ever
