"""Watch a policy in a loop of your own: three lines around LeRobot's calls, recorded as episodes.

python examples/own_policy.py OUT
"""

import argparse
from pathlib import Path

import salus_ros
from salus_ros.core.failures import Outcome
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.episodes.reader import StoreReader
from salus_ros.policies.smolvla.loading import load_policy
from salus_ros.policies.tiny import SHIPPED


def main(out: Path, steps: int) -> None:
    """Run LeRobot's loop on recorded observations, watched."""
    loaded = load_policy(SHIPPED)  # the policy and its two pipelines; load yours as you do
    policy, before, after = loaded.policy, loaded.preprocess, loaded.postprocess

    with salus_ros.watch(policy, before, after, store=out, folder=SHIPPED) as watch:
        policy.reset()
        for step in range(steps):
            action = after(policy.select_action(before(observation(loaded, step))))
            print(f"step {step}: action {action[0].numpy().round(3)}")
        watch.end(Outcome.SUCCESS)

    for name, reason in watch.unavailable.items():
        print(f"no {name}: {reason}")
    print(f"{watch.replans} plans, {1e3 * watch.seconds / watch.replans:.0f} ms each to watch")
    episode = StoreReader(out).episode(0)
    for name, value in zip(SIGNAL_NAMES, episode.signals[-1], strict=True):
        print(f"  {name}: {value:.4g}")


def observation(loaded: object, step: int) -> dict[str, object]:
    """What a robot would give: images in [0, 1], the state, and the task."""
    import torch

    episode = StoreReader("shipped:pictures").episode(0)
    seen: dict[str, object] = {
        f"observation.images.{camera}": torch.from_numpy(frames[step]).permute(2, 0, 1) / 255
        for camera, frames in episode.images.items()
    }
    return seen | {
        "observation.state": torch.from_numpy(episode.state[step]),
        "task": episode.meta.task,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Watch a policy in a loop of your own.")
    parser.add_argument("out", type=Path, help="the store")
    parser.add_argument("--steps", type=int, default=12)
    given = parser.parse_args()
    main(given.out, given.steps)
