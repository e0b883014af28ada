"""Steps a USD scene in Isaac Sim and draws its cameras; arguments: FD SCENE.usda.

FD is the end of a pipe, see `physx/serving.py`. Run by Isaac Sim's own Python. It answers what
PhysX's server answers: joints are in rad and m, quaternions (w, x, y, z), forces in N.
"""

import os
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salus_ros.worlds.isaac.installed import check

if TYPE_CHECKING:
    import numpy as np

    from salus_ros.worlds.isaac.cameras import RtxCameras
    from salus_ros.worlds.physx.serving import Values

VERBS = ("load", "step", "look")

WINDOW_VARIABLE = "SALUS_ISAAC_WINDOW"
"""Set to yes, Isaac Sim shows its window."""

LOADING_UPDATES = 1000
"""Updates of the application within which a stage must be loaded."""

CLOCK_TOLERANCE = 1e-3
"""By how much of itself a physics step may last longer or shorter than was asked for."""


class Server:
    """Isaac Sim, and the episode that runs in it."""

    def __init__(self, scene: Path) -> None:
        from salus_ros.worlds.isaac import kit
        from salus_ros.worlds.physx.serving import Episodes

        headless = os.environ.get(WINDOW_VARIABLE, "").lower() != "yes"
        self._app = kit.start(headless=headless)
        self._episodes = Episodes(scene)
        self._episode: Episode | None = None

    def load(
        self,
        paths: dict[str, list[str]],
        values: "Values",
        joints: "np.ndarray",
        timestep_s: float,
    ) -> None:
        """Begin an episode in a stage of its own, so that it depends on no earlier one.

        Args:
            paths: See `physx.server.Server.load`.
            values: What is otherwise in this episode than in the scene.
            joints: First positions of the joints, and their targets.
            timestep_s: Of a physics step.
        """
        from isaacsim.core.experimental.utils import app, stage
        from isaacsim.core.simulation_manager import SimulationManager

        self._episode = None  # what holds on to the stage goes before it does
        app.stop()
        file = self._episodes.begin(values)
        opened, _ = stage.open_stage(str(file))
        for _ in range(LOADING_UPDATES):  # in which it is told of, too
            app.update_app()
            if not stage.is_stage_loading():
                break
        scenes = len(SimulationManager.get_physics_scenes())
        if not opened or scenes != 1:
            raise RuntimeError(f"Isaac Sim finds {scenes} scenes of physics in {file}, not 1")
        if SimulationManager.get_active_physics_engine() != "physx":
            SimulationManager.switch_physics_engine("physx")
        SimulationManager.setup_simulation(dt=timestep_s, device="cpu")
        SimulationManager.enable_fabric(True)  # by which the renderer sees what moves
        self._episode = Episode(paths, list(values), joints, timestep_s)

    def step(
        self, targets: "np.ndarray", pushes: "np.ndarray", frictions: dict[str, float]
    ) -> tuple["np.ndarray", ...]:
        """One physics step; see `physx.server.Server.step`."""
        return self._running().step(targets, pushes, frictions)

    def look(self, size: int) -> dict[str, "np.ndarray"]:
        """What the RTX cameras show, uint8 (size, size, 3) each by name."""
        return self._running().look(size)

    def _running(self) -> "Episode":
        if self._episode is None:
            raise RuntimeError("no episode has begun")
        return self._episode


