"""MetaWorld's own environment of a task, made to run with the MuJoCo that is installed."""

import pickle
from typing import Any

import mujoco
import numpy as np

from salus_ros.core.errors import SimulatorError

CAMERA = "corner2"
"""LeRobot's camera. It hangs upside down and a little closer than MetaWorld has it."""

CAMERA_POSITION_M = (0.75, 0.075, 0.7)

WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
"""What MetaWorld writes of the weld that carries its hand; newer MuJoCo has a value more."""


def make_scene(name: str) -> Any:
    """MetaWorld's environment of a task, without a picture, drawn anew by each seed.

    Args:
        name: MetaWorld's name of the task.

    Raises:
        SimulatorError: if MetaWorld is not installed.
    """
    try:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.types import Task
    except ModuleNotFoundError as error:
        raise SimulatorError(
            f"MetaWorld cannot be loaded ({error}); install it: pip install "
            "'salus_ros[metaworld]', or pip install metaworld==3.0.0"
        ) from error
    theirs = ALL_V3_ENVIRONMENTS[name]

    class Scene(theirs):  # type: ignore[misc, valid-type]
        """Theirs, with a weld of as many values as this MuJoCo's."""

        def reset_mocap_welds(self) -> None:
            for weld in np.flatnonzero(self.model.eq_type == mujoco.mjtEq.mjEQ_WELD):
                self.model.eq_data[weld, : len(WELD)] = WELD

    scene = Scene()
    # The form in which MetaWorld takes a task; a goal that is drawn needs no vector.
    task = {"env_cls": theirs, "rand_vec": None, "partially_observable": False}
    scene.set_task(Task(name, pickle.dumps(task)))
    scene._freeze_rand_vec = False
    scene.seeded_rand_vec = True
    scene.model.camera(CAMERA).pos = CAMERA_POSITION_M
    return scene


def start(scene: Any, seed: int) -> Any:
    """Begin an episode as LeRobot does; the same seed gives the same one.

    Returns:
        What the task's scripted expert is given, float64 (39,); the first four values are the
        hand's position in m and the opening of the gripper, 0 to 1.
    """
    scene.seed(seed)
    observation, _ = scene.reset(seed=seed)
    mujoco.mj_forward(scene.model, scene.data)  # else the first image shows the last goal
    return observation
