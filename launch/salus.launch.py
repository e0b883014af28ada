"""The whole graph: simulator, vla, predictor and recorder.

ros2 launch salus_ros salus.launch.py
ros2 launch salus_ros salus.launch.py record:=runs/a.zarr episodes:=20 exit_when_done:=true
ros2 launch salus_ros salus.launch.py source:=none policy:=my_policy/ model:=runs/mlp
ros2 launch salus_ros salus.launch.py source:=none episode_source:=service sync_slop_ms:=20
ros2 launch salus_ros salus.launch.py rviz:=true rqt:=true
ros2 launch salus_ros salus.launch.py bag:=runs/bag episodes:=20 exit_when_done:=true

Arguments that are left empty keep the value of `params_file`.
"""

from pathlib import Path

from ament_index_python.packages import get_package_prefix
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config" / "salus.yaml"
BOOLEAN = ["true", "false"]

RQT_DELAY_S = 10.0
"""Before rqt starts: its plots forget topics that are not there yet."""

CAMERAS = ("front", "side", "wrist")
BAG_TOPICS = [
    *(f"camera/{name}/{topic}" for name in CAMERAS for topic in ("image_raw", "camera_info")),
    *("joint_states", "episode", "action", "signals", "failure_horizons", "risk", "clock"),
]
"""What `bag` records; `salus convert` makes of it what the recorder node records."""

ARGUMENTS = [
    DeclareLaunchArgument(
        "source",
        default_value="mujoco",
        choices=["mujoco", "none"],
        description="Where images and joints come from: the built-in world, or topics of others",
    ),
    DeclareLaunchArgument(
        "mode",
        default_value="lockstep",
        choices=["lockstep", "realtime"],
        description="lockstep: the world waits for every action; realtime: the wall clock rules",
    ),
    DeclareLaunchArgument(
        "policy",
        default_value="",
        description="Folder of a SmolVLA checkpoint; empty: the small one that ships with SALUS",
    ),
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="Trained predictor, best_predictor.pt or its folder; empty: none yet",
    ),
    DeclareLaunchArgument(
        "record",
        default_value="",
        description="Folder of the zarr store to record into; empty: nothing is recorded",
    ),
    DeclareLaunchArgument(
        "bag",
        default_value="",
        description="Folder of a rosbag2 to record with `ros2 bag record`, not one that exists; "
        "empty: none. `salus convert` reads it",
    ),
    DeclareLaunchArgument(
        "episode_source",
        default_value="",
        choices=["", "topic", "service"],
        description="What begins and ends an episode: the topic `episode` of a world or of your "
        "own, or the recorder's services ~/start and ~/stop (topic)",
    ),
    DeclareLaunchArgument(
        "sync_slop_ms",
        default_value="",
        description="Largest difference of stamps within an observation in ms; a robot whose "
        "drivers have clocks of their own needs about half a camera period (0)",
    ),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of all nodes and topics, as robot1"
    ),
    DeclareLaunchArgument(
        "rate", default_value="", description="Steps per second of the world in Hz (30)"
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        choices=["", "auto", "cpu", "cuda"],
        description="Where policy and predictor run (auto: a GPU if there is one)",
    ),
    DeclareLaunchArgument(
        "episodes", default_value="", description="Number of episodes; 0 goes on for ever (0)"
    ),
    DeclareLaunchArgument(
        "seed", default_value="", description="Seed of episode 0; episode i has seed + i (0)"
    ),
    DeclareLaunchArgument(
        "task",
        default_value="",
        description="Instruction for the policy; empty: drawn by the seed",
    ),
    DeclareLaunchArgument(
        "fault",
        default_value="",
        description="Fault injected in every episode; empty: none, random: drawn by the seed",
    ),
    DeclareLaunchArgument(
        "condition", default_value="", description="Condition of the episodes (standard)"
    ),
    DeclareLaunchArgument(
        "replan_every",
        default_value="",
        description="Steps from one run of the policy's network to the next (3)",
    ),
    DeclareLaunchArgument(
        "num_samples", default_value="", description="Action chunks K sampled at a replan (4)"
    ),
    DeclareLaunchArgument(
        "exit_when_done",
        default_value="false",
        choices=BOOLEAN,
        description="End everything after the last episode",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=BOOLEAN,
        description="Show the cameras in rviz2, which must be installed",
    ),
    DeclareLaunchArgument(
        "rqt",
        default_value="false",
        choices=BOOLEAN,
        description="Show risk, signals, cameras and diagnostics in rqt, which must be installed "
        "with its plugins plot, image_view and runtime_monitor; not under a namespace",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="auto",
        choices=["auto", *BOOLEAN],
        description="Take the time from /clock; auto: where the built-in world is in lockstep",
    ),
    DeclareLaunchArgument(
        "params_file", default_value=str(CONFIG), description="Parameters of all nodes, YAML"
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="How much the nodes say",
    ),
]