class Episode:
    """What moves in the stage that is open.

    Args:
        paths: See `physx.server.Server.load`.
        changed: Paths of the prims that differ by episode, cameras among them.
        joints: First positions of the joints.
        timestep_s: Of a physics step.
    """

    def __init__(
        self,
        paths: dict[str, list[str]],
        changed: Sequence[str],
        joints: "np.ndarray",
        timestep_s: float,
    ) -> None:
        import numpy as np
        from isaacsim.core.experimental.prims import Articulation, RigidPrim
        from isaacsim.core.experimental.utils import app
        from isaacsim.core.simulation_manager import SimulationManager

        from salus_ros.worlds.isaac.kit import Contacts
        from salus_ros.worlds.physx.serving import CAMERA, places

        self._timestep_s = timestep_s
        self._cameras: RtxCameras | None = None
        self._camera_paths = [path for path in changed if path.endswith(CAMERA)]
        self._arm = Articulation(paths["articulation"][0])
        self._bodies = RigidPrim(list(paths["bodies"]))
        positions, quaternions = self._bodies.get_world_poses()
        app.play()  # which steps physics twice, from the scene's pose of rest
        simulation = SimulationManager.get_physics_simulation_view()
        if simulation is None:
            raise RuntimeError("Isaac Sim does not begin to simulate the scene")
        self._simulation = simulation
        names = [path.rsplit("/", 1)[1] for path in paths["joints"]]
        self._joints = places(names, self._arm.dof_names, "joint")
        self._contacts = Contacts(simulation, paths["sensors"], paths["filters"])
        self._sensors = places(paths["sensors"], self._contacts.sensor_paths, "collider")
        self._filters = places(paths["filters"], self._contacts.filter_paths, "collider")
        self._arm.set_dof_positions(self._in_order(joints))  # the targets too
        self._arm.set_dof_velocities(self._in_order(np.zeros_like(joints)))
        still = np.zeros((len(paths["bodies"]), 3), np.float32)
        self._bodies.set_world_poses(positions, quaternions)
        self._bodies.set_velocities(still, still)
        before = SimulationManager.get_simulation_time()
        self._advance()
        check_clock(SimulationManager.get_simulation_time() - before, timestep_s)

    def step(
        self, targets: "np.ndarray", pushes: "np.ndarray", frictions: dict[str, float]
    ) -> tuple["np.ndarray", ...]:
        """See `Server.step`."""
        import numpy as np

        from salus_ros.worlds.isaac.kit import set_friction

        self._arm.set_dof_position_targets(self._in_order(targets))
        for body, friction in frictions.items():
            set_friction(self._simulation, body, friction)
        if pushes.any():
            self._bodies.apply_forces(pushes)
        self._advance()
        positions, quaternions = self._bodies.get_world_poses()
        linear, angular = self._bodies.get_velocities()
        forces = self._contacts.forces(self._timestep_s)
        return (
            numbers(self._arm.get_dof_positions())[0, self._joints],
            numbers(self._arm.get_dof_velocities())[0, self._joints],
            numbers(positions),
            numbers(quaternions),
            numbers(linear),
            numbers(angular),
            forces[np.ix_(self._sensors, self._filters)],
        )

    def look(self, size: int) -> dict[str, "np.ndarray"]:
        """See `Server.look`."""
        from salus_ros.worlds.isaac.cameras import RtxCameras

        if self._cameras is None:
            self._cameras = RtxCameras(self._camera_paths, size)
        return self._cameras.draw()

    def _advance(self) -> None:
        from isaacsim.core.simulation_manager import SimulationManager

        SimulationManager.step(steps=1, update_fabric=True)

    def _in_order(self, values: "np.ndarray") -> "np.ndarray":
        """Values of the joints (1, J) as Isaac Sim counts them."""
        import numpy as np

        ours = np.zeros((1, len(values)), np.float32)
        ours[0, self._joints] = values
        return ours


def numbers(array: Any) -> "np.ndarray":
    """A Warp array as float64."""
    return array.numpy().astype("float64")


def check_clock(passed_s: float, wanted_s: float) -> None:
    """Hold a physics step to the time that it was to last.

    Raises:
        RuntimeError: if it lasted another; says both.
    """
    if abs(passed_s - wanted_s) > CLOCK_TOLERANCE * wanted_s:
        raise RuntimeError(
            f"a physics step lasts {passed_s:.6f} s of Isaac Sim's time, not the {wanted_s:.6f} s "
            "that were asked for: stamps and speeds would be wrong"
        )


def main(arguments: Sequence[str]) -> None:
    """Say what is missing, or start and answer until the other end is closed."""
    pipe, scene = Connection(int(arguments[0])), Path(arguments[1])
    sys.argv = sys.argv[:1]  # Isaac Sim reads them too
    try:
        check()
    except RuntimeError as error:
        pipe.send(("error", str(error)))
        return
    from salus_ros.worlds.physx.serving import serve

    serve(pipe, lambda: Server(scene), VERBS)


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # Isaac Sim's own end can take long, and nothing of it is kept
