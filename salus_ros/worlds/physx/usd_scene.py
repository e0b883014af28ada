"""Writes an MJCF scene as one USD that PhysX steps; arguments: SCENE.xml OUT.usda HOME.

mujoco-usd-converter does bodies, joints, colliders, masses, friction and colours; what it leaves
out is added here from the same model: drives, rest pose, contact reports, cameras and lights.
Run by the Python of PhysX's environment.
"""

import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from salus_ros.worlds.physx.serving import CAMERA

CAMERA_APERTURE_MM = 24.0
"""Side of a camera's square picture; with the focal length it gives the field of view."""

WOOD_RGB = (0.695, 0.605, 0.495)
"""Mean of the table's checker, a texture that the converter does not take."""

LAMP_INTENSITY = 30_000.0
DOME_INTENSITY = 500.0
"""Of no physical source: bright enough to see the scene in a viewer."""


class Scene:
    """A USD stage beside the MuJoCo model that it was made from."""

    def __init__(self, xml: Path, folder: Path) -> None:
        import mujoco
        import mujoco_usd_converter
        from pxr import Usd

        self.model = mujoco.MjModel.from_xml_path(str(xml))
        self.data = mujoco.MjData(self.model)
        made = mujoco_usd_converter.Converter().convert(str(xml), str(folder))
        self.stage = Usd.Stage.Open(Usd.Stage.Open(made.path).Flatten())
        self.root = self.stage.GetDefaultPrim().GetPath()
        self.geometry = self.root.AppendChild("Geometry")

    def path(self, body: int) -> Any:
        """Path of a body's prim: prims are nested as bodies are."""
        if body == 0:
            return self.geometry
        return self.path(self.model.body_parentid[body]).AppendChild(self.model.body(body).name)

    def body(self, body: int) -> Any:
        """A body's prim."""
        return self.stage.GetPrimAtPath(self.path(body))

    def joint(self, joint: int) -> Any:
        """A joint's prim, which lies under that of its body."""
        body = self.path(self.model.jnt_bodyid[joint])
        return self.stage.GetPrimAtPath(body.AppendChild(self.model.joint(joint).name))


def set_value(prim: Any, name: str, kind: str, value: Any) -> None:
    """Author an attribute of a schema that this environment's USD knows only by name."""
    from pxr import Sdf

    prim.CreateAttribute(name, getattr(Sdf.ValueTypeNames, kind), custom=False).Set(value)


def make_static(scene: Scene) -> None:
    """Bodies that hang on the world by no joint are colliders without a body."""
    from pxr import UsdPhysics

    for body in range(1, scene.model.nbody):
        of_world = scene.model.body_weldid[body] == 0 and scene.model.body_parentid[body] == 0
        has_parts = body in scene.model.body_parentid[body + 1 :]
        if of_world and not has_parts:
            prim = scene.body(body)
            prim.RemoveAPI(UsdPhysics.RigidBodyAPI)
            prim.RemoveAPI(UsdPhysics.MassAPI)
            scene.stage.RemovePrim(prim.GetPath().AppendChild("PhysicsFixedJoint"))


def set_bodies(scene: Scene) -> None:
    """Gravity compensation, no sleep (a sleeping body reports no contact), reports, solver."""
    from pxr import UsdPhysics

    for body in range(1, scene.model.nbody):
        prim = scene.body(body)
        if not prim.HasAPI(UsdPhysics.RigidBodyAPI):
            continue
        prim.AddAppliedSchema("PhysxRigidBodyAPI")
        compensated = bool(scene.model.body_gravcomp[body] > 0.5)
        set_value(prim, "physxRigidBody:disableGravity", "Bool", compensated)
        set_value(prim, "physxRigidBody:sleepThreshold", "Float", 0.0)
        set_value(prim, "physxRigidBody:solverPositionIterationCount", "Int", 16)
        prim.AddAppliedSchema("PhysxContactReportAPI")
        set_value(prim, "physxContactReport:threshold", "Float", 0.0)
        if scene.model.body_parentid[body] == 0 and scene.model.body_weldid[body] == 0:
            prim.AddAppliedSchema("PhysxArticulationAPI")
            set_value(prim, "physxArticulation:enabledSelfCollisions", "Bool", False)
            set_value(prim, "physxArticulation:solverPositionIterationCount", "Int", 16)
            set_value(prim, "physxArticulation:solverVelocityIterationCount", "Int", 1)


