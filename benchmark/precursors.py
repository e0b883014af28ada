"""How long before a failure it shows in the physics, in each of the built-in worlds.

    python benchmark/precursors.py [STORE ...] [--json] [--episodes 12]

With stores, their episodes are run again from seed and actions. Without, the scripted expert acts,
half of the time with motion noise, and each episode has one trouble in turn: none, the goal seen
wrongly, the height seen wrongly, the gripper told to open for a third of a second, a slip, a push.
A precursor is what real sensors could tell, whoever acts:

- drop, misplaced release: the object slides in the hand by more than 2 mm in 0.1 s, or a pad
  presses with less than 80 % of what it did;
- collision: the robot touches table, bin or obstacle;
- out of reach: the object moves while no finger holds it.

Its lead is the time from the start of its last unbroken stretch to the failure. That a time
limit comes is no physical event, so `no progress` has none.
"""

import argparse
import itertools
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from salus_ros.collection.replay import advance, world_of
from salus_ros.core.schema import RATE_HZ
from salus_ros.episodes import Episode
from salus_ros.episodes.reader import StoreReader
from salus_ros.worlds.causes import FailureCause
from salus_ros.worlds.expert import Expert
from salus_ros.worlds.faults import FAULTS
from salus_ros.worlds.mujoco import PHYSICS
from salus_ros.worlds.mujoco.world import PickPlaceEnv

CONSOLE = Console(stderr=True)
LEADS_S = (0.2, 0.5)
SLID_M, SLID_STEPS = 0.002, 3
WEAK = 0.8
MOVING_M_S = 0.05
TOUCH_N = 0.5
LIFTED_M = 0.045

TROUBLES = ("none", "goal", "height", "release", "slip", "force")
"""By seed; the last two are faults of the world."""


def trouble(seed: int) -> str:
    """What is wrong in the episode of a seed."""
    return TROUBLES[seed % len(TROUBLES)]


class Mistaken:
    """The expert, as it acts on what it believes to see."""

    def __init__(self, env: PickPlaceEnv, seed: int) -> None:
        rng = np.random.default_rng([seed, 0x9EC])
        self._env, self._rng = env, rng
        self._noise, self._level = np.zeros(3), rng.choice([0.0, 0.3])
        self._goal, self._height, self._release = np.zeros(3), np.zeros(3), -1
        match trouble(seed):
            case "goal":
                self._goal[:2] = rng.normal(0.0, 0.04, 2)
            case "height":
                self._height[2] = rng.uniform(0.015, 0.04)
            case "release":
                self._release = int(rng.integers(10))
        self._seen = SimpleNamespace(
            physics=env.physics, task_goal=env.task_goal, arm=SimpleNamespace()
        )
        self._look()
        self._expert = Expert(self._seen)  # type: ignore[arg-type]
        self._carried = 0

    def act(self) -> NDArray[np.float32]:
        """The action (7,) for the current state."""
        self._look()
        action = self._expert.act()
        self._noise = 0.8 * self._noise + 0.6 * self._rng.normal(0.0, self._level, 3)
        action[:3] = np.clip(action[:3] + self._noise * [1.0, 1.0, 0.5], -1, 1)
        self._carried += self._expert.phase == "carry"
        if 0 <= self._release < self._carried <= self._release + 10:
            action[6] = 1.0
        return action

    def _look(self) -> None:
        self._seen.object_position = self._env.object_position
        self._seen.goal_position = self._env.goal_position + self._goal
        self._seen.arm.tool_position = self._env.arm.tool_position + self._height


def replayed(env: PickPlaceEnv, episode: Episode) -> tuple[FailureCause, float | None]:
    """As `run`, of a recorded episode; ends before the world does where it did not repeat."""
    advance(env, episode.meta, episode.action[:0])
    return played(env, iter(episode.action))


def run(env: PickPlaceEnv, seed: int) -> tuple[FailureCause, float | None]:
    """The cause of an episode's failure and the lead of its precursor in s; None: has none."""
    fault = trouble(seed) if trouble(seed) in FAULTS else FAULTS[0]
    env.reset(seed=seed, options={"fault": fault})
    actor = Mistaken(env, seed)
    return played(env, (actor.act() for _ in itertools.count()))


def played(env: PickPlaceEnv, actions: Iterator[Any]) -> tuple[FailureCause, float | None]:
    """How an episode that has just begun fails with these actions, and the lead, as `run`."""
    seen = []
    for action in actions:
        _, _, terminated, truncated, info = env.step(action)
        place = info["truth"]["object_pose"][:3]
        seen.append((place, env.arm.tool_position, info["truth"]))
        if terminated or truncated:
            break
    cause, step = info["failure_cause"], info["failure_step"]
    if cause in (FailureCause.NONE, FailureCause.NO_PROGRESS):
        return cause, None
    return cause, lead_s(precursor(cause, seen[:step]))


