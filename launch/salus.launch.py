"""The whole graph: simulator, vla, predictor and recorder, or an arm of your own.

ros2 launch salus_ros salus.launch.py
ros2 launch salus_ros salus.launch.py record:=runs/a.zarr episodes:=20 exit_when_done:=true
ros2 launch salus_ros salus.launch.py source:=none policy:=my_policy/ cameras:=top,wrist
ros2 launch salus_ros salus.launch.py source:=none policy:=my_policy/ robot:=so101
ros2 launch salus_ros salus.launch.py source:=physx
ros2 launch salus_ros salus.launch.py source:=isaac
ros2 launch salus_ros salus.launch.py source:=none watch_only:=true
ros2 launch salus_ros salus.launch.py rviz:=true rqt:=true
ros2 launch salus_ros salus.launch.py bag:=runs/bag episodes:=20 exit_when_done:=true

Arguments that are left empty keep the value of `params_file`. All of them are checked before
anything starts. When a node ends, the others are ended in order, who records last.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.events.process import ProcessExited, ShutdownProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition

from launch import LaunchContext, LaunchDescription
from salus_ros.nodes.arguments import ARGUMENTS, NO_RECOVERY, check, names_of
from salus_ros.nodes.launching import Ending, misspelt, parameter_file, with_robot, with_source

CONFIG = Path(__file__).resolve().parent.parent / "config" / "salus.yaml"

END_S = 15.0
"""What a node gets to end before it is told more firmly; one step of a large policy."""

WRITE_S = 120.0
"""The same for who records, and has to write what has ended."""

BAG_NODE = "rosbag2_recorder"
CAMERAS = ("front", "side", "wrist")
"""The cameras of `params_file` and of the viewers' layouts."""

BAG_TOPICS = ["joint_states", "episode", "action", "signals", "failure_horizons", "risk", "clock"]
"""What `bag` records beside the cameras; `salus convert` makes of it what the recorder records."""

RECOVERY_TOPICS = ["policy_action", "recovery_status", "recovery_plan"]
"""What it records too where there is a recovery."""


