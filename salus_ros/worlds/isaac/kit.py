"""All that is asked of Isaac Sim's libraries without types: Kit's start, PhysX's tensors.

mypy sees nothing of what these return, so that a wrong name here is found by running it alone;
`server.py` and `cameras.py` are held to the types of Isaac Sim's own packages.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

SETTINGS = (
    "--/exts/isaacsim.core.simulation_manager/default_engine=physx",
    "--/exts/isaacsim.physics.newton/auto_switch_on_startup=false",
)
"""PhysX moves the scene; Isaac Sim can change to Newton by itself as it starts."""

CONTACTS = 256
"""Contact points that are kept of a step, at most; a scene has a few dozen."""


def start(*, headless: bool) -> Any:
    """Start Isaac Sim; nothing else of it can be imported before.

    Raises:
        RuntimeError: if it ends instead.
    """
    try:
        from isaacsim import SimulationApp

        return SimulationApp({"headless": headless, "extra_args": list(SETTINGS)})
    except SystemExit as ended:
        raise RuntimeError("Isaac Sim did not start; what it says last says why") from ended


class Contacts:
    """The forces between colliders, by PhysX's tensors.

    Args:
        simulation: The physics simulation view.
        sensors: Paths of the colliders that feel.
        filters: Paths of those that are felt.
    """

    def __init__(self, simulation: Any, sensors: Sequence[str], filters: Sequence[str]) -> None:
        self._view = simulation.create_rigid_contact_view(
            list(sensors),
            filter_patterns=[list(filters) for _ in sensors],
            max_contact_data_count=CONTACTS,
        )
        if self._view is None or not self._view.check():
            raise RuntimeError("PhysX gives no contacts of the scene's colliders")
        self.sensor_paths: list[str] = list(self._view.sensor_paths)
        self.filter_paths: list[str] = list(self._view.filter_paths[0])

    def forces(self, timestep_s: float) -> np.ndarray:
        """Size of the force (S, F) of each filter on each sensor in N, friction included."""
        shape = (self._view.sensor_count, self._view.filter_count)
        total = self._view.get_normal_contact_force_matrix(timestep_s).numpy().reshape(*shape, 3)
        total = total.astype(np.float64)
        friction, _, counts, starts = self._view.get_friction_contact_data(timestep_s)
        friction = friction.numpy().reshape(-1, 3)
        counts, starts = counts.numpy().reshape(shape), starts.numpy().reshape(shape)
        for pair in np.argwhere(counts):
            first = int(starts[tuple(pair)])
            total[tuple(pair)] += friction[first : first + int(counts[tuple(pair)])].sum(axis=0)
        return np.asarray(np.linalg.norm(total, axis=2))


def set_friction(simulation: Any, body: str, friction: float) -> None:
    """Give all colliders of a body, a link's too, a friction."""
    import warp

    view = simulation.create_rigid_body_view(body)
    values = view.get_material_properties().numpy().copy()
    values.reshape(1, -1, 3)[..., :2] = friction  # static, dynamic; restitution stays
    first = warp.zeros(1, dtype=warp.int32, device="cpu")
    view.set_material_properties(warp.array(values, dtype=warp.float32, device="cpu"), first)
