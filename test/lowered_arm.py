"""Short episodes with a plan and joints in which the arm of the built-in world goes down."""

import numpy as np

from salus_ros.core.failures import Outcome
from salus_ros.episodes import Episode, EpisodeMeta, StoreSpec
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.panda import FINGER_JOINTS, JOINTS
from salus_ros.worlds.physics import COMPLIANT, ENV_ID

STEPS = 12
NAMES = (*reversed(FINGER_JOINTS), *JOINTS)
"""Of the joints, in an order of its own."""

SPEC = StoreSpec(
    state_dim=7,
    action_dim=7,
    plan_length=16,
    joint_names=NAMES,
    joint_quantities=("position", "velocity", "effort"),
)


def lowered(name: str, seed: int) -> Episode:
    """An episode that replans at every third step."""
    env = PickPlaceEnv(physics=COMPLIANT, render_images=False)
    _, info = env.reset(seed=seed)
    order = [info["joint_names"].index(joint) for joint in NAMES]
    plan = np.zeros((STEPS, 16, 7), np.float16)
    plan[..., 2], plan[..., 6] = -0.6, 1.0
    joints = {quantity: [] for quantity in ("positions", "velocities", "efforts")}
    for step in range(STEPS):
        for quantity, rows in joints.items():
            rows.append(info[f"joint_{quantity}"][order])
        *_, info = env.step(plan[step, 0])
    return Episode(
        EpisodeMeta(name, "down", Outcome.UNKNOWN, seed=seed, world=ENV_ID),
        action=plan[:, 0].astype(np.float32),
        state=np.zeros((STEPS, 7), np.float32),
        stamp_ns=np.arange(1, STEPS + 1),
        signals=np.full((STEPS, 12), seed, np.float32),
        signals_valid=np.ones((STEPS, 12), np.bool_),
        signals_fresh=np.arange(STEPS) % 3 == 0,
        plan=plan,
        plan_step=np.float32(np.arange(STEPS) % 3),
        joint_position=np.float32(joints["positions"]),
        joint_velocity=np.float32(joints["velocities"]),
        joint_effort=np.float32(joints["efforts"]),
    )