def make_nodes(context: LaunchContext) -> list[Action]:
    """Make the nodes that the arguments ask for.

    Raises:
        ConfigError: if an argument is not allowed; nothing has been started then.
    """
    arguments = {item.name: LaunchConfiguration(item.name).perform(context) for item in ARGUMENTS}
    check(arguments)
    arguments = with_robot(with_source(arguments), CONFIG.with_name("robots"))
    simulated = arguments["source"] != "none"
    lockstep = simulated and arguments["mode"] == "lockstep"
    sim_time = arguments["use_sim_time"]
    clock = {"use_sim_time": lockstep if sim_time == "auto" else sim_time == "true"}
    reliable = arguments["reliable_sensors"]
    sensors = {"reliable_sensors": simulated if reliable == "auto" else reliable == "true"}
    recording = bool(arguments["record"] or arguments["clips"])
    bagging = bool(arguments["bag"])
    # Who must be active before whom, so that nothing is lost.
    recorders = ["recorder"] * recording + [f"/{BAG_NODE}"] * bagging

    def given(**names: tuple[str, Callable]) -> dict:
        """Parameters whose argument was given, by name: (argument, type)."""
        return {
            name: kind(arguments[argument])
            for name, (argument, kind) in names.items()
            if arguments[argument]
        }

    def node(
        executable: str,
        parameters: dict,
        end_s: float = END_S,
        renamed: Sequence[tuple[str, str]] = (),
    ) -> LifecycleNode:
        return LifecycleNode(
            package="salus_ros",
            executable=executable,
            name=executable,
            namespace=arguments["namespace"],
            parameters=[arguments["params_file"], parameter_file(parameters)],
            # Every graph has a clock and frames of its own, so that two can run side by side.
            remappings=[
                ("/clock", "clock"),
                ("/tf", "tf"),
                ("/tf_static", "tf_static"),
                *renamed,
            ],
            ros_arguments=["--log-level", arguments["log_level"]],
            output="screen",
            emulate_tty=True,
            sigterm_timeout=str(end_s),
            sigkill_timeout=str(end_s),
        )

    shared = given(
        cameras=("cameras", names_of),
        state_joints=("state_joints", names_of),
        image_transport=("image_transport", str),
    )
    vla = given(
        policy_path=("policy", str),
        env_id=("env_id", str),
        device=("device", str),
        num_samples=("num_samples", int),
        replan_every=("replan_every", int),
        sync_slop_ms=("sync_slop_ms", float),
    )
    predictor = given(model_path=("model", str), device=("device", str))
    vla |= shared | sensors | clock | {"wait_for": ",".join(["predictor", *recorders])}
    predictor |= sensors | clock | {"wait_for": ",".join(recorders)}
    recovers = arguments["recovery"] != NO_RECOVERY
    shadow = arguments["recovery"].startswith("shadow")
    watches = arguments["watch_only"] == "true"  # it reads no observation: nobody waits for it
    nodes = [*["vla"] * (not watches), "predictor", *["recovery"] * recovers]
    listeners = {"wait_for": ",".join([*nodes, *recorders])}
    # Recovery stands between the policy and who acts; its shadow only listens.
    behind = [("action", "policy_action")] if recovers and not shadow else []
    acting: dict[str, ExecuteProcess] = {}
    if watches:
        own = {"wait_for": vla["wait_for"]}
        acting["watch"] = node("watch", clock | own, renamed=behind)
    else:
        acting["vla"] = node("vla", vla, renamed=behind)
    acting["predictor"] = node("predictor", predictor)
    if recovers:
        recovery = given(
            arm=("recovery", str),
            alpha=("recovery_alpha", float),
            model_path=("model", str),
            policy_path=("recovery_policy", str),
            manifold_path=("recovery_manifold", str),
            env_id=("env_id", str),
            device=("device", str),
        )
        own = {"mode": arguments["mode"], "hold_over_episodes": not simulated}
        own |= {"wait_for": "" if shadow else ",".join(recorders)}
        beside = [("policy_action", "action")] if shadow else []
        acting["recovery"] = node("recovery", recovery | sensors | clock | own, renamed=beside)
    writing = {}
    if recording:
        store = given(store_path=("record", str), clips=("clips", str)) | shared | sensors
        store |= {} if arguments["record"] else {"record": False}
        # In lockstep every sample has the stamp of its step: anything else would be a loss. In
        # real time a step without an action is normal, and marked.
        gaps = {"max_age_ms": 0.0} if lockstep else {"max_missing_share": 1.0}
        writing["recorder"] = node("recorder", store | gaps | clock, WRITE_S)
    if bagging:
        writing["bag"] = make_bag_recorder(arguments)
    if simulated:
        world = given(
            env_id=("env_id", str),
            env_kwargs=("env_kwargs", str),
            joint_names=("state_joints", names_of),
            rate_hz=("rate", float),
            episodes=("episodes", int),
            seed=("seed", int),
            task=("task", str),
            fault=("fault", str),
            condition=("condition", str),
        )
        exits = {"exit_when_done": arguments["exit_when_done"] == "true"}
        own = {"mode": arguments["mode"]} | exits | listeners
        acting["simulator"] = node("simulator", world | own)
    elif arguments["episode_source"] != "topic":
        episodes = given(rate_hz=("rate", float), task=("task", str))
        acting["episode"] = node("episode", episodes | clock | listeners)
    if arguments["robot"]:
        arm = given(robot=("robot", str), gate_mode=("gate", str), on_alarm=("on_alarm", str))
        acting["action_bridge"] = node("action_bridge", arm | clock)
    viewers = make_viewers(arguments, clock, acting["watch" if watches else "vla"])
    if arguments["view"] == "true":
        # It may end, or not begin, without ending who acts; and it needs no clock.
        shown = {name: shared[name] for name in ("cameras", "image_transport") if name in shared}
        viewers.append(node("view", shown))
    known = [item.name for item in ARGUMENTS]
    return [
        *(LogInfo(msg=text) for text in misspelt(context.launch_configurations, known)),
        end_in_order(acting, writing),
        *writing.values(),
        *viewers,
        *acting.values(),
    ]


