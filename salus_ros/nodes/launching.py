"""What the launch file decides: which arguments can work, and in which order nodes end.

Without `launch`, which is not on PyPI; with nothing either that a Python which runs `ros2 launch`
may lack.
"""

import difflib
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from salus_ros.core.errors import ConfigError
from salus_ros.worlds.physics import ISAAC_ENV_ID, NEWTON_ENV_ID, PHYSX_ENV_ID

RQT_PLUGINS = ("rqt_gui", "rqt_plot", "rqt_image_view", "rqt_runtime_monitor")
"""Of the layout: where one is missing, rqt restores none of the others."""

NO_RECOVERY = "none"

SOURCES: Mapping[str, str] = {
    "physx": PHYSX_ENV_ID,
    "physx-newton": NEWTON_ENV_ID,
    "isaac": ISAAC_ENV_ID,
}
"""Sources that stand for one world, and its Gymnasium id."""

NUMBERS: Mapping[str, tuple[Callable[[str], float], float]] = {
    "episodes": (int, 0),
    "seed": (int, 0),
    "replan_every": (int, 1),
    "num_samples": (int, 1),
    "rate": (float, 0.1),
    "sync_slop_ms": (float, 0),
    "recovery_alpha": (float, 0),
}
"""Kind and smallest value of the arguments that are numbers."""


class Ending:
    """Ends processes in order once one of them has: a stage when the one before has ended."""

    def __init__(self, stages: Sequence[Sequence[str]], last: str) -> None:
        """Take the processes that run.

        Args:
            stages: Their names; those of a stage end together.
            last: The one whose good end is the end of the work.
        """
        self._running = [list(stage) for stage in stages]
        self._last = last
        self._told: set[str] = set()
        self._begun = False
        self.failure = ""
        """What went wrong, in words; empty: nothing."""

    @property
    def over(self) -> bool:
        """Whether all have ended."""
        return not any(self._running)

    def ended(self, name: str, code: int) -> tuple[str, list[str]]:
        """Take note that a process has ended.

        Args:
            name: Which.
            code: Its exit code; the negative number of the signal that killed it.

        Returns:
            What is to be said, empty for nothing; and who is to be told to end now.
        """
        for stage in self._running:
            if name in stage:
                stage.remove(name)
        said = f"{name} {_reason(code)}"
        if code and not self.failure:
            self.failure = said
        expected = name in self._told or (name == self._last and not code)
        told = [one for one in next(filter(None, self._running), []) if one not in self._told]
        self._told.update(told)
        if expected and not code:
            return "", told
        rest = "" if self._begun or self.over else "; the others are ended in order"
        self._begun = True
        return said + rest, told