def set_colliders(scene: Scene) -> None:
    """Every collider says what it touches; of two frictions the larger one counts, as in MJCF."""
    from pxr import UsdPhysics

    for prim in scene.stage.Traverse():
        if prim.HasAPI(UsdPhysics.CollisionAPI):
            prim.AddAppliedSchema("PhysxContactReportAPI")
            set_value(prim, "physxContactReport:threshold", "Float", 0.0)
        if prim.HasAPI(UsdPhysics.MaterialAPI):
            prim.AddAppliedSchema("PhysxMaterialAPI")
            set_value(prim, "physxMaterial:frictionCombineMode", "Token", "max")


def set_drives(scene: Scene, home: dict[str, float]) -> None:
    """Springs and dampers of the actuators, in USD's degrees, and the pose they rest in."""
    import mujoco
    import numpy as np
    from pxr import Gf, UsdPhysics

    model, data = scene.model, scene.data
    for name, value in home.items():
        data.joint(name).qpos[0] = value
    mujoco.mj_kinematics(model, data)
    for actuator in range(model.nu):
        joint = int(model.actuator_trnid[actuator, 0])
        prim, dof = scene.joint(joint), int(model.jnt_dofadr[joint])
        slides = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
        kind, to_usd = ("linear", 1.0) if slides else ("angular", 180 / math.pi)
        damping = model.dof_damping[dof] - model.actuator_biasprm[actuator, 2]
        rest = float(data.qpos[model.jnt_qposadr[joint]]) * to_usd
        drive = UsdPhysics.DriveAPI.Apply(prim, kind)
        drive.CreateTypeAttr("force")
        drive.CreateStiffnessAttr(float(model.actuator_gainprm[actuator, 0]) / to_usd)
        drive.CreateDampingAttr(float(damping) / to_usd)
        drive.CreateMaxForceAttr(float(model.actuator_forcerange[actuator, 1]))
        drive.CreateTargetPositionAttr(rest)
        prim.AddAppliedSchema("PhysxJointAPI")
        set_value(prim, "physxJoint:armature", "Float", float(model.dof_armature[dof]))
        set_value(prim, "physxJoint:jointFriction", "Float", 0.0)
        prim.AddAppliedSchema(f"PhysicsJointStateAPI:{kind}")
        set_value(prim, f"state:{kind}:physics:position", "Float", rest)
        set_value(prim, f"state:{kind}:physics:velocity", "Float", 0.0)
    for body in range(1, model.nbody):
        if model.body_weldid[body] == 0 or model.body_dofnum[body] == 6:
            continue
        parent = model.body_parentid[body]
        inverse, turn, offset = np.zeros(4), np.zeros(4), np.zeros(3)
        mujoco.mju_negQuat(inverse, data.xquat[parent])
        mujoco.mju_mulQuat(turn, inverse, data.xquat[body])
        mujoco.mju_rotVecQuat(offset, data.xpos[body] - data.xpos[parent], inverse)
        prim = scene.body(body)
        prim.GetAttribute("xformOp:translate").Set(Gf.Vec3d(*map(float, offset)))
        prim.GetAttribute("xformOp:orient").Set(Gf.Quatf(*map(float, turn)))