def end_in_order(
    acting: dict[str, ExecuteProcess], writing: dict[str, ExecuteProcess]
) -> RegisterEventHandler:
    """End the rest when a process has ended: who acts first, then who writes.

    Launch by itself goes on when a node has died, and ends all with one signal.
    """
    processes = acting | writing
    ending = Ending([list(acting), list(writing)], last="simulator")

    def on_exit(event: ProcessExited, context: LaunchContext) -> list[Action]:
        name = next((name for name, process in processes.items() if process is event.action), "")
        if not name or context.is_shutdown:
            return []
        said, told = ending.ended(name, event.returncode)
        actions: list[Action] = [LogInfo(msg=said)] if said else []
        for one in told:
            matcher = matches_action(processes[one])
            actions.append(EmitEvent(event=ShutdownProcess(process_matcher=matcher)))
        return [*actions, OpaqueFunction(function=over)] if ending.over else actions

    def over(_: LaunchContext) -> list[Action]:
        if ending.failure:
            raise RuntimeError(ending.failure)  # so that launch ends with 1
        return [EmitEvent(event=Shutdown(reason="everything has ended"))]

    return RegisterEventHandler(OnProcessExit(on_exit=on_exit))


def make_bag_recorder(arguments: dict[str, str]) -> ExecuteProcess:
    """Make `ros2 bag record` of the graph's topics."""
    path = Path(arguments["bag"])
    path.parent.mkdir(parents=True, exist_ok=True)
    namespace = arguments["namespace"].strip("/")
    image = "image_raw"
    if arguments["image_transport"] == "compressed":
        image += "/compressed"
    cameras = names_of(arguments["cameras"]) if arguments["cameras"] else CAMERAS
    topics = [f"camera/{name}/{topic}" for name in cameras for topic in (image, "camera_info")]
    topics += [] if arguments["recovery"] == NO_RECOVERY else RECOVERY_TOPICS
    prefix = f"/{namespace}/" if namespace else "/"
    return ExecuteProcess(
        cmd=[
            *("ros2", "bag", "record", "--output", str(path), "--node-name", BAG_NODE),
            *("--topics", *(prefix + topic for topic in topics + BAG_TOPICS)),
        ],
        output="screen",
        sigterm_timeout=str(WRITE_S),
        sigkill_timeout=str(WRITE_S),
    )


def make_viewers(
    arguments: dict[str, str], clock: dict[str, bool], signals: LifecycleNode
) -> list[Action]:
    """Make the programs to look at the graph with that the arguments ask for."""
    viewers: list[Action] = []
    cameras = names_of(arguments["cameras"]) if arguments["cameras"] else CAMERAS
    if arguments["rviz"] == "true":
        # The layout shows three cameras; those that there are take their places in turn.
        shown = [
            (f"/camera/{place}/image_raw", f"camera/{name}/image_raw")
            for place, name in zip(CAMERAS, cameras, strict=False)
        ]
        viewers.append(
            Node(
                package="rviz2",
                executable="rviz2",
                name="rviz",
                namespace=arguments["namespace"],
                arguments=["-d", str(CONFIG.with_name("salus.rviz"))],
                parameters=[parameter_file(clock)],
                remappings=[
                    ("/clock", "clock"),
                    ("/tf", "tf"),
                    ("/tf_static", "tf_static"),
                    *shown,
                ],
            )
        )
    if arguments["rqt"] == "true":
        rqt = Node(
            package="rqt_gui",
            executable="rqt_gui",
            name="rqt",
            arguments=["--perspective-file", str(CONFIG.with_name("salus.perspective"))],
        )
        # Its plots forget topics that are not there yet.
        ready = OnStateTransition(
            target_lifecycle_node=signals, goal_state="active", handle_once=True, entities=[rqt]
        )
        viewers.append(RegisterEventHandler(ready))
    return viewers


def generate_launch_description() -> LaunchDescription:
    """Describe the graph."""
    arguments = [
        DeclareLaunchArgument(
            one.name,
            default_value=str(CONFIG) if one.name == "params_file" else one.default,
            description=one.text,
            choices=list(one.choices) or None,
        )
        for one in ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=make_nodes)])
