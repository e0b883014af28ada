"""The worlds that ship: of what form their episodes are, and how each is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from salus_ros.core.errors import ConfigError
from salus_ros.core.schema import RATE_HZ
from salus_ros.worlds import metaworld
from salus_ros.worlds.conditions import CONDITIONS
from salus_ros.worlds.faults import FAULTS
from salus_ros.worlds.metaworld import tasks as metaworld_tasks
from salus_ros.worlds.metaworld import world as metaworld_world
from salus_ros.worlds.mujoco import WORLDS
from salus_ros.worlds.mujoco.truth import QUANTITIES
from salus_ros.worlds.panda import ACTION_DIM, CAMERAS, IMAGE_SIZE, JOINTS
from salus_ros.worlds.tasks import TASKS
from salus_ros.worlds.truth import columns


class Expert(Protocol):
    """Shows how the tasks of a world are done; it may read what no policy sees."""

    def act(self) -> npt.NDArray[np.float32]:
        """The action (A,) for the state that the episode is in.

        It is asked at states that its own actions would not have led to, so that it shows how to
        recover as well.
        """
        ...


@dataclass(frozen=True, slots=True)
class WorldForm:
    """A world, as demonstrations, collections and their stores need to know it.

    Attributes:
        env_id: Its Gymnasium id.
        cameras: Names of its cameras.
        image_size: Height and width of their images in pixels.
        state_names: What the values of the state are called.
        action_dim: Values of an action; the first three move the hand along x, y and z.
        tasks: Instructions; an episode's seed draws one.
        faults: What can be injected, "none" first.
        conditions: Under what an episode can be drawn, "standard" first.
        fault_rate: Share of the episodes that get each fault, where faults are drawn.
        rate_hz: Steps in a second of the world's time.
        truth: What only the world knows of a step, and what the values of each are called.
        make: Makes the environment, which renders every so many steps; 0: only at `look`.
        expert: Makes the expert of an environment.
    """

    env_id: str
    cameras: tuple[str, ...]
    image_size: int
    state_names: tuple[str, ...]
    action_dim: int
    tasks: tuple[str, ...]
    faults: tuple[str, ...]
    conditions: tuple[str, ...]
    fault_rate: float
    rate_hz: float
    truth: Mapping[str, tuple[str, ...]]
    make: Callable[[int], Any]
    expert: Callable[[Any], Expert]

    @property
    def truth_names(self) -> tuple[str, ...]:
        """Names of the values of the truth, in one row."""
        return columns(self.truth)


def world_form(env_id: str) -> WorldForm:
    """The form of a world that ships.

    Raises:
        ConfigError: if there is none of that id.
    """
    if env_id in WORLDS:
        return _pick_place(env_id)
    if env_id in metaworld.WORLDS:
        return _metaworld(env_id)
    known = ", ".join(map(repr, (*WORLDS, *metaworld.WORLDS)))
    raise ConfigError(f"unknown env_id {env_id!r}; known: {known}")


def _pick_place(env_id: str) -> WorldForm:
    def make(render_every: int) -> Any:
        from salus_ros.worlds.mujoco.world import PickPlaceEnv  # here: it loads much

        return PickPlaceEnv(**WORLDS[env_id], render_every=render_every)

    def expert(env: Any) -> Expert:
        from salus_ros.worlds.expert import Expert as PickPlaceExpert

        return PickPlaceExpert(env)

    return WorldForm(
        env_id=env_id,
        cameras=CAMERAS,
        image_size=IMAGE_SIZE,
        state_names=JOINTS,
        action_dim=ACTION_DIM,
        tasks=TASKS,
        faults=FAULTS,
        conditions=tuple(CONDITIONS),
        fault_rate=WORLDS[env_id]["physics"].fault_rate,
        rate_hz=RATE_HZ,
        truth=QUANTITIES,
        make=make,
        expert=expert,
    )


def _metaworld(env_id: str) -> WorldForm:
    options = metaworld.WORLDS[env_id]

    def make(render_every: int) -> Any:
        return metaworld_world.MetaWorldEnv(**options, render_every=render_every)

    def expert(env: Any) -> Expert:
        from salus_ros.worlds.metaworld.expert import MetaWorldExpert

        return MetaWorldExpert(env)

    return WorldForm(
        env_id=env_id,
        cameras=options["cameras"],
        image_size=options["image_size"],
        state_names=metaworld.HAND,
        action_dim=metaworld_world.ACTION_DIM,
        tasks=metaworld_tasks.TASKS,
        faults=metaworld_world.FAULTS,
        conditions=metaworld_world.CONDITIONS,
        fault_rate=0.0,
        rate_hz=metaworld.RATE_HZ,
        truth=metaworld_world.QUANTITIES,
        make=make,
        expert=expert,
    )
