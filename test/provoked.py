"""Scripts that can only end in one way, whatever engine moves the world."""

from collections.abc import Callable

import numpy as np

from salus_ros.worlds.expert import Expert
from salus_ros.worlds.tasks import Task

STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
DOWN = np.array([0, 0, -1, 0, 0, 0, -1], np.float32)
TURN = np.array([0, 0, 0, 0, 0, 1, 1], np.float32)
BLUE = Task("put the blue cube in the bin", "blue_cube", "bin")

Choose = Callable[..., np.ndarray]
"""The action of a step, of the environment and the step's number."""


def run(env, choose: Choose, seed=0, **options):
    """Run an episode; its last info and its steps."""
    env.reset(seed=seed, options=options)
    step, done, info = 0, False, {}
    while not done:
        _, _, terminated, truncated, info = env.step(choose(env, step))
        step, done = step + 1, terminated or truncated
    return info, step


def open_on_the_way(env) -> tuple[Choose, list[int]]:
    """The expert opens the gripper high above the table; the steps at which it is open."""
    expert, opened = Expert(env), []

    def choose(env, step):
        action = expert.act()
        if opened or (expert.phase == "carry" and env.object_position[2] > 0.15):
            opened.append(step + 1)
            action[:6], action[6] = 0.0, 1.0
        return action

    return choose, opened


def into_the_obstacle(env, *, carrying: bool) -> Choose:
    """Drive into the obstacle, with empty fingers or with the cube."""
    expert, carried = Expert(env), []

    def choose(env, step):
        action = expert.act()
        if carrying and not carried and expert.phase != "carry":
            return action
        if not carried:
            carried.append(step)
        obstacle = env.data.body("obstacle").xpos + np.array([0.0, 0.0, 0.045])
        away = obstacle - env.arm.tool_position
        if abs(away[0]) > 0.01 or abs(away[2]) > 0.03:
            away[1] = 0.0  # first to its height beside it
        action[:3] = np.clip(away / 0.05, -1, 1)
        return action

    return choose


def lift_the_other_cube(env) -> Choose:
    """The expert does another task than the referee's."""
    expert = Expert(env)

    def choose(env, step):
        env._task = BLUE
        return expert.act()

    return choose
