"""The arguments of the launch file: what each is, what it allows, and when it changes anything.

Without `launch`, which is not on PyPI; with nothing either that a Python which runs `ros2 launch`
may lack.
"""

import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.shipped import predictor_path
from salus_ros.worlds.adapter import read_env_kwargs
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

BOOLEAN = ("true", "false")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument; without a default, one that may be left empty.

    Attributes:
        name: Its name.
        text: What it is, for a person.
        default: Its value where none is given.
        choices: What is allowed; empty: see `check`.
    """

    name: str
    text: str
    default: str = ""
    choices: tuple[str, ...] = ()


ARGUMENTS = (
    Argument(
        "source",
        "Where images and joints come from: the built-in world, with MuJoCo or PhysX under it, "
        "the latter with images by Newton's ray tracer too, or in Isaac Sim, or topics of others",
        default="mujoco",
        choices=("mujoco", *SOURCES, "none"),
    ),
    Argument(
        "mode",
        "lockstep: the world waits for every action; realtime: the wall clock rules",
        default="lockstep",
        choices=("lockstep", "realtime"),
    ),
    Argument(
        "policy",
        "Folder of a policy's checkpoint; empty: the small SmolVLA that ships with SALUS",
    ),
    Argument(
        "watch_only",
        "No policy is run: one that runs elsewhere publishes PolicyAction on `action`, with its "
        "chunks, of which the watch node makes the signals",
        default="false",
        choices=BOOLEAN,
    ),
    Argument(
        "model",
        "Trained predictor: best_predictor.pt, its folder, or shipped for the one of the built-in "
        "world and its policy; empty: none yet",
    ),
    Argument(
        "record",
        "Folder of the zarr store to record into; empty: nothing is recorded",
    ),
    Argument(
        "clips",
        "Folder for clips of what was before and after each alarm and failure, with or without "
        "`record`; empty: none. `salus report --alarms` shows them",
    ),
    Argument(
        "bag",
        "Folder of a rosbag2 to record with `ros2 bag record`, not one that exists; empty: none. "
        "`salus convert` reads it",
    ),
    Argument(
        "episode_source",
        "With source:=none, what begins and ends an episode: the services of the episode node, "
        "~/start and ~/stop, or a node of yours on the topic `episode` (service)",
        choices=("", "topic", "service"),
    ),
    Argument(
        "env_id",
        "Gymnasium id of the world, module:Id-v0 for one that a module registers "
        "(salus/PickPlace-v1); MetaWorld's give cameras, state_joints and rate",
    ),
    Argument(
        "env_kwargs",
        "What the world's constructor is given, as a JSON object: "
        '{"obs_type": "pixels_agent_pos"}',
    ),
    Argument(
        "robot",
        "With source:=none, the robot that the policy moves: panda, so101, ur5e, or the file of a "
        "profile. It gives cameras, state_joints and rate, and starts the action bridge",
    ),
    Argument(
        "gate",
        "What an alarm does to the robot: shadow only says what it would have done, enforce does "
        "it (shadow)",
        choices=("", "shadow", "enforce"),
    ),
    Argument(
        "on_alarm",
        "slow, hold, or stop, until the service action_bridge/reset (hold)",
        choices=("", "slow", "hold", "stop"),
    ),
    Argument(
        "recovery",
        "What takes the arm when a failure is foreseen, as in `salus recover trial`: none, "
        "shadow, scripted@alarm, home@stuck, shadow:hold@either; several joined by +",
        default=NO_RECOVERY,
    ),
    Argument(
        "recovery_alpha",
        "Rate of the alarm that recovery goes by, one that the model is calibrated for; empty: "
        "the predictor's own alarm",
    ),
    Argument(
        "recovery_policy",
        "Folder of the policy that the behaviour `policy` of recovery runs (the one that ships)",
    ),
    Argument(
        "recovery_manifold",
        "File of `salus manifold train` whose successes the behaviour `manifold` follows",
    ),
    Argument(
        "cameras",
        "Names of the cameras, separated by commas, as the policy calls them; each is "
        "expected on camera/NAME/image_raw (front,side,wrist)",
    ),
    Argument(
        "state_joints",
        "Joints that are the policy's state, separated by commas, in its order (panda_joint1 to "
        "panda_joint7)",
    ),
    Argument(
        "image_transport",
        "raw takes camera/NAME/image_raw, compressed image_raw/compressed: jpeg, png (raw)",
        choices=("", "raw", "compressed"),
    ),
    Argument(
        "reliable_sensors",
        "Ask for reliable images and joint states; auto: of the built-in world, so that nothing "
        "is missed, and not of drivers, which may offer best effort",
        default="auto",
        choices=("auto", *BOOLEAN),
    ),
    Argument(
        "sync_slop_ms",
        "Largest difference of stamps within an observation in ms; a robot whose drivers have "
        "clocks of their own needs about half a camera period (0)",
    ),
    Argument(
        "namespace",
        "Namespace of all nodes and topics, as robot1",
    ),
    Argument(
        "rate",
        "Steps per second of the world in Hz (30)",
    ),
    Argument(
        "device",
        "Where policy and predictor run (auto: a GPU if there is one)",
        choices=("", "auto", "cpu", "cuda"),
    ),
    Argument(
        "episodes",
        "Number of episodes; 0 goes on for ever (0)",
    ),
    Argument(
        "seed",
        "Seed of episode 0; episode i has seed + i (0)",
    ),
    Argument(
        "task",
        "Instruction for the policy; empty: drawn by the seed",
    ),
    Argument(
        "fault",
        "Fault injected in every episode; empty: none, random: drawn by the seed",
    ),
    Argument(
        "condition",
        "Condition of the episodes (standard)",
    ),
    Argument(
        "replan_every",
        "Steps from one run of the policy's network to the next (3)",
    ),
    Argument(
        "num_samples",
        "Action chunks K sampled at a replan (4)",
    ),
    Argument(
        "exit_when_done",
        "End everything after the last episode",
        default="false",
        choices=BOOLEAN,
    ),
    Argument(
        "rviz",
        "Show the cameras in rviz2, which must be installed",
        default="false",
        choices=BOOLEAN,
    ),
    Argument(
        "rqt",
        "Show risk, signals, cameras and diagnostics in rqt, which must be installed with its "
        "plugins plot, image_view and runtime_monitor; not under a namespace",
        default="false",
        choices=BOOLEAN,
    ),
    Argument(
        "view",
        "Show all of it as a page in the browser, with buttons; its log says the address "
        "(host, port and token are in params_file)",
        default="false",
        choices=BOOLEAN,
    ),
    Argument(
        "use_sim_time",
        "Take the time from /clock; auto: where the built-in world is in lockstep",
        default="auto",
        choices=("auto", *BOOLEAN),
    ),
    Argument("params_file", "Parameters of all nodes, YAML (config/salus.yaml)"),
    Argument(
        "log_level",
        "How much the nodes say",
        default="info",
        choices=("debug", "info", "warn", "error", "fatal"),
    ),
)

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

type _Holds = Callable[[Mapping[str, str]], bool]

IN_VAIN: tuple[tuple[tuple[str, ...], _Holds, str], ...] = (
    (
        ("gate", "on_alarm"),
        lambda given: not given["robot"],
        "the gate stands before an arm, and none is given (robot)",
    ),
    (
        ("recovery_alpha", "recovery_policy", "recovery_manifold"),
        lambda given: given["recovery"] == NO_RECOVERY,
        "there is no recovery (recovery)",
    ),
    (
        ("episodes", "seed", "fault", "condition", "exit_when_done", "env_kwargs"),
        lambda given: given["source"] == "none",
        "it is of the built-in world, which source:=none is not",
    ),
    (
        ("rate", "task"),
        lambda given: given["source"] == "none" and given["episode_source"] == "topic",
        "with episode_source:=topic your node says it in its EpisodeStatus",
    ),
    (
        ("policy", "replan_every", "num_samples", "sync_slop_ms"),
        lambda given: given["watch_only"] == "true",
        "with watch_only:=true somebody else runs the policy",
    ),
)
"""Arguments that would change nothing, and why: someone who gives one believes that it does."""


def check(arguments: Mapping[str, str]) -> None:
    """Refuse what cannot work, before anything is started.

    Args:
        arguments: All arguments of the launch file by name; empty where nothing is given.

    Raises:
        ConfigError: if an argument is not allowed.
    """

    def refuse(name: str, why: str) -> NoReturn:
        raise ConfigError(f"{name}:={arguments[name]}: {why}")

    for name, (kind, low) in NUMBERS.items():
        try:
            fits = not arguments[name] or low <= kind(arguments[name]) < math.inf
        except ValueError:
            fits = False
        if not fits:
            words = "a whole number" if kind is int else "a number"
            refuse(name, f"allowed is {words} of at least {low:g}")
    for name in ("policy", "model", "recovery_policy", "recovery_manifold", "params_file"):
        given = arguments[name]
        path = predictor_path(given) if name == "model" else Path(given)
        if given and not path.exists():
            refuse(name, "there is no such file or folder")
    for name in ("cameras", "state_joints"):
        if arguments[name] and not all(names_of(arguments[name])):
            refuse(name, "allowed are names separated by commas")
    for names, in_vain, why in IN_VAIN:
        for name in names:
            if arguments[name] not in ("", "false") and in_vain(arguments):
                refuse(name, f"it would change nothing, as {why}; leave it out")
    if arguments["source"] != "none" and arguments["robot"]:
        refuse("robot", "the built-in world moves its own arm; give source:=none")
    if arguments["source"] != "none" and arguments["episode_source"] == "service":
        refuse("episode_source", "the built-in world says what an episode is; give source:=none")
    source = arguments["source"]
    if source in SOURCES and arguments["env_id"] not in ("", SOURCES[source]):
        refuse("env_id", f"source:={source} is {SOURCES[source]}; leave out one of the two")
    try:
        read_env_kwargs(arguments["env_kwargs"])
    except ConfigError:
        refuse("env_kwargs", "allowed is a JSON object")
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


def check_recovery(arguments: Mapping[str, str], refuse: Callable[[str, str], NoReturn]) -> None:
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
    from salus_ros.recovery.catalogue import live_arm  # what it needs takes seconds to import

    try:
        arm = live_arm(recovery)
    except ConfigError as error:
        refuse("recovery", str(error))
    heeds = any(choice.trigger != "stuck" for choice in arm.choices)
    if heeds and not arguments["model"]:
        refuse("recovery", "its alarm needs a predictor; give model, or the trigger stuck alone")
    named = {choice.behaviour for choice in arm.choices}
    for name, behaviour in (("recovery_policy", "policy"), ("recovery_manifold", "manifold")):
        if arguments[name] and behaviour not in named:
            refuse(
                name, f"it would change nothing, as {recovery} has no {behaviour}; leave it out"
            )
    if arguments["recovery_alpha"] and not arguments["model"]:
        refuse("recovery_alpha", "it is a rate that a predictor is calibrated for; give model")
    if "manifold" in named and not arguments["recovery_manifold"]:
        refuse("recovery", "its behaviour manifold needs recovery_manifold; give it")


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
