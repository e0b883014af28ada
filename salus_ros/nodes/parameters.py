"""The nodes' parameters: one frozen dataclass per node.

A class here is at once the node's ROS parameters (type, default, unit, range, description),
their documentation, and its section of `config/salus.yaml`, which `python -m
salus_ros.nodes.parameters` prints.
"""

import difflib
import math
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from salus_ros.core import schema
from salus_ros.core.alarm import HYSTERESIS
from salus_ros.core.errors import ConfigError

PANDA_JOINTS: tuple[str, ...] = tuple(f"panda_joint{i}" for i in range(1, 8))
LARGEST_INT = 2**62

type Value = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """What is allowed for one parameter.

    Attributes:
        default: Its value when nothing is given; its type is the parameter's type.
        description: What it does, one sentence.
        unit: Unit of the value; empty for none.
        minimum: Smallest allowed number.
        maximum: Largest allowed number.
        choices: The allowed words; empty for any.
        live: Whether a change takes effect while the node runs.
    """

    default: Value
    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        words = kind.get(type(self.default), "a list of texts, at least one")
        if self.minimum is not None and self.maximum is not None:
            words += f" from {self.minimum:g} to {self.maximum:g}"
        elif self.minimum is not None:
            words += f" of at least {self.minimum:g}"
        return words + (f", in {self.unit}" if self.unit else "")

    def check(self, name: str, value: object) -> Value:
        """Return `value` in the parameter's own type.

        Raises:
            ConfigError: if it is of another type, or outside what is allowed.
        """
        checked = self._typed(value)
        inside = checked is not None
        if isinstance(checked, int | float) and not isinstance(checked, bool):
            low = -math.inf if self.minimum is None else self.minimum
            high = math.inf if self.maximum is None else self.maximum
            inside = low <= checked <= high  # NaN is never inside
        if self.choices:
            inside = checked in self.choices
        if checked is None or not inside:
            raise ConfigError(f"parameter '{name}' is {value!r}; allowed is {self.allowed}")
        return checked

    def _typed(self, value: object) -> Value | None:
        """`value` in the type of the default, None where it is of another type."""
        if isinstance(self.default, tuple):
            items = value if isinstance(value, list | tuple) else ()
            texts = tuple(item for item in items if isinstance(item, str))
            return texts if texts and len(texts) == len(items) else None
        if isinstance(self.default, float) and type(value) is int:
            return float(value)
        if isinstance(value, bool | int | float | str) and type(value) is type(self.default):
            return value
        return None

    def descriptor(self) -> ParameterDescriptor:
        """Return the ROS descriptor, with the range where the whole of it is known."""
        text = self.description + (f" [{self.unit}]" if self.unit else "")
        descriptor = ParameterDescriptor(
            description=text, additional_constraints=self.allowed, read_only=not self.live
        )
        if self.minimum is None:
            return descriptor
        if isinstance(self.default, int):
            high = LARGEST_INT if self.maximum is None else int(self.maximum)
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.minimum), to_value=high, step=0)
            ]
        elif isinstance(self.default, float):
            top = sys.float_info.max if self.maximum is None else self.maximum
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=self.minimum, to_value=top, step=0.0)
            ]
        return descriptor


def parameter(default: Value, description: str, **options: Any) -> Any:
    """Make the field of one parameter; the options are those of `Spec`."""
    return field(default=default, metadata={"spec": Spec(default, description, **options)})