def set_physics(scene: Scene) -> None:
    """The solver, on the CPU and the same from run to run."""
    from pxr import UsdPhysics

    for prim in scene.stage.Traverse():
        if prim.IsA(UsdPhysics.Scene):
            prim.AddAppliedSchema("PhysxSceneAPI")
            rate = round(1 / scene.model.opt.timestep)
            set_value(prim, "physxScene:enableGPUDynamics", "Bool", False)
            set_value(prim, "physxScene:broadphaseType", "Token", "MBP")
            set_value(prim, "physxScene:solverType", "Token", "TGS")
            set_value(prim, "physxScene:timeStepsPerSecond", "UInt", rate)
            set_value(prim, "physxScene:enableEnhancedDeterminism", "Bool", True)


def add_sights(scene: Scene) -> None:
    """Cameras and lights, which the converter leaves out; the table's colour; no marks."""
    from pxr import Gf, UsdGeom, UsdLux

    model = scene.model
    for camera in range(model.ncam):
        of = model.camera(camera)
        place = scene.path(int(model.cam_bodyid[camera])).AppendChild(of.name + CAMERA)
        prim = UsdGeom.Camera.Define(scene.stage, place)
        placed = UsdGeom.Xformable(prim)
        placed.AddTranslateOp().Set(Gf.Vec3d(*map(float, of.pos)))
        placed.AddOrientOp().Set(Gf.Quatf(*map(float, of.quat)))
        half = math.tan(math.radians(float(of.fovy[0])) / 2)
        prim.CreateHorizontalApertureAttr(CAMERA_APERTURE_MM)
        prim.CreateVerticalApertureAttr(CAMERA_APERTURE_MM)
        prim.CreateFocalLengthAttr(CAMERA_APERTURE_MM / 2 / half)
        prim.CreateClippingRangeAttr(Gf.Vec2f(0.01, 10.0))
    for light in range(model.nlight):
        of = model.light(light)
        lamp = UsdLux.SphereLight.Define(scene.stage, scene.root.AppendChild(of.name))
        UsdGeom.Xformable(lamp).AddTranslateOp().Set(Gf.Vec3d(*map(float, of.pos)))
        lamp.CreateRadiusAttr(0.05)
        lamp.CreateColorAttr(Gf.Vec3f(*map(float, of.diffuse / of.diffuse.max())))
        lamp.CreateIntensityAttr(LAMP_INTENSITY)
    dome = UsdLux.DomeLight.Define(scene.stage, scene.root.AppendChild("dome"))
    dome.CreateIntensityAttr(DOME_INTENSITY)
    for site in range(model.nsite):  # marks, which a renderer would draw as bodies
        of = model.site(site)
        scene.stage.RemovePrim(scene.path(int(of.bodyid[0])).AppendChild(of.name))
    set_colours(scene)


def set_colours(scene: Scene) -> None:
    """Colours are linear in USD, and as a screen shows them in MJCF."""
    from pxr import UsdGeom, UsdShade

    model = scene.model
    for geom in range(model.ngeom):
        path = scene.path(int(model.geom_bodyid[geom])).AppendChild(model.geom(geom).name)
        prim = scene.stage.GetPrimAtPath(path)
        of_wood = model.geom_matid[geom] >= 0
        if of_wood:
            UsdShade.MaterialBindingAPI(prim).UnbindDirectBinding()  # its texture is not there
        shown = WOOD_RGB if of_wood else model.geom_rgba[geom, :3].tolist()
        UsdGeom.Gprim(prim).CreateDisplayColorAttr([tuple(map(linear, shown))])


def linear(shown: float) -> float:
    """Light of a value of sRGB, both from 0 to 1 (IEC 61966-2-1)."""
    return shown / 12.92 if shown <= 0.04045 else ((shown + 0.055) / 1.055) ** 2.4


def main(xml: Path, out: Path, home: dict[str, float]) -> None:
    """Convert, complete and save as one file."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(xml, Path(folder))
        for complete in (make_static, set_bodies, set_colliders, set_physics, add_sights):
            complete(scene)
        set_drives(scene, home)
        scene.stage.GetRootLayer().Export(str(out))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
