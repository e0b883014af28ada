"""The scene's model, with the numbers of a world put in."""

from importlib.resources import as_file, files

import mujoco
import numpy as np

from salus_ros.worlds.conditions import CUBES
from salus_ros.worlds.panda import FINGER_JOINTS, JOINTS
from salus_ros.worlds.physics import Physics


def load_scene(physics: Physics) -> mujoco.MjModel:
    """The Panda at its table, moving, gripping and touching as `physics` says."""
    with as_file(files("salus_ros") / "assets/scene/panda_table.xml") as path:
        model = mujoco.MjModel.from_xml_path(str(path))
    model.opt.timestep = physics.timestep_s
    gains = zip(
        JOINTS,
        physics.joint_stiffness,
        physics.joint_damping,
        physics.joint_friction,
        strict=True,
    )
    for name, stiffness, damping, friction in gains:
        _set_gains(model, name, stiffness, damping)
        model.dof_damping[model.joint(name).dofadr[0]] = friction
    force = physics.finger_force_n
    for name in FINGER_JOINTS:
        _set_gains(model, name, physics.finger_stiffness, 0.0)
        model.actuator(name).forcerange = (-force, force)
    cubes = [model.geom(name).id for name in CUBES]
    fixed = fixed_geoms(model)
    robot, surface, cube = physics.contact_weights
    model.geom_solmix[:] = robot
    model.geom_solmix[fixed] = surface
    model.geom_solmix[cubes] = cube
    model.geom_solref[fixed] = physics.surface_solref
    return model


def fixed_geoms(model: mujoco.MjModel) -> list[int]:
    """Geoms that nothing moves and that are no part of the robot: table, bin, obstacle, floor."""
    still = np.flatnonzero(model.body_weldid[model.geom_bodyid] == 0)
    base = model.body("link0").id
    return [int(geom) for geom in still if int(model.geom_bodyid[geom]) != base]


def _set_gains(model: mujoco.MjModel, joint: str, stiffness: float, damping: float) -> None:
    actuator = model.actuator(joint)
    actuator.gainprm[0] = stiffness
    actuator.biasprm[1:3] = (-stiffness, -damping)
