"""What varies from one episode to the next, and how much: poses, lighting, cameras, faults."""

from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

CUBES: tuple[str, ...] = ("red_cube", "blue_cube")
CUBE_HALF_M = 0.022

CUBE_DISTANCE_M = 0.10
"""Least distance of the two cubes' centres: room for the fingers between them."""

OBSTACLE_Y_M = (0.06, 0.10)
"""Range of the obstacle's centre in y."""

HAND_CLEARANCE_M = np.array([0.05, 0.125])
"""Distance in x or in y of the obstacle from each cube, so that the hand fits beside it."""

STANDARD_LOW = (0.40, -0.20)
STANDARD_HIGH = (0.60, 0.00)
"""Corners of the rectangle in which cubes start under the standard condition, in m."""

DRAWS = 200
"""Attempts to place the cubes and the obstacle."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Ranges from which an episode is drawn.

    Attributes:
        cube_low: Corner of the rectangle in which cubes start, (x, y) in m.
        cube_high: The opposite corner.
        outside_standard: Whether the task's object must start outside the standard rectangle.
        yaw_rad: Cubes are turned by up to this.
        goal_shift_m: The bin and the plate are shifted by up to this in x and y.
        home_rad: Standard deviation of the arm's first joint angles.
        light: Range of the lamp's brightness.
        tint: The lamp's colour channels differ by up to this share.
        lamp_shift_m: The lamp is moved by up to this in x and y.
        camera_shift_m: Standard deviation of each camera's position.
        camera_turn_rad: Standard deviation of each camera's orientation.
        fault_scale: Strength of injected faults relative to the nominal one.
    """

    cube_low: tuple[float, float]
    cube_high: tuple[float, float]
    outside_standard: bool
    yaw_rad: float
    goal_shift_m: float
    home_rad: float
    light: tuple[float, float]
    tint: float
    lamp_shift_m: float
    camera_shift_m: float
    camera_turn_rad: float
    fault_scale: float


CONDITIONS: dict[str, Condition] = {
    "standard": Condition(
        cube_low=STANDARD_LOW,
        cube_high=STANDARD_HIGH,
        outside_standard=False,
        yaw_rad=0.4,
        goal_shift_m=0.02,
        home_rad=0.02,
        light=(0.4, 0.7),
        tint=0.1,
        lamp_shift_m=0.2,
        camera_shift_m=0.004,
        camera_turn_rad=0.006,
        fault_scale=1.0,
    ),
    "shifted": Condition(
        cube_low=(0.38, -0.22),
        cube_high=(0.62, 0.00),
        outside_standard=True,
        yaw_rad=0.6,
        goal_shift_m=0.03,
        home_rad=0.03,
        light=(0.3, 0.9),
        tint=0.2,
        lamp_shift_m=0.4,
        camera_shift_m=0.006,
        camera_turn_rad=0.009,
        fault_scale=1.5,
    ),
}
"""Known conditions by name; a policy is trained under the first, the others it never saw."""


class Arrangement:
    """Puts cubes, bin, plate, obstacle, lamp and cameras where an episode's seed wants them.

    Args:
        model: Model of the scene; its bodies, lamp and cameras are moved.
        data: Its state.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._qpos = {name: int(model.joint(name).qposadr[0]) for name in CUBES}
        self._bin, self._plate = model.body("bin").id, model.body("plate").id
        self._obstacle = model.body("obstacle").id
        self._lamp = model.light("lamp").id
        self._body_pos = model.body_pos.copy()
        self._lamp_pos = model.light_pos[self._lamp].copy()
        self._cam_pos, self._cam_quat = model.cam_pos.copy(), model.cam_quat.copy()

    def draw(self, condition: Condition, target: str, rng: np.random.Generator) -> None:
        """Arrange one episode.

        Args:
            condition: Where from.
            target: The cube that the task is about, one of `CUBES`.
            rng: The episode's source of chance.
        """
        places = self._places(condition, target, rng)
        for name in CUBES:
            yaw = rng.uniform(-condition.yaw_rad, condition.yaw_rad)
            q = self._qpos[name]
            self._data.qpos[q : q + 3] = [*places[name], CUBE_HALF_M]
            self._data.qpos[q + 3 : q + 7] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
        for body in (self._bin, self._plate):
            shift = rng.uniform(-condition.goal_shift_m, condition.goal_shift_m, 2)
            self._model.body_pos[body, :2] = self._body_pos[body, :2] + shift
        self._model.body_pos[self._obstacle, :2] = self._obstacle_place(places, target, rng)
        tint = 1.0 + rng.uniform(-condition.tint, condition.tint, 3)
        self._model.light_diffuse[self._lamp] = rng.uniform(*condition.light) * tint
        moved = rng.uniform(-condition.lamp_shift_m, condition.lamp_shift_m, 2)
        self._model.light_pos[self._lamp, :2] = self._lamp_pos[:2] + moved
        for i in range(self._model.ncam):
            offset = rng.normal(0.0, condition.camera_shift_m, 3)
            turn = rng.normal(0.0, condition.camera_turn_rad, 3)
            self._model.cam_pos[i] = self._cam_pos[i] + offset
            quat = self._cam_quat[i].copy()
            mujoco.mju_quatIntegrate(quat, turn, 1.0)
            self._model.cam_quat[i] = quat

    @staticmethod
    def _places(
        condition: Condition, target: str, rng: np.random.Generator
    ) -> dict[str, npt.NDArray[np.float64]]:
        places: dict[str, npt.NDArray[np.float64]] = {}
        for _ in range(DRAWS):
            places = {name: rng.uniform(condition.cube_low, condition.cube_high) for name in CUBES}
            apart = np.linalg.norm(places[CUBES[0]] - places[CUBES[1]]) >= CUBE_DISTANCE_M
            known = bool(
                np.all((places[target] >= STANDARD_LOW) & (places[target] <= STANDARD_HIGH))
            )
            if apart and not (condition.outside_standard and known):
                break
        return places

    def _obstacle_place(
        self,
        places: dict[str, npt.NDArray[np.float64]],
        target: str,
        rng: np.random.Generator,
    ) -> npt.NDArray[np.float64]:
        """A place near the straight way from the object to the bin, clear of the cubes."""
        start, end = places[target], self._model.body_pos[self._bin, :2]
        place = self._body_pos[self._obstacle, :2]
        for _ in range(DRAWS):
            y = rng.uniform(*OBSTACLE_Y_M)
            on_the_way = start[0] + (end[0] - start[0]) * (y - start[1]) / (end[1] - start[1])
            candidate = np.array([on_the_way + rng.uniform(-0.09, 0.09), y])
            if all(
                bool(np.any(np.abs(candidate - cube) > HAND_CLEARANCE_M))
                for cube in places.values()
            ):
                return candidate
        return place