def _reason(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    why = {0: "", 2: ": its last line says what to change"}
    return f"ended with exit code {code}" + why.get(code, ": its last lines say why")


def check(arguments: Mapping[str, str]) -> None:
    """Refuse what cannot work, before anything is started.

    Args:
        arguments: All arguments of the launch file by name; empty where nothing is given.

    Raises:
        ConfigError: if an argument is not allowed.
    """

    def refuse(name: str, why: str) -> None:
        raise ConfigError(f"{name}:={arguments[name]}: {why}")

    for name, (kind, low) in NUMBERS.items():
        try:
            fits = not arguments[name] or kind(arguments[name]) >= low
        except ValueError:
            fits = False
        if not fits:
            words = "a whole number" if kind is int else "a number"
            refuse(name, f"allowed is {words} of at least {low:g}")
    for name in ("policy", "model", "params_file"):
        if arguments[name] and not Path(arguments[name]).exists():
            refuse(name, "there is no such file or folder")
    for name in ("cameras", "state_joints"):
        if arguments[name] and not all(names_of(arguments[name])):
            refuse(name, "allowed are names separated by commas")
    if arguments["watch_only"] == "true" and arguments["policy"]:
        refuse("policy", "with watch_only:=true somebody else runs the policy; leave it out")
    if arguments["source"] != "none" and arguments["robot"]:
        refuse("robot", "the built-in world moves its own arm; give source:=none")
    if arguments["source"] != "none" and arguments["episode_source"] == "service":
        refuse("episode_source", "the built-in world says what an episode is; give source:=none")
    source = arguments["source"]
    if source in SOURCES and arguments["env_id"] not in ("", SOURCES[source]):
        refuse("env_id", f"source:={source} is {SOURCES[source]}; leave out one of the two")
    check_recovery(arguments, refuse)
    if arguments["bag"]:
        if Path(arguments["bag"]).exists():
            refuse("bag", "it exists already; give a folder that does not")
        _need("bag", ["ros2bag"])
        if shutil.which("ros2") is None:
            refuse("bag", "the command ros2 is not on the PATH; source ROS 2")
    if arguments["rviz"] == "true":
        _need("rviz", ["rviz2"])
    if arguments["rqt"] == "true":
        if arguments["namespace"].strip("/"):
            refuse("namespace", "rqt's layout names topics without one; leave out one of the two")
        _need("rqt", RQT_PLUGINS)


def with_source(arguments: Mapping[str, str]) -> dict[str, str]:
    """Fill in the world that a source stands for."""
    world = SOURCES.get(arguments["source"], arguments["env_id"])
    return {**arguments, "env_id": world}


def check_recovery(arguments: Mapping[str, str], refuse: Callable[[str, str], None]) -> None:
    """Refuse a recovery that cannot work here.

    Args:
        arguments: All arguments by name.
        refuse: Told the argument and the reason; raises.
    """
    recovery = arguments["recovery"]
    if recovery == NO_RECOVERY:
        return
    if arguments["robot"]:
        refuse("robot", "the behaviours of recovery move the built-in world's arm; leave one out")
    if arguments["source"] == "none" and arguments["episode_source"] != "topic":
        refuse("recovery", "it needs who announces each step; give episode_source:=topic")
    heeds = any(not part.endswith("@stuck") for part in recovery.split("+"))
    if heeds and not arguments["model"]:
        refuse("recovery", "its alarm needs a predictor; give model, or the trigger stuck alone")
    if arguments["recovery_alpha"] and not arguments["model"]:
        refuse("recovery_alpha", "it is a rate that a predictor is calibrated for; give model")


def with_robot(arguments: Mapping[str, str], shipped: Path) -> dict[str, str]:
    """Fill in what a robot's profile knows, where an argument was left empty.

    Args:
        arguments: All arguments by name.
        shipped: Folder of the profiles that ship.

    Returns:
        The arguments, `robot` as the profile's file.

    Raises:
        ConfigError: if there is no such profile, or it does not name cameras and joints.
    """
    robot = arguments["robot"]
    if not robot:
        return dict(arguments)
    own = "/" in robot or robot.endswith(".yaml")
    path = Path(robot) if own else shipped / f"{robot}.yaml"
    if not path.exists():
        names = ", ".join(sorted(file.stem for file in shipped.glob("*.yaml")))
        raise ConfigError(f"robot:={robot}: allowed are {names}, or the file of a profile")
    try:
        profile = yaml.safe_load(path.read_text())
        known = {
            "cameras": ",".join(profile["cameras"]),
            "state_joints": ",".join(joint["name"] for joint in profile["joints"]),
            "rate": str(profile["rate_hz"]),
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(
            f"robot:={robot}: '{path}' is no profile of a robot ({type(error).__name__}: {error})"
        ) from error
    given = {name: value for name, value in arguments.items() if value}
    return dict(arguments) | known | given | {"robot": str(path)}


def _need(argument: str, packages: Iterable[str]) -> None:
    missing = []
    for package in packages:
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        debs = " ".join("ros-jazzy-" + package.replace("_", "-") for package in missing)
        raise ConfigError(
            f"{argument} needs {', '.join(missing)}, not installed here: apt install {debs}, or "
            f"leave {argument} out"
        )


def names_of(text: str) -> list[str]:
    """Names that are separated by commas."""
    return [name.strip() for name in text.split(",")]


def misspelt(given: Iterable[str], known: Sequence[str]) -> list[str]:
    """Warnings of arguments that are none but look like one; launch takes them in silence."""
    warnings = []
    for name in given:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if name not in known and near:
            said = f"'{name}' is no argument and changes nothing; did you mean '{near[0]}'?"
            warnings.append(f"WARNING: {said}")
    return warnings
