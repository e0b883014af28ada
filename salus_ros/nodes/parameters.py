"""The nodes' parameters: one frozen dataclass per node.

A class here is at once the node's ROS parameters (type, default, unit, range, description),
their documentation, and its section of `config/salus.yaml`, which `python -m
salus_ros.nodes.parameters` prints.
"""

import sys
from dataclasses import dataclass
from typing import ClassVar

from salus_ros.core import schema
from salus_ros.core.alarm import HYSTERESIS
from salus_ros.nodes.declaration import NodeParameters, Value, parameter
from salus_ros.nodes.recorder_parameters import RecorderParameters
from salus_ros.worlds.panda import CAMERAS
from salus_ros.worlds.panda import JOINTS as PANDA_JOINTS
from salus_ros.worlds.physics import ENV_ID


@dataclass(frozen=True)
class WaitingParameters(NodeParameters):
    """Of a node that must not become active before others have."""

    wait_for: str = parameter(
        "",
        "Nodes that must be active, and listen to it, before this one is; names, separated by "
        "commas, in its namespace or absolute",
    )

    @property
    def awaited(self) -> tuple[str, ...]:
        """The names of `wait_for`."""
        return tuple(name.strip() for name in self.wait_for.split(",") if name.strip())


@dataclass(frozen=True)
class SimulatorParameters(WaitingParameters):
    """The world and the episodes run in it."""

    node_name: ClassVar[str] = "simulator"

    env_id: str = parameter(
        ENV_ID,
        "Gymnasium id of the world, 'module:Id-v0' for one that a module of yours registers",
    )
    env_kwargs: str = parameter(
        "", "What the world's constructor is given, as a JSON object; empty for nothing"
    )
    mode: str = parameter(
        "lockstep",
        "lockstep waits for the action of every step; realtime runs on the wall clock",
        choices=("lockstep", "realtime"),
    )
    rate_hz: float = parameter(
        schema.RATE_HZ, "Steps per second", unit="Hz", minimum=0.1, maximum=1000.0
    )
    episodes: int = parameter(0, "Number of episodes to run; 0 runs on for ever", minimum=0)
    seed: int = parameter(0, "Seed of episode 0; episode i is reset with seed + i", minimum=0)
    first_episode: int = parameter(0, "Number i of the first episode", minimum=0)
    episode_prefix: str = parameter("episode", "Episode ids are this and the episode's number")
    task: str = parameter("", "Instruction for the policy; empty: the world draws it by the seed")
    fault: str = parameter(
        "", "Fault injected in every episode; empty for none, random to draw it by the seed"
    )
    fault_rate: float = parameter(
        -1.0,
        "Share of the episodes that random gives each fault; negative for the world's own",
        minimum=-1.0,
        maximum=1 / 3,
    )
    condition: str = parameter(
        "standard",
        "Condition that episodes are drawn under; shifted is harder and new to policies",
    )
    joint_names: tuple[str, ...] = parameter(
        PANDA_JOINTS, "Names of the joints of `agent_pos`, for a world that names none"
    )
    republish_s: float = parameter(
        1.0,
        "How often lockstep repeats an observation that nobody answered",
        unit="s",
        minimum=0.05,
        maximum=60.0,
    )
    exit_when_done: bool = parameter(False, "End the process after the last episode")


@dataclass(frozen=True)
class VlaParameters(WaitingParameters):
    """The policy and the inputs it takes."""

    node_name: ClassVar[str] = "vla"

    policy_path: str = parameter(
        "", "Folder of a LeRobot checkpoint; empty for the small one that ships with SALUS"
    )
    env_id: str = parameter(
        ENV_ID,
        "Built-in world whose shipped policy is run where policy_path is empty",
    )
    device: str = parameter(
        "auto",
        "Where the policy runs; auto takes a GPU if there is one",
        choices=("auto", "cpu", "cuda"),
    )
    num_samples: int = parameter(
        4, "Action chunks K sampled at every replan", minimum=1, maximum=64
    )
    replan_every: int = parameter(
        3, "Steps from one run of the network to the next", unit="steps", minimum=1, maximum=1000
    )
    noise_memory: float = parameter(
        -1.0,
        "Time constant with which the noise of the sampled chunks is forgotten; 0: it is drawn "
        "anew at each replan, -1: the policy's own",
        unit="steps",
        minimum=-1.0,
        maximum=1e6,
    )
    cameras: tuple[str, ...] = parameter(
        CAMERAS,
        "Cameras of the robot, named as the policy names its own; POLICY=ROBOT, as in front=top, "
        "for one of another name",
    )
    image_transport: str = parameter(
        "raw",
        "Topic of a camera: raw is image_raw, compressed is image_raw/compressed (jpeg, png)",
        choices=("raw", "compressed"),
    )
    state_joints: tuple[str, ...] = parameter(
        PANDA_JOINTS, "Joints whose positions are the policy's state, in its order"
    )
    task: str = parameter("", "Instruction for the policy; empty for the one of the episode")
    sync_slop_ms: float = parameter(
        0.0,
        "Largest difference of stamps within an observation; 0 for one stamp, as simulated",
        unit="ms",
        minimum=0.0,
        maximum=1000.0,
    )
    input_timeout_s: float = parameter(
        5.0,
        "Silence of an input after which it is reported",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
    )
    reliable_sensors: bool = parameter(
        False,
        "Ask for reliable images and joint states, so that none of a simulated world is missed; "
        "false takes them from any driver",
    )
    publish_embedding: bool = parameter(True, "Publish the hidden state with the signals")
    publish_plan: bool = parameter(True, "Publish the whole planned chunk with the signals")
    publish_plan_samples: bool = parameter(
        False, "Publish all sampled chunks too, num_samples times as many numbers"
    )
    publish_visual_embedding: bool = parameter(
        True, "Publish the pooled image tokens of each camera with the signals"
    )
    publish_expert_embedding: bool = parameter(
        True, "Publish the state in the middle of the action expert with the signals"
    )
    threads: int = parameter(
        0, "Threads torch may use on the CPU; 0 leaves it to torch", minimum=0, maximum=256
    )