def make_nodes(context: LaunchContext) -> list[Action]:
    """Make the nodes that the arguments ask for."""
    arguments = {item.name: LaunchConfiguration(item.name).perform(context) for item in ARGUMENTS}
    simulated = arguments["source"] == "mujoco"
    lockstep = simulated and arguments["mode"] == "lockstep"
    sim_time = arguments["use_sim_time"]
    clock = {"use_sim_time": lockstep if sim_time == "auto" else sim_time == "true"}
    recording, bagging = bool(arguments["record"]), bool(arguments["bag"])

    def given(**names: tuple[str, type]) -> dict[str, str | int | float]:
        """Parameters whose argument was given, by name: (argument, type)."""
        return {
            name: kind(arguments[argument])
            for name, (argument, kind) in names.items()
            if arguments[argument]
        }

    def node(executable: str, parameters: dict) -> Node:
        return Node(
            package="salus_ros",
            executable=executable,
            name=executable,
            namespace=arguments["namespace"],
            parameters=[arguments["params_file"], parameters],
            # Every graph has a clock of its own, so that two can run side by side.
            remappings=[("/clock", "clock")],
            ros_arguments=["--log-level", arguments["log_level"]],
            output="screen",
            emulate_tty=True,
        )

    vla = given(
        policy_path=("policy", str),
        device=("device", str),
        num_samples=("num_samples", int),
        replan_every=("replan_every", int),
        sync_slop_ms=("sync_slop_ms", float),
    )
    predictor = given(model_path=("model", str), device=("device", str))
    # Who must be found by whom before it starts, so that nothing is lost.
    vla |= clock | {"min_subscribers": 1 + recording + bagging}
    predictor |= clock | {"min_subscribers": recording + bagging}
    nodes: list[Action] = [node("vla", vla), node("predictor", predictor)]
    if recording:
        store = given(store_path=("record", str), episode_source=("episode_source", str))
        store |= {} if simulated else given(task=("task", str))
        # In lockstep every sample has the stamp of its step: anything else would be a loss. In
        # real time a step without an action is normal, and marked.
        strict = {"max_age_ms": 0.0} if lockstep else {}
        loose = {"max_missing_share": 1.0} if simulated and not lockstep else {}
        nodes.append(node("recorder", store | strict | loose | clock))
    if simulated:
        world = given(
            rate_hz=("rate", float),
            episodes=("episodes", int),
            seed=("seed", int),
            task=("task", str),
            fault=("fault", str),
            condition=("condition", str),
        )
        own = {
            "mode": arguments["mode"],
            "min_subscribers": len(nodes) + bagging,
            "exit_when_done": arguments["exit_when_done"] == "true",
        }
        simulator = node("simulator", world | own)
        nodes.append(simulator)
        if own["exit_when_done"]:
            over = EmitEvent(event=Shutdown(reason="the last episode is over"))
            nodes.append(
                RegisterEventHandler(OnProcessExit(target_action=simulator, on_exit=[over]))
            )
    return nodes + make_bag_recorder(arguments) + make_viewers(arguments, clock)


def make_bag_recorder(arguments: dict[str, str]) -> list[Action]:
    """Make `ros2 bag record` of the graph's topics, if a bag is asked for.

    Raises:
        FileExistsError: if something is there already.
    """
    if not arguments["bag"]:
        return []
    path = Path(arguments["bag"])
    if path.exists():
        raise FileExistsError(f"bag:={path} exists already; give a folder that does not")
    get_package_prefix("ros2bag")  # refuses now what the other nodes would wait for
    path.parent.mkdir(parents=True, exist_ok=True)
    namespace = arguments["namespace"].strip("/")
    prefix = f"/{namespace}/" if namespace else "/"
    topics = [prefix + topic for topic in BAG_TOPICS]
    command = ["ros2", "bag", "record", "--output", str(path), "--topics", *topics]
    recorder = ExecuteProcess(cmd=command, output="screen")
    over = EmitEvent(event=Shutdown(reason="the bag is not recorded any more"))
    return [recorder, RegisterEventHandler(OnProcessExit(target_action=recorder, on_exit=[over]))]


def make_viewers(arguments: dict[str, str], clock: dict[str, bool]) -> list[Action]:
    """Make the programs to look at the graph with that the arguments ask for."""
    viewers: list[Action] = []
    if arguments["rviz"] == "true":
        images = [f"camera/{name}/image_raw" for name in CAMERAS]
        viewers.append(
            Node(
                package="rviz2",
                executable="rviz2",
                name="rviz",
                namespace=arguments["namespace"],
                arguments=["-d", str(CONFIG.with_name("salus.rviz"))],
                parameters=[clock],
                remappings=[("/clock", "clock"), *((f"/{topic}", topic) for topic in images)],
            )
        )
    if arguments["rqt"] == "true":
        get_package_prefix("rqt_gui")  # refuses now what would end the graph when it runs
        rqt = Node(
            package="rqt_gui",
            executable="rqt_gui",
            name="rqt",
            arguments=["--perspective-file", str(CONFIG.with_name("salus.perspective"))],
        )
        viewers.append(TimerAction(period=RQT_DELAY_S, actions=[rqt]))
    return viewers


def generate_launch_description() -> LaunchDescription:
    """Describe the graph."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=make_nodes)])
