"""Faults that are injected on purpose: small, seeded, and told in `info`, never to the policy."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from salus_ros.worlds.physics import RIGID, Physics

if TYPE_CHECKING:
    import mujoco

FAULTS: tuple[str, ...] = ("none", "force", "noise", "slip")
"""Nothing; a force on the task's object; noisy cameras and joints; a gripper that slips."""

RANDOM_FAULT = "random"
"""Stands for the fault that an episode's seed draws."""

FAULT_RATE = RIGID.fault_rate
"""Share of the episodes that get each fault, where faults are drawn and no world says another."""

START_STEPS = (5, 75)
"""A fault starts at a step drawn from this range; an object is grasped near step 35."""

NOISE_SCALE = (0.5, 1.5)
"""Strength of sensor noise: multiples of `PIXEL_NOISE` and `JOINT_NOISE_RAD`."""

PIXEL_NOISE = 40.0
"""Standard deviation of each colour channel of each pixel, of 255."""

JOINT_NOISE_RAD = 0.03
"""Standard deviation of each measured arm joint."""

NOISE_STEPS = 45

_STREAM = 0xFA17


def draw_fault(seed: int, rate: float = FAULT_RATE) -> str:
    """The fault of the episode with this seed: each of `FAULTS[1:]` with probability `rate`.

    It has its own source of chance, so the world's draws do not depend on it.

    Raises:
        ValueError: if the rates do not leave a probability for "none".
    """
    kinds = FAULTS[1:]
    if not 0.0 <= rate * len(kinds) <= 1.0:
        raise ValueError(f"fault rate {rate}: allowed is 0 to {1 / len(kinds):.3f} for each fault")
    chance = np.random.default_rng([seed, _STREAM]).uniform()
    index = int(chance / rate) if rate > 0 else len(kinds)
    return kinds[index] if index < len(kinds) else FAULTS[0]


def fault_of(fault: str, seed: int, rate: float = FAULT_RATE) -> str:
    """The fault that is meant: the one that `seed` draws for `RANDOM_FAULT`, else `fault`."""
    return draw_fault(seed, rate) if fault == RANDOM_FAULT else fault


class Fault:
    """One episode's fault; `apply` is called before every physics step.

    - force: a push on the task's object, along the table;
    - slip: the sliding friction of pads and cubes falls, from a value that holds to one that may
      not; while the object slides in the hand, friction grows with the speed, as rubber's does;
    - noise: cameras and joints measure badly for a while.

    Attributes:
        name: One of `FAULTS`.
        start_step: First control step it acts on; -1 without one.
        strength: Force in N, multiple of the nominal sensor noise, or sliding friction at the
            end; NaN without one.

    Args:
        model: Model with the cubes, the finger pads and a site `tcp`.
        data: Its state.
        physics: How hard and how long faults act.
    """

    def __init__(self, model: "mujoco.MjModel", data: "mujoco.MjData", physics: Physics) -> None:
        self._model, self._data, self._physics = model, data, physics
        self._tool = model.site("tcp").id
        names = ("red_cube", "blue_cube", "left_pad", "right_pad")
        self._geoms = [model.geom(name).id for name in names]
        self._friction = model.geom_friction[self._geoms].copy()
        self.name, self.start_step, self.strength = FAULTS[0], -1, np.nan
        self._force: npt.NDArray[np.float64] = np.zeros(3)
        self._body = -1
        self._noise_seed, self._ramp_s = 0, 0.0

    def reset(self, name: str, target: str, scale: float, rng: np.random.Generator) -> None:
        """Draw the fault of a new episode; the draws do not depend on its name.

        Args:
            name: One of `FAULTS`.
            target: Body that a force acts on.
            scale: Strength relative to the nominal one.
            rng: The episode's source of chance.
        """
        self._model.geom_friction[self._geoms] = self._friction
        self._data.xfrc_applied[:] = 0.0
        start, angle = int(rng.integers(*START_STEPS)), rng.uniform(0, 2 * np.pi)
        physics = self._physics
        force, noise = rng.uniform(*physics.push_n) * scale, rng.uniform(*NOISE_SCALE) * scale
        friction = rng.uniform(*physics.slip_friction) / scale
        self._noise_seed = int(rng.integers(2**31))
        self._ramp_s = rng.uniform(*physics.slip_ramp_s)
        self._body = self._model.body(target).id
        self._force = force * np.array([np.cos(angle), np.sin(angle), 0.0])
        self.name, self.start_step = name, -1 if name == "none" else start
        strengths = {"force": force, "noise": noise, "slip": friction}
        self.strength = float(strengths.get(name, np.nan))

    def branch(self, step: int, rng: np.random.Generator) -> None:
        """Draw anew what is to come after control step `step`; see `PickPlaceEnv.branch`."""
        if self.start_step > step:
            self.name, self.start_step, self.strength = FAULTS[0], -1, np.nan
        self._noise_seed = int(rng.integers(2**31))

    def apply(self, step: int, substep: int) -> None:
        """Act on physics step `substep` (the first is 0) of control step `step` (from 1)."""
        if self.name not in ("force", "slip") or step < self.start_step:
            return
        since = (step - self.start_step) * self._physics.substeps + substep
        if self.name == "force":
            acting = since < self._physics.push_substeps
            self._data.xfrc_applied[self._body, :3] = self._force if acting else 0.0
        else:
            self._model.geom_friction[self._geoms, 0] = self._friction_after(
                since * self._physics.timestep_s
            )

    def _friction_after(self, seconds: float) -> float:
        """Sliding friction so long after the start of a slip."""
        left = max(0.0, 1.0 - seconds / self._ramp_s) if self._ramp_s > 0 else 0.0
        still = self.strength + left * (self._physics.slip_from - self.strength)
        return float(still * (1.0 + self._sliding_speed() / self._physics.slip_speed_m_s))

    def _sliding_speed(self) -> float:
        """Speed of the task's object against the tool in m/s."""
        import mujoco

        of_object, of_tool = np.zeros(6), np.zeros(6)  # rotation, translation
        kinds = mujoco.mjtObj
        for kind, number, into in (
            (kinds.mjOBJ_BODY, self._body, of_object),
            (kinds.mjOBJ_SITE, self._tool, of_tool),
        ):
            mujoco.mj_objectVelocity(self._model, self._data, kind, number, into, 0)
        return float(np.linalg.norm((of_object - of_tool)[3:]))

    def noisy_image(
        self, image: npt.NDArray[np.uint8], camera: int, step: int
    ) -> npt.NDArray[np.uint8]:
        """What camera number `camera` measures at `step`: the image, or a noisy one."""
        if not self._noisy(step):
            return image
        noise = self._source(step, camera).standard_normal(image.shape, dtype=np.float32)
        noisy = image + noise * np.float32(PIXEL_NOISE * self.strength)
        return noisy.round().clip(0, 255).astype(np.uint8)

    def noisy_joints(self, positions: npt.NDArray[np.float64], step: int) -> npt.NDArray:
        """What the encoders of the arm (the first seven joints) measure at `step`, in rad."""
        if not self._noisy(step):
            return positions
        noisy = positions.copy()
        noisy[:7] += self._source(step, -1).normal(0.0, JOINT_NOISE_RAD * self.strength, 7)
        return noisy

    def _noisy(self, step: int) -> bool:
        return self.name == "noise" and 0 <= step - self.start_step < NOISE_STEPS

    def _source(self, step: int, sensor: int) -> np.random.Generator:
        return np.random.default_rng([self._noise_seed, step, sensor + 1])
