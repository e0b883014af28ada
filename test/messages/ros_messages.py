"""Messages of both libraries: those of rosbags as a bag gives them, and those of rclpy."""

import importlib

import numpy as np
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_JAZZY)


def of_rosbags(kind, **fields):
    """A message of rosbags; what is not given is zero or empty."""
    return TYPES.deserialize_cdr(TYPES.serialize_cdr(_made(kind, fields), kind), kind)


def of_rclpy(kind, **fields):
    """The same message of rclpy."""
    from rclpy.serialization import deserialize_message

    package, _, name = kind.split("/")
    data = bytes(TYPES.serialize_cdr(_made(kind, fields), kind))
    return deserialize_message(data, getattr(importlib.import_module(f"{package}.msg"), name))


def _made(kind, fields):
    values = {}
    for name, (of, about) in TYPES.fielddefs[kind][1]:
        given = fields.get(name)
        if of == 1:  # a value
            values[name] = _value(about[0], given)
        elif of == 2:  # a message
            values[name] = _made(about, given or {})
        else:
            (inner, what), _ = about
            if inner == 2:
                values[name] = [_made(what, one) for one in given or []]
            elif what[0] == "string":
                values[name] = list(given or [])
            else:
                values[name] = np.array(given if given is not None else [], what[0])
    return TYPES.types[kind](**values)


def _value(kind, given):
    if given is not None:
        return given
    return "" if kind == "string" else False if kind == "bool" else 0