def precursor(cause: FailureCause, seen: list[Any]) -> NDArray[np.bool_]:
    """Whether the precursor of such a failure is there at each step up to it, (T,)."""
    truths = [truth for _, _, truth in seen]
    if cause is FailureCause.COLLISION:
        touching = [max(t["surface_force_n"], t["obstacle_force_n"]) for t in truths]
        return np.array(touching) > TOUCH_N
    pads = np.array([t["pad_forces_n"].min() for t in truths])
    places = np.array([place for place, _, _ in seen])
    if cause in (FailureCause.DROP, FailureCause.MISPLACED_RELEASE):
        lifted = np.flatnonzero((pads > 0) & (places[:, 2] > LIFTED_M))
        if not len(lifted):
            return np.zeros(len(seen), np.bool_)
        gaps = np.flatnonzero(np.diff(lifted) > 1)
        first = lifted[gaps[-1] + 1] if len(gaps) else lifted[0]  # of the last time it was held
        in_hand = places - np.array([tool for _, tool, _ in seen])
        before = np.maximum(np.arange(len(seen)) - SLID_STEPS, first)
        slid = np.linalg.norm(in_hand - in_hand[before], axis=1) > SLID_M
        weak = pads < WEAK * np.median(pads[lifted])
        there: NDArray[np.bool_] = slid | weak
        there[:first] = False
        return there
    speed = np.linalg.norm(np.diff(places, axis=0, prepend=places[:1]), axis=1) * RATE_HZ
    return (speed > MOVING_M_S) & (pads == 0)


def lead_s(there: NDArray[np.bool_]) -> float:
    """Time from the start of the last unbroken stretch until the end; 0 where it has ended."""
    absent = np.flatnonzero(~there)
    start = int(absent[-1]) + 1 if len(absent) else 0
    return (len(there) - start) / RATE_HZ


def measure(env_id: str, episodes: int) -> dict[str, Any]:
    """Causes in a world, and how many failures of each show so long before."""
    env = PickPlaceEnv(physics=PHYSICS[env_id], render_images=False)
    found = summary(run(env, seed) for seed in range(episodes))
    env.close()
    return found


def measure_store(store: str) -> dict[str, Any]:
    """The same of the episodes of a store."""
    reader = StoreReader(store)
    env_id = world_of(reader.episodes())
    env = PickPlaceEnv(physics=PHYSICS[env_id], render_images=False)
    episodes = (reader.episode(i, images=False) for i in range(len(reader)))
    found = summary(
        replayed(env, episode) for episode in track(episodes, total=len(reader), console=CONSOLE)
    )
    env.close()
    return {"world": env_id, "episodes": len(reader), **found}


def summary(ends: Iterable[tuple[FailureCause, float | None]]) -> dict[str, Any]:
    """Number of successes, and of each cause how many failures show so long before."""
    leads: dict[str, list[float | None]] = defaultdict(list)
    for cause, lead in ends:
        leads[str(cause)].append(lead)
    physical = [lead for found in leads.values() for lead in found if lead is not None]
    return {
        "successes": len(leads.pop("none", [])),
        "all physical": described(physical),
        **{cause: described(found) for cause, found in sorted(leads.items())},
    }


def described(leads: list[Any]) -> dict[str, Any]:
    """Number of failures, shares with so long a lead, and the median lead in s."""
    if not leads or None in leads:
        return {"failures": len(leads)}
    shares = {f"share >= {s} s": round(float(np.mean(np.array(leads) >= s)), 3) for s in LEADS_S}
    return {"failures": len(leads), **shares, "median_s": round(float(np.median(leads)), 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", nargs="*", metavar="STORE")
    parser.add_argument("--episodes", type=int, default=12, help="of each world, without stores")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    started = time.perf_counter()
    if given.stores:
        found = {store: measure_store(store) for store in given.stores}
    else:
        about = {"episodes": given.episodes}
        found = {env_id: about | measure(env_id, given.episodes) for env_id in PHYSICS}
    result = {
        "cpus": os.cpu_count(),
        "seconds": round(time.perf_counter() - started),
        "stores" if given.stores else "worlds": found,
    }
    if given.json:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return
    for name, about in found.items():
        successes, episodes = about.pop("successes"), about.pop("episodes")
        sys.stdout.write(f"{name}: {successes} of {episodes} succeed\n")
        about.pop("world", None)
        for cause, shares in about.items():
            told = ", ".join(f"{name} {value}" for name, value in shares.items())
            sys.stdout.write(f"  {cause:<18} {told}\n")


if __name__ == "__main__":
    main()
