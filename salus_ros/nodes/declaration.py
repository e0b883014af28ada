"""Parameters as the fields of a frozen dataclass: checked, described, declared on a node."""

import difflib
import math
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from salus_ros.core.errors import ConfigError

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

    autostart: bool = parameter(
        True,
        "Become active by itself; false waits for `ros2 lifecycle set`",
    )

    @property
    def awaited(self) -> tuple[str, ...]:
        """Nodes that must be active, and listen, before this one is."""
        return ()

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
        return cls(**dict[str, Any](values))

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
        return replace(self, **dict[str, Any](values))


def _spec(item: Field[Any]) -> Spec:
    spec = item.metadata["spec"]
    if not isinstance(spec, Spec) or item.default is MISSING:
        raise TypeError(f"{item.name} was not made with parameter()")
    return spec


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