@dataclass(frozen=True)
class WatchParameters(WaitingParameters):
    """A policy that runs elsewhere, known by the chunks in its actions."""

    node_name: ClassVar[str] = "watch"

    executed: int = parameter(
        0,
        "Actions of a chunk that are executed before the next one; 0 for all of them",
        unit="steps",
        minimum=0,
        maximum=1000,
    )
    input_timeout_s: float = parameter(
        5.0,
        "Silence of the actions after which it is reported",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
    )
    publish_plan: bool = parameter(True, "Publish the whole chunk in force with the signals")
    publish_plan_samples: bool = parameter(False, "Publish all sampled chunks too")


@dataclass(frozen=True)
class PredictorParameters(WaitingParameters):
    """The failure predictor and its alarm."""

    node_name: ClassVar[str] = "predictor"

    model_path: str = parameter(
        "",
        "Folder or file of a trained predictor, or shipped for that of the built-in world and its "
        "policy; empty for none yet",
        live=True,
    )
    device: str = parameter(
        "auto",
        "Where the model runs; auto takes a GPU if there is one",
        choices=("auto", "cpu", "cuda"),
    )
    threshold: float = parameter(
        -1.0,
        "Risk from which there is an alarm; -1 for the model's own",
        minimum=-1.0,
        maximum=1.0,
        live=True,
    )
    hysteresis: float = parameter(
        HYSTERESIS,
        "How far the risk must fall below the threshold to end an alarm",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    reliable_sensors: bool = parameter(
        False,
        "Ask for reliable joint states, where the model reads them, so that none of a simulated "
        "world is missed; false takes them from any driver",
    )
    alarm_when_blind: bool = parameter(
        True,
        "Raise the alarm at a step that cannot be judged, such as one with signals that are not "
        "finite; false leaves the alarm as it was",
        live=True,
    )
    stale_s: float = parameter(
        2.0,
        "Silence of `signals` after which the diagnostics say stale",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
    )


@dataclass(frozen=True)
class EpisodeParameters(WaitingParameters):
    """The episodes that a person begins and ends."""

    node_name: ClassVar[str] = "episode"

    task: str = parameter("", "Instruction of an episode that ~/start begins without one")
    rate_hz: float = parameter(
        schema.RATE_HZ, "Steps per second of the policy", unit="Hz", minimum=0.1, maximum=1000.0
    )


@dataclass(frozen=True)
class ActionBridgeParameters(NodeParameters):
    """The arm that the policy's actions move, and what an alarm does to them."""

    node_name: ClassVar[str] = "action_bridge"

    robot: str = parameter(
        "panda", "Profile of the robot: one that ships (panda, so101, ur5e), or a file of yours"
    )
    gate_mode: str = parameter(
        "shadow",
        "shadow only says what an alarm would have done; enforce does it",
        choices=("shadow", "enforce"),
        live=True,
    )
    on_alarm: str = parameter(
        "hold",
        "What an alarm does until ~/reset: slow leaves slow_factor of the speed limits, hold "
        "brakes and stays, stop does so and does not resume the episode",
        choices=("slow", "hold", "stop"),
        live=True,
    )
    slow_factor: float = parameter(
        0.25,
        "Share of the speed limits that slow leaves",
        minimum=0.01,
        maximum=1.0,
        live=True,
    )
    prediction_timeout_s: float = parameter(
        1.0,
        "Silence of `failure_horizons` in an episode that counts as a risk that is not known, "
        "and so acts like an alarm while it lasts",
        unit="s",
        minimum=0.05,
        maximum=60.0,
        live=True,
    )


@dataclass(frozen=True)
class RecoveryParameters(WaitingParameters):
    """What takes the arm when a failure is foreseen, and under which rules."""

    node_name: ClassVar[str] = "recovery"

    arm: str = parameter(
        "none",
        "Which behaviour takes the arm when, as `salus recover trial` has it: none, shadow, "
        "scripted@alarm, home@stuck, shadow:hold@either; several joined by +",
    )
    env_id: str = parameter(ENV_ID, "Built-in world, whose arm and cell the behaviours know")
    mode: str = parameter(
        "lockstep",
        "lockstep waits for the prediction of every step; realtime waits prediction_wait_ms",
        choices=("lockstep", "realtime"),
    )
    model_path: str = parameter(
        "", "Folder or file of the predictor, whose calibration gives the rate alpha of the alarm"
    )
    alpha: float = parameter(
        -1.0,
        "Rate of the alarm: share of successes that may alarm, one that the model is calibrated "
        "for; -1 for the alarm as the predictor publishes it",
        minimum=-1.0,
        maximum=1.0,
    )
    most: int = parameter(2, "Interventions in an episode", minimum=1, maximum=100)
    stuck_m: float = parameter(
        0.06,
        "Stuck: the tool stays within a cube of this edge",
        unit="m",
        minimum=0.001,
        maximum=1.0,
    )
    stuck_steps: int = parameter(
        0, "For so many steps; 0 for the world's own", unit="steps", minimum=0, maximum=100000
    )
    hold_steps: int = parameter(
        30, "How long `hold` stands still", unit="steps", minimum=1, maximum=100000
    )
    person_timeout_s: float = parameter(
        3.0,
        "How long `person` waits for an answer, and for each next action, before it is held",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
    )
    policy_path: str = parameter(
        "",
        "Folder of the second policy, that of the behaviour policy; empty for the one that ships "
        "for the world, where one does",
    )
    policy_steps: int = parameter(
        120, "How long that has the arm", unit="steps", minimum=1, maximum=100000
    )
    manifold_path: str = parameter(
        "",
        "File of `salus manifold train`, by state and action, whose successes the behaviour "
        "manifold follows",
    )
    replan_every: int = parameter(
        3, "Steps from one run of its network to the next", unit="steps", minimum=1, maximum=1000
    )
    device: str = parameter(
        "auto",
        "Where the second policy runs; auto takes a GPU if there is one",
        choices=("auto", "cpu", "cuda"),
    )
    seed: int = parameter(0, "Of all that is drawn, with the episode's own", minimum=0)
    prediction_wait_ms: float = parameter(
        20.0,
        "In real time, how long the policy's action waits for the prediction of its step; then it "
        "goes by the one before",
        unit="ms",
        minimum=0.0,
        maximum=1000.0,
    )
    prediction_timeout_s: float = parameter(
        1.0,
        "In real time, silence of `failure_horizons` after which the arm is held, where a rule "
        "goes by the alarm",
        unit="s",
        minimum=0.05,
        maximum=60.0,
    )
    input_timeout_s: float = parameter(
        0.5,
        "How long the joints and images of a step may be late while a behaviour acts, before the "
        "arm is held",
        unit="s",
        minimum=0.05,
        maximum=60.0,
    )
    hold_over_episodes: bool = parameter(
        True,
        "A hold stands until ~/reset, in later episodes too; false: until the next episode, as in "
        "a world that begins anew",
    )
    reliable_sensors: bool = parameter(
        False,
        "Ask for reliable images and joint states, so that none of a simulated world is missed; "
        "false takes them from any driver",
    )


@dataclass(frozen=True)
class ViewParameters(NodeParameters):
    """The page in the browser."""

    node_name: ClassVar[str] = "view"

    cameras: tuple[str, ...] = parameter(CAMERAS, "Cameras to show")
    image_transport: str = parameter(
        "raw",
        "Topic of a camera: raw is image_raw, compressed is image_raw/compressed (jpeg, png)",
        choices=("raw", "compressed"),
    )
    host: str = parameter(
        "127.0.0.1", "Address to listen on; any but the loopback asks for a token"
    )
    port: int = parameter(8088, "Port to listen on; 0 takes a free one", minimum=0, maximum=65535)
    token: str = parameter(
        "",
        "Token that the page asks for, 16 characters at least; empty: one is made, and said in "
        "the log, where the address is not the loopback",
    )


NODES: tuple[type[NodeParameters], ...] = (
    SimulatorParameters,
    VlaParameters,
    WatchParameters,
    PredictorParameters,
    RecorderParameters,
    EpisodeParameters,
    ActionBridgeParameters,
    RecoveryParameters,
    ViewParameters,
)


def render_yaml() -> str:
    """Return the text of `config/salus.yaml`: every parameter at its default."""
    lines = [
        "# Every parameter of every node at its default.",
        "# Made by: python -m salus_ros.nodes.parameters > config/salus.yaml",
    ]
    for cls in NODES:
        lines += ["", f"/**/{cls.node_name}:", "  ros__parameters:"]
        for name, spec in cls.specs().items():
            lines += [f"    # {spec.description}.", f"    # Allowed: {spec.allowed}."]
            lines.append(f"    {name}: {_yaml(spec.default)}")
    return "\n".join(lines) + "\n"


def _yaml(value: Value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    sys.stdout.write(render_yaml())
