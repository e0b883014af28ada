"""The built-in scene as USD."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mujoco

from salus_ros.core.errors import SimulatorError
from salus_ros.worlds.physx.application import PHYSX, last_line
from salus_ros.worlds.physx.serving import CAMERA

CONVERSION_S = 300.0


def write_usd(model: mujoco.MjModel, home: Mapping[str, float], out: Path) -> None:
    """Write a scene as one USD file.

    Args:
        model: The scene; the model that was last loaded from XML in this process.
        home: Position of each driven joint at rest, by name, in rad or m.
        out: The file, `.usda` or `.usdc`.

    Raises:
        SimulatorError: if PhysX's environment is not set up, or the conversion fails.
    """
    for name, value in home.items():
        low, high = model.joint(name).range
        if not low <= value <= high:  # PhysX answers with NaN
            raise SimulatorError(
                f"joint {name} rests at {value}, outside its limits {low} to {high}; give a rest "
                "pose within them"
            )
    with tempfile.TemporaryDirectory() as folder:
        xml, log = Path(folder) / f"{_model_name(model)}.xml", Path(folder) / "log"
        mujoco.mj_saveLastXML(str(xml), model)
        arguments = [str(xml), str(out.absolute()), json.dumps(dict(home))]
        process = PHYSX.run(arguments, log, module="salus_ros.worlds.physx.usd_scene")
        try:
            process.wait(CONVERSION_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode != 0:
            raise SimulatorError(f"the scene cannot be written to {out}: {last_line(log)}")


def prim_path(model: mujoco.MjModel, body: int, name: str = "") -> str:
    """Path in that USD of a body, or of a joint or geom of it: prims are nested as bodies are."""
    parts = [name] if name else []
    while body > 0:
        parts.append(model.body(body).name)
        body = int(model.body_parentid[body])
    return "/".join(["", _model_name(model), "Geometry", *reversed(parts)])


def camera_path(model: mujoco.MjModel, camera: int) -> str:
    """Path of a camera there."""
    return prim_path(model, int(model.cam_bodyid[camera]), model.camera(camera).name + CAMERA)


def light_path(model: mujoco.MjModel, light: int) -> str:
    """Path of a light there."""
    return f"/{_model_name(model)}/{model.light(light).name}"


def _model_name(model: mujoco.MjModel) -> str:
    name: str = model.names[: model.names.index(0)].decode()
    return name