@dataclass(frozen=True)
class NodeParameters:
    """Base of the parameters of a node; making one checks every value."""

    node_name: ClassVar[str]

    def __post_init__(self) -> None:
        for name, spec in self.specs().items():
            object.__setattr__(self, name, spec.check(name, getattr(self, name)))

    @classmethod
    def specs(cls) -> dict[str, Spec]:
        """The parameters by name."""
        return {item.name: _spec(item) for item in fields(cls)}

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> Self:
        """Make the parameters from their values; those that are not given keep the default.

        Raises:
            ConfigError: if a name is unknown or a value is not allowed.
        """
        for name in values:
            if name not in cls.specs():
                raise ConfigError(cls.unknown(name))
        return cls(**values)

    @classmethod
    def unknown(cls, name: str) -> str:
        """Say that the node has no parameter `name`, and which one was probably meant."""
        near = difflib.get_close_matches(name, cls.specs(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else "it has " + ", ".join(cls.specs())
        return f"the {cls.node_name} node has no parameter '{name}'; {hint}"

    def updated(self, **values: object) -> Self:
        """Return a copy with other values, checked.

        Raises:
            ConfigError: if a value is not allowed.
        """
        return replace(self, **values)


def _spec(item: Field[Any]) -> Spec:
    spec = item.metadata["spec"]
    if not isinstance(spec, Spec) or item.default is MISSING:
        raise TypeError(f"{item.name} was not made with parameter()")
    return spec


@dataclass(frozen=True)
class SimulatorParameters(NodeParameters):
    """The world and the episodes run in it."""

    node_name: ClassVar[str] = "simulator"

    env_id: str = parameter(
        "salus/PickPlace-v0",
        "Gymnasium id of the world, 'module:Id-v0' for one that a module of yours registers",
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
        0.1, "Share of the episodes that random gives each fault", minimum=0.0, maximum=1 / 3
    )
    condition: str = parameter(
        "standard",
        "Condition that episodes are drawn under; shifted is harder and new to policies",
    )
    joint_names: tuple[str, ...] = parameter(
        PANDA_JOINTS, "Names of the joints of `agent_pos`, for a world that names none"
    )
    min_subscribers: int = parameter(
        0, "Nodes that must listen to `episode` before the first episode starts", minimum=0
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
class VlaParameters(NodeParameters):
    """The policy and the inputs it takes."""

    node_name: ClassVar[str] = "vla"

    policy_path: str = parameter(
        "", "Folder of a SmolVLA checkpoint; empty for the small one that ships with SALUS"
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
    cameras: tuple[str, ...] = parameter(
        schema.CAMERAS,
        "Cameras of the robot, in the order of the policy's own where the names differ",
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
        True, "Ask for reliable images and joint states; false for drivers that offer best effort"
    )
    min_subscribers: int = parameter(
        0, "Nodes that must listen to `signals` before this one listens to `episode`", minimum=0
    )
    publish_embedding: bool = parameter(True, "Publish the hidden state with the signals")
    threads: int = parameter(
        0, "Threads torch may use on the CPU; 0 leaves it to torch", minimum=0, maximum=256
    )


@dataclass(frozen=True)
class PredictorParameters(NodeParameters):
    """The failure predictor and its alarm."""

    node_name: ClassVar[str] = "predictor"

    model_path: str = parameter(
        "", "Folder or file of a trained predictor; empty for none yet", live=True
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
    min_subscribers: int = parameter(
        0,
        "Nodes that must listen to `failure_horizons` before this one listens to `episode`",
        minimum=0,
    )
    stale_s: float = parameter(
        2.0,
        "Silence of `signals` after which the diagnostics say stale",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
    )


@dataclass(frozen=True)
class RecorderParameters(NodeParameters):
    """Where and how episodes are recorded."""

    node_name: ClassVar[str] = "recorder"

    store_path: str = parameter("runs/salus.zarr", "Episode store; made if it does not exist")
    record: bool = parameter(True, "Record from the start; else wait for ~/start")
    cameras: tuple[str, ...] = parameter(schema.CAMERAS, "Cameras to record")
    state_joints: tuple[str, ...] = parameter(
        PANDA_JOINTS, "Joints whose positions are recorded as the state, in this order"
    )
    reliable_sensors: bool = parameter(
        True, "Ask for reliable images and joint states; false for drivers that offer best effort"
    )
    max_age_ms: float = parameter(
        100.0,
        "Oldest sample that a step may use; older is a gap",
        unit="ms",
        minimum=0.0,
        maximum=60000.0,
    )
    settle_s: float = parameter(
        0.5,
        "How long a step waits for late messages, such as its prediction",
        unit="s",
        minimum=0.0,
        maximum=60.0,
    )
    max_missing_share: float = parameter(
        0.0,
        "Share of the steps that may lack an action or an image; above it an episode is dropped",
        minimum=0.0,
        maximum=1.0,
    )
    buffer_mb: int = parameter(
        1024,
        "Memory for images that are not written yet; an episode beyond it is dropped",
        unit="MB",
        minimum=16,
        maximum=1048576,
    )
    queue_episodes: int = parameter(
        2,
        "Whole episodes that may wait to be written; one beyond is dropped",
        minimum=1,
        maximum=1000,
    )
    min_free_mb: int = parameter(
        500,
        "Free disk space below which nothing is written",
        unit="MB",
        minimum=0,
        maximum=1048576,
    )
    status_hz: float = parameter(
        1.0, "Rate of `recorder_status`", unit="Hz", minimum=0.1, maximum=50.0
    )


NODES: tuple[type[NodeParameters], ...] = (
    SimulatorParameters,
    VlaParameters,
    PredictorParameters,
    RecorderParameters,
)


def declare[P: NodeParameters](node: Node, cls: type[P]) -> P:
    """Declare the parameters of `cls` on `node` and return their values.

    A whole number is taken for a floating-point parameter, and a name that the node does not
    have is reported in its log, since rclpy passes both over in silence or with a riddle.

    Raises:
        ConfigError: if a given value is not allowed.
    """
    given = {name: item.value for name, item in node._parameter_overrides.items()}
    for name in given:
        ours = name not in node.get_parameters_by_prefix("") and not name.startswith("qos_")
        if name not in cls.specs() and ours:
            node.get_logger().warning(cls.unknown(name))
    values = cls.from_values({n: v for n, v in given.items() if n in cls.specs()})
    for name, spec in cls.specs().items():
        value = getattr(values, name)
        value = list(value) if isinstance(value, tuple) else value
        node.declare_parameter(name, value, spec.descriptor(), ignore_override=True)
    return values


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
