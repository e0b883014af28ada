"""Make a world of any Gymnasium environment by one small class.

python examples/own_world.py
ros2 launch salus_ros salus.launch.py env_id:=own_world:own/Pendulum-v0 policy:=FOLDER \
    # with examples/ on PYTHONPATH; the simulator node takes the same env_id

Gymnasium's own Pendulum-v1 says numbers alone. A world shows cameras and joints, and says how an
episode went.
"""

import argparse
import math

import gymnasium
import numpy as np
from gymnasium import spaces

from salus_ros.core.failures import Outcome
from salus_ros.worlds.adapter import World

ENV_ID = "own/Pendulum-v0"
STEPS, SIZE, UPRIGHT = 60, 64, 0.35
SAID = {"task": "lift the pole", "joint_names": ("hinge",)}
"""What the info of every step says beside how the episode goes."""


class PendulumWorld(gymnasium.Wrapper):
    """Pendulum-v1 with a camera: it has to be upright, in rad, before the time is up.

    Where the time is up without `is_success`, the episode counts as a timeout; one that ends
    otherwise as a failure of kind `other`. A world that knows more gives `outcome`,
    `failure_type` and `failure_step` in its info.
    """

    def __init__(self) -> None:
        super().__init__(gymnasium.make("Pendulum-v1"))
        image = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        angle = spaces.Box(-math.pi, math.pi, (1,))
        self.observation_space = spaces.Dict(
            {"pixels": spaces.Dict({"front": image}), "agent_pos": angle}
        )

    def reset(self, *, seed=None, options=None):
        """Begin an episode."""
        values, _ = self.env.reset(seed=seed)
        return self._seen(values), dict(SAID)

    def step(self, action):
        """Do an action (1,): a torque."""
        values, reward, terminated, truncated, _ = self.env.step(action)
        upright = abs(math.atan2(values[1], values[0])) < UPRIGHT
        info = SAID | {"is_success": upright}
        return self._seen(values), reward, terminated or upright, truncated, info

    def _seen(self, values):
        angle = math.atan2(values[1], values[0])
        pixels = np.full((SIZE, SIZE, 3), 255, np.uint8)
        for share in np.linspace(0, 1, SIZE):
            x = SIZE / 2 + 24 * share * math.sin(angle)
            y = SIZE / 2 - 24 * share * math.cos(angle)
            pixels[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = (200, 30, 30)
        return {"pixels": {"front": pixels}, "agent_pos": np.float32([angle])}


gymnasium.register(ENV_ID, entry_point=PendulumWorld, max_episode_steps=STEPS)


def main(episodes: int) -> None:
    """Run episodes as the simulator node does, with random actions for want of a policy."""
    world = World(ENV_ID, joint_names=("hinge",))
    chance = np.random.default_rng(0)
    print(f"{ENV_ID}: cameras {world.image_sizes}, at most {world.max_steps} steps")
    for seed in range(episodes):
        seen, steps = world.reset(seed), 0
        while not seen.ended:
            seen = world.step(chance.uniform(world.action_low, world.action_high))
            steps += 1
        how = seen.outcome.name.lower()
        why = f" by {seen.failure_type.label}" if seen.outcome == Outcome.FAILURE else ""
        print(f"  '{seen.task}', seed {seed}: {how}{why} after {steps} steps")
    world.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run a world of one's own.")
    parser.add_argument("--episodes", type=int, default=5)
    main(parser.parse_args().episodes)
