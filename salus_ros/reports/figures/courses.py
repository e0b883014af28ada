"""Frames of an episode with and without an intervention, from where the arm was taken."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from salus_ros.collection.trials.course import Course, Recorded
from salus_ros.core.failures import Outcome
from salus_ros.core.schema import RATE_HZ
from salus_ros.episodes import EpisodeMeta
from salus_ros.reports.figures.filmstrip import CAMERA, MOMENTS, Strip
from salus_ros.worlds.mujoco.world import PickPlaceEnv


def course_strips(env: PickPlaceEnv, recorded: Recorded, course: Course) -> list[Strip]:
    """Two strips of one episode: without the intervention, and with it.

    The first frame of both is of the step at which the arm was taken, the last of their own end.
    Both are run again from their actions.

    Args:
        env: The world that they ran in, which renders.
        recorded: The episode.
        course: It, under an arm that took it.
    """
    meta, begun = recorded.meta, course.diverged
    after = np.concatenate([recorded.actions[:begun], course.actions])
    ending = course.outcome.name.lower()
    if course.outcome is Outcome.FAILURE:
        ending = course.failure_type.label
    return [
        _strip(env, meta, recorded.actions, begun, meta.ending),
        _strip(env, meta, after, begun, ending),
    ]


def _strip(
    env: PickPlaceEnv, meta: EpisodeMeta, actions: NDArray[np.float32], begun: int, ending: str
) -> Strip:
    steps = np.unique(np.linspace(begun, len(actions), MOMENTS).round().astype(int))
    return Strip(
        ending=ending,
        store="",
        index=meta.seed,
        task=meta.task,
        fault=meta.fault,
        camera=CAMERA,
        steps=tuple(int(step) for step in steps),
        seconds=tuple(float(step / RATE_HZ) for step in steps),
        failure_place=-1 if ending == "success" else len(steps) - 1,
        frames=tuple(_frames(env, meta, actions, steps.tolist())),
    )


def _frames(
    env: PickPlaceEnv, meta: EpisodeMeta, actions: NDArray[np.float32], steps: Sequence[int]
) -> list[NDArray[np.uint8]]:
    options = {"task": meta.task, "fault": meta.fault, "condition": meta.condition}
    env.reset(seed=meta.seed, options=options)
    frames = []
    for step in range(len(actions) + 1):
        if step in steps:
            frames.append(env.look()["pixels"][CAMERA])
        if step < len(actions):
            env.step(actions[step])
    return frames
