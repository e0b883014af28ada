"""What every process that moves the scene does alike; imports nothing but numpy.

Requests come over one end of a `multiprocessing.Pipe` as tuples (what, arguments); an answer is
("ok", value) or ("error", text).
"""

from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

GREETING = "ready"
"""What is sent when the server has started."""

CAMERA = "_camera"
"""What the name of a camera's prim has behind the camera's own."""

Values = Mapping[str, Mapping[str, tuple[str, Sequence[float]]]]
"""Attributes of prims, by the prim's path and the attribute's name: type and value."""


def serve(pipe: Connection, make: Callable[[], Any], verbs: Sequence[str]) -> None:
    """Make a server and have its methods `verbs` answer until the other end is closed."""
    try:
        server = make()
    except Exception as error:  # noqa: BLE001 - told to the one that asked
        pipe.send(("error", f"{type(error).__name__}: {error}"))
        return
    pipe.send(("ok", GREETING))
    while True:
        try:
            what, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            if what not in verbs:
                raise ValueError(f"there is no {what!r}; known: {', '.join(verbs)}")
            answer = ("ok", getattr(server, what)(*arguments))
        except Exception as error:  # noqa: BLE001 - told to the one that asked
            answer = ("error", f"{type(error).__name__}: {error}")
        pipe.send(answer)


def places(wanted: Sequence[str], found: Sequence[str], what: str) -> np.ndarray:
    """Where each of `wanted` is in `found`.

    Raises:
        ValueError: if one is not there; names it and those that are.
    """
    found = list(found)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(
            f"the scene has no {what} {', '.join(missing)}; it has {', '.join(found)}"
        )
    return np.array([found.index(name) for name in wanted])


class Episodes:
    """Files of episodes, laid over a scene beside it.

    Each has a name of its own: USD gives a file that it has read before as it was then.
    """

    def __init__(self, scene: Path) -> None:
        self._scene, self._count = scene, 0

    @property
    def current(self) -> Path:
        """The file of the last episode that began."""
        return self._scene.with_name(f"episode_{self._count}.usda")

    def begin(self, values: Values) -> Path:
        """Write the file of an episode, in place of the one before."""
        self.current.unlink(missing_ok=True)
        self._count += 1
        self.current.write_text(overlay(self._scene.name, values))
        return self.current


def overlay(scene: str, values: Values) -> str:
    """A USD layer over the file `scene` that gives attributes of its prims other values."""
    prims: dict[str, Any] = {}  # a prim may be named once: nested as they are there
    for path, attributes in values.items():
        inner = prims
        for name in path.strip("/").split("/"):
            inner = inner.setdefault(name, {})
        inner[""] = attributes
    # A stage has the axes and units of its first layer, and others where that names none.
    units = ['    upAxis = "Z"', "    metersPerUnit = 1", "    kilogramsPerUnit = 1"]
    header = ["#usda 1.0", "(", *units, f"    subLayers = [@./{scene}@]", ")"]
    return "\n".join([*header, *_overs(prims)]) + "\n"


def pose(position: Sequence[float], quaternion: Sequence[float]) -> dict[str, Any]:
    """The attributes that say where a prim is; the quaternion has w first."""
    return {
        "xformOp:translate": ("double3", position),
        "xformOp:orient": ("quatf", quaternion),
    }


def _overs(prims: dict[str, Any]) -> list[str]:
    lines = []
    for name, inner in prims.items():
        if name:
            lines += [f'over "{name}" {{', *_overs(inner), "}"]
            continue
        for attribute, (kind, value) in inner.items():
            lines.append(f"{kind} {attribute} = ({', '.join(map(repr, value))})")
    return lines
