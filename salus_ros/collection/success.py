"""Success rate of a policy in a world that ships, by task, with binomial intervals."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from salus_ros.collection.config import CollectionConfig
from salus_ros.collection.workers import rollout_pool
from salus_ros.core.pool import Lost
from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.policies.checkpoint import (
    noise_memory_json,
    own_noise_memory,
    policy_id,
)

HELD_OUT_SEED = 1_000_000
"""Episodes of evaluations start here, demonstrations and recordings far below."""


def evaluate_policy(
    config: CollectionConfig,
    episodes: int,
    seed: int = HELD_OUT_SEED,
    workers: int = 1,
    progress: Callable[[int, Counter[str]], None] | None = None,
) -> dict[str, Any]:
    """Run `episodes` episodes; episode i has seed + i for the world and the policy's noise.

    Args:
        config: Policy and conditions.
        episodes: How many episodes, at least 1.
        seed: Of the first episode.
        workers: Parallel processes; the result does not depend on it.
        progress: Called with the number of episodes done and the endings so far.

    Returns:
        Endings and success rate with its 95 % Wilson interval, of all and of each task; mean
        length in steps.

    Raises:
        SalusError: if the policy cannot be run in this world.
    """
    endings: dict[str, Counter[str]] = {}
    total: Counter[str] = Counter()
    steps = 0
    with rollout_pool(config, range(seed, seed + episodes), workers) as pool:
        for _, made in pool.results():
            assert not isinstance(made, Lost)  # what a worker lost is run again
            meta = made.episode.meta
            endings.setdefault(meta.task, Counter())[meta.ending] += 1
            total[meta.ending] += 1
            steps += len(made.episode)
            if progress is not None:
                progress(total.total(), total)
    return {
        "policy": policy_id(config.policy, config.noise_memory),
        "first_seed": seed,
        "world": config.env_id,
        "condition": config.condition,
        "fault": config.fault,
        "num_samples": config.num_samples,
        "replan_every": config.replan_every,
        "noise_memory": noise_memory_json(
            own_noise_memory(config.policy) if config.noise_memory is None else config.noise_memory
        ),
        **_rate(total),
        "mean_steps": steps / episodes,
        "tasks": {task: _rate(endings[task]) for task in config.form.tasks if task in endings},
    }


def _rate(endings: Counter[str]) -> dict[str, Any]:
    episodes = endings.total()
    return {
        "episodes": episodes,
        "success_rate": endings["success"] / episodes,
        "success_interval_95": list(wilson_interval(endings["success"], episodes)),
        "endings": {name: endings[name] for name in sorted(endings)},
    }
