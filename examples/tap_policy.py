"""Run a SmolVLA on recorded images and read its twelve signals beside its actions.

python examples/tap_policy.py [--policy FOLDER]
"""

import argparse
from pathlib import Path

from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.episodes.reader import StoreReader
from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.tiny import SHIPPED


def main(policy: Path, steps: int) -> None:
    """Run the policy on the first steps of a shipped episode, whatever it did then."""
    runner = PolicyRunner(policy, num_samples=4, replan_every=3)
    episode = StoreReader("shipped:pictures").episode(0)
    for step in range(steps):
        images = {camera: frames[step] for camera, frames in episode.images.items()}
        said = runner.step(images, episode.state[step], episode.meta.task, step)
        print(f"step {step}: action {said.action.round(3)}{', planned anew' * said.fresh}")
    for name, value, valid in zip(SIGNAL_NAMES, said.signals, said.valid, strict=True):
        print(f"  {name}: {value:.4g}" if valid else f"  {name}: does not exist yet")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Read the signals of a policy.")
    parser.add_argument("--policy", type=Path, default=SHIPPED)
    parser.add_argument("--steps", type=int, default=6)
    given = parser.parse_args()
    main(given.policy, given.steps)
