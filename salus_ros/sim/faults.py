"""Faults that are injected on purpose: small, seeded, and told in `info`, never to the policy."""

import mujoco
import numpy as np
import numpy.typing as npt

FAULTS: tuple[str, ...] = ("none", "slip", "push")
"""What can be injected: nothing; fingers that lose their grip; a push on the object."""

START_STEPS = (30, 70)
"""A fault starts at a step drawn from this range; a cube is grasped near 35, released near 70."""

SLIP_FRICTION = 0.005
"""Sliding friction of pads and cube once they slip (otherwise 1.5 and 1.0)."""

PUSH_FORCE_N = (4.0, 10.0)
PUSH_STEPS = 6


class Fault:
    """One episode's fault; `apply` is called before every control step.

    Args:
        model: Model with the cube and the finger pads.
        data: Its state.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._geoms = [model.geom(name).id for name in ("cube", "left_pad", "right_pad")]
        self._cube = model.body("cube").id
        self._friction = model.geom_friction[self._geoms].copy()
        self.name, self.start_step = FAULTS[0], -1
        self._force: npt.NDArray[np.float64] = np.zeros(3)

    def reset(self, name: str, rng: np.random.Generator) -> None:
        """Draw the fault of a new episode; the draws do not depend on its name."""
        self._model.geom_friction[self._geoms] = self._friction
        self._data.xfrc_applied[self._cube] = 0.0
        start, angle = int(rng.integers(*START_STEPS)), rng.uniform(0, 2 * np.pi)
        force = rng.uniform(*PUSH_FORCE_N)
        self._force = force * np.array([np.cos(angle), np.sin(angle), 0.0])
        self.name, self.start_step = name, -1 if name == "none" else start

    def apply(self, step: int) -> None:
        """Act on the physics of control step `step` (the first is 1)."""
        if self.name == "slip" and step == self.start_step:
            self._model.geom_friction[self._geoms, 0] = SLIP_FRICTION
        if self.name == "push":
            pushing = self.start_step <= step < self.start_step + PUSH_STEPS
            self._data.xfrc_applied[self._cube, :3] = self._force if pushing else 0.0
