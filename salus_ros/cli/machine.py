"""What this machine has of what SALUS needs, and what to do about the rest.

What could crash or hang (a graphics driver, a middleware) is tried in a process of its own.
"""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from salus_ros.core.errors import SalusError
from salus_ros.episodes.reader import StoreReader
from salus_ros.policies.checkpoint import check_files

State = Literal["ok", "note", "missing"]

REQUIRED = ("numpy", "torch", "zarr", "lerobot", "transformers", "mujoco", "gymnasium")
GL_BACKENDS = ("egl", "osmesa", "glfw")
TIMEOUT_S = 60.0
ASSETS = Path(__file__).parent.parent / "assets"

ROS_CODE = """
import rclpy, salus_msgs.msg, sensor_msgs.msg, diagnostic_msgs.msg
rclpy.init()
node = rclpy.create_node("salus_doctor")
print(rclpy.get_rmw_implementation_identifier())
node.destroy_node()
rclpy.shutdown()
"""
GL_CODE = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light/><geom size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 64, 64)
renderer.update_scene(data)
print(int(renderer.render().max()))
"""
CUDA_CODE = """
import torch
for number in range(torch.cuda.device_count()):
    torch.zeros(1, device=f"cuda:{number}")
    print(torch.cuda.get_device_name(number))
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `note` is worth knowing, `missing` has to be mended."""

    name: str
    state: State
    found: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the check as JSON values."""
        return asdict(self)


def examine(policy: Path | None = None, store: Path | None = None) -> list[Check]:
    """Run all checks.

    Args:
        policy: Policy folder; the shipped one by default.
        store: Episode store; not looked at by default.
    """
    checks = [*_versions(), _ros(), _rendering(), _cuda(), _policy(policy)]
    return checks if store is None else [*checks, _store(store)]


def _versions() -> Iterator[Check]:
    yield Check(
        "python",
        "ok" if sys.version_info[:2] == (3, 12) else "note",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        ""
        if sys.version_info[:2] == (3, 12)
        else "ROS 2 Jazzy is built for Python 3.12; use that",
    )
    for name in REQUIRED:
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            remedy = "run `make setup`, or install requirements/pinned.txt"
            yield Check(name, "missing", "not installed", remedy)


def _ros() -> Check:
    code, output = _try(ROS_CODE)
    origin = os.environ.get("ROS_DISTRO")
    if code == 0:
        middleware = output.splitlines()[-1]
        sourced = f"{origin}, " if origin else ""
        return Check("ROS 2 and salus_msgs", "ok", f"{sourced}{middleware}: a node starts")
    remedy = (
        "source install/setup.bash after `colcon build --base-paths . salus_msgs`"
        if origin
        else "run `make setup` and use its environment, or source a ROS 2 Jazzy"
    )
    return Check("ROS 2 and salus_msgs", "missing", _last_line(output), remedy)


def _rendering() -> Check:
    """Try the backend that is set, or else each one; say which draws."""
    chosen = os.environ.get("MUJOCO_GL")
    last = ""
    for backend in (chosen,) if chosen else GL_BACKENDS:
        code, output = _try(GL_CODE, MUJOCO_GL=backend)
        if code == 0 and output.splitlines()[-1:] not in ([], ["0"]):
            set_it = "" if chosen else f"set MUJOCO_GL={backend} for the simulator"
            return Check("rendering", "ok" if chosen else "note", f"{backend} draws", set_it)
        last = f"{backend}: {_last_line(output)}"
    remedy = "install libegl1 or libosmesa6, then set MUJOCO_GL to egl or osmesa"
    return Check("rendering", "missing", last, remedy)


def _cuda() -> Check:
    code, output = _try(CUDA_CODE)
    if code == 0 and output:
        return Check("CUDA", "ok", ", ".join(output.splitlines()))
    remedy = "not needed: predictor and tiny policy run on the CPU; a 450M policy wants a GPU"
    found = "no device" if code == 0 else _last_line(output)
    return Check("CUDA", "note", found, remedy)


def _policy(folder: Path | None) -> Check:
    if folder is None:
        shipped = sorted(file.parent for file in ASSETS.glob("**/config.json"))
        if not shipped:
            remedy = "train one or download one, and give its folder with --policy"
            return Check("policy", "note", "no policy is shipped with this package", remedy)
        folder = shipped[0]
    try:
        kind = check_files(folder)
    except SalusError as error:
        remedy = "give a LeRobot checkpoint folder; `salus check policy` tries it"
        return Check("policy", "missing", str(error), remedy)
    weights = folder / "model.safetensors"
    megabytes = weights.stat().st_size / 1e6
    return Check("policy", "ok", f"{folder}: {kind}, {megabytes:.1f} MB")


def _store(path: Path) -> Check:
    try:
        reader = StoreReader(path)
    except SalusError as error:
        found, _, remedy = str(error).rpartition("; ")
        return Check("store", "missing", found, remedy)
    return Check("store", "ok", f"{path}: {len(reader)} episodes, {reader.steps} steps")


def _try(code: str, **environment: str) -> tuple[int, str]:
    """Run Python code in a process of its own: its exit status, and what it printed."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=os.environ | environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, f"no answer within {TIMEOUT_S:.0f} s"
    return done.returncode, (done.stdout if done.returncode == 0 else done.stderr).strip()


def _last_line(text: str) -> str:
    return text.splitlines()[-1] if text else "ended without a word"
